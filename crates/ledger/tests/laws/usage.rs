//! Laws 1, 2, 5, 6, 9, 10, 23, 24: the cost of usage, the grants that pay it, thresholds and the forecast.

use flashgate_ledger::Quantity;
use flashgate_ledger::facts::{PaymentState, Report, UsageTotal};
use flashgate_ledger::period::{Window, seconds_after};
use flashgate_testing::catalog::shipped;
use flashgate_testing::test_account::report_of_a_credit;
use flashgate_testing::values::{DAY, HOUR, credits, time, window};
use flashgate_testing::{Summary, TestAccount};
use jiff::Timestamp;

/// The `index`th minute of 2026-01-02.
fn minute(index: i64) -> Window {
    let start_time = seconds_after(time("2026-01-02"), index * 60);
    Window { start_time, end_time: seconds_after(start_time, 60) }
}

/// A report of source `gw` that costs one credit.
fn of_a_credit(name: &str, arrival: Timestamp, window: Window) -> Report {
    let usage = vec![UsageTotal {
        node_type: "Private".to_owned(),
        operation: "StorageEgress".to_owned(),
        quantity: "1G".parse().expect("quantity"),
        first_line: 0,
    }];
    Report { usage, ..report_of_a_credit(name, name, arrival, "gw", window) }
}

/// Reports windows of many sources at once, one credit each.
fn report_many(account: &mut TestAccount, at: &str, reports: impl Iterator<Item = (String, Window)>) {
    account.operator_stops(at);
    for (source, window) in reports {
        account.report(at, &source, window, "1");
    }
    account.operator_starts(at);
}

#[test]
fn half_a_billionth_goes_to_the_even_neighbour() {
    for (quantity, charged) in
        [("0.5", "0"), ("1.5", "0.000000002"), ("2.5", "0.000000002"), ("2.500000001", "0.000000003")]
    {
        let mut account = TestAccount::on_plan("starter", "2026-01-01");
        account.catalog.rates[1].credits = credits("0.000000001");
        let verdict = account.report_of("2026-01-03", "gw", minute(0), &[("Public", "TokensOut", quantity)]);
        assert_eq!(verdict.summary(), format!("charged {charged}"));
    }
}

#[test]
fn a_report_that_costs_nothing_is_charged_with_0_and_covers_nothing() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    assert_eq!(account.report("2026-01-03", "gw", minute(0), "0").summary(), "charged 0");
    assert!(account.ledger().coverage.sources.is_empty());
    assert_eq!(account.report("2026-01-03", "gw", minute(0), "1").summary(), "charged 1");
    assert_eq!(account.report("2026-01-03", "gw", minute(0), "0").summary(), "DuplicateWindow");
}

#[test]
fn each_report_that_costs_nothing_is_committed_before_its_receipt() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    assert_eq!(account.report("2026-01-03", "gw", minute(0), "0").summary(), "charged 0");
    let sequence = account.ledger().sequence;
    assert_eq!(account.report("2026-01-03", "gw", minute(1), "0").summary(), "charged 0");
    assert_eq!(account.ledger().sequence, sequence + 1);
}

#[test]
fn a_report_that_costs_nothing_is_never_of_a_source_too_many() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let sources = i64::try_from(flashgate_ledger::coverage::SOURCES).expect("few");
    report_many(&mut account, "2026-01-03", (0..sources).map(|index| (format!("gw-{index}"), minute(index))));
    assert_eq!(account.report("2026-01-03", "new", minute(0), "1").summary(), "TooManySources");
    assert_eq!(account.report("2026-01-03", "new", minute(0), "0").summary(), "charged 0");
    assert_eq!(account.ledger().coverage.sources.len(), flashgate_ledger::coverage::SOURCES);
}

#[test]
fn a_report_costs_at_most_a_million_million_credits() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.catalog.rates[1].credits = credits("1");
    let tokens = [("Public", "TokensOut", "1T")];
    assert_eq!(account.report_of("2026-01-03", "a", minute(0), &tokens).summary(), "charged 1000000000000");
    let tokens = [("Public", "TokensOut", "1T"), ("Private", "TokensOut", "1")];
    assert_eq!(account.report_of("2026-01-03", "b", minute(0), &tokens).summary(), "TooLarge");
}

#[test]
fn a_report_costs_at_most_the_limit_of_the_catalog() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.catalog.policies.reports.max_credits = credits("500");
    let tokens = |count| [("Public", "TokensOut", count)];
    assert_eq!(account.report_of("2026-01-03", "a", minute(0), &tokens("500k")).summary(), "charged 500");
    let refused = account.report_of("2026-01-03", "b", minute(0), &tokens("500001"));
    assert_eq!(refused.summary(), "TooLarge");
    assert_eq!(account.balance(), "600");
}

#[test]
fn amounts_beyond_the_range_are_refused_and_billing_continues() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    for name in ["a", "b", "c"] {
        assert_eq!(account.adjust("2026-01-02", name, "1000000000000000000", None).summary(), "TooLarge");
    }
    assert_eq!(
        account.adjust("2026-01-02", "d", "1000000000000000", None).summary(),
        "granted 1000000000000000"
    );
    account.until("2027-01-01");
    assert_eq!(account.balance(), "1000000000001100");
}

#[test]
fn of_several_reasons_the_first_in_the_order_is_reported() {
    let mut account = TestAccount::on_plan("starter", "2026-01-10");
    account.catalog.rates[1].credits = credits("1000");
    let unknown = ("Public", "Teleport", "1");
    let huge = ("Public", "TokensOut", "1T");
    // The last charge of the source is older than the acceptance time, but its window is still stored.
    let old = window("2026-01-11", "2026-01-12");
    assert_eq!(account.report("2026-01-12", "old", old, "1").summary(), "charged 1");
    let fresh = |index: i64| Window {
        start_time: seconds_after(time("2026-02-20"), index * 60),
        end_time: seconds_after(time("2026-02-20"), index * 60 + 60),
    };
    let spread = |index: i64| Window {
        start_time: seconds_after(time("2026-02-18"), index * 120),
        end_time: seconds_after(time("2026-02-18"), index * 120 + 60),
    };
    // A source with a closed gap.
    report_many(&mut account, "2026-02-20", (0..1_025).map(|index| ("full".to_owned(), spread(index))));
    report_many(&mut account, "2026-02-21", (0..1_023).map(|index| (format!("gw-{index}"), fresh(index))));
    let gap = Window { start_time: spread(0).end_time, end_time: spread(1).start_time };
    assert_eq!(account.gaps, [("full".to_owned(), gap)]);
    let before = window("2026-01-09", "2026-01-10");
    let overlapping = window("2026-01-11T12:00", "2026-02-10");
    let cases = [
        ("2025-12-01", "gw-0", before, &[unknown, huge][..], "BeforeSubscription"),
        ("2026-02-08", "old", overlapping, &[unknown, huge], "TooEarly"),
        ("2026-02-21", "old", old, &[unknown, huge], "TooLate"),
        ("2026-02-15", "old", overlapping, &[unknown, huge], "DuplicateWindow"),
        ("2026-02-21", "full", gap, &[unknown, huge], "GapClosed"),
        ("2026-02-21", "new", fresh(0), &[unknown, huge], "TooManySources"),
        ("2026-02-21", "gw-0", fresh(300), &[unknown, huge], "UnknownRate"),
        ("2026-02-21", "gw-0", fresh(300), &[huge], "TooLarge"),
    ];
    for (arrival, source, window, usage, said) in cases {
        let name = format!("{said}-case");
        let mut report = report_of_a_credit(&name, &name, time(arrival), source, window);
        report.usage = (0..)
            .zip(usage)
            .map(|(first_line, (node_type, operation, quantity))| UsageTotal {
                node_type: (*node_type).to_owned(),
                operation: (*operation).to_owned(),
                quantity: quantity.parse::<Quantity>().expect("quantity"),
                first_line,
            })
            .collect();
        account.facts.reports.insert(report);
        account.settle();
        assert_eq!(account.reports[&name].summary(), said);
    }
}

#[test]
fn a_window_that_ends_more_than_a_day_after_its_report_arrived_is_refused_at_once() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let day = |end: &str| Window { start_time: time("2026-01-02"), end_time: time(end) };
    assert_eq!(account.report("2026-01-02", "a", day("2026-01-03"), "1").summary(), "waits");
    let early = account.report("2026-01-02", "b", day("2026-01-03T00:00:01"), "1");
    assert_eq!(early.summary(), "TooEarly");
    let message = early.refusal().map(|refusal| refusal.message.clone()).expect("a refusal");
    assert!(message.contains("2026-01-03T00:00:01Z, more than 86400 seconds after"), "{message}");
    assert_eq!(account.times("Refused"), [time("2026-01-02")]);
    account.until("2026-01-03");
    assert_eq!(account.reports["report-1"].summary(), "charged 1");
    account.catalog.policies.accept_ahead_seconds = 0;
    assert_eq!(
        account.report("2026-01-04", "c", window("2026-01-03", "2026-01-04T00:00:01"), "1").summary(),
        "TooEarly"
    );
    assert_eq!(
        account.report("2026-01-04", "c", window("2026-01-03", "2026-01-04"), "1").summary(),
        "charged 1"
    );
}

#[test]
fn a_report_that_came_before_its_account_is_refused_as_too_early_at_the_start() {
    let mut account = TestAccount::new(shipped());
    account.report("2026-01-01", "gw", window("2026-01-03", "2026-01-05"), "1");
    assert_eq!(account.reports["report-0"].summary(), "waits");
    account.subscribe_with("2026-01-02", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-04"));
    });
    account.until("2026-01-03T23:59:59");
    assert_eq!(account.reports["report-0"].summary(), "waits");
    account.until("2026-01-04");
    assert_eq!(
        (account.reports["report-0"].summary(), account.times("Refused")),
        ("TooEarly".to_owned(), vec![time("2026-01-04")])
    );
}

#[test]
fn a_report_is_refused_as_too_early_also_while_its_subscription_is_deleted() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.unsubscribe("2026-01-10");
    assert_eq!(
        account.report("2026-01-11", "gw", window("2026-12-01", "2026-12-02"), "1").summary(),
        "TooEarly"
    );
}

#[test]
fn a_backlog_of_one_instant_is_charged_in_full_for_all_report_names() {
    let mut account = TestAccount::on_plan("scale", "2026-01-01");
    // The order of the names is independent of the windows, as with generated names.
    account.operator_stops("2026-01-03");
    for index in 0..600 {
        let name = format!("{:03}", index * 367 % 600);
        account.facts.reports.insert(report_of_a_credit(
            &name,
            &name,
            time("2026-01-03"),
            "gw",
            minute(index),
        ));
    }
    account.operator_starts("2026-01-03");
    let refused: Vec<_> =
        account.reports.iter().filter(|(_, said)| !said.summary().starts_with("charged")).collect();
    assert!(refused.is_empty(), "{} of 600 refused", refused.len());
}

#[test]
fn a_source_more_than_1024_is_one_too_many_until_one_is_quiet_for_the_acceptance_time() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    report_many(&mut account, "2026-01-03", (0..1_024).map(|index| (format!("gw-{index}"), minute(index))));
    let at = |days: i64, seconds: i64| Window {
        start_time: seconds_after(time("2026-01-03"), days * DAY + seconds - HOUR),
        end_time: seconds_after(time("2026-01-03"), days * DAY + seconds),
    };
    let refused = account.report("2026-02-07", "new", at(35, 0), "1");
    assert_eq!(refused.summary(), "TooManySources");
    assert!(refused.refusal().expect("refused").message.contains("instead of its pod's"));
    assert_eq!(account.report("2026-02-07", "gw-7", at(35, 0), "1").summary(), "charged 1");
    assert_eq!(account.report("2026-02-07T00:00:01", "new", at(35, 1), "1").summary(), "charged 1");
}

#[test]
fn old_sources_are_dropped_within_a_yearly_period() {
    let mut account = TestAccount::new(shipped());
    account.subscribe_with("2026-01-01", "starter", |subscription| {
        subscription.request.billing_period = flashgate_ledger::catalog::BillingPeriod::Yearly;
    });
    for month in 1..=12 {
        let at = format!("2026-{month:02}-03");
        let end_time = time(&at);
        let hour = Window { start_time: seconds_after(end_time, -HOUR), end_time };
        report_many(&mut account, &at, (0..50).map(|index| (format!("pod-{month}-{index}"), hour)));
    }
    assert_eq!(account.count("Charged"), 600);
    assert!(account.ledger().coverage.sources.len() <= 200);
}

#[test]
fn beyond_1024_stretches_of_a_source_the_oldest_gap_closes() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    report_many(&mut account, "2026-01-05", (0..1_025).map(|index| ("gw".to_owned(), minute(index * 2))));
    let gap = Window { start_time: minute(0).end_time, end_time: minute(2).start_time };
    assert_eq!(account.gaps, [("gw".to_owned(), gap)]);
    assert_eq!(account.report("2026-01-05", "gw", minute(1), "1").summary(), "GapClosed");
    assert_eq!(account.report("2026-01-05", "gw", minute(0), "1").summary(), "DuplicateWindow");
    assert_eq!(account.report("2026-01-05", "gw", minute(3), "1").summary(), "charged 1");
    assert_eq!(account.report("2026-01-05", "other", minute(1), "1").summary(), "charged 1");
}

#[test]
fn beyond_4096_stretches_of_an_account_the_oldest_gap_of_all_sources_closes() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let source = |index: i64| format!("gw-{}", index % 5);
    report_many(&mut account, "2026-01-18", (0..4_100).map(|index| (source(index), minute(index * 2))));
    assert_eq!(account.gaps.len(), 4);
    let (first, gap) = account.gaps[0].clone();
    assert_eq!((first.as_str(), gap.start_time), ("gw-0", minute(0).end_time));
    assert_eq!(account.report("2026-01-18", "gw-0", minute(1), "1").summary(), "GapClosed");
}

#[test]
fn a_day_of_minutes_in_random_order_is_charged_in_full() {
    let mut account = TestAccount::on_plan("scale", "2026-01-01");
    let at = time("2026-01-05").as_second();
    for step in 0..1_440 {
        account.now = seconds_after(time("2026-01-05"), step * 3);
        let index = step * 1_009 % 1_440;
        let name = format!("report-{step:04}");
        account.facts.reports.insert(of_a_credit(&name, account.now, minute(index)));
        account.settle();
    }
    assert!(account.now.as_second() > at);
    assert_eq!(account.count("Charged"), 1_440);
    assert_eq!(account.ledger().coverage.sources["gw"].stretches.len(), 1);
    assert!(account.gaps.is_empty());
}

#[test]
fn a_gap_that_a_waiting_report_fills_closes_only_after_that_report_was_decided() {
    let mut account = TestAccount::on_plan("scale", "2026-01-01");
    // While the operator is down, reports of 4,000 minutes arrive, with a gap before each. The reports that
    // fill the gaps arrive last.
    account.operator_stops("2026-01-10");
    for index in 0..4_000 {
        let (arrival, name) = (seconds_after(time("2026-01-10"), index), format!("even-{index:04}"));
        account.facts.reports.insert(of_a_credit(&name, arrival, minute(index * 2)));
        let (arrival, name) = (seconds_after(time("2026-01-10"), 4_000 + index), format!("odd-{index:04}"));
        account.facts.reports.insert(of_a_credit(&name, arrival, minute(index * 2 + 1)));
    }
    account.operator_starts("2026-01-11");
    assert_eq!(account.count("Charged"), 8_000);
    assert!(account.gaps.is_empty());
}

#[test]
fn a_gap_closes_when_the_report_that_would_fill_it_was_refused() {
    let mut account = TestAccount::on_plan("scale", "2026-01-01");
    account.operator_stops("2026-01-10");
    for index in 0..1_025 {
        let (arrival, name) = (seconds_after(time("2026-01-10"), index), format!("even-{index:04}"));
        account.facts.reports.insert(of_a_credit(&name, arrival, minute(index * 2)));
    }
    let mut unknown = of_a_credit("unknown", seconds_after(time("2026-01-10"), 1_025), minute(1));
    unknown.usage[0].operation = "Teleport".to_owned();
    account.facts.reports.insert(unknown);
    account.operator_starts("2026-01-11");
    assert_eq!(account.reports["unknown"].summary(), "UnknownRate");
    let second = Window { start_time: minute(2).end_time, end_time: minute(4).start_time };
    assert_eq!(account.gaps, [("gw".to_owned(), second)], "the first is awaited");
    assert_eq!(account.report("2026-01-12", "gw", minute(3_000), "1").summary(), "charged 1");
    let first = Window { start_time: minute(0).end_time, end_time: minute(2).start_time };
    assert_eq!(account.gaps[1..], [("gw".to_owned(), first)], "and is the oldest once that was decided");
}

#[test]
fn a_source_with_ten_thousand_gaps_keeps_1024_stretches_and_16_closed_gaps() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.operator_stops("2026-01-18");
    for index in 0..10_000 {
        account.report("2026-01-18", "gw", minute(index * 2), "0.001");
    }
    account.operator_starts("2026-01-18");
    assert_eq!(account.count("Charged"), 10_000);
    let source = &account.ledger().coverage.sources["gw"];
    assert_eq!((source.stretches.len(), source.closed_gaps.len()), (1_024, 16));
    assert_eq!(account.gaps.len(), 10_000 - 1_024);
    let closed = 2 * (10_000 - 1_024);
    let said = |account: &mut TestAccount, index: i64| {
        let verdict = account.report("2026-01-18", "gw", minute(index), "1");
        (
            verdict.summary(),
            verdict.refusal().is_some_and(|refusal| refusal.message.contains("may have been charged")),
        )
    };
    assert_eq!(said(&mut account, closed - 1), ("GapClosed".to_owned(), false), "the newest closed gap");
    assert_eq!(said(&mut account, closed - 31), ("GapClosed".to_owned(), false), "the last one kept");
    assert_eq!(said(&mut account, closed - 33), ("GapClosed".to_owned(), true), "before those that are kept");
    assert_eq!(said(&mut account, 0), ("GapClosed".to_owned(), true), "what was charged there, too");
    assert_eq!(said(&mut account, closed), ("DuplicateWindow".to_owned(), false));
    assert_eq!(said(&mut account, closed + 1), ("charged 1".to_owned(), false), "the first that is open");
}

#[test]
fn grants_pay_by_expiration_then_plan_adjustment_pack_then_age() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.catalog.packs[0].expires_after_days = Some(30);
    account.catalog.packs[1].expires_after_days = Some(20);
    account.adjust("2026-01-02", "same-end", "10", Some("2026-02-01"));
    account.buy("2026-01-02", "same-end-pack", "plus-100");
    account.buy("2026-01-03", "early", "plus-500");
    account.adjust("2026-01-03", "never", "10", None);
    account.buy("2026-01-03", "never-pack", "plus-1000");
    let order: Vec<String> = account.ledger().grants.iter().map(|grant| grant.source.to_string()).collect();
    let expected = [
        "pack/early",
        "plan/1",
        "adjustment/same-end",
        "pack/same-end-pack",
        "adjustment/never",
        "pack/never-pack",
    ];
    assert_eq!(order, expected);
    account.consume("2026-01-05", "1650");
    let left = expected.map(|id| account.left(id));
    assert_eq!(left, ["0", "0", "0", "60", "10", "1000"]);
}

#[test]
fn a_share_equal_to_the_threshold_reaches_it() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "879.999999999");
    assert_eq!(account.thresholds(), [0_u32; 0]);
    account.consume("2026-01-03", "0.000000001");
    assert_eq!(account.thresholds(), [80]);
    account.consume("2026-01-04", "220");
    assert_eq!(account.thresholds(), [80, 100]);
}

#[test]
fn a_threshold_is_ready_again_when_the_share_falls_below_it() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "1100");
    account.buy("2026-01-03", "a", "plus-100");
    assert_eq!(account.ledger().crossed_thresholds_percent, [80]);
    account.consume("2026-01-04", "100");
    assert_eq!(account.thresholds(), [80, 100, 100]);
    account.consume("2026-02-02", "1100");
    assert_eq!(account.thresholds(), [80, 100, 100, 80, 100]);
}

#[test]
fn only_a_charge_crosses_a_threshold() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "1100");
    account.consume("2026-01-02T12:00", "2000");
    account.until("2026-02-05");
    assert_eq!(account.thresholds(), [80, 100]);
    account.consume("2026-02-06", "1");
    assert_eq!(account.thresholds(), [80, 100]);
}

#[test]
fn a_subscriptions_own_thresholds_are_the_ones_that_count() {
    let mut account = TestAccount::new(shipped());
    account.subscribe_with("2026-01-01", "starter", |subscription| {
        subscription.alert_thresholds_percent = Some(vec![150, 10, 10]);
    });
    account.consume("2026-01-02", "110");
    assert_eq!(account.thresholds(), [10]);
    account.consume("2026-01-03", "1540");
    assert_eq!(account.thresholds(), [10, 150]);
}

#[test]
fn the_used_share_has_two_digits_and_ties_go_to_even() {
    for (used, percent) in [("0.055", "0"), ("0.055000001", "0.01"), ("0.165", "0.02"), ("550", "50")] {
        let mut account = TestAccount::on_plan("starter", "2026-01-01");
        account.consume("2026-01-02", used);
        assert_eq!(account.ledger().used_percent().expect("share"), Some(credits(percent)), "{used}");
    }
}

#[test]
fn the_used_share_is_shown_as_at_most_999999_percent() {
    let mut book = TestAccount::on_plan("starter", "2026-01-01").ledger().clone();
    for (opening, consumed, percent) in [
        ("0.000000001", "1000000000000", "999999"),
        ("0.000000001", "1000000000000000000", "999999"),
        ("1", "9999.99", "999999"),
        ("1", "9999.98999", "999999"),
        ("1", "9999.9899", "999998.99"),
        ("100", "999.5", "999.5"),
    ] {
        let current = book.statements.kept.last_mut().expect("a period");
        current.book = flashgate_ledger::statement::Book {
            opening: credits(opening),
            consumed: credits(consumed),
            ..flashgate_ledger::statement::Book::default()
        };
        assert_eq!(book.used_percent().expect("share"), Some(credits(percent)), "{consumed} of {opening}");
    }
}

#[test]
fn an_account_that_uses_a_million_million_tiny_amounts_continues() {
    let mut account = TestAccount::new(shipped());
    account.catalog.plans[1].monthly.as_mut().expect("offered").credits = credits("0.000000001");
    account.catalog.rates[1].credits = credits("1");
    account.subscribe("2026-01-01", "organization-free");
    let tokens = [("Public", "TokensOut", "1T")];
    assert_eq!(account.report_of("2026-01-03", "gw", minute(0), &tokens).summary(), "charged 1000000000000");
    assert_eq!(account.ledger().used_percent().expect("share"), Some(credits("999999")));
}

#[test]
fn a_share_of_no_credits_is_a_hundred_percent() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "5000");
    account.until("2026-02-01");
    assert_eq!(account.ledger().used_percent().expect("share"), Some(credits("100")));
}

#[test]
fn the_forecast_divides_by_at_least_a_day() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-01T12:00", "100");
    let forecast = account.ledger().forecast().expect("forecast").expect("a charge");
    assert_eq!(forecast.as_of_time, time("2026-01-01T12:00"));
    assert_eq!(forecast.credits_per_day, credits("100"));
    assert_eq!(forecast.exhaustion_time, Some(time("2026-01-11T12:00")));
}

#[test]
fn the_forecast_counts_from_the_last_change_of_the_balance() {
    let exhausted = |account: &TestAccount| {
        account.ledger().forecast().expect("forecast").expect("a charge").exhaustion_time
    };
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-01T12:00", "100");
    // 1,100 credits at 100 a day, from the purchase.
    account.buy("2026-01-05", "a", "plus-100");
    assert_eq!(exhausted(&account), Some(time("2026-01-16")));
    account.adjust("2026-01-06", "b", "100", None);
    assert_eq!(exhausted(&account), Some(time("2026-01-18")));
    account.pay("2026-01-07", "r", 2, PaymentState::Refunded);
    assert_eq!(exhausted(&account), Some(time("2026-01-18")));
    // A charge of zero is a charge.
    account.consume("2026-01-07T12:00", "0");
    assert_eq!(
        account.ledger().forecast().expect("forecast").map(|forecast| forecast.as_of_time),
        Some(time("2026-01-07T12:00"))
    );
    account.until("2026-02-01");
    let forecast = account.ledger().forecast().expect("forecast").expect("a charge");
    assert_eq!(forecast.as_of_time, time("2026-01-07T12:00"));
    assert!(forecast.exhaustion_time > Some(time("2026-02-01")), "{forecast:?}");
}

#[test]
fn the_forecast_counts_fractions_of_days_since_the_start() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02T06:00", "100");
    let forecast = account.ledger().forecast().expect("forecast").expect("a charge");
    assert_eq!(forecast.credits_per_day, credits("80"));
}

#[test]
fn the_forecast_looks_at_seven_days_with_todays() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-13T23:00", "70");
    account.consume("2026-01-14T01:00", "140");
    account.consume("2026-01-20T12:00", "7");
    let forecast = account.ledger().forecast().expect("forecast").expect("a charge");
    assert_eq!(forecast.credits_per_day, credits("21"));
}

#[test]
fn without_credits_or_consumption_there_is_no_forecast() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "0");
    assert_eq!(account.ledger().forecast().expect("forecast").expect("a charge").exhaustion_time, None);
    account.consume("2026-01-03", "1100");
    assert_eq!(account.ledger().forecast().expect("forecast").expect("a charge").exhaustion_time, None);
}
