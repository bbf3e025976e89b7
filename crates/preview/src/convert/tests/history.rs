//! Numbers, hashes and retention of entries, and what a history store gets.

use std::collections::BTreeMap;

use flashgate_history::{AccountId, chain};
use flashgate_ledger::ledger::{Charge, RatedUsage};
use flashgate_ledger::{Credits, Quantity};

use super::super::history::UnrecordedCharge;
use super::*;

const ACCOUNT: &str = "default/acme";

fn account_id() -> AccountId {
    AccountId { namespace: "default".into(), name: "acme".into(), account: "1f3a9c2e".into() }
}

fn commit(
    account: &TestAccount,
    previous: Option<&CreditLedgerSpec>,
    recorded: Option<i64>,
) -> CreditLedgerSpec {
    let recording = recorded.map(|sequence| Recording { store: Some("s".into()), sequence });
    let commit = Commit { subscription: ACCOUNT, writer: "operator-0", recording: recording.as_ref() };
    ledger_to_wire(account.ledger(), previous, &account.decision.entries, commit)
}

/// Returns the numbers of the entries that a store gets.
fn numbers(spec: &CreditLedgerSpec) -> Vec<i64> {
    let batch = batch_of(account_id(), spec).expect("the chain is sound");
    batch.entries.iter().map(|entry| entry.number).collect()
}

/// Gives `count` adjustments, one commit each.
fn adjust(
    account: &mut TestAccount,
    mut spec: CreditLedgerSpec,
    count: u32,
    recorded: Option<i64>,
) -> CreditLedgerSpec {
    for _ in 0..count {
        let name = format!("gift-{}", spec.sequence);
        account.adjust("now", &name, "1", None);
        spec = commit(account, Some(&spec), recorded);
    }
    spec
}

#[test]
fn entries_are_numbered_and_chained_from_the_first() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31T10:00:00Z");
    let first = commit(&account, None, None);
    let count = i64::try_from(first.entries.len()).expect("count");
    assert_eq!(
        (first.entry_number, &first.entries_opening, &first.entry_branch),
        (Some(count), &None, &None)
    );
    account.adjust("now", "gift", "1", None);
    let second = commit(&account, Some(&first), None);
    assert_eq!(second.entry_number, Some(count + 1));
    let record = second.entries.last().expect("an entry");
    assert!(record.contains(r#""index":0"#) && record.contains(r#""sequence":2"#), "{record}");
    let hash = chain::hash_of_text(first.entry_hash.as_deref().expect("a hash"), record);
    assert_eq!(second.entry_hash, Some(hash));
    assert_eq!(numbers(&second), (1..=count + 1).collect::<Vec<_>>());
}

#[test]
fn without_a_store_the_last_entries_are_kept_and_the_opening_has_the_sums_before_them() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31T10:00:00Z");
    let mut spec = commit(&account, None, None);
    spec = adjust(&mut account, spec, 30, None);
    assert_eq!(spec.entries.len(), ENTRIES_KEPT);
    let batch = batch_of(account_id(), &spec).expect("the chain is sound");
    assert_eq!(batch.entries[0].number, batch.opening.number + 1);
    let mut totals = batch.opening.totals;
    for entry in &batch.entries {
        let amount =
            entry.detail["amount"].as_str().map_or(Credits::ZERO, |amount| amount.parse().expect("amount"));
        totals.add(&entry.kind, amount, entry.credits).expect("sum");
    }
    assert_eq!(totals, account.ledger().totals);
    assert_eq!(batch.opening.balance, batch.opening.totals.balance().expect("balance"));
}

#[test]
fn entries_that_are_not_recorded_are_kept_until_they_are() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31T10:00:00Z");
    let mut spec = commit(&account, None, Some(0));
    spec = adjust(&mut account, spec, 30, Some(0));
    assert_eq!(numbers(&spec).first(), Some(&1));
    assert!(unrecorded_bytes(&spec, 0) > unrecorded_bytes(&spec, 10));
    assert_eq!(unrecorded_bytes(&spec, spec.sequence), 0);
    let recorded = spec.sequence;
    spec = adjust(&mut account, spec, 1, Some(recorded));
    assert_eq!((spec.entries.len(), spec.recorded_sequence), (ENTRIES_KEPT, Some(recorded)));
    assert_eq!(spec.history_store.as_deref(), Some("s"));
}

#[test]
fn more_than_64_kib_of_unrecorded_entries_push_out_the_oldest() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31T10:00:00Z");
    let mut spec = commit(&account, None, Some(0));
    while numbers(&spec).first() == Some(&1) {
        spec = adjust(&mut account, spec, 1, Some(0));
        assert!(spec.entries.len() < 1_024, "the definition's limit");
    }
    let bytes: usize = spec.entries.iter().map(String::len).sum();
    assert!((ENTRY_BYTES - 1_024..=ENTRY_BYTES).contains(&bytes), "{bytes}");
}

#[test]
fn a_ledger_without_numbers_begins_them_with_its_next_commit() {
    let old: CreditLedgerSpec = serde_json::from_value(ledger_of_0_1_0()).expect("a ledger");
    let ledger = ledger_from_wire("acme", &old).expect("what 0.1.0 wrote");
    let next = Ledger { sequence: ledger.sequence + 1, ..ledger };
    let spec = ledger_to_wire(&next, Some(&old), &[], Commit::of(ACCOUNT, "operator-0"));
    let known = i64::try_from(old.entries.len()).expect("count");
    assert_eq!((spec.entry_number, &spec.entries), (Some(known), &old.entries));
    let batch = batch_of(account_id(), &spec).expect("the chain is sound");
    assert_eq!((batch.opening.number, batch.opening.totals, batch.entries.len()), (known, next.totals, 0));
    assert_eq!(batch.opening.balance.to_string(), "-75");
}

#[test]
fn an_accepted_ledger_begins_a_branch_that_is_new_each_time() {
    let account = rich_account();
    let stored = commit(&account, None, None);
    let next = Ledger { sequence: stored.sequence + 1, ..account.ledger().clone() };
    let entry = Entry {
        time: next.clock_time,
        credits: Credits::ZERO,
        balance: next.balance().expect("balance"),
        detail: Detail::Accepted { sequence: stored.sequence },
    };
    let accept = |shown: &str| {
        accepted_ledger_to_wire(&next, &stored, &entry, shown, Commit::of(ACCOUNT, "operator-0"))
    };
    let (once, again) = (accept("one"), accept("other"));
    assert_ne!(once.entry_branch, again.entry_branch);
    assert_eq!(once.entry_branch.as_ref().map(String::len), Some(16));
    let batch = batch_of(account_id(), &once).expect("the chain is sound");
    let kinds: Vec<&str> = batch.entries.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!((kinds, batch.opening.number), (vec!["Accepted"], stored.entry_number.expect("a number")));
    assert_eq!(batch.opening.hash, stored.entry_hash.expect("a hash"));
}

#[test]
fn changed_entries_are_found_by_their_hash() {
    let account = rich_account();
    let mut spec = commit(&account, None, None);
    let record = spec.entries[0].replace("\"index\":0", "\"index\":7");
    spec.entries[0] = record;
    assert!(matches!(batch_of(account_id(), &spec), Err(ConvertError::WrongHash { .. })));
}

#[test]
fn the_usage_of_a_charge_is_split_over_its_labels() {
    let line = RatedUsage {
        node_type: "Public".into(),
        operation: "TokensOut".into(),
        quantity: "3".parse().expect("quantity"),
        credits: "0.00000001".parse().expect("credits"),
    };
    let charge = Charge {
        name: "r".into(),
        uid: "u".into(),
        credits: line.credits,
        lines: vec![line],
        period_number: Some(1),
        charge_time: time("2026-02-01T00:00:00Z"),
    };
    let window = Window { start_time: time("2026-01-31T23:00:00Z"), end_time: time("2026-02-01T00:00:00Z") };
    let unrecorded = UnrecordedCharge { number: 7, source: "gw".into(), window, charge };
    let mut report = report();
    report.spec.usage = ["a", "b", "a", "c"]
        .map(|model| UsageLine {
            node_type: "Public".into(),
            operation: "TokensOut".into(),
            quantity: api::Quantity(if model == "a" { "0.5" } else { "1" }.into()),
            labels: BTreeMap::from([("model".to_owned(), model.to_owned())]),
        })
        .into();
    let groups = label_groups(&report).expect("groups");
    let rows = usage_of(&unrecorded, Some(&groups));
    let shown: Vec<(&str, String, String)> = rows
        .iter()
        .map(|row| (row.labels["model"].as_str(), row.quantity.to_string(), row.credits.to_string()))
        .collect();
    assert_eq!(
        shown,
        [
            ("a", "1".to_owned(), "0.000000004".to_owned()),
            ("b", "1".to_owned(), "0.000000003".to_owned()),
            ("c", "1".to_owned(), "0.000000003".to_owned()),
        ]
    );
    let lost = usage_of(&unrecorded, None);
    assert_eq!(
        (lost.len(), lost[0].labels_known, lost[0].credits.to_string()),
        (1, false, "0.00000001".to_owned())
    );
    assert_eq!(lost[0].quantity, "3".parse::<Quantity>().expect("quantity"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_store_gets_each_entry_of_an_account_once_and_the_usage_of_each_charge((mut account, script) in any_account()) {
        let mut spec = commit(&account, None, Some(0));
        let mut seen: Vec<String> = spec.entries.clone();
        for (time, action) in &script.actions {
            account.now = *time;
            account.apply(action);
            if account.ledger().sequence == spec.sequence {
                continue;
            }
            spec = commit(&account, Some(&spec), Some(spec.sequence));
            let batch = batch_of(account_id(), &spec).expect("the chain is sound");
            let from = usize::try_from(batch.opening.number).expect("a number");
            prop_assert!(from <= seen.len(), "entries {} to {from} are lost", seen.len() + 1);
            for (index, entry) in batch.entries.iter().enumerate() {
                let text = chain::canonical(ACCOUNT, entry);
                match seen.get(from + index) {
                    Some(known) => prop_assert_eq!(known, &text),
                    None => seen.push(text),
                }
            }
            let new: Vec<&Entry> = account.decision.entries.iter().filter(|entry| entry.is_part_of_ledger()).collect();
            for (entry, record) in new.iter().rev().zip(spec.entries.iter().rev()) {
                prop_assert!(record.len() <= entry.bytes(), "{} bytes of {record}", record.len());
            }
        }
    }
}
