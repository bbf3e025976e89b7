//! Laws 0, 7, 8, 15, 17: arrival, the order of an instant, lateness and settlement.

use flashgate_ledger::decide::{AdjustmentVerdict, PackVerdict, PaymentVerdict, ReportVerdict, Wait};
use flashgate_ledger::entry::Detail;
use flashgate_ledger::facts::PaymentState;
use flashgate_ledger::period::Window;

use crate::kit::{DAY, HOUR, Life, Said, after, credits, external, shipped, time, window};

fn kinds_since(life: &Life, entries: usize) -> Vec<&'static str> {
    life.entries.iter().skip(entries).map(|entry| entry.detail.kind()).collect()
}

#[test]
fn usage_of_the_boundarys_instant_is_paid_by_the_period_that_ends() {
    let mut life = Life::of("starter", "2026-01-01");
    life.goes_down("2026-01-31T23:30");
    life.report("2026-02-01", "gw", window("2026-01-31T23:00", "2026-02-01"), "100");
    life.comes_back("2026-02-01");
    assert_eq!((life.balance().as_str(), life.settling().as_str()), ("1100", "1000"));
    let kinds = kinds_since(&life, life.entries.len() - 6);
    assert_eq!(kinds, ["Charged", "Expired", "Renewed", "Invoiced", "Settled", "Granted"]);
}

#[test]
fn late_usage_that_arrives_at_the_graces_last_instant_is_settled() {
    for (arrival, balance) in [("2026-02-01T02:00", "1100"), ("2026-02-01T02:00:01", "1000")] {
        let mut life = Life::of("starter", "2026-01-01");
        life.report(arrival, "gw", window("2026-01-31T23:00", "2026-02-01"), "100");
        assert_eq!(life.balance(), balance, "{arrival}");
    }
}

#[test]
fn usage_that_ended_a_second_after_an_expiration_is_not_paid_by_it() {
    let mut life = Life::of("starter", "2026-01-01");
    life.report("2026-02-01T00:10", "gw", window("2026-01-31T23:00", "2026-02-01T00:00:01"), "100");
    assert_eq!((life.balance().as_str(), life.settling().as_str()), ("1000", "1100"));
}

#[test]
fn late_usage_beyond_what_settles_is_paid_by_what_is_there_now() {
    let mut life = Life::of("starter", "2026-01-01");
    life.consume("2026-01-15", "1000");
    life.report("2026-02-01T01:00", "gw", window("2026-01-31T23:00", "2026-02-01"), "150");
    assert_eq!((life.balance().as_str(), life.settling().as_str()), ("1050", "0"));
    assert_eq!(life.book().totals.expired.to_string(), "0");
    let charged = life.all("Charged");
    let last = charged.last().expect("a charge");
    assert_eq!((last.credits, last.balance), (credits("-50"), credits("1050")));
}

#[test]
fn late_usage_that_settles_in_full_moves_no_balance() {
    let mut life = Life::of("starter", "2026-01-01");
    life.report("2026-02-01T01:00", "gw", window("2026-01-31T23:00", "2026-02-01"), "150");
    let last = life.entries.last().expect("an entry");
    assert_eq!((last.detail.kind(), last.credits), ("Charged", credits("0")));
    assert_eq!(life.book().totals.expired.to_string(), "950");
}

#[test]
fn a_settlement_closes_a_minute_after_its_grace() {
    let mut life = Life::of("starter", "2026-01-01");
    life.until("2026-02-01T02:00:59");
    assert_eq!((life.settling().as_str(), life.count("SettlementClosed")), ("1100", 0));
    life.until("2026-02-01T02:01");
    assert_eq!(life.settling(), "0");
    assert_eq!(life.times("SettlementClosed"), [time("2026-02-01T02:01")]);
}

#[test]
fn what_arrived_within_the_grace_is_settled_when_it_is_seen_within_the_minute() {
    let mut life = Life::of("starter", "2026-01-01");
    life.goes_down("2026-02-01T01:59");
    life.report("2026-02-01T02:00", "gw", window("2026-01-31T23:00", "2026-02-01"), "100");
    life.comes_back("2026-02-01T02:01");
    assert_eq!(life.balance(), "1100");
}

#[test]
fn the_grace_is_the_catalogs() {
    let mut catalog = shipped();
    catalog.policies.settlement_grace_seconds = 0;
    let mut life = Life::new(catalog);
    life.subscribe("2026-01-01", "starter");
    life.report("2026-02-01T00:00:01", "gw", window("2026-01-31T23:00", "2026-02-01"), "100");
    assert_eq!(life.balance(), "1000");
    life.until("2026-02-01T00:01");
    assert_eq!(life.times("SettlementClosed"), [time("2026-02-01T00:01")]);
}

#[test]
fn a_settlement_nothing_is_left_for_is_not_closed() {
    let mut life = Life::of("starter", "2026-01-01");
    life.consume("2026-01-15", "1100");
    life.until("2026-02-02");
    assert_eq!((life.count("Expired"), life.count("SettlementClosed")), (0, 0));
}

#[test]
fn a_window_that_is_not_over_waits_and_is_charged_at_its_end() {
    let mut life = Life::of("starter", "2026-01-01");
    let verdict = life.report("2026-01-05T10:30", "gw", window("2026-01-05T10:00", "2026-01-05T11:00"), "5");
    assert_eq!(verdict.said(), "waits");
    life.until("2026-01-05T12:00");
    assert_eq!(life.times("Charged"), [time("2026-01-05T11:00")]);
}

#[test]
fn usage_is_accepted_up_to_the_acceptance_time_after_its_windows_start() {
    let mut life = Life::of("starter", "2026-01-01");
    let start = time("2026-01-10");
    let hour = |at| Window { start_time: at, end_time: after(at, HOUR) };
    assert_eq!(life.report("2026-02-14", "a", hour(start), "1").said(), "charged 1");
    assert_eq!(life.report("2026-02-14", "b", hour(after(start, -1)), "1").said(), "TooLate");
}

#[test]
fn lateness_is_judged_at_arrival_however_late_it_is_processed() {
    let mut life = Life::of("starter", "2026-01-01");
    life.goes_down("2026-01-10");
    life.report("2026-02-13", "gw", window("2026-01-10", "2026-01-10T01:00"), "1");
    life.comes_back("2026-06-01");
    assert_eq!(life.reports["report-1"].said(), "charged 1");
}

#[test]
fn usage_that_ended_at_the_accounts_start_lies_before_it() {
    let mut life = Life::of("starter", "2026-01-10");
    let verdict = life.report("2026-01-10T02:00", "gw", window("2026-01-09", "2026-01-10"), "1");
    assert_eq!(verdict.said(), "BeforeSubscription");
    let verdict = life.report("2026-01-10T02:00", "gw", window("2026-01-09", "2026-01-10T00:00:01"), "1");
    assert_eq!(verdict.said(), "charged 1");
}

#[test]
fn at_one_instant_usage_goes_before_a_purchase_and_that_before_an_adjustment() {
    let mut life = Life::of("starter", "2026-01-01");
    life.consume("2026-01-02", "1100");
    let before = life.entries.len();
    life.goes_down("2026-01-03");
    life.adjust("2026-01-03", "a", "5", None);
    life.buy("2026-01-03", "b", "plus-100");
    life.buy("2026-01-03", "a", "plus-500");
    life.consume("2026-01-03", "30");
    life.comes_back("2026-01-03");
    let kinds = kinds_since(&life, before);
    let purchase = ["Invoiced", "Settled", "Purchased"];
    let expected = [&["Charged"][..], &purchase, &purchase, &["Adjusted"]].concat();
    assert_eq!(kinds, expected);
    let packs: Vec<String> = life.book().purchases.records.iter().map(|p| p.name.clone()).collect();
    assert_eq!(packs, ["a", "b"]);
    assert_eq!((life.left("pack/a").as_str(), life.balance().as_str()), ("470", "575"));
}

#[test]
fn at_one_instant_a_purchase_goes_before_a_plan_change() {
    let mut life = Life::of("organization-free", "2026-01-01");
    life.goes_down("2026-01-05");
    life.buy("2026-01-05", "a", "plus-100");
    life.ask("2026-01-05", "starter").comes_back("2026-01-05");
    assert_eq!((life.packs["a"].said().as_str(), life.plan()), ("PlanNotEligible", "starter"));
}

#[test]
fn at_one_instant_a_boundary_goes_before_a_payment() {
    let mut life = Life::new(external());
    life.subscribe("2026-01-01", "organization-free");
    life.ask("2026-01-30", "starter");
    assert_eq!(life.pay("2026-02-01", "p", 1, PaymentState::Settled).said(), "refund due");
    assert_eq!(life.invoices(), ["1:Upgrade:RefundDue", "2:Renewal:Open"]);
}

#[test]
fn at_one_instant_a_payment_goes_before_what_runs_out_and_that_before_a_purchase() {
    let mut catalog = external();
    catalog.policies.pack_limit.max = 1;
    let mut life = Life::new(catalog);
    life.subscribe("2026-01-01", "starter");
    life.pay("2026-01-01T01:00", "first", 1, PaymentState::Settled);
    let mut paid = life.clone();
    for life in [&mut life, &mut paid] {
        assert_eq!(life.buy("2026-01-05", "a", "plus-100").said(), "awaits payment");
        assert_eq!(life.buy("2026-01-05T01:00", "b", "plus-100").said(), "PackLimitReached");
        life.goes_down("2026-01-07");
    }
    // Two objects of the very instant at which the first pack's invoice is due.
    paid.pay("2026-01-08", "p", 2, PaymentState::Settled);
    for life in [&mut life, &mut paid] {
        life.buy("2026-01-08", "c", "plus-100");
        life.comes_back("2026-01-09");
    }
    assert_eq!(
        (life.packs["a"].said().as_str(), life.packs["c"].said().as_str()),
        ("PaymentExpired", "awaits payment")
    );
    assert_eq!(
        (paid.packs["a"].said().as_str(), paid.packs["c"].said().as_str()),
        ("granted", "PackLimitReached")
    );
}

#[test]
fn an_edit_of_the_boundarys_very_instant_is_seen_by_the_boundary() {
    let mut life = Life::of("starter", "2026-01-01");
    life.goes_down("2026-01-31");
    life.ask("2026-02-01", "growth").comes_back("2026-02-01");
    assert_eq!((life.plan(), life.balance().as_str(), life.period().0), ("growth", "9500", 2));
    assert_eq!((life.count("Granted"), life.count("Invoiced")), (2, 2));
}

#[test]
fn a_clock_that_steps_back_changes_nothing() {
    let mut life = Life::of("starter", "2026-01-01");
    life.until("2026-02-01T03:00");
    let before = life.book().clone();
    life.now = time("2026-01-31T20:00");
    life.settle();
    assert_eq!(*life.book(), before);
    assert_eq!(life.consume("2026-01-31T21:00", "1").said(), "charged 1");
    assert!(life.book().clock_time >= before.clock_time);
}

#[test]
fn reports_wait_for_their_subscription_and_are_charged_at_its_start() {
    let mut life = Life::new(shipped());
    let day = window("2026-01-09T12:00", "2026-01-10T12:00");
    assert_eq!(life.report("2026-01-10T13:00", "gw", day, "50").said(), "waits");
    life.subscribe_with("2026-01-11", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-10"));
    });
    assert_eq!(life.reports["report-0"].said(), "charged 50");
    assert_eq!(life.balance(), "1050");
}

#[test]
fn a_report_waits_for_its_subscription_until_the_acceptance_time_is_over() {
    let report_day = window("2026-01-01", "2026-01-02");
    let until = after(report_day.start_time, 35 * DAY);
    let mut life = Life::new(shipped());
    life.report("2026-01-03", "gw", report_day, "50");
    life.live_until(after(until, -1));
    assert_eq!(life.reports["report-0"].said(), "waits");
    life.live_until(until);
    assert_eq!(life.reports["report-0"].said(), "TooLate");
}

#[test]
fn a_report_that_is_too_late_without_an_account_is_refused_when_it_arrives() {
    let mut life = Life::new(shipped());
    life.report("2026-06-01", "gw", window("2026-01-01", "2026-01-02"), "5");
    assert_eq!(
        (life.reports["report-0"].said().as_str(), life.times("Refused")),
        ("TooLate", vec![time("2026-06-01")])
    );
}

#[test]
fn a_report_that_is_too_late_without_a_subscription_is_refused_when_the_second_of_its_arrival_is_over() {
    let mut life = Life::of("starter", "2026-01-01");
    life.unsubscribe("2026-01-10");
    life.facts.instant_is_open = true;
    assert_eq!(life.report("2026-06-01", "gw", window("2026-01-01", "2026-01-02"), "5").said(), "waits");
    assert_eq!(life.decide().wake_time, Some(time("2026-06-01T00:00:01")));
    life.live_until(time("2026-06-01T00:00:01"));
    assert_eq!(life.reports.values().map(Said::said).collect::<Vec<_>>(), ["TooLate"]);
}

#[test]
fn at_one_instant_what_no_account_came_for_is_refused_by_name() {
    let mut life = Life::new(shipped());
    life.buy("2026-01-01", "b", "plus-100");
    life.buy("2026-01-01", "a", "plus-100");
    life.adjust("2026-01-01", "0", "1", None);
    life.until("2026-01-02");
    let names = life.all("Refused").into_iter().filter_map(|entry| match &entry.detail {
        Detail::Refused { object, .. } => Some(object.name.as_str()),
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "0"]);
}

#[test]
fn a_wait_that_ends_during_downtime_ends_at_its_own_time() {
    for (begins, said) in [("2026-02-05", "charged 50"), ("2026-02-05T00:00:01", "TooLate")] {
        let mut life = Life::new(shipped());
        life.goes_down("2026-01-02");
        life.report("2026-01-03", "gw", window("2026-01-01", "2026-01-02"), "50");
        life.subscribe_with(begins, "starter", |subscription| {
            subscription.start_time = Some(time("2026-01-01"));
        });
        life.comes_back("2026-02-10");
        assert_eq!(life.reports["report-0"].said(), said, "{begins}");
    }
}

#[test]
fn before_a_start_in_the_future_nothing_happens() {
    let mut life = Life::new(shipped());
    life.subscribe_with("2026-01-01T12:00", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-02"));
    });
    assert_eq!(life.buy("2026-01-01T13:00", "a", "plus-100").said(), "waits");
    let early = life.report("2026-01-01T14:00", "gw", window("2026-01-01T13:00", "2026-01-01T14:00"), "1");
    assert_eq!(early.said(), "waits");
    assert_eq!(life.ledger, None);
    life.until("2026-01-02");
    assert_eq!((life.period().1.start_time, life.balance().as_str()), (time("2026-01-02"), "1200"));
    assert_eq!(life.packs["a"].said(), "granted");
    assert_eq!(life.reports["report-2"].said(), "BeforeSubscription");
}

/// An account of starter that is asked for on 2026-01-01 and starts on 2026-06-01.
fn starting_later() -> Life {
    let mut life = Life::new(shipped());
    life.subscribe_with("2026-01-01", "starter", |subscription| {
        subscription.start_time = Some(time("2026-06-01"));
    });
    life
}

#[test]
fn nothing_runs_out_before_a_start_however_far_ahead_it_is() {
    let mut life = starting_later();
    life.buy("2026-01-02", "a", "plus-100");
    life.adjust("2026-01-02", "b", "7", None);
    life.pay("2026-01-02", "p", 9, PaymentState::Settled);
    let report = life.report("2026-01-02", "gw", window("2026-01-01", "2026-01-02"), "1");
    assert_eq!(report, ReportVerdict::Waits(Wait::NotStarted(time("2026-06-01"))));
    life.until("2026-05-31T23:59:59");
    assert_eq!(life.packs["a"], PackVerdict::Waits(Wait::NotStarted(time("2026-06-01"))));
    assert_eq!((life.ledger.as_ref(), life.count("Refused")), (None, 0));
    life.until("2026-06-01");
    let said = [life.packs["a"].said(), life.adjustments["b"].said(), life.payments["p"].said()];
    assert_eq!(said, ["granted", "granted 7", "UnknownInvoice"]);
    assert_eq!(life.reports["report-4"].said(), "BeforeSubscription");
    assert_eq!(life.balance(), "1207");
    assert_eq!(life.all("Refused").len(), 2);
}

#[test]
fn an_operator_that_was_down_until_after_the_start_finds_that_nothing_ran_out() {
    let mut life = Life::new(shipped());
    life.goes_down("2026-01-01");
    life.subscribe_with("2026-01-01", "starter", |subscription| {
        subscription.start_time = Some(time("2026-06-01"));
    });
    life.buy("2026-01-02", "a", "plus-100");
    life.report("2026-05-31T12:00", "gw", window("2026-05-30", "2026-06-01T00:00:01"), "1");
    life.comes_back("2026-06-03");
    assert_eq!(
        (life.packs["a"].said(), life.times("Purchased")),
        ("granted".to_owned(), vec![time("2026-06-01")])
    );
    assert_eq!(life.reports["report-2"].said(), "charged 1");
}

#[test]
fn a_pack_that_waited_for_its_start_waits_on_for_the_first_payment() {
    let mut life = Life::new(external());
    life.subscribe_with("2026-01-01", "starter", |subscription| {
        subscription.start_time = Some(time("2026-02-01"));
    });
    life.buy("2026-01-02", "a", "plus-100");
    life.until("2026-02-02");
    assert_eq!(life.packs["a"].said(), "waits");
    life.pay("2026-02-02", "p", 1, PaymentState::Settled);
    assert_eq!(life.packs["a"].said(), "awaits payment");
}

#[test]
fn a_subscription_that_came_too_late_saves_no_order_by_starting_later_still() {
    let mut life = Life::new(shipped());
    life.buy("2026-01-01", "a", "plus-100");
    life.buy("2026-01-02", "b", "plus-100");
    life.subscribe_with("2026-01-03", "starter", |subscription| {
        subscription.start_time = Some(time("2026-06-01"));
    });
    assert_eq!(life.packs["a"].said(), "SubscriptionNotFound");
    assert_eq!(life.times("Refused"), [time("2026-01-02")]);
    life.until("2026-06-01");
    assert_eq!(life.packs["b"].said(), "granted");
}

#[test]
fn what_waits_for_a_start_runs_out_when_the_subscription_is_deleted_before() {
    let mut life = starting_later();
    life.buy("2026-01-02", "a", "plus-100");
    life.unsubscribe("2026-03-01");
    assert_eq!(life.packs["a"].said(), "SubscriptionNotFound");
}

/// Creates one object of each kind at `at`.
fn states_from_the_future(life: &mut Life, at: &str) {
    life.goes_down(at);
    life.buy(at, "a", "plus-100");
    life.adjust(at, "b", "1", None);
    life.pay(at, "p", 1, PaymentState::Refunded);
    life.report(at, "gw", window("2026-01-04T23:00", "2026-01-05"), "1");
}

#[test]
fn what_was_created_in_the_future_waits_until_the_clock_reaches_it_and_the_account_goes_on() {
    let mut life = Life::of("starter", "2026-01-01");
    let mut ahead = life.clone();
    states_from_the_future(&mut ahead, "2026-01-20");
    life.facts = ahead.facts;
    life.until("2026-01-05");
    let wait = Wait::ArrivalInFuture(time("2026-01-20"));
    assert_eq!(life.packs["a"], PackVerdict::Waits(wait));
    assert_eq!(life.adjustments["b"], AdjustmentVerdict::Waits(wait));
    assert_eq!(life.payments["p"], PaymentVerdict::Waits(wait));
    assert_eq!(life.reports["report-4"], ReportVerdict::Waits(wait));
    assert_eq!(life.consume("2026-01-06", "100").said(), "charged 100");
    assert_eq!((life.balance().as_str(), life.decide().wake_time), ("1000", Some(time("2026-01-20"))));
    life.until("2026-01-20");
    assert_eq!(life.times("Purchased"), [time("2026-01-20")]);
    assert_eq!(
        (life.packs["a"].said(), life.adjustments["b"].said()),
        ("granted".to_owned(), "granted 1".to_owned())
    );
    assert_eq!(
        (life.payments["p"].said(), life.reports["report-4"].said()),
        ("applied".to_owned(), "charged 1".to_owned())
    );
}

#[test]
fn a_subscription_from_the_future_opens_no_account_before_that_time() {
    let mut life = Life::new(shipped());
    life.goes_down("2026-01-10");
    life.subscribe_with("2026-01-10", "starter", |subscription| {
        subscription.start_time = Some(time("2025-12-01"));
    });
    life.comes_back("2026-01-05");
    assert_eq!((life.ledger.as_ref(), life.decide().wake_time), (None, Some(time("2026-01-10"))));
    life.until("2026-01-10");
    assert_eq!((life.period().0, life.times("Granted")), (2, vec![time("2026-01-10")]));
}

#[test]
fn a_subscription_created_again_in_the_future_resumes_its_account_then() {
    let mut life = Life::of("starter", "2026-01-01");
    life.unsubscribe("2026-01-10");
    let mut ahead = life.clone();
    ahead.goes_down("2026-03-10");
    ahead.subscribe("2026-03-10", "growth");
    life.facts = ahead.facts;
    life.until("2026-03-09");
    assert_eq!((life.plan(), life.balance().as_str(), life.count("Granted")), ("starter", "0", 1));
    life.until("2026-03-10");
    assert_eq!((life.plan(), life.balance().as_str()), ("growth", "9500"));
}

#[test]
fn what_arrives_by_a_clock_that_is_ahead_takes_effect_when_that_time_comes() {
    let mut life = Life::of("starter", "2026-01-01");
    life.until("2026-01-05");
    life.goes_down("2026-01-05T00:00:02");
    life.buy("2026-01-05T00:00:02", "a", "plus-100");
    life.adjust("2026-01-05T00:00:02", "b", "1", None);
    life.consume("2026-01-05T00:00:02", "1");
    life.comes_back("2026-01-05");
    assert_eq!(life.packs["a"].said(), "waits");
    assert_eq!(life.decide().wake_time, Some(time("2026-01-05T00:00:02")));
    life.until("2026-01-05T00:00:02");
    assert_eq!(life.balance(), "1200");
}

#[test]
fn a_start_is_dated_at_the_start_though_seen_later() {
    let mut life = Life::new(shipped());
    life.goes_down("2026-01-01");
    life.subscribe("2026-01-31T10:00", "starter").comes_back("2026-01-31T16:00");
    assert_eq!(life.times("Granted"), [time("2026-01-31T10:00")]);
    assert_eq!(life.period().1, window("2026-01-31T10:00", "2026-02-28T10:00"));
}
