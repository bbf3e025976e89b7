//! The entries that the committed ledgers of a cluster hold, as a history must have them (invariant I9).

use std::collections::{BTreeMap, BTreeSet};

use flashgate_api::CreditLedgerSpec;
use flashgate_history::UsageRecord;
use flashgate_ledger::Credits;
use flashgate_testing::simulated::{Object, Store, Writer};
use serde_json::Value;

use crate::oracle::Violation;

/// Entries of one account by number, as their records.
pub type Entries = BTreeMap<i64, String>;

/// Returns the entries of all committed ledgers, by the name and id of the account.
pub fn committed(store: &Store) -> BTreeMap<(String, String), Entries> {
    let mut committed: BTreeMap<_, Entries> = BTreeMap::new();
    for change in store.changes() {
        let Some(object @ Object::CreditLedger(ledger)) = &change.after else { continue };
        let before = match &change.before {
            Some(Object::CreditLedger(before)) => before.spec.entry_number.unwrap_or_default(),
            _ => 0,
        };
        let number = ledger.spec.entry_number.unwrap_or_default();
        let entries = committed.entry(account_of(object, &ledger.spec)).or_default();
        let new = ledger.spec.entries.iter().rev().zip((before + 1..=number).rev());
        entries.extend(new.map(|(record, number)| (number, record.clone())));
    }
    committed
}

/// Returns the name and id of the account of a ledger.
pub fn account_of(object: &Object, spec: &CreditLedgerSpec) -> (String, String) {
    (object.key().name, spec.account.clone())
}

/// Checks that the usage of a charge adds up to it, and that its labels are known unless a user deleted the report.
/// `entry` has the form of `entries.schema.json`; entries of other kinds have no usage.
pub fn check_usage(
    entry: &Value,
    usage: &[UsageRecord],
    deleted: &BTreeSet<String>,
) -> Result<(), Violation> {
    if entry["kind"] != "Charged" {
        return Ok(());
    }
    let charged = entry["detail"]["amount"].as_str().and_then(|amount| amount.parse::<Credits>().ok());
    let sum = Credits::sum(usage.iter().map(|usage| usage.credits)).ok();
    let is_lost = |usage: &UsageRecord| !usage.labels_known && !deleted.contains(&usage.report_uid);
    if charged == sum && !usage.is_empty() && !usage.iter().any(is_lost) {
        return Ok(());
    }
    Err(Violation(format!("I9: {entry} has the usage {usage:?}")))
}

/// Returns the UIDs of the reports that users deleted: their labels may be lost.
pub fn deleted_by_users(store: &Store) -> BTreeSet<String> {
    let deleted =
        store.changes().iter().filter(|change| change.after.is_none() && change.writer == Writer::User);
    deleted.filter_map(|change| change.before.as_ref()).map(|object| object.uid().to_owned()).collect()
}
