//! Laws 0, 7, 8, 15, 17: arrival, the order of an instant, lateness and settlement.

use flashgate_ledger::decide::{AdjustmentVerdict, PackVerdict, PaymentVerdict, ReportVerdict, Wait};
use flashgate_ledger::entry::Detail;
use flashgate_ledger::facts::PaymentState;
use flashgate_ledger::period::{Window, seconds_after};
use flashgate_testing::catalog::{external, shipped};
use flashgate_testing::values::{DAY, HOUR, credits, time, window};
use flashgate_testing::{Summary, TestAccount};

fn kinds_since(account: &TestAccount, entries: usize) -> Vec<&'static str> {
    account.entries.iter().skip(entries).map(|entry| entry.detail.kind()).collect()
}

#[test]
fn usage_of_the_boundarys_instant_is_paid_by_the_period_that_ends() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.operator_stops("2026-01-31T23:30");
    account.report("2026-02-01", "gw", window("2026-01-31T23:00", "2026-02-01"), "100");
    account.operator_starts("2026-02-01");
    assert_eq!((account.balance().as_str(), account.settling().as_str()), ("1100", "1000"));
    let kinds = kinds_since(&account, account.entries.len() - 6);
    assert_eq!(kinds, ["Charged", "Expired", "Renewed", "Invoiced", "Settled", "Granted"]);
}

#[test]
fn late_usage_that_arrives_at_the_graces_last_instant_is_settled() {
    for (arrival, balance) in [("2026-02-01T02:00", "1100"), ("2026-02-01T02:00:01", "1000")] {
        let mut account = TestAccount::on_plan("starter", "2026-01-01");
        account.report(arrival, "gw", window("2026-01-31T23:00", "2026-02-01"), "100");
        assert_eq!(account.balance(), balance, "{arrival}");
    }
}

#[test]
fn usage_that_ended_a_second_after_an_expiration_is_not_paid_by_it() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.report("2026-02-01T00:10", "gw", window("2026-01-31T23:00", "2026-02-01T00:00:01"), "100");
    assert_eq!((account.balance().as_str(), account.settling().as_str()), ("1000", "1100"));
}

#[test]
fn late_usage_beyond_the_settling_credits_is_paid_by_current_credits() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-15", "1000");
    account.report("2026-02-01T01:00", "gw", window("2026-01-31T23:00", "2026-02-01"), "150");
    assert_eq!((account.balance().as_str(), account.settling().as_str()), ("1050", "0"));
    assert_eq!(account.ledger().totals.expired.to_string(), "0");
    let charged = account.all("Charged");
    let last = charged.last().expect("a charge");
    assert_eq!((last.credits, last.balance), (credits("-50"), credits("1050")));
}

#[test]
fn late_usage_that_settles_in_full_moves_no_balance() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.report("2026-02-01T01:00", "gw", window("2026-01-31T23:00", "2026-02-01"), "150");
    let last = account.entries.last().expect("an entry");
    assert_eq!((last.detail.kind(), last.credits), ("Charged", credits("0")));
    assert_eq!(account.ledger().totals.expired.to_string(), "950");
}

#[test]
fn a_settlement_closes_a_minute_after_its_grace() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.until("2026-02-01T02:00:59");
    assert_eq!((account.settling().as_str(), account.count("SettlementClosed")), ("1100", 0));
    account.until("2026-02-01T02:01");
    assert_eq!(account.settling(), "0");
    assert_eq!(account.times("SettlementClosed"), [time("2026-02-01T02:01")]);
}

#[test]
fn usage_within_the_grace_is_settled_if_it_is_seen_within_a_minute() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.operator_stops("2026-02-01T01:59");
    account.report("2026-02-01T02:00", "gw", window("2026-01-31T23:00", "2026-02-01"), "100");
    account.operator_starts("2026-02-01T02:01");
    assert_eq!(account.balance(), "1100");
}

#[test]
fn the_grace_comes_from_the_catalog() {
    let mut catalog = shipped();
    catalog.policies.settlement_grace_seconds = 0;
    let mut account = TestAccount::new(catalog);
    account.subscribe("2026-01-01", "starter");
    account.report("2026-02-01T00:00:01", "gw", window("2026-01-31T23:00", "2026-02-01"), "100");
    assert_eq!(account.balance(), "1000");
    account.until("2026-02-01T00:01");
    assert_eq!(account.times("SettlementClosed"), [time("2026-02-01T00:01")]);
}

#[test]
fn a_settlement_without_remaining_credits_is_not_closed() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-15", "1100");
    account.until("2026-02-02");
    assert_eq!((account.count("Expired"), account.count("SettlementClosed")), (0, 0));
}

#[test]
fn a_window_that_is_not_over_waits_and_is_charged_at_its_end() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let verdict =
        account.report("2026-01-05T10:30", "gw", window("2026-01-05T10:00", "2026-01-05T11:00"), "5");
    assert_eq!(verdict.summary(), "waits");
    account.until("2026-01-05T12:00");
    assert_eq!(account.times("Charged"), [time("2026-01-05T11:00")]);
}

#[test]
fn usage_is_accepted_up_to_the_acceptance_time_after_its_windows_start() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let start = time("2026-01-10");
    let hour = |at| Window { start_time: at, end_time: seconds_after(at, HOUR) };
    assert_eq!(account.report("2026-02-14", "a", hour(start), "1").summary(), "charged 1");
    assert_eq!(account.report("2026-02-14", "b", hour(seconds_after(start, -1)), "1").summary(), "TooLate");
}

#[test]
fn lateness_is_judged_at_arrival_and_not_at_processing() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.operator_stops("2026-01-10");
    account.report("2026-02-13", "gw", window("2026-01-10", "2026-01-10T01:00"), "1");
    account.operator_starts("2026-06-01");
    assert_eq!(account.reports["report-1"].summary(), "charged 1");
}

#[test]
fn usage_that_ended_at_the_accounts_start_lies_before_it() {
    let mut account = TestAccount::on_plan("starter", "2026-01-10");
    let verdict = account.report("2026-01-10T02:00", "gw", window("2026-01-09", "2026-01-10"), "1");
    assert_eq!(verdict.summary(), "BeforeSubscription");
    let verdict = account.report("2026-01-10T02:00", "gw", window("2026-01-09", "2026-01-10T00:00:01"), "1");
    assert_eq!(verdict.summary(), "charged 1");
}

#[test]
fn at_one_instant_usage_goes_before_a_purchase_and_that_before_an_adjustment() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "1100");
    let before = account.entries.len();
    account.operator_stops("2026-01-03");
    account.adjust("2026-01-03", "a", "5", None);
    account.buy("2026-01-03", "b", "plus-100");
    account.buy("2026-01-03", "a", "plus-500");
    account.consume("2026-01-03", "30");
    account.operator_starts("2026-01-03");
    let kinds = kinds_since(&account, before);
    let purchase = ["Invoiced", "Settled", "Purchased"];
    let expected = [&["Charged"][..], &purchase, &purchase, &["Adjusted"]].concat();
    assert_eq!(kinds, expected);
    let packs: Vec<String> = account.ledger().purchases.records.iter().map(|p| p.name.clone()).collect();
    assert_eq!(packs, ["a", "b"]);
    assert_eq!((account.left("pack/a").as_str(), account.balance().as_str()), ("470", "575"));
}

#[test]
fn at_one_instant_a_purchase_goes_before_a_plan_change() {
    let mut account = TestAccount::on_plan("organization-free", "2026-01-01");
    account.operator_stops("2026-01-05");
    account.buy("2026-01-05", "a", "plus-100");
    account.ask("2026-01-05", "starter").operator_starts("2026-01-05");
    assert_eq!((account.packs["a"].summary().as_str(), account.plan()), ("PlanNotEligible", "starter"));
}

#[test]
fn at_one_instant_a_boundary_goes_before_a_payment() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "organization-free");
    account.ask("2026-01-30", "starter");
    assert_eq!(account.pay("2026-02-01", "p", 1, PaymentState::Settled).summary(), "refund due");
    assert_eq!(account.invoices(), ["1:Upgrade:RefundDue", "2:Renewal:Open"]);
}

#[test]
fn at_one_instant_a_payment_precedes_due_times_and_they_precede_a_purchase() {
    let mut catalog = external();
    catalog.policies.pack_limit.max = 1;
    let mut account = TestAccount::new(catalog);
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01T01:00", "first", 1, PaymentState::Settled);
    let mut paid = account.clone();
    for account in [&mut account, &mut paid] {
        assert_eq!(account.buy("2026-01-05", "a", "plus-100").summary(), "awaits payment");
        assert_eq!(account.buy("2026-01-05T01:00", "b", "plus-100").summary(), "PackLimitReached");
        account.operator_stops("2026-01-07");
    }
    // Two objects are created at the instant at which the first pack's invoice is due.
    paid.pay("2026-01-08", "p", 2, PaymentState::Settled);
    for account in [&mut account, &mut paid] {
        account.buy("2026-01-08", "c", "plus-100");
        account.operator_starts("2026-01-09");
    }
    assert_eq!(
        (account.packs["a"].summary().as_str(), account.packs["c"].summary().as_str()),
        ("PaymentExpired", "awaits payment")
    );
    assert_eq!(
        (paid.packs["a"].summary().as_str(), paid.packs["c"].summary().as_str()),
        ("granted", "PackLimitReached")
    );
}

#[test]
fn an_edit_at_the_instant_of_the_boundary_is_seen_by_the_boundary() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.operator_stops("2026-01-31");
    account.ask("2026-02-01", "growth").operator_starts("2026-02-01");
    assert_eq!((account.plan(), account.balance().as_str(), account.period().0), ("growth", "9500", 2));
    assert_eq!((account.count("Granted"), account.count("Invoiced")), (2, 2));
}

#[test]
fn a_clock_that_steps_back_changes_nothing() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.until("2026-02-01T03:00");
    let before = account.ledger().clone();
    account.now = time("2026-01-31T20:00");
    account.settle();
    assert_eq!(*account.ledger(), before);
    assert_eq!(account.consume("2026-01-31T21:00", "1").summary(), "charged 1");
    assert!(account.ledger().clock_time >= before.clock_time);
}

#[test]
fn reports_wait_for_their_subscription_and_are_charged_at_its_start() {
    let mut account = TestAccount::new(shipped());
    let day = window("2026-01-09T12:00", "2026-01-10T12:00");
    assert_eq!(account.report("2026-01-10T13:00", "gw", day, "50").summary(), "waits");
    account.subscribe_with("2026-01-11", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-10"));
    });
    assert_eq!(account.reports["report-0"].summary(), "charged 50");
    assert_eq!(account.balance(), "1050");
}

#[test]
fn a_report_waits_for_its_subscription_until_the_acceptance_time_is_over() {
    let report_day = window("2026-01-01", "2026-01-02");
    let until = seconds_after(report_day.start_time, 35 * DAY);
    let mut account = TestAccount::new(shipped());
    account.report("2026-01-03", "gw", report_day, "50");
    account.live_until(seconds_after(until, -1));
    assert_eq!(account.reports["report-0"].summary(), "waits");
    account.live_until(until);
    assert_eq!(account.reports["report-0"].summary(), "TooLate");
}

#[test]
fn a_report_that_is_too_late_without_an_account_is_refused_when_it_arrives() {
    let mut account = TestAccount::new(shipped());
    account.report("2026-06-01", "gw", window("2026-01-01", "2026-01-02"), "5");
    assert_eq!(
        (account.reports["report-0"].summary().as_str(), account.times("Refused")),
        ("TooLate", vec![time("2026-06-01")])
    );
}

#[test]
fn a_report_that_is_too_late_without_a_subscription_is_refused_when_the_second_of_its_arrival_is_over() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.unsubscribe("2026-01-10");
    account.facts.instant_is_open = true;
    assert_eq!(
        account.report("2026-06-01", "gw", window("2026-01-01", "2026-01-02"), "5").summary(),
        "waits"
    );
    assert_eq!(account.decide().wake_time, Some(time("2026-06-01T00:00:01")));
    account.live_until(time("2026-06-01T00:00:01"));
    assert_eq!(account.reports.values().map(Summary::summary).collect::<Vec<_>>(), ["TooLate"]);
}

#[test]
fn at_one_instant_facts_without_an_account_are_refused_in_the_order_of_names() {
    let mut account = TestAccount::new(shipped());
    account.buy("2026-01-01", "b", "plus-100");
    account.buy("2026-01-01", "a", "plus-100");
    account.adjust("2026-01-01", "0", "1", None);
    account.until("2026-01-02");
    let names = account.all("Refused").into_iter().filter_map(|entry| match &entry.detail {
        Detail::Refused { object, .. } => Some(object.name.as_str()),
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "0"]);
}

#[test]
fn a_wait_that_ends_during_downtime_ends_at_its_own_time() {
    for (begins, said) in [("2026-02-05", "charged 50"), ("2026-02-05T00:00:01", "TooLate")] {
        let mut account = TestAccount::new(shipped());
        account.operator_stops("2026-01-02");
        account.report("2026-01-03", "gw", window("2026-01-01", "2026-01-02"), "50");
        account.subscribe_with(begins, "starter", |subscription| {
            subscription.start_time = Some(time("2026-01-01"));
        });
        account.operator_starts("2026-02-10");
        assert_eq!(account.reports["report-0"].summary(), said, "{begins}");
    }
}

#[test]
fn before_a_start_in_the_future_nothing_happens() {
    let mut account = TestAccount::new(shipped());
    account.subscribe_with("2026-01-01T12:00", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-02"));
    });
    assert_eq!(account.buy("2026-01-01T13:00", "a", "plus-100").summary(), "waits");
    let early = account.report("2026-01-01T14:00", "gw", window("2026-01-01T13:00", "2026-01-01T14:00"), "1");
    assert_eq!(early.summary(), "waits");
    assert_eq!(account.ledger, None);
    account.until("2026-01-02");
    assert_eq!((account.period().1.start_time, account.balance().as_str()), (time("2026-01-02"), "1200"));
    assert_eq!(account.packs["a"].summary(), "granted");
    assert_eq!(account.reports["report-2"].summary(), "BeforeSubscription");
}

/// Returns an account of starter that is requested on 2026-01-01 and starts on 2026-06-01.
fn starting_later() -> TestAccount {
    let mut account = TestAccount::new(shipped());
    account.subscribe_with("2026-01-01", "starter", |subscription| {
        subscription.start_time = Some(time("2026-06-01"));
    });
    account
}

#[test]
fn nothing_expires_before_a_start_in_the_far_future() {
    let mut account = starting_later();
    account.buy("2026-01-02", "a", "plus-100");
    account.adjust("2026-01-02", "b", "7", None);
    account.pay("2026-01-02", "p", 9, PaymentState::Settled);
    let report = account.report("2026-01-02", "gw", window("2026-01-01", "2026-01-02"), "1");
    assert_eq!(report, ReportVerdict::Waits(Wait::NotStarted(time("2026-06-01"))));
    account.until("2026-05-31T23:59:59");
    assert_eq!(account.packs["a"], PackVerdict::Waits(Wait::NotStarted(time("2026-06-01"))));
    assert_eq!((account.ledger.as_ref(), account.count("Refused")), (None, 0));
    account.until("2026-06-01");
    let said =
        [account.packs["a"].summary(), account.adjustments["b"].summary(), account.payments["p"].summary()];
    assert_eq!(said, ["granted", "granted 7", "UnknownInvoice"]);
    assert_eq!(account.reports["report-4"].summary(), "BeforeSubscription");
    assert_eq!(account.balance(), "1207");
    assert_eq!(account.all("Refused").len(), 2);
}

#[test]
fn no_wait_expires_while_the_operator_is_down_until_after_the_start() {
    let mut account = TestAccount::new(shipped());
    account.operator_stops("2026-01-01");
    account.subscribe_with("2026-01-01", "starter", |subscription| {
        subscription.start_time = Some(time("2026-06-01"));
    });
    account.buy("2026-01-02", "a", "plus-100");
    account.report("2026-05-31T12:00", "gw", window("2026-05-30", "2026-06-01T00:00:01"), "1");
    account.operator_starts("2026-06-03");
    assert_eq!(
        (account.packs["a"].summary(), account.times("Purchased")),
        ("granted".to_owned(), vec![time("2026-06-01")])
    );
    assert_eq!(account.reports["report-2"].summary(), "charged 1");
}

#[test]
fn a_pack_that_waited_for_its_start_waits_on_for_the_first_payment() {
    let mut account = TestAccount::new(external());
    account.subscribe_with("2026-01-01", "starter", |subscription| {
        subscription.start_time = Some(time("2026-02-01"));
    });
    account.buy("2026-01-02", "a", "plus-100");
    account.until("2026-02-02");
    assert_eq!(account.packs["a"].summary(), "waits");
    account.pay("2026-02-02", "p", 1, PaymentState::Settled);
    assert_eq!(account.packs["a"].summary(), "awaits payment");
}

#[test]
fn a_subscription_that_came_too_late_saves_no_order_by_starting_later_still() {
    let mut account = TestAccount::new(shipped());
    account.buy("2026-01-01", "a", "plus-100");
    account.buy("2026-01-02", "b", "plus-100");
    account.subscribe_with("2026-01-03", "starter", |subscription| {
        subscription.start_time = Some(time("2026-06-01"));
    });
    assert_eq!(account.packs["a"].summary(), "SubscriptionNotFound");
    assert_eq!(account.times("Refused"), [time("2026-01-02")]);
    account.until("2026-06-01");
    assert_eq!(account.packs["b"].summary(), "granted");
}

#[test]
fn a_wait_for_a_start_expires_if_the_subscription_is_deleted_before() {
    let mut account = starting_later();
    account.buy("2026-01-02", "a", "plus-100");
    account.unsubscribe("2026-03-01");
    assert_eq!(account.packs["a"].summary(), "SubscriptionNotFound");
}

/// Creates one object of each kind at `at`.
fn states_from_the_future(account: &mut TestAccount, at: &str) {
    account.operator_stops(at);
    account.buy(at, "a", "plus-100");
    account.adjust(at, "b", "1", None);
    account.pay(at, "p", 1, PaymentState::Refunded);
    account.report(at, "gw", window("2026-01-04T23:00", "2026-01-05"), "1");
}

#[test]
fn an_object_created_in_the_future_waits_and_the_account_continues() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let mut ahead = account.clone();
    states_from_the_future(&mut ahead, "2026-01-20");
    account.facts = ahead.facts;
    account.until("2026-01-05");
    let wait = Wait::ArrivalInFuture(time("2026-01-20"));
    assert_eq!(account.packs["a"], PackVerdict::Waits(wait));
    assert_eq!(account.adjustments["b"], AdjustmentVerdict::Waits(wait));
    assert_eq!(account.payments["p"], PaymentVerdict::Waits(wait));
    assert_eq!(account.reports["report-4"], ReportVerdict::Waits(wait));
    assert_eq!(account.consume("2026-01-06", "100").summary(), "charged 100");
    assert_eq!((account.balance().as_str(), account.decide().wake_time), ("1000", Some(time("2026-01-20"))));
    account.until("2026-01-20");
    assert_eq!(account.times("Purchased"), [time("2026-01-20")]);
    assert_eq!(
        (account.packs["a"].summary(), account.adjustments["b"].summary()),
        ("granted".to_owned(), "granted 1".to_owned())
    );
    assert_eq!(
        (account.payments["p"].summary(), account.reports["report-4"].summary()),
        ("applied".to_owned(), "charged 1".to_owned())
    );
}

#[test]
fn a_subscription_from_the_future_opens_no_account_before_that_time() {
    let mut account = TestAccount::new(shipped());
    account.operator_stops("2026-01-10");
    account.subscribe_with("2026-01-10", "starter", |subscription| {
        subscription.start_time = Some(time("2025-12-01"));
    });
    account.operator_starts("2026-01-05");
    assert_eq!((account.ledger.as_ref(), account.decide().wake_time), (None, Some(time("2026-01-10"))));
    account.until("2026-01-10");
    assert_eq!((account.period().0, account.times("Granted")), (2, vec![time("2026-01-10")]));
}

#[test]
fn a_subscription_created_again_in_the_future_resumes_its_account_then() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.unsubscribe("2026-01-10");
    let mut ahead = account.clone();
    ahead.operator_stops("2026-03-10");
    ahead.subscribe("2026-03-10", "growth");
    account.facts = ahead.facts;
    account.until("2026-03-09");
    assert_eq!((account.plan(), account.balance().as_str(), account.count("Granted")), ("starter", "0", 1));
    account.until("2026-03-10");
    assert_eq!((account.plan(), account.balance().as_str()), ("growth", "9500"));
}

#[test]
fn facts_with_an_arrival_in_the_future_take_effect_at_that_time() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.until("2026-01-05");
    account.operator_stops("2026-01-05T00:00:02");
    account.buy("2026-01-05T00:00:02", "a", "plus-100");
    account.adjust("2026-01-05T00:00:02", "b", "1", None);
    account.consume("2026-01-05T00:00:02", "1");
    account.operator_starts("2026-01-05");
    assert_eq!(account.packs["a"].summary(), "waits");
    assert_eq!(account.decide().wake_time, Some(time("2026-01-05T00:00:02")));
    account.until("2026-01-05T00:00:02");
    assert_eq!(account.balance(), "1200");
}

#[test]
fn a_start_is_dated_at_the_start_though_seen_later() {
    let mut account = TestAccount::new(shipped());
    account.operator_stops("2026-01-01");
    account.subscribe("2026-01-31T10:00", "starter").operator_starts("2026-01-31T16:00");
    assert_eq!(account.times("Granted"), [time("2026-01-31T10:00")]);
    assert_eq!(account.period().1, window("2026-01-31T10:00", "2026-02-28T10:00"));
}
