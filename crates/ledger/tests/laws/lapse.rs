//! Laws 16 and 19: lapses, lapsed requests, and deleted Subscriptions.

use flashgate_ledger::catalog::BillingPeriod::{Monthly, Yearly};
use flashgate_ledger::facts::{PaymentState, Renewal};
use flashgate_testing::catalog::external;
use flashgate_testing::values::{time, window};
use flashgate_testing::{Summary, TestAccount};

/// An account of starter that lapsed on 2026-02-01 by `renewal: None`.
fn lapsed() -> TestAccount {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.set_renewal("2026-01-20", Renewal::None).until("2026-02-01");
    assert_eq!(account.plan(), "organization-free");
    account
}

#[test]
fn renewal_none_set_back_before_the_end_changes_nothing() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.set_renewal("2026-01-10", Renewal::None).set_renewal("2026-01-31T23:59:59", Renewal::Automatic);
    account.until("2026-02-01");
    assert_eq!((account.plan(), account.count("Lapsed"), account.count("Granted")), ("starter", 0, 2));
}

#[test]
fn renewal_none_wins_over_a_pending_downgrade() {
    let mut account = TestAccount::on_plan("scale", "2026-01-01");
    account.ask("2026-01-10", "growth").set_renewal("2026-01-11", Renewal::None).until("2026-02-01");
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "40"));
    assert_eq!(account.ledger().pending_change, None);
}

#[test]
fn a_pending_downgrade_is_there_again_when_renewal_none_is_taken_back() {
    let mut account = TestAccount::on_plan("scale", "2026-01-01");
    account.ask("2026-01-10", "growth");
    account.set_renewal("2026-01-11", Renewal::None).set_renewal("2026-01-12", Renewal::Automatic);
    account.until("2026-02-01");
    assert_eq!(account.plan(), "growth");
}

#[test]
fn a_lapse_begins_a_monthly_period_with_a_new_anchor() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31T10:00");
    account.edit("2026-02-01", |subscription| subscription.request.renewal = Renewal::None);
    account.until("2026-02-28T10:00");
    assert_eq!(account.period(), (2, window("2026-02-28T10:00", "2026-03-28T10:00")));
    account.until("2026-03-28T10:00");
    assert_eq!(account.period(), (3, window("2026-03-28T10:00", "2026-04-28T10:00")));
}

#[test]
fn a_plan_after_a_lapse_renews_for_each_value_of_renewal() {
    let mut account = lapsed();
    account.until("2026-06-15");
    assert_eq!((account.plan(), account.period().0, account.count("Lapsed")), ("organization-free", 6, 1));
}

#[test]
fn a_lapsed_request_is_remembered_until_another_one() {
    let mut account = lapsed();
    account.edit("2026-02-10", |subscription| subscription.alert_thresholds_percent = Some(vec![50]));
    assert_eq!(account.plan(), "organization-free");
    account.set_renewal("2026-02-15T07:00", Renewal::Automatic);
    assert_eq!(account.period(), (3, window("2026-02-15T07:00", "2026-03-15T07:00")));
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
    account.until("2026-03-15T07:00");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
}

#[test]
fn another_request_without_renewal_is_only_remembered() {
    let mut account = lapsed();
    account.ask("2026-02-10", "growth");
    assert_eq!(account.plan(), "organization-free");
    account.until("2026-03-05");
    assert_eq!((account.plan(), account.period().0), ("organization-free", 3));
    // This is the first request again, with Automatic. It differs from the last request.
    account.edit("2026-03-10", |subscription| {
        subscription.request.plan = "starter".to_owned();
        subscription.request.renewal = Renewal::Automatic;
    });
    assert_eq!(account.plan(), "starter");
}

#[test]
fn a_request_for_the_plan_lapsed_into_begins_nothing_and_ends_the_lapse() {
    let mut account = lapsed();
    account.edit("2026-02-10", |subscription| {
        subscription.request.plan = "organization-free".to_owned();
        subscription.request.renewal = Renewal::Automatic;
    });
    assert_eq!((account.period().0, account.balance().as_str(), account.ledger().lapsed), (2, "40", false));
    account.until("2026-03-01");
    assert_eq!(account.period(), (3, window("2026-03-01", "2026-04-01")));
    // The lapse is over, so the lapsed request is a new request now, and an upgrade.
    account.edit("2026-03-05", |subscription| {
        subscription.request.plan = "starter".to_owned();
        subscription.request.renewal = Renewal::None;
    });
    assert_eq!(account.plan(), "starter");
}

#[test]
fn a_plan_that_lapses_to_nothing_leaves_no_plan_and_usage_becomes_debt() {
    let mut account = TestAccount::on_plan("organization-free", "2026-01-01");
    account.set_renewal("2026-01-10", Renewal::None).until("2026-02-01");
    assert_eq!((account.plan(), account.ledger().period.window), ("", None));
    let verdict = account.consume("2026-02-10", "30");
    assert_eq!(verdict.summary(), "charged 30");
    assert_eq!(account.balance(), "-30");
    assert_eq!(account.buy("2026-02-10", "a", "plus-100").summary(), "PlanNotEligible");
    account.until("2026-05-01").edit("2026-05-02", |subscription| {
        subscription.request.renewal = Renewal::Automatic;
    });
    assert_eq!(
        (account.plan(), account.balance().as_str(), account.period().0),
        ("organization-free", "10", 2)
    );
}

#[test]
fn a_reactivation_drops_the_remaining_credits_of_the_free_period() {
    let mut account = lapsed();
    account.consume("2026-02-05", "10");
    account.set_renewal("2026-02-15", Renewal::Automatic);
    assert_eq!((account.balance().as_str(), account.settling().as_str()), ("1100", "30"));
}

#[test]
fn a_lapse_carries_debt_and_packs_on() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.buy("2026-01-02", "a", "plus-100");
    account.consume("2026-01-03", "1300");
    account.set_renewal("2026-01-20", Renewal::None).until("2026-02-01");
    assert_eq!((account.balance().as_str(), account.ledger().debt.to_string().as_str()), ("-60", "60"));
}

#[test]
fn a_plan_that_lapses_to_itself_renews_and_keeps_its_anchor() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31");
    account.catalog.plans[1].lapses_to = Some("organization-free".to_owned());
    account.ask("2026-02-01", "organization-free").until("2026-03-01");
    account.set_renewal("2026-03-02", Renewal::None).until("2026-06-28");
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "40"));
    assert_eq!(account.count("Lapsed"), 1);
}

#[test]
fn an_unpaid_renewal_lapses_after_its_due_time() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    account.until("2026-02-01");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "0"));
    account.until("2026-02-03T23:59:59");
    assert_eq!(account.plan(), "starter");
    account.until("2026-02-04");
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "40"));
    assert_eq!(account.period(), (3, window("2026-02-04", "2026-03-04")));
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Renewal:Void"]);
    assert_eq!(account.pay("2026-02-05", "late", 2, PaymentState::Settled).summary(), "refund due");
    account.until("2026-04-10");
    assert_eq!((account.plan(), account.count("Invoiced")), ("organization-free", 2));
}

/// An account of starter whose renewal of 2026-02-01 is not paid: it is due on 2026-02-04.
fn unpaid() -> TestAccount {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    account.until("2026-02-01");
    account
}

#[test]
fn a_request_at_the_instant_of_the_due_time_comes_after_the_lapse() {
    let mut account = unpaid();
    account.ask("2026-02-04", "growth");
    assert_eq!((account.plan(), account.times("Lapsed")), ("organization-free", vec![time("2026-02-04")]));
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Renewal:Void", "3:Reactivation:Open"]);
    let mut account = unpaid();
    account.ask("2026-02-04", "organization-free");
    assert_eq!((account.plan(), account.ledger().lapsed), ("organization-free", false));
}

#[test]
fn a_request_of_a_re_created_subscription_comes_after_the_due_lapse() {
    let mut account = unpaid();
    account.unsubscribe("2026-02-02").subscribe("2026-02-06", "growth");
    assert_eq!((account.plan(), account.times("Lapsed")), ("organization-free", vec![time("2026-02-06")]));
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Renewal:Void", "3:Reactivation:Open"]);
}

#[test]
fn an_unpaid_lapse_into_the_requested_plan_ends_at_once() {
    let mut account = unpaid();
    account.ask("2026-02-02", "organization-free").until("2026-02-04");
    assert_eq!(
        (account.plan(), account.balance().as_str(), account.ledger().lapsed),
        ("organization-free", "40", false)
    );
    // The lapse is over, so a lower plan is a downgrade at the end of the period.
    account.ask("2026-02-11", "individual").until("2026-03-03");
    assert_eq!(account.plan(), "organization-free");
    account.until("2026-03-04");
    assert_eq!((account.plan(), account.balance().as_str()), ("individual", "10"));
}

#[test]
fn a_lapse_into_the_requested_plan_without_renewal_renews() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account
        .ask("2026-01-10", "organization-free")
        .set_renewal("2026-01-11", Renewal::None)
        .until("2026-04-01");
    assert_eq!(
        (account.plan(), account.count("Lapsed"), account.balance().as_str()),
        ("organization-free", 1, "40")
    );
}

#[test]
fn renewal_none_takes_a_reactivation_back_that_is_not_paid() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    account.set_renewal("2026-01-02", Renewal::None).set_renewal("2026-02-10", Renewal::Automatic);
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Reactivation:Open"]);
    account.set_renewal("2026-02-11", Renewal::None);
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Reactivation:Void"]);
    account.set_renewal("2026-02-12", Renewal::Automatic);
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Reactivation:Void", "3:Reactivation:Open"]);
}

#[test]
fn an_overdue_renewal_is_void_even_if_its_subscription_is_deleted() {
    let mut account = unpaid();
    account.unsubscribe("2026-02-02").until("2026-02-04");
    assert_eq!(
        (account.plan(), account.invoices()),
        ("starter", vec!["1:Start:Settled".into(), "2:Renewal:Void".into()])
    );
    assert_eq!(account.pay("2026-02-05", "late", 2, PaymentState::Settled).summary(), "refund due");
    account.subscribe("2026-02-06", "starter");
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "40"));
    let mut account = unpaid();
    account.unsubscribe("2026-02-02");
    assert_eq!(account.pay("2026-02-04", "in-time", 2, PaymentState::Settled).summary(), "applied");
    account.subscribe("2026-02-06", "starter");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
}

#[test]
fn nothing_renews_while_the_subscription_is_deleted() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.unsubscribe("2026-01-12").until("2026-06-01");
    assert_eq!((account.period().0, account.count("Granted"), account.count("Invoiced")), (1, 1, 1));
    assert_eq!((account.balance().as_str(), account.settling().as_str()), ("0", "0"));
}

#[test]
fn a_subscription_re_created_at_the_periods_end_begins_a_new_period_there() {
    for (at, number, start) in [("2026-01-31T23:59:59", 1, "2026-01-01"), ("2026-02-01", 2, "2026-02-01")] {
        let mut account = TestAccount::on_plan("starter", "2026-01-01");
        account.unsubscribe("2026-01-12").subscribe(at, "starter");
        assert_eq!((account.period().0, account.period().1.start_time), (number, time(start)));
    }
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.unsubscribe("2026-01-12").subscribe("2026-02-01T00:00:01", "starter");
    assert_eq!(account.period(), (2, window("2026-02-01T00:00:01", "2026-03-01T00:00:01")));
}

#[test]
fn a_re_created_subscription_may_request_an_upgrade_at_once() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.unsubscribe("2026-01-12").subscribe("2026-01-13", "growth");
    assert_eq!((account.balance().as_str(), account.period().0), ("10600", 2));
}

#[test]
fn the_start_time_of_a_re_created_subscription_is_ignored() {
    for start in ["2020-01-01", "2026-09-01"] {
        let mut account = TestAccount::on_plan("starter", "2026-01-01");
        account.unsubscribe("2026-01-12").subscribe_with("2026-01-13", "starter", |subscription| {
            subscription.start_time = Some(time(start));
        });
        assert_eq!(
            (account.period(), account.balance().as_str()),
            ((1, window("2026-01-01", "2026-02-01")), "1100")
        );
        assert_eq!(account.ledger().start_time, time("2026-01-01"));
    }
}

#[test]
fn a_subscription_re_created_late_without_renewal_lapses() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.unsubscribe("2026-01-12").subscribe_with("2026-03-10", "starter", |subscription| {
        subscription.request.renewal = Renewal::None;
    });
    assert_eq!(account.period(), (2, window("2026-03-10", "2026-04-10")));
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "40"));
}

#[test]
fn a_subscription_re_created_late_with_the_request_that_lapsed_stays_lapsed() {
    let mut account = lapsed();
    account.unsubscribe("2026-02-12").subscribe_with("2026-04-10", "starter", |subscription| {
        subscription.request.renewal = Renewal::None;
    });
    assert_eq!(account.period(), (3, window("2026-04-10", "2026-05-10")));
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "40"));
}

#[test]
fn a_subscription_re_created_with_the_request_whose_invoice_became_void_lapses() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    account.ask("2026-01-05", "growth");
    account.pay("2026-01-06", "cancelled", 2, PaymentState::Cancelled);
    account.unsubscribe("2026-01-12").subscribe("2026-04-10", "growth");
    assert_eq!((account.plan(), account.count("Invoiced")), ("organization-free", 2));
}

#[test]
fn a_re_created_subscription_gets_its_own_due_time() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    account.until("2026-02-02").unsubscribe("2026-02-02").subscribe("2026-03-15", "starter");
    assert_eq!(
        (account.plan(), account.invoices().last().cloned()),
        ("starter", Some("3:Renewal:Open".to_owned()))
    );
    account.pay("2026-03-18", "p3", 3, PaymentState::Settled);
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
}

#[test]
fn limits_names_and_numbers_outlive_a_deletion() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    for name in ["a", "b", "c"] {
        account.buy("2026-01-02", name, "plus-100");
    }
    account.unsubscribe("2026-01-03").subscribe("2026-01-04", "starter");
    assert_eq!(account.buy("2026-01-05", "d", "plus-100").summary(), "PackLimitReached");
    assert_eq!(account.buy("2026-01-05", "a", "plus-100").summary(), "granted");
    assert_eq!(account.ledger().next_invoice, 5);
}

#[test]
fn reports_of_a_deleted_subscription_wait_and_are_paid_the_same() {
    let last_hour = window("2026-01-31T23:00", "2026-02-01");
    let mut up = TestAccount::on_plan("starter", "2026-01-01");
    up.unsubscribe("2026-01-12");
    assert_eq!(up.report("2026-02-01T01:00", "gw", last_hour, "100").summary(), "waits");
    up.subscribe("2026-02-10", "starter").until("2026-02-11");
    let mut down = TestAccount::on_plan("starter", "2026-01-01");
    down.unsubscribe("2026-01-12").operator_stops("2026-01-20");
    down.report("2026-02-01T01:00", "gw", last_hour, "100");
    down.subscribe("2026-02-10", "starter").operator_starts("2026-02-11");
    assert_eq!((up.balance().as_str(), down.balance().as_str()), ("1100", "1100"));
    assert_eq!(up.ledger().totals, down.ledger().totals);
    assert_eq!((&up.books, up.books[&1][4].to_string()), (&down.books, "100".to_owned()));
}

#[test]
fn a_report_that_can_never_be_charged_keeps_no_settlement_open() {
    let charged = window("2026-01-31T10:00", "2026-01-31T11:00");
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    assert_eq!(account.report("2026-01-31T12:00", "gw", charged, "100").summary(), "charged 100");
    account.unsubscribe("2026-01-31T13:00");
    assert_eq!(account.report("2026-02-01T01:00", "gw", charged, "100").summary(), "waits");
    account.until("2026-02-01T02:01");
    assert_eq!((account.settling().as_str(), account.count("SettlementClosed")), ("0", 1));
}

#[test]
fn a_charge_whose_receipt_is_open_outlives_the_deletion() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.receipts_stop();
    account.consume("2026-01-02", "5");
    let charge = account.ledger().unacknowledged[0].clone();
    account.unsubscribe("2026-01-03");
    let mut report = flashgate_testing::test_account::report_of_a_credit(
        &charge.name,
        &charge.uid,
        time("2026-01-02"),
        "meter",
        window("2026-01-01", "2026-01-02"),
    );
    report.usage.clear();
    account.facts.reports.insert(report);
    account.until("2026-06-01");
    assert_eq!(account.reports[&charge.name].summary(), "charged 5");
}

#[test]
fn a_yearly_plan_lapses_at_its_years_end_and_can_be_reactivated_monthly() {
    let mut account = TestAccount::on_plan("organization-free", "2026-01-01");
    account.ask_for("2026-01-05", "starter", Yearly).set_renewal("2026-05-01", Renewal::None);
    account.until("2027-01-05");
    assert_eq!(account.plan(), "organization-free");
    account.edit("2027-01-20", |subscription| {
        subscription.request.billing_period = Monthly;
        subscription.request.renewal = Renewal::Automatic;
    });
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
    assert_eq!(account.period().1, window("2027-01-20", "2027-02-20"));
}
