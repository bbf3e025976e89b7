//! `verify` finds every change of the stored rows.

use flashgate_history::Gap;
use flashgate_history::verify::{AccountReport, Problem, verify};

use crate::on_both_stores;
use crate::stores::ledger::{Ledger, amount};
use crate::stores::place::Place;
use crate::stores::recording::record;

fn ledger() -> Ledger {
    let mut ledger = Ledger::new("acme");
    ledger.grant("100");
    ledger.charge("r1", &[("TokensOut", &[("model", "a")], "5", "1.5"), ("StorageEgress", &[], "5", "0.5")]);
    ledger.grant("100");
    ledger.charge("r2", &[("TokensOut", &[], "5", "0.000000001")]);
    ledger.grant("7");
    ledger
}

async fn report(place: &Place) -> AccountReport {
    let mut reports = verify(&place.store).await.unwrap();
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

async fn a_recorded_history_has_no_problem(place: Place) {
    let ledger = ledger();
    record(&place.store, &ledger).await;
    let report = report(&place).await;
    assert_eq!(report.problems, []);
    assert_eq!((report.entries, report.number, report.begins_after), (5, 5, None));
    assert_eq!(report.hash, ledger.entries[4].hash);
    assert_eq!(report.balance, amount("204.999999999"));
    assert_eq!((report.totals.granted, report.totals.consumed), (amount("207"), amount("2.000000001")));
    assert_eq!(report.gaps, []);
}

async fn sums_are_right_from_an_opening_and_a_gap_on(place: Place) {
    let mut ledger = ledger();
    let last = ledger.entries.len();
    for (opening, end) in [(1, 2), (3, last)] {
        place.store.record(&[ledger.batch_of(opening, end)]).await.unwrap();
    }
    let found = report(&place).await;
    assert_eq!((found.problems, found.gaps), (vec![], vec![Gap { first: 3, last: 3 }]));
    assert_eq!((found.entries, found.begins_after), (3, Some(1)));
    assert_eq!(found.totals, ledger.totals(last));

    ledger.accept(4, "00000000000000aa", "1");
    ledger.grant("2");
    record(&place.store, &ledger).await;
    let found = report(&place).await;
    assert_eq!((found.problems, found.balance), (vec![], amount("3")));
    assert_eq!(found.totals.granted, amount("3"));
}

async fn every_changed_column_is_a_problem(place: Place) {
    record(&place.store, &ledger()).await;
    let amount_column =
        |name: &str| if place.is_sqlite() { format!("{name}_nanos") } else { name.to_owned() };
    let hash = "UPDATE entries SET hash = REPLACE(hash, SUBSTR(hash, 1, 4), 'ffff') WHERE number = 5";
    let changes = [
        ("UPDATE entries SET kind = 'Adjusted' WHERE number = 3".to_owned(), "Hash { number: 3 }"),
        ("UPDATE entries SET sequence = sequence + 1 WHERE number = 3".to_owned(), "Hash { number: 3 }"),
        ("UPDATE entries SET entry_index = 1 WHERE number = 3".to_owned(), "Hash { number: 3 }"),
        ("UPDATE entries SET time_nanos = 1 WHERE number = 3".to_owned(), "Hash { number: 3 }"),
        ("UPDATE entries SET detail = '{}' WHERE number = 3".to_owned(), "Hash { number: 3 }"),
        (hash.to_owned(), "Hash { number: 5 }"),
        (
            format!("UPDATE entries SET {0} = {0} + 1 WHERE number = 3", amount_column("balance")),
            "Balance { number: 3",
        ),
        (
            format!("UPDATE entries SET {0} = {0} + 1 WHERE number = 3", amount_column("credits")),
            "Balance { number: 3",
        ),
        (
            format!("UPDATE usage SET {0} = {0} + 1 WHERE entry = 4", amount_column("credits")),
            "Usage { number: 4",
        ),
        ("DELETE FROM usage WHERE entry = 2 AND operation = 'TokensOut'".to_owned(), "Usage { number: 2"),
        ("DELETE FROM entries WHERE number = 2".to_owned(), "Missing(Gap { first: 2, last: 2 })"),
        ("DELETE FROM entries WHERE number = 1".to_owned(), "Missing(Gap { first: 1, last: 1 })"),
    ];
    for (change, expected) in changes {
        assert_eq!(place.execute(&change).await, 1, "{change}");
        let problems = report(&place).await.problems;
        let is_found = problems.iter().any(|problem| format!("{problem:?}").starts_with(expected));
        assert!(is_found, "{change}: {problems:?}");
        // The ledger restores the rows.
        place.execute("DELETE FROM usage").await;
        place.execute("DELETE FROM entries").await;
        record(&place.store, &ledger()).await;
        assert_eq!(report(&place).await.problems, []);
    }
}

async fn a_row_of_another_branch_is_a_second_entry(place: Place) {
    record(&place.store, &ledger()).await;
    let columns = if place.is_sqlite() {
        "credits_whole, credits_nanos, balance_whole, balance_nanos"
    } else {
        "credits, balance"
    };
    let columns = format!(
        "number, sequence, entry_index, time_seconds, time_nanos, kind, {columns}, detail, hash, \
                           is_cover, superseded"
    );
    let copy = format!(
        "INSERT INTO entries (account_id, branch, {columns}) SELECT account_id, 'x', {columns} \
                        FROM entries WHERE number = 3"
    );
    assert_eq!(place.execute(&copy).await, 1);
    assert!(report(&place).await.problems.contains(&Problem::Twice { number: 3 }));
}

on_both_stores!(
    a_recorded_history_has_no_problem,
    sums_are_right_from_an_opening_and_a_gap_on,
    every_changed_column_is_a_problem,
    a_row_of_another_branch_is_a_second_entry,
);
