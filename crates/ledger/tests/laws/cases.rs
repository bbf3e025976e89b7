//! Numbered cases, each a short history of an account.

use flashgate_ledger::catalog::BillingPeriod::{Monthly, Yearly};
use flashgate_ledger::facts::{PaymentState, Renewal};
use flashgate_ledger::period::seconds_after;
use flashgate_ledger::refusal::RefusalReason;
use flashgate_testing::catalog::{external, shipped};
use flashgate_testing::values::{time, window};
use flashgate_testing::{Summary, TestAccount};

#[test]
fn case_1_periods_start_at_the_anchors_day_clamped_to_the_month() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31T10:00");
    for (number, start) in (1..).zip(["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]) {
        let start = format!("{start}T10:00");
        account.until(&start);
        let (current, window) = account.period();
        assert_eq!((current, window.start_time), (number, time(&start)));
    }
}

#[test]
fn case_2_egress_and_tokens_are_charged_at_the_published_rates() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let usage = [("Public", "StorageEgress", "12G"), ("Public", "TokensOut", "250000")];
    let verdict =
        account.report_of("2026-01-02T11:00", "gw", window("2026-01-02T10:00", "2026-01-02T11:00"), &usage);
    assert_eq!(verdict.summary(), "charged 370");
    assert_eq!(account.balance(), "730");
}

#[test]
fn case_3_the_same_report_under_another_name_and_uid_is_a_duplicate() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let hour = window("2026-01-02T10:00", "2026-01-02T11:00");
    assert_eq!(account.report("2026-01-02T11:00", "gw", hour, "370").summary(), "charged 370");
    assert_eq!(account.report("2026-01-02T11:05", "gw", hour, "370").summary(), "DuplicateWindow");
    assert_eq!(account.balance(), "730");
}

#[test]
fn case_4_gaps_are_filled_and_overlaps_refused() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let hours = |from: &str, to: &str| window(&format!("2026-01-02T{from}"), &format!("2026-01-02T{to}"));
    assert_eq!(account.report("2026-01-02T13:00", "gw", hours("10:00", "11:00"), "1").summary(), "charged 1");
    assert_eq!(account.report("2026-01-02T13:01", "gw", hours("12:00", "13:00"), "1").summary(), "charged 1");
    assert_eq!(account.report("2026-01-02T13:02", "gw", hours("11:00", "12:00"), "1").summary(), "charged 1");
    assert_eq!(
        account.report("2026-01-02T13:03", "gw", hours("11:30", "12:30"), "1").summary(),
        "DuplicateWindow"
    );
}

#[test]
fn case_5_three_missed_boundaries_are_processed_in_order() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.operator_stops("2026-01-02").operator_starts("2026-04-01T03:00");
    assert_eq!(account.count("Granted"), 4);
    assert_eq!(account.ledger().totals.granted.to_string(), "4400");
    assert_eq!(account.ledger().totals.expired.to_string(), "3300");
    assert_eq!(account.balance(), "1100");
    let boundaries = ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"].map(time);
    assert_eq!(account.times("Granted"), boundaries);
}

#[test]
fn case_6_an_upgrade_keeps_the_credits_of_the_paid_period() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-05", "200");
    account.ask("2026-01-10", "growth");
    assert_eq!(account.balance(), "10400");
    account.until("2026-02-01");
    assert_eq!(account.balance(), "9500");
    account.until("2026-02-09T23:59:59");
    assert_eq!(account.balance(), "9500");
    account.until("2026-02-10");
    assert_eq!(account.times("Expired"), [time("2026-02-01"), time("2026-02-10")]);
    assert_eq!(account.balance(), "9500");
    assert_eq!(account.count("Granted"), 3);
}

#[test]
fn case_7_a_downgrade_taken_back_leaves_no_trace() {
    let mut account = TestAccount::on_plan("growth", "2026-01-01");
    account.ask("2026-01-10", "starter");
    let pending = account.ledger().pending_change.clone().expect("a pending change");
    assert_eq!((pending.plan.as_str(), pending.effective_time), ("starter", time("2026-02-01")));
    account.ask("2026-01-20", "growth");
    assert_eq!(account.ledger().pending_change, None);
    assert_eq!((account.count("Granted"), account.count("Invoiced")), (1, 1));
}

#[test]
fn case_8_a_downgrade_to_free_keeps_the_credits_to_the_periods_end() {
    let mut account = TestAccount::on_plan("growth", "2026-01-01");
    account.ask("2026-01-10", "organization-free").until("2026-01-31T23:59:59");
    assert_eq!((account.plan(), account.balance().as_str()), ("growth", "9500"));
    account.until("2026-02-01");
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "40"));
    account.until("2026-04-15");
    assert_eq!(account.balance(), "40");
    assert_eq!(account.ledger().totals.granted.to_string(), "9620");
}

#[test]
fn case_9_the_fourth_pack_of_a_month_waits_for_the_next_month() {
    let mut account = TestAccount::new(shipped());
    account
        .subscribe_with("2026-01-31", "starter", |subscription| subscription.request.billing_period = Yearly);
    for name in ["a", "b", "c"] {
        assert_eq!(account.buy("2026-03-05", name, "plus-100").summary(), "granted");
    }
    let fourth = account.buy("2026-03-05", "d", "plus-100");
    assert_eq!(fourth.summary(), "PackLimitReached");
    let next = fourth.refusal().and_then(|refusal| refusal.next_available_time);
    assert_eq!(next, Some(time("2026-03-31")));
    assert_eq!(account.buy("2026-03-31", "e", "plus-100").summary(), "granted");
}

#[test]
fn case_10_of_four_packs_at_once_the_same_three_are_granted() {
    for order in [["a", "b", "c", "d"], ["d", "c", "b", "a"], ["c", "a", "d", "b"]] {
        let mut account = TestAccount::on_plan("starter", "2026-01-01");
        account.operator_stops("2026-01-05");
        for name in order {
            account.buy("2026-01-05", name, "plus-100");
        }
        account.operator_starts("2026-01-05T00:01");
        let granted = ["a", "b", "c", "d"].map(|name| account.packs[name].summary());
        assert_eq!(granted, ["granted", "granted", "granted", "PackLimitReached"]);
    }
}

#[test]
fn case_11_free_plans_buy_no_packs() {
    for plan in ["individual", "organization-free"] {
        let mut account = TestAccount::on_plan(plan, "2026-01-01");
        assert_eq!(
            account.buy("2026-01-02", "early", "plus-100").reason(),
            Some(RefusalReason::PlanNotEligible)
        );
        account.ask("2026-01-03", "starter");
        assert_eq!(account.buy("2026-01-03T01:00", "early", "plus-100").summary(), "PlanNotEligible");
        assert_eq!(account.buy("2026-01-03T02:00", "later", "plus-100").summary(), "granted");
    }
}

#[test]
fn case_12_a_pack_repays_debt_first() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "1070");
    assert_eq!(account.balance(), "30");
    account.consume("2026-01-03", "60");
    assert_eq!(account.balance(), "-30");
    account.buy("2026-01-04", "a", "plus-100");
    assert_eq!((account.balance().as_str(), account.left("pack/a").as_str()), ("70", "70"));
}

#[test]
fn case_13_a_renewal_repays_debt_first() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "3100");
    assert_eq!(account.balance(), "-2000");
    account.until("2026-02-01");
    assert_eq!(account.balance(), "-900");
}

#[test]
fn case_14_plan_credits_burn_before_those_of_a_pack() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "1060");
    account.buy("2026-01-03", "a", "plus-100");
    account.consume("2026-01-04", "60");
    assert_eq!((account.left("pack/a").as_str(), account.left("plan/1").as_str()), ("80", "0"));
}

#[test]
fn case_15_late_usage_is_paid_by_the_expired_period_within_the_grace() {
    let last_hour = window("2026-01-31T23:00", "2026-02-01");
    for (arrival, settled) in [("2026-02-01T00:20", true), ("2026-02-01T02:00:01", false)] {
        let mut account = TestAccount::on_plan("starter", "2026-01-01");
        account.operator_stops("2026-01-31T12:00");
        account.report(arrival, "gw", last_hour, "100");
        account.operator_starts("2026-02-01T09:00");
        assert_eq!(account.balance(), if settled { "1100" } else { "1000" });
        assert_eq!(account.ledger().totals.expired.to_string(), if settled { "1000" } else { "1100" });
    }
}

#[test]
fn case_16_renewal_none_lapses_to_the_free_plan_which_renews() {
    let mut account = TestAccount::on_plan("starter", "2026-01-15");
    account.buy("2026-01-16", "a", "plus-100");
    account.set_renewal("2026-01-20", Renewal::None).until("2026-02-15");
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "140"));
    account.until("2026-05-20");
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "140"));
    assert_eq!(account.period().0, 5);
    assert_eq!(account.left("pack/a"), "100");
}

#[test]
fn case_17_a_first_payment_counts_once_and_a_late_one_is_to_be_returned() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    assert_eq!(account.pay("2026-01-02", "first", 1, PaymentState::Settled).summary(), "applied");
    assert_eq!(
        account.pay("2026-01-02T01:00", "second", 1, PaymentState::Settled).summary(),
        "AlreadySettled"
    );
    assert_eq!((account.count("Granted"), account.balance().as_str()), (1, "1100"));

    let mut late = TestAccount::new(external());
    late.subscribe("2026-01-01", "starter");
    assert_eq!(late.pay("2026-01-04T00:00:01", "late", 1, PaymentState::Settled).summary(), "refund due");
    assert_eq!((late.count("Granted"), late.invoices()), (0, vec!["1:Start:RefundDue".to_owned()]));
}

#[test]
fn case_18_a_subscription_re_created_within_its_period_goes_on() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-03", "100");
    account.buy("2026-01-04", "a", "plus-100");
    let (before, period) = (account.balance(), account.period());
    account.unsubscribe("2026-01-12").subscribe("2026-01-12T06:00", "starter");
    assert_eq!((account.balance(), account.period()), (before, period));
    for (name, said) in [("b", "granted"), ("c", "granted"), ("d", "PackLimitReached")] {
        assert_eq!(account.buy("2026-01-13", name, "plus-100").summary(), said);
    }
}

#[test]
fn case_18_a_subscription_re_created_after_its_period_begins_a_new_period() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.unsubscribe("2026-01-12");
    account.subscribe("2026-04-05T06:00", "starter");
    let (number, period) = account.period();
    assert_eq!((number, period.start_time), (2, time("2026-04-05T06:00")));
    assert_eq!((account.count("Granted"), account.balance().as_str()), (2, "1100"));
}

#[test]
fn case_19_objects_without_status_show_the_same_again_and_move_nothing() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let hour = window("2026-01-02T10:00", "2026-01-02T11:00");
    account.report("2026-01-02T11:00", "gw", hour, "370");
    account.buy("2026-01-03", "a", "plus-100");
    account.buy("2026-01-03", "b", "plus-9");
    account.until("2026-09-10");
    let (balance, entries) = (account.balance(), account.count("Charged") + account.count("Purchased"));
    account.operator_stops("2026-09-10");
    let mut again = account.clone();
    // The objects keep their creation times.
    for name in ["a", "b"] {
        let pack = if name == "a" { "plus-100" } else { "plus-9" };
        again.facts.packs.push(flashgate_ledger::facts::PackOrder {
            name: name.into(),
            uid: format!("old-{name}"),
            arrival: time("2026-01-03"),
            pack: pack.into(),
        });
    }
    let report = flashgate_testing::test_account::report_of_a_credit(
        "report-old",
        "old",
        time("2026-01-02T11:00"),
        "gw",
        hour,
    );
    again.facts.reports.insert(report);
    again.operator_starts("2026-09-10");
    assert_eq!(again.packs["a"].summary(), "granted");
    assert_eq!(again.packs["b"].summary(), "UnknownPack");
    assert_eq!(again.reports["report-old"].summary(), "DuplicateWindow");
    assert_eq!((again.balance(), again.count("Charged") + again.count("Purchased")), (balance, entries));
}

#[test]
fn case_20_a_thousand_small_reports_cost_one_credit() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.operator_stops("2026-01-10");
    let start = time("2026-01-02");
    for index in 0..1_000 {
        let hour = flashgate_ledger::period::Window {
            start_time: seconds_after(start, index * 60),
            end_time: seconds_after(start, index * 60 + 60),
        };
        account.report_of("2026-01-10", "gw", hour, &[("Private", "StorageEgress", "1M")]);
    }
    account.operator_starts("2026-01-10T00:01");
    assert_eq!(account.balance(), "1099");
    assert_eq!(account.count("Charged"), 1_000);
}

#[test]
fn case_21_one_unknown_line_refuses_the_whole_report() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let usage = [("Private", "StorageEgress", "1G"), ("Private", "Teleport", "1")];
    let verdict =
        account.report_of("2026-01-02T11:00", "gw", window("2026-01-02T10:00", "2026-01-02T11:00"), &usage);
    assert_eq!(verdict.reason(), Some(RefusalReason::UnknownRate));
    assert!(verdict.refusal().expect("refused").message.contains("spec.usage[1]"));
    assert_eq!(account.balance(), "1100");
}

#[test]
fn case_22_a_start_in_the_past_grants_only_the_period_of_today() {
    let mut account = TestAccount::new(shipped());
    account.subscribe_with("2026-03-11", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-10"));
    });
    let (number, period) = account.period();
    assert_eq!((number, period), (3, window("2026-03-10", "2026-04-10")));
    assert_eq!(account.times("Granted"), [time("2026-03-11")]);
    assert_eq!(account.balance(), "1100");
}

#[test]
fn case_23_a_report_that_crosses_two_thresholds_reports_both_once() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-02", "869");
    assert_eq!(account.thresholds(), [0_u32; 0]);
    account.consume("2026-01-03", "242");
    assert_eq!(account.thresholds(), [80, 100]);
    account.consume("2026-01-04", "1");
    assert_eq!(account.thresholds(), [80, 100]);
}

#[test]
fn case_24_changes_of_plan_do_not_reset_the_pack_limit() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let mut granted = 0;
    for (hour, plan, billing_period) in
        [(1, "starter", Monthly), (2, "starter", Yearly), (3, "growth", Monthly)]
    {
        let at = format!("2026-01-05T0{hour}:00");
        account.ask_for(&at, plan, billing_period);
        assert_eq!(account.plan(), plan);
        for name in ["a", "b", "c"] {
            let bought = account.buy(&at, &format!("{plan}-{hour}-{name}"), "plus-500");
            granted += u32::from(bought.summary() == "granted");
        }
    }
    assert_eq!(granted, 3);
    assert_eq!(account.period().1.end_time, time("2026-02-05T03:00"));
}

#[test]
fn case_25_an_upgrade_from_a_free_plan_drops_the_free_credits() {
    let mut account = TestAccount::on_plan("organization-free", "2026-01-01");
    account.ask("2026-01-05", "starter");
    assert_eq!(account.balance(), "1100");
    assert_eq!(account.ledger().totals.expired.to_string(), "40");
}
