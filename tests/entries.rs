//! The entries that the committed ledgers of a cluster hold, as a history must have them (invariant I9).

use std::collections::{BTreeMap, BTreeSet};

use flashgate_api::CreditLedgerSpec;
use flashgate_testing::simulated::{Object, Store, Writer};

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

/// Returns the UIDs of the reports that users deleted: their labels may be lost.
pub fn deleted_by_users(store: &Store) -> BTreeSet<String> {
    let deleted =
        store.changes().iter().filter(|change| change.after.is_none() && change.writer == Writer::User);
    deleted.filter_map(|change| change.before.as_ref()).map(|object| object.uid().to_owned()).collect()
}
