//! Previews of each batch in runs without faults: what a preview foresees is what then happens (invariant I12).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use flashgate_api::CreditLedger;
use flashgate_billing::admission::Admission;
use flashgate_billing::preview::{AccountPreview, Changes, Conditions, preview};
use flashgate_billing::simulate::manifest::{Manifest, Place};
use flashgate_billing::simulate::resumed::LiveAccount;
use flashgate_billing::simulate::step::{Action, Step};
use flashgate_ledger::catalog::Catalog;
use flashgate_preview::convert::{entry_to_json, ledger_from_wire};
use flashgate_testing::simulated::{Change, Object, ObjectKind, Store};
use regex::Regex;
use serde_json::Value;

use crate::entries::committed;
use crate::oracle::{NAMESPACE, Violation, key};
use crate::simulator::users;
use crate::simulator::workload::Item;

/// The previews of the accounts of a batch.
pub struct Foreseen {
    accounts: Vec<(Changes, AccountPreview)>,
    /// Number of the last entry of each account before the batch.
    numbers: BTreeMap<String, i64>,
}

impl Foreseen {
    /// Returns the previews of `items` on the objects of `store`, or `None` if one is no manifest: the removal of statuses,
    /// after which the operator also decides older objects again, or the reset of an account.
    pub fn of(
        store: &Store,
        catalog: &Catalog,
        admission: &Arc<Admission>,
        items: &[&Item],
    ) -> Result<Option<Self>, Violation> {
        if items.iter().any(|item| matches!(item, Item::Reset { .. } | Item::Wipe { .. })) {
            return Ok(None);
        }
        let (mut after, changes) = (store.clone(), store.changes().len());
        for item in items {
            users::apply(&mut after, item);
        }
        let mut accounts: Vec<Changes> = Vec::new();
        for change in after.changes()[changes..].iter().filter(|change| changes_a_spec(change)) {
            let Some(object) = change.after.as_ref().or(change.before.as_ref()) else { continue };
            let (step, name) = (step(change)?, account_of(object));
            match accounts.iter_mut().find(|account| account.name == name) {
                Some(account) => account.steps.push(step),
                None => accounts.push(Changes { namespace: NAMESPACE.to_owned(), name, steps: vec![step] }),
            }
        }
        let conditions = Conditions { catalog, admission, wall_time: store.now(), allows_test_clock: false };
        let foresee = |changes: Changes| {
            let foreseen = preview(&live(store, &changes.name), &changes, conditions);
            let foreseen = foreseen.map_err(|error| Violation(format!("I12: {error}")))?;
            Ok((changes, foreseen))
        };
        let accounts = accounts.into_iter().map(foresee).collect::<Result<_, Violation>>()?;
        let numbers = store.objects().filter_map(|object| match object {
            Object::CreditLedger(ledger) => Some((object.key().name, ledger.spec.entry_number?)),
            _ => None,
        });
        Ok(Some(Self { accounts, numbers: numbers.collect() }))
    }

    /// Compares the previews with the entries, balances and verdicts of `store`, on which the batch was applied.
    pub fn check(&self, store: &Store) -> Result<(), Violation> {
        self.accounts.iter().try_for_each(|(changes, foreseen)| {
            let name = &changes.name;
            let refused = foreseen.refused.iter();
            let refused: BTreeMap<_, _> =
                refused.map(|refused| (refused.object.clone(), refused.reason.clone())).collect();
            equal("refused objects", name, &refused, &refused_objects(store, changes))?;
            let Some(Object::CreditLedger(stored)) = store.get(&key(ObjectKind::CreditLedger, name)) else {
                // Without an account, a refusal is only in the log.
                let has_credits = foreseen.entries.iter().any(|entry| !entry.credits.is_zero());
                return equal("entries with credits", name, &has_credits, &false);
            };
            let unreadable = |error: &dyn std::error::Error| Violation(format!("I12: {name}: {error}"));
            let before = self.numbers.get(name).copied().unwrap_or_default();
            let foreseen_entries = (before + 1..).zip(entries(name, foreseen)).collect::<BTreeMap<_, _>>();
            let last = stored.spec.entry_number.unwrap_or_default();
            equal("last entry", name, &foreseen_entries.keys().last().copied().unwrap_or(before), &last)?;
            // A ledger does not keep all entries of a large commit.
            let account = (name.clone(), stored.spec.account.clone());
            for (number, record) in committed(store).entry(account).or_default().range(before + 1..) {
                let found = serde_json::from_str(record).map_err(|error| unreadable(&error))?;
                equal("entry", name, &foreseen_entries.get(number), &Some(&masked(name, found)))?;
            }
            let ledger = ledger_from_wire(name, &stored.spec).map_err(|error| unreadable(&error))?;
            let balance = ledger.balance().map_err(|error| unreadable(&error))?;
            equal("balance", name, &foreseen.balance_after, &balance)
        })
    }
}

/// Returns the objects of an account.
fn live(store: &Store, name: &str) -> LiveAccount {
    let mut live = LiveAccount::default();
    for object in store.objects().filter(|object| account_of(object) == name) {
        match object {
            Object::CreditLedger(ledger) => live.ledger = Some(CreditLedger::clone(ledger)),
            _ => live.objects.push(object.to_json()),
        }
    }
    live
}

/// Returns the name of the account of an object.
fn account_of(object: &Object) -> String {
    let content = object.to_json();
    let subscription = content.pointer("/spec/subscriptionRef/name").and_then(Value::as_str);
    subscription.map_or_else(|| object.key().name, str::to_owned)
}

/// Returns whether a change is one that a preview judges: an object that stays as it is changes nothing.
fn changes_a_spec(change: &Change) -> bool {
    let spec = |object: &Option<Object>| object.as_ref().map(|object| object.to_json()["spec"].clone());
    spec(&change.before) != spec(&change.after)
}

/// Returns a change of a user as a step.
fn step(change: &Change) -> Result<Step, Violation> {
    let object = change.after.as_ref().or(change.before.as_ref()).map(Object::to_json).unwrap_or_default();
    let place = Place { file: "batch".into(), line: 1, document: 1 };
    let step = Step::applied(Manifest { place, object, notes: Vec::new() }, NAMESPACE);
    let step = step.map_err(|error| Violation(format!("I12: {error}")))?;
    Ok(if change.after.is_none() { Step { action: Action::Delete, ..step } } else { step })
}

/// Returns the entries of a preview that a ledger keeps: refused reports are only in the log.
fn entries(name: &str, foreseen: &AccountPreview) -> Vec<String> {
    let entries = foreseen.entries.iter().map(|entry| entry_to_json(name, entry));
    let is_kept = |entry: &Value| {
        let object = entry["detail"]["object"].as_str().unwrap_or_default();
        entry["kind"] != "Refused" || !object.starts_with("UsageReport/")
    };
    entries.filter(is_kept).map(|entry| masked(name, entry)).collect()
}

/// Returns an entry without its numbers, and without the id of an account: it comes from the UID of the Subscription.
fn masked(name: &str, mut entry: Value) -> String {
    if let Some(fields) = entry.as_object_mut() {
        fields.retain(|field, _| !["subscription", "sequence", "index"].contains(&field.as_str()));
    }
    let id = Regex::new(&format!("{name}-[0-9a-f]{{8}}-")).expect("pattern");
    id.replace_all(&entry.to_string(), format!("{name}-")).into_owned()
}

/// Returns the refused objects among those that a batch touched, with their reasons.
fn refused_objects(store: &Store, changes: &Changes) -> BTreeMap<String, String> {
    let touched: BTreeSet<_> = changes.steps.iter().map(|step| &step.key).collect();
    let refused = touched.into_iter().filter_map(|touched| {
        let kind = touched.kind.as_str();
        let object = store.objects().find(|object| {
            let key = object.key();
            key.name == touched.name && format!("{:?}", object.kind()) == kind
        })?;
        let content = object.to_json();
        // Another account may have the name now.
        if account_of(object) != changes.name {
            return None;
        }
        let conditions = content["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        let reason = ready["reason"].as_str()?.to_owned();
        let is_refused = match object.state() {
            Some(state) => ["Refused", "Rejected"].contains(&state),
            None => ["PlanNotFound", "BillingPeriodNotOffered", "LedgerFull"].contains(&reason.as_str()),
        };
        is_refused.then(|| (format!("{kind}/{}", touched.name), reason))
    });
    refused.collect()
}

fn equal<T: PartialEq + Debug>(what: &str, name: &str, foreseen: &T, found: &T) -> Result<(), Violation> {
    if foreseen == found {
        return Ok(());
    }
    Err(Violation(format!("I12: {what} of {name}: foreseen was {foreseen:?}, and there is {found:?}")))
}
