use flashgate_ledger::Credits;
use flashgate_ledger::ledger::Totals;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::record::{AccountId, Opening};

fn entry(number: i64) -> EntryRecord {
    EntryRecord {
        number,
        sequence: number * 10,
        index: 0,
        time: Timestamp::UNIX_EPOCH,
        kind: "Threshold".to_owned(),
        credits: Credits::ZERO,
        balance: Credits::ZERO,
        detail: json!({"percent": 50}),
        hash: format!("hash {number}"),
    }
}

/// Returns a batch that opens after entry `opening` and ends with entry `last`.
fn batch(opening: i64, last: i64) -> Batch {
    let account =
        AccountId { namespace: "team".to_owned(), name: "acme".to_owned(), account: "1f3a9c2e".to_owned() };
    let opening = Opening {
        number: opening,
        sequence: opening * 10,
        time: Timestamp::UNIX_EPOCH,
        hash: if opening == 0 { String::new() } else { format!("hash {opening}") },
        balance: Credits::ZERO,
        totals: Totals::default(),
    };
    let entries = (opening.number + 1..=last).map(entry).collect();
    Batch { account, branch: String::new(), opening, entries, usage: Vec::new() }
}

/// Returns stored rows. Negative numbers are covers.
fn stored(numbers: &[i64]) -> StoredRows {
    let row = |number: &i64| {
        let hash = format!("hash {}", number.abs());
        (number.abs(), StoredRow { hash, is_cover: *number < 0, sequence: number.abs() * 10 })
    };
    numbers.iter().map(row).collect()
}

/// Returns the plan as text: replaced covers, the opening, inserted entries, the last number and the gap.
fn planned(batch: &Batch, stored: &StoredRows, pruned: i64) -> String {
    let plan = plan(batch, stored, pruned).expect("plan");
    let numbers: Vec<i64> = plan.entries.iter().map(|entry| entry.number).collect();
    let Recorded { store: _, number, sequence, gap } = &plan.recorded;
    assert_eq!(*sequence, number * 10);
    let gap = gap.map_or_else(String::new, |gap| format!(", gap {}..{}", gap.first, gap.last));
    let opening = if plan.adds_opening { "opening, " } else { "" };
    format!("{opening}-{:?} +{numbers:?}, last {number}{gap}", plan.replaced)
}

#[test]
fn a_new_account_gets_all_its_entries() {
    assert_eq!(planned(&batch(0, 3), &stored(&[]), 0), "-[] +[1, 2, 3], last 3");
    assert_eq!(planned(&batch(0, 0), &stored(&[]), 0), "-[] +[], last 0");
}

#[test]
fn an_older_ledger_begins_with_an_opening_and_no_gap() {
    assert_eq!(planned(&batch(7, 9), &stored(&[]), 0), "opening, -[] +[8, 9], last 9");
    assert_eq!(planned(&batch(7, 7), &stored(&[]), 0), "opening, -[] +[], last 7");
}

#[test]
fn a_repeated_batch_adds_nothing() {
    assert_eq!(planned(&batch(0, 3), &stored(&[1, 2, 3]), 0), "-[] +[], last 3");
    assert_eq!(planned(&batch(1, 3), &stored(&[1, 2, 3]), 0), "-[] +[], last 3");
    assert_eq!(planned(&batch(7, 9), &stored(&[-7, 8, 9]), 0), "-[] +[], last 9");
}

#[test]
fn a_late_batch_reports_the_last_entry_of_the_store() {
    assert_eq!(planned(&batch(0, 2), &stored(&[1, 2, 3, 9]), 0), "-[] +[], last 9");
}

#[test]
fn lost_entries_are_covered_by_the_opening_as_a_gap() {
    assert_eq!(planned(&batch(7, 9), &stored(&[3]), 0), "opening, -[] +[8, 9], last 9, gap 4..7");
}

#[test]
fn a_hole_in_the_store_is_filled_or_covered() {
    assert_eq!(planned(&batch(1, 5), &stored(&[1, 2, 4, 5]), 0), "-[] +[3], last 5");
    assert_eq!(planned(&batch(3, 4), &stored(&[1, 5]), 0), "opening, -[] +[4], last 5, gap 2..3");
    assert_eq!(planned(&batch(1, 2), &stored(&[1, 2, 5]), 0), "-[] +[], last 2");
}

#[test]
fn entries_replace_a_cover() {
    assert_eq!(planned(&batch(0, 8), &stored(&[-7, 8]), 0), "-[7] +[1, 2, 3, 4, 5, 6, 7], last 8");
    assert_eq!(planned(&batch(3, 5), &stored(&[-7, 8]), 0), "opening, -[] +[4, 5], last 8");
    assert_eq!(planned(&batch(3, 3), &stored(&[-7, 8]), 0), "-[] +[], last 8");
}

#[test]
fn pruned_entries_are_not_recorded_again() {
    assert_eq!(planned(&batch(2, 8), &stored(&[5, 6]), 5), "-[] +[7, 8], last 8");
}

#[test]
fn another_hash_is_a_conflict_at_entries_covers_and_the_opening() {
    for (opening, last, number) in [(0, 5, 4), (3, 7, 7), (4, 6, 4)] {
        let mut rows = stored(&[1, 2, 3, 4, -7]);
        rows.get_mut(&number).expect("row").hash = "other".to_owned();
        let error = plan(&batch(opening, last), &rows, 0).expect_err("conflict");
        assert!(matches!(error, RecordError::Conflict { number: found, .. } if found == number), "{error}");
    }
}

#[test]
fn numbers_of_a_batch_are_consecutive() {
    assert!(check(&batch(3, 9)).is_ok());
    let mut broken = batch(3, 9);
    broken.entries.remove(1);
    assert!(matches!(check(&broken), Err(RecordError::Invalid { .. })));
}

#[test]
fn a_new_branch_begins_after_the_entries_that_it_shares() {
    let mut accepted = batch(2, 6);
    assert_eq!(first_number(&accepted, &stored(&[1, 2])), 3);
    accepted.entries[2].hash = "accepted".to_owned();
    assert_eq!(first_number(&accepted, &stored(&[1, 2, 3, 4, 5, 6, 7])), 5);
    accepted.opening.hash = "other".to_owned();
    assert_eq!(first_number(&accepted, &stored(&[1, 2, 3])), 2);
}

#[test]
fn the_last_branch_that_begins_before_a_number_holds_it() {
    let branch =
        |name: &str, position, first_number| BranchRow { branch: name.to_owned(), position, first_number };
    let branches = [branch("", 0, 0), branch("a", 1, 60), branch("b", 2, 50), branch("c", 3, 90)];
    let owners: Vec<&str> = [49, 50, 70, 90]
        .map(|number| owner(&branches, number).map_or("", |row| row.branch.as_str()))
        .to_vec();
    assert_eq!(owners, ["", "b", "b", "c"]);
    for number in 0..100 {
        let holders: Vec<usize> = (0..branches.len())
            .filter(|index| {
                let (first, last) = owned_range(&branches, *index);
                (first..=last).contains(&number)
            })
            .collect();
        let names: Vec<&BranchRow> = holders.iter().map(|index| &branches[*index]).collect();
        assert_eq!(names, [owner(&branches, number).expect("a branch")], "{number}");
    }
}
