//! Compares the final state of a run with that of the same run without faults.

use std::collections::BTreeMap;

use flashgate_ledger::ledger::{Ledger, SubscriptionIdentity};
use flashgate_ledger::refusal::RefusalReason;
use flashgate_preview::convert::ledger_from_wire;
use flashgate_testing::simulated::{Object, ObjectKind, Store};
use serde_json::Value;

use crate::oracle::{Oracle, Violation};

/// The amount of disorder in a run. It determines how much of the final state is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disorder {
    /// A reconcile starts with all users' writes in its caches, and clocks are right. The final states must
    /// be equal, times included.
    Informed,
    /// Caches lag and clocks differ within the tolerance, but simultaneous actions commute. Amounts must be
    /// equal.
    Lagging,
    /// Anything can happen at any time. There is no comparison, but the invariants must hold.
    Wild,
}

/// Compares the final states of a run with and without faults, as closely as its disorder allows.
pub fn compare(
    disorder: Disorder,
    (found, found_oracle): (&Store, &Oracle),
    (expected, expected_oracle): (&Store, &Oracle),
) -> Result<(), Violation> {
    if disorder == Disorder::Wild {
        return Ok(());
    }
    let oracles = [found_oracle, expected_oracle];
    // If caches lag, another one of several reports of a window may be charged. Then not even the number of
    // objects can be compared once some are deleted.
    let counts_reports = oracles.iter().all(|oracle| oracle.swept.is_empty() && oracle.wiped.is_empty());
    let exempt = |object: &Object| {
        let key = object.key();
        // A report that lost its status, or was swept at another time, may show another state. Its cost does
        // not change.
        key.kind == ObjectKind::UsageReport
            && (disorder == Disorder::Lagging && !counts_reports
                || oracles
                    .iter()
                    .any(|oracle| oracle.swept.contains(&key) || oracle.wiped.contains(object.uid())))
    };
    let view = |store: &Store| -> BTreeMap<String, String> {
        let objects = store.objects().filter(|object| !exempt(object));
        match disorder {
            Disorder::Informed => {
                let ids = names_of_the_run(store);
                objects.map(|object| (object.key().to_string(), without_ids(exactly(object), &ids))).collect()
            }
            Disorder::Lagging | Disorder::Wild => amounts(objects),
        }
    };
    let (found, expected) = (view(found), view(expected));
    for (what, expected) in &expected {
        let found = found.get(what).map_or("nothing", String::as_str);
        if found != expected {
            return Err(Violation(differ(what, expected, found)));
        }
    }
    match found.keys().find(|what| !expected.contains_key(*what)) {
        Some(what) => Err(Violation(differ(what, "nothing", &found[what]))),
        None => Ok(()),
    }
}

/// Returns the names that differ in every run: account IDs, which depend on the time of the first commit, and
/// names that the server generates.
fn names_of_the_run(store: &Store) -> Vec<String> {
    let ledgers = store.objects().filter_map(|object| match object {
        Object::CreditLedger(ledger) => Some(ledger.spec.account.clone()),
        _ => None,
    });
    ledgers.chain(store.objects().map(|object| object.uid().to_owned())).collect()
}

fn without_ids(text: String, ids: &[String]) -> String {
    ids.iter().fold(text, |text, id| text.replace(id, "name"))
}

/// Describes the difference of two long texts.
fn differ(what: &str, expected: &str, found: &str) -> String {
    let mut lines = vec![format!("{what} differs from the run without faults:")];
    let (mut expected, mut found) = (expected.lines(), found.lines());
    loop {
        match (expected.next(), found.next()) {
            (None, None) => break,
            (one, other) if one == other => {}
            (one, other) => lines.push(format!("  expected {one:?}, found {other:?}")),
        }
        if lines.len() > 12 {
            break;
        }
    }
    lines.join("\n")
}

/// Returns an object without the fields that depend on the number of writes.
fn exactly(object: &Object) -> String {
    if let Object::CreditLedger(stored) = object {
        let name = object.key().name;
        return ledger_from_wire(&name, &stored.spec).map_or_else(
            |error| error.to_string(),
            |ledger| {
                let subscription = SubscriptionIdentity { generation: 0, ..ledger.subscription.clone() };
                // Usage that arrived before its Subscription is charged at the time of the previous last
                // commit.
                let mut coverage = ledger.coverage.clone();
                coverage.closed_before_time = None;
                for source in coverage.sources.values_mut() {
                    source.last_charge_time = jiff::Timestamp::UNIX_EPOCH;
                }
                // A ledger has no refusals from before its creation.
                let mut refusals = ledger.refusals.clone();
                refusals.retain(|record| record.refusal.reason != RefusalReason::SubscriptionNotFound);
                refusals.sort_by(|one, other| one.name.cmp(&other.name));
                let clock_time = jiff::Timestamp::UNIX_EPOCH;
                let masked = Ledger {
                    sequence: 0,
                    clock_time,
                    coverage,
                    daily_peaks: Vec::new(),
                    last_charge_time: None,
                    last_balance_change_time: None,
                    refusals,
                    subscription,
                    unacknowledged: Vec::new(),
                    ..ledger
                };
                format!("{masked:#?}")
            },
        );
    }
    let mut value = object.to_json();
    mask(&mut value);
    // The reason of a refusal is not kept. If the receipt was lost, the reason may differ.
    if object.kind() == ObjectKind::UsageReport && object.state() == Some("Rejected") {
        value["status"]["conditions"] = Value::Null;
    }
    format!("{value:#}")
}

/// Fields that depend on the number or time of writes.
const MASKED: [&str; 7] =
    ["resourceVersion", "lastTransitionTime", "sequence", "hash", "chargeTime", "asOfTime", "worstOvershoot"];

/// Removes the fields that depend on the number or time of writes.
fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in MASKED {
                fields.remove(name);
            }
            fields.values_mut().for_each(mask);
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// Returns the amounts of each account, and the number of objects by kind and state.
fn amounts<'a>(objects: impl Iterator<Item = &'a Object>) -> BTreeMap<String, String> {
    let mut amounts = BTreeMap::new();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for object in objects {
        if let Object::CreditLedger(stored) = object {
            let name = object.key().name;
            let text = ledger_from_wire(&name, &stored.spec).map_or_else(
                |error| error.to_string(),
                |ledger| {
                    format!(
                        "{:#?}\nbalance {:?}\nperiod {}\ninvoices {}\nterms {:#?}",
                        ledger.totals,
                        ledger.balance(),
                        ledger.period.number,
                        ledger.next_invoice,
                        ledger.terms,
                    )
                },
            );
            amounts.insert(object.key().to_string(), text);
        } else {
            *states.entry(format!("{} {:?}", object.kind().as_str(), object.state())).or_default() += 1;
        }
    }
    amounts.extend(states.into_iter().map(|(state, count)| (state, count.to_string())));
    amounts
}
