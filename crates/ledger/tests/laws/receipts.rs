//! The bound on charges whose receipt is not confirmed: it holds reports back and nothing else.

use flashgate_ledger::ledger::UNACKNOWLEDGED_LIMIT;
use flashgate_ledger::period::Window;

use crate::kit::{Life, Said, after, time, window};

fn report_many(life: &mut Life, at: &str, source: &str, count: i64) {
    let start = after(time(at), -count);
    life.goes_down(at);
    for index in 0..count {
        let second = Window { start_time: after(start, index), end_time: after(start, index + 1) };
        life.report(at, source, second, "0.01");
    }
}

#[test]
fn at_most_128_charges_wait_for_their_receipts() {
    let mut life = Life::of("starter", "2026-01-01");
    life.loses_receipts();
    report_many(&mut life, "2026-01-05", "gw", 200);
    life.comes_back("2026-01-05");
    assert_eq!(life.book().unacknowledged.len(), UNACKNOWLEDGED_LIMIT);
    assert_eq!(life.count("Charged"), UNACKNOWLEDGED_LIMIT);
    assert_eq!(life.reports.values().filter(|verdict| verdict.said() == "waits").count(), 72);
    life.finds_receipts();
    assert_eq!((life.count("Charged"), life.balance().as_str()), (200, "1098"));
}

#[test]
fn ten_thousand_reports_take_at_most_two_hundred_commits() {
    let mut life = Life::of("starter", "2026-01-01");
    report_many(&mut life, "2026-01-05", "gw", 10_000);
    let before = life.commits;
    life.comes_back("2026-01-05");
    assert_eq!((life.count("Charged"), life.balance().as_str()), (10_000, "1000"));
    assert!(life.commits - before <= 200, "{} commits", life.commits - before);
    assert_eq!(life.book().coverage.sources["gw"].stretches.len(), 1);
}

#[test]
fn stuck_receipts_hold_back_neither_boundaries_nor_purchases() {
    let mut life = Life::of("starter", "2026-01-01");
    life.loses_receipts();
    report_many(&mut life, "2026-01-05", "gw", 200);
    life.comes_back("2026-01-05");
    assert_eq!(life.buy("2026-01-06", "a", "plus-100").said(), "granted");
    assert_eq!(life.adjust("2026-01-06", "b", "5", None).said(), "granted 5");
    life.ask("2026-01-10", "growth").until("2026-03-15");
    assert_eq!((life.plan(), life.count("Granted")), ("growth", 4));
    assert_eq!(life.count("Charged"), UNACKNOWLEDGED_LIMIT);
}

#[test]
fn stuck_receipts_do_not_change_who_pays() {
    let last_hour = window("2026-01-31T23:00", "2026-02-01");
    let mut life = Life::of("starter", "2026-01-01");
    let mut stuck = life.clone();
    for life in [&mut life, &mut stuck] {
        life.until("2026-01-05");
        if life.commits == 1 {
            life.report("2026-01-05", "first", window("2026-01-02", "2026-01-03"), "1");
        }
    }
    stuck.loses_receipts();
    for life in [&mut life, &mut stuck] {
        report_many(life, "2026-01-06", "gw", 128);
        life.comes_back("2026-01-06");
        life.report("2026-02-01T01:00", "late", last_hour, "100");
        life.until("2026-02-03");
    }
    assert_eq!((life.balance().as_str(), stuck.balance().as_str()), ("1100", "1100"));
    stuck.finds_receipts();
    life.until("2026-02-04");
    stuck.until("2026-02-04");
    assert_eq!(life.book().totals, stuck.book().totals);
    assert_eq!(stuck.settling(), "0");
}

#[test]
fn a_charged_report_that_is_seen_again_shows_its_charge_again() {
    let mut life = Life::of("starter", "2026-01-01");
    life.loses_receipts();
    life.goes_down("2026-01-05");
    life.report("2026-01-05", "gw", window("2026-01-04", "2026-01-05"), "7");
    let report = life.facts.reports.iter().next().expect("report").clone();
    life.comes_back("2026-01-05");
    life.catalog.rates.clear();
    life.facts.reports.insert(report.clone());
    life.settle();
    assert_eq!(life.reports[&report.name].said(), "charged 7");
    let mut another = report.clone();
    another.uid = "another".to_owned();
    life.facts.reports.insert(another);
    life.settle();
    assert_eq!(
        (life.said[&report.uid].as_str(), life.said["another"].as_str()),
        ("charged 7", "DuplicateWindow")
    );
}
