//! Previews of each batch in runs without faults: what a preview foresees is what then happens (invariant I12).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use flashgate_billing::preview::{AccountPreview, Changes, Conditions, preview};
use flashgate_billing::simulate::manifest::{Manifest, Place};
use flashgate_billing::simulate::resumed::{LiveAccount, Resumed};
use flashgate_billing::simulate::step::{Action, Step};
use flashgate_ledger::catalog::Catalog;
use flashgate_preview::convert::{entry_to_json, ledger_from_wire};
use flashgate_testing::simulated::{Change, Object, ObjectKind, Store};
use serde_json::Value;

use crate::oracle::{NAMESPACE, Violation, key};
use crate::simulator::users;
use crate::simulator::workload::Item;

/// The previews of the accounts of a batch.
pub struct Foreseen {
    accounts: Vec<(Changes, AccountPreview)>,
    /// Number of changes of the store before the batch.
    changes: usize,
}

impl Foreseen {
    /// Returns the previews of `items` on the objects of `store`, or `None` if an account is reset, which no manifest does.
    pub fn of(store: &Store, catalog: &Catalog, items: &[&Item]) -> Result<Option<Self>, Violation> {
        if items.iter().any(|item| matches!(item, Item::Reset { .. })) {
            return Ok(None);
        }
        let changes = store.changes().len();
        let mut after = store.clone();
        for item in items.iter().filter(|item| !matches!(item, Item::Wipe { .. })) {
            users::apply(&mut after, item);
        }
        let mut accounts: Vec<Changes> = Vec::new();
        for change in &after.changes()[changes..] {
            let step = step(change)?;
            let content = change.after.as_ref().or(change.before.as_ref()).map(Object::to_json);
            let (namespace, name) = Resumed::account_of(&step.key, &content.unwrap_or_default());
            match accounts.iter_mut().find(|account| account.name == name) {
                Some(account) => account.steps.push(step),
                None => accounts.push(Changes { namespace, name, steps: vec![step] }),
            }
        }
        let conditions = Conditions { catalog, wall_time: store.now(), allows_test_clock: false };
        let foresee = |changes: Changes| {
            let foreseen = preview(&live(store, &changes.name), &changes, conditions);
            let foreseen = foreseen.map_err(|error| Violation(format!("I12: {error}")))?;
            Ok((changes, foreseen))
        };
        let accounts = accounts.into_iter().map(foresee).collect::<Result<_, Violation>>()?;
        Ok(Some(Self { accounts, changes }))
    }

    /// Compares the previews with the entries, balances and verdicts of `store`, on which the batch was applied.
    pub fn check(&self, store: &Store) -> Result<(), Violation> {
        self.accounts.iter().try_for_each(|(changes, foreseen)| {
            let name = &changes.name;
            equal("entries", name, foreseen_entries(name, foreseen), self.entries(store, name))?;
            let found = store.get(&key(ObjectKind::CreditLedger, name));
            if let Some(Object::CreditLedger(stored)) = found {
                let ledger =
                    ledger_from_wire(name, &stored.spec).map_err(|error| Violation(error.to_string()))?;
                equal("balance", name, Ok::<_, Violation>(foreseen.balance_after), ledger.balance())?;
            }
            let refused: BTreeMap<_, _> = foreseen
                .refused
                .iter()
                .map(|refused| (refused.object.clone(), refused.reason.clone()))
                .collect();
            equal(
                "refused objects",
                name,
                Ok::<_, Violation>(refused),
                Ok::<_, Violation>(refused_objects(store, changes)),
            )
        })
    }

    /// Returns the entries that were committed for an account since the preview.
    fn entries(&self, store: &Store, name: &str) -> Result<Vec<Value>, serde_json::Error> {
        let mut entries = Vec::new();
        for change in &store.changes()[self.changes..] {
            let Some(object @ Object::CreditLedger(after)) = &change.after else { continue };
            if object.key().name != name {
                continue;
            }
            let before = match &change.before {
                Some(Object::CreditLedger(before)) => before.spec.entry_number.unwrap_or_default(),
                _ => 0,
            };
            let new =
                usize::try_from(after.spec.entry_number.unwrap_or_default() - before).unwrap_or_default();
            let records = &after.spec.entries;
            for record in &records[records.len().saturating_sub(new)..] {
                entries.push(masked(name, serde_json::from_str(record)?));
            }
        }
        Ok(entries)
    }
}

/// Returns the objects of an account.
fn live(store: &Store, name: &str) -> LiveAccount {
    let mut live = LiveAccount::default();
    for object in store.objects() {
        match object {
            Object::CreditLedger(ledger) if object.key().name == name => {
                live.ledger = Some(std::sync::Arc::unwrap_or_clone(std::sync::Arc::clone(ledger)));
            }
            Object::CreditLedger(_) => {}
            _ => {
                let content = object.to_json();
                let subscription = content.pointer("/spec/subscriptionRef/name");
                let account =
                    subscription.and_then(Value::as_str).map_or_else(|| object.key().name, str::to_owned);
                if account == name {
                    live.objects.push(content);
                }
            }
        }
    }
    live
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
fn foreseen_entries(name: &str, foreseen: &AccountPreview) -> Result<Vec<Value>, serde_json::Error> {
    let entries = foreseen.entries.iter().map(|entry| entry_to_json(name, entry));
    let is_kept =
        |entry: &Value| entry["kind"] != "Refused" || entry["detail"]["object"]["kind"] != "UsageReport";
    Ok(entries.filter(is_kept).map(|entry| masked(name, entry)).collect())
}

/// Returns an entry without what nobody can foresee: UIDs, and the id that a new account gets from one.
fn masked(name: &str, mut entry: Value) -> Value {
    fn mask(name: &str, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("uid");
                fields.values_mut().for_each(|value| mask(name, value));
            }
            Value::Array(items) => items.iter_mut().for_each(|value| mask(name, value)),
            Value::String(text) => {
                if let Some((id, number)) =
                    text.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')?.split_once('-'))
                    && id.len() == 8
                    && id.bytes().all(|byte| byte.is_ascii_hexdigit())
                {
                    *text = format!("{name}-{number}");
                }
            }
            _ => {}
        }
    }
    if let Some(fields) = entry.as_object_mut() {
        fields.remove("subscription");
    }
    mask(name, &mut entry);
    entry
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

fn equal<T: PartialEq + Debug>(
    what: &str,
    name: &str,
    foreseen: Result<T, impl Debug>,
    found: Result<T, impl Debug>,
) -> Result<(), Violation> {
    match (foreseen, found) {
        (Ok(foreseen), Ok(found)) if foreseen == found => Ok(()),
        (foreseen, found) => Err(Violation(format!(
            "I12: {what} of {name}: foreseen were {foreseen:#?}, and there are {found:#?}"
        ))),
    }
}
