//! The limit of charges with an unconfirmed receipt, which delays only reports.

use flashgate_ledger::ledger::UNACKNOWLEDGED_LIMIT;
use flashgate_ledger::period::{Window, seconds_after};
use flashgate_testing::values::{time, window};
use flashgate_testing::{Summary, TestAccount};

fn report_many(account: &mut TestAccount, at: &str, source: &str, count: i64) {
    let start = seconds_after(time(at), -count);
    account.operator_stops(at);
    for index in 0..count {
        let second =
            Window { start_time: seconds_after(start, index), end_time: seconds_after(start, index + 1) };
        account.report(at, source, second, "0.01");
    }
}

#[test]
fn at_most_128_charges_wait_for_their_receipts() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.receipts_stop();
    report_many(&mut account, "2026-01-05", "gw", 200);
    account.operator_starts("2026-01-05");
    assert_eq!(account.ledger().unacknowledged.len(), UNACKNOWLEDGED_LIMIT);
    assert_eq!(account.count("Charged"), UNACKNOWLEDGED_LIMIT);
    assert_eq!(account.reports.values().filter(|verdict| verdict.summary() == "waits").count(), 72);
    account.receipts_resume();
    assert_eq!((account.count("Charged"), account.balance().as_str()), (200, "1098"));
}

#[test]
fn ten_thousand_reports_take_at_most_two_hundred_commits() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    report_many(&mut account, "2026-01-05", "gw", 10_000);
    let before = account.commits;
    account.operator_starts("2026-01-05");
    assert_eq!((account.count("Charged"), account.balance().as_str()), (10_000, "1000"));
    assert!(account.commits - before <= 200, "{} commits", account.commits - before);
    assert_eq!(account.ledger().coverage.sources["gw"].stretches.len(), 1);
}

#[test]
fn stuck_receipts_hold_back_neither_boundaries_nor_purchases() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.receipts_stop();
    report_many(&mut account, "2026-01-05", "gw", 200);
    account.operator_starts("2026-01-05");
    assert_eq!(account.buy("2026-01-06", "a", "plus-100").summary(), "granted");
    assert_eq!(account.adjust("2026-01-06", "b", "5", None).summary(), "granted 5");
    account.ask("2026-01-10", "growth").until("2026-03-15");
    assert_eq!((account.plan(), account.count("Granted")), ("growth", 4));
    assert_eq!(account.count("Charged"), UNACKNOWLEDGED_LIMIT);
}

#[test]
fn stuck_receipts_do_not_change_the_grants_that_pay() {
    let last_hour = window("2026-01-31T23:00", "2026-02-01");
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let mut stuck = account.clone();
    for account in [&mut account, &mut stuck] {
        account.until("2026-01-05");
        if account.commits == 1 {
            account.report("2026-01-05", "first", window("2026-01-02", "2026-01-03"), "1");
        }
    }
    stuck.receipts_stop();
    for account in [&mut account, &mut stuck] {
        report_many(account, "2026-01-06", "gw", 128);
        account.operator_starts("2026-01-06");
        account.report("2026-02-01T01:00", "late", last_hour, "100");
        account.until("2026-02-03");
    }
    assert_eq!((account.balance().as_str(), stuck.balance().as_str()), ("1100", "1100"));
    stuck.receipts_resume();
    account.until("2026-02-04");
    stuck.until("2026-02-04");
    assert_eq!(account.ledger().totals, stuck.ledger().totals);
    assert_eq!(stuck.settling(), "0");
}

#[test]
fn a_charged_report_that_is_seen_again_shows_its_charge_again() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.receipts_stop();
    account.operator_stops("2026-01-05");
    account.report("2026-01-05", "gw", window("2026-01-04", "2026-01-05"), "7");
    let report = account.facts.reports.iter().next().expect("report").clone();
    account.operator_starts("2026-01-05");
    account.catalog.rates.clear();
    account.facts.reports.insert(report.clone());
    account.settle();
    assert_eq!(account.reports[&report.name].summary(), "charged 7");
    let mut another = report.clone();
    another.uid = "another".to_owned();
    account.facts.reports.insert(another);
    account.settle();
    assert_eq!(
        (account.summaries[&report.uid].as_str(), account.summaries["another"].as_str()),
        ("charged 7", "DuplicateWindow")
    );
}
