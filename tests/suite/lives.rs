//! The numbers of the shipped catalog and the numbered cases, through the real API server.
//!
//! Tests that depend on time use a test clock.

use flashgate_api::{CreditPack, Subscription, UsageReport};
use flashgate_ledger::facts::Request;
use flashgate_testing::Action;
use flashgate_testing::action::UsageLine;
use flashgate_testing::catalog::{monthly, without_renewal, yearly};
use flashgate_testing::values::window;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::cluster_account::{ClusterAccount, egress, now, private_egress, seconds};
use crate::suite::installed::shared;
use crate::world::{wait_for, wait_while};

/// Subscribes on a test clock in a namespace of the shared world.
async fn account_at(namespace: &str, now: &str, request: Request) -> ClusterAccount<'static> {
    ClusterAccount::at(shared().await, namespace, now, request).await
}

#[tokio::test]
async fn every_plan_gives_the_credits_of_the_catalog() {
    let namespace = shared().await.namespace("plans").await;
    let plans = [
        ("individual", "Monthly", "10"),
        ("organization-free", "Monthly", "40"),
        ("starter", "Monthly", "1100"),
        ("starter", "Yearly", "15000"),
        ("growth", "Monthly", "9500"),
        ("growth", "Yearly", "130000"),
        ("scale", "Monthly", "89000"),
        ("scale", "Yearly", "1125000"),
    ];
    for (plan, period, _) in plans {
        let name = format!("{plan}-{}", period.to_lowercase());
        namespace.create::<Subscription>(&name, json!({"plan": plan, "billingPeriod": period})).await;
    }
    for (plan, period, credits) in plans {
        let name = format!("{plan}-{}", period.to_lowercase());
        namespace.expect::<Subscription>(&name, "/status/credits/balance", credits).await;
    }
    for (plan, price) in [("starter-monthly", "100"), ("starter-yearly", "1000"), ("scale-yearly", "10000")] {
        namespace.expect::<Subscription>(plan, "/status/invoices/0/amount", price).await;
    }
    for plan in ["individual", "organization-free"] {
        let name = format!("{plan}-paid");
        namespace.create::<Subscription>(&name, json!({"plan": plan, "billingPeriod": "Yearly"})).await;
        namespace.reason_is::<Subscription>(&name, "BillingPeriodNotOffered").await;
    }
}

#[tokio::test]
async fn every_pack_and_every_rate_is_the_catalogs() {
    let account =
        ClusterAccount::subscribed_long_ago(shared().await, "packs-and-rates", monthly("scale")).await;
    for (pack, credits, price) in
        [("plus-100", "100", "20"), ("plus-500", "500", "50"), ("plus-1000", "1000", "100")]
    {
        account.buy(pack, pack).await;
        account.pack_is(pack, "Granted").await;
        account.expect::<CreditPack>(pack, "/status/credits", credits).await;
        account.expect::<CreditPack>(pack, "/status/price", price).await;
    }
    account.balance("90600").await;
    let rates = [
        ("Public", "StorageEgress", "1G", "10"),
        ("Public", "TokensOut", "1", "0.001"),
        ("Private", "StorageEgress", "1G", "1"),
        ("Private", "TokensOut", "1", "0.00005"),
    ];
    let last_hour = seconds(now() - 3_600, 3_600);
    for (index, (node_type, operation, quantity, credits)) in rates.into_iter().enumerate() {
        let name = format!("rate-{index}");
        account
            .report_from(&name, &name, last_hour, vec![UsageLine::new(node_type, operation, quantity)])
            .await;
        account.expect::<UsageReport>(&name, "/status/credits", credits).await;
    }
}

#[tokio::test]
async fn cases_2_3_and_4_usage_is_charged_once() {
    let account = account_at("clock-late", "2026-03-01T09:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.clock("2026-03-01T14:00:00Z").await;
    let usage = [egress("12G"), vec![UsageLine::new("Public", "TokensOut", "250000")]].concat();
    account.report("first", window("2026-03-01T10:00", "2026-03-01T11:00"), usage.clone()).await;
    account.report_is("first", "Charged").await;
    account.balance("730").await;
    account.report("again", window("2026-03-01T10:00", "2026-03-01T11:00"), usage).await;
    account.report_is("again", "Rejected").await;
    assert_eq!(account.ready::<UsageReport>("again").await.0, "DuplicateWindow");
    account.report("later", window("2026-03-01T12:00", "2026-03-01T13:00"), egress("1G")).await;
    account.report_is("later", "Charged").await;
    account.report("between", window("2026-03-01T11:00", "2026-03-01T12:00"), egress("1G")).await;
    account.report_is("between", "Charged").await;
    account.report("across", window("2026-03-01T11:30", "2026-03-01T12:30"), egress("1G")).await;
    account.report_is("across", "Rejected").await;
    account.balance("710").await;
    let bad = [egress("1G"), vec![UsageLine::new("Public", "Teleport", "1")]].concat();
    account.report("case-21", window("2026-03-01T13:00", "2026-03-01T13:30"), bad).await;
    account.report_is("case-21", "Rejected").await;
    assert_eq!(account.ready::<UsageReport>("case-21").await.0, "UnknownRate");
    let object = account.get::<UsageReport>("case-21").await.expect("report");
    assert!(object.to_string().contains("spec.usage[1]"), "names the line: {object:#}");
    account.balance("710").await;
}

#[tokio::test]
async fn cases_1_and_5_periods_are_counted_from_the_anchor_and_missed_boundaries_are_made_up() {
    let account = account_at("clock-anchor", "2026-01-31T10:00:00Z", monthly("starter")).await;
    account.status("/status/period/startTime", "2026-01-31T10:00:00Z").await;
    for (number, start) in [(2, "02-28"), (3, "03-31"), (4, "04-30"), (5, "05-31")] {
        let start = format!("2026-{start}T10:00:00Z");
        account.clock(&start).await;
        account.status("/status/period/number", number).await;
        account.status("/status/period/startTime", start).await;
        account.balance("1100").await;
    }
    account.clock("2026-08-31T13:00:00Z").await;
    account.status("/status/period/number", 8).await;
    account.balance("1100").await;
    account.has_totals(&[("granted", "8800"), ("expired", "7700")]).await;
}

#[tokio::test]
async fn cases_9_and_10_three_packs_a_month() {
    let account = account_at("clock-packs", "2026-03-10T10:00:00Z", yearly("starter")).await;
    account.balance("15000").await;
    for name in ["a", "b", "c"] {
        account.buy(name, "plus-100").await;
        account.pack_is(name, "Granted").await;
    }
    account.buy("d", "plus-100").await;
    account.pack_is("d", "Refused").await;
    account.expect::<CreditPack>("d", "/status/nextAvailableTime", "2026-04-10T10:00:00Z").await;
    account.balance("15300").await;
    account.status("/status/packs/used", 3).await;
    account.clock("2026-04-10T10:00:00Z").await;
    account.buy("e", "plus-100").await;
    account.pack_is("e", "Granted").await;
    account.balance("15400").await;
    account.buy("f", "plus-7").await;
    account.pack_is("f", "Refused").await;
    assert_eq!(account.ready::<CreditPack>("f").await.0, "UnknownPack");
}

#[tokio::test]
async fn case_11_packs_need_a_paid_plan() {
    let account = account_at("clock-upgrade", "2026-03-01T10:00:00Z", monthly("organization-free")).await;
    account.balance("40").await;
    account.buy("early", "plus-100").await;
    account.pack_is("early", "Refused").await;
    account.edit(monthly("starter")).await;
    account.balance("1100").await;
    account.buy("late", "plus-100").await;
    account.pack_is("late", "Granted").await;
    account.pack_is("early", "Refused").await;
    account.balance("1200").await;
}

#[tokio::test]
async fn case_12_a_pack_repays_debt_first() {
    let account = account_at("clock-debt", "2026-03-01T09:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.clock("2026-03-01T13:00:00Z").await;
    account.report("one", window("2026-03-01T10:00", "2026-03-01T11:00"), egress("107G")).await;
    account.balance("30").await;
    account.report("two", window("2026-03-01T11:00", "2026-03-01T12:00"), egress("6G")).await;
    account.balance("-30").await;
    account.status("/status/credits/debt", "30").await;
    account.buy("top-up", "plus-100").await;
    account.balance("70").await;
}

#[tokio::test]
async fn case_14_plan_credits_burn_before_the_packs() {
    let account = account_at("clock-burn", "2026-03-01T09:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.buy("top-up", "plus-100").await;
    account.balance("1200").await;
    account.clock("2026-03-01T13:00:00Z").await;
    account.report("one", window("2026-03-01T10:00", "2026-03-01T11:00"), egress("112G")).await;
    account.balance("80").await;
    account.status("/status/credits/plan", "0").await;
    account.status("/status/credits/packs", "80").await;
}

#[tokio::test]
async fn case_15_usage_of_the_last_hour_is_paid_by_the_period_it_belongs_to() {
    let account = account_at("clock-renewal", "2026-03-01T00:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.clock("2026-04-01T00:20:00Z").await;
    account.status("/status/period/number", 2).await;
    account.report("in-time", window("2026-03-31T23:00", "2026-04-01T00:00"), egress("10G")).await;
    account.report_is("in-time", "Charged").await;
    account.balance("1100").await;
    account.expect::<UsageReport>("in-time", "/status/periodNumber", 1).await;
    account.clock("2026-04-01T02:00:01Z").await;
    account.report("late", window("2026-03-31T22:00", "2026-03-31T23:00"), egress("10G")).await;
    account.balance("1000").await;
}

#[tokio::test]
async fn case_18_an_account_outlives_its_subscription() {
    let account = account_at("clock-deletion", "2026-03-01T00:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.buy("top-up", "plus-100").await;
    account.balance("1200").await;
    account.clock("2026-03-02T02:00:00Z").await;
    account.report("one", window("2026-03-01T10:00", "2026-03-01T11:00"), egress("10G")).await;
    account.balance("1100").await;
    account.apply(Action::Unsubscribe).await;
    account.subscribe_at("2026-03-13T00:00:00Z", monthly("starter"), None).await;
    account.balance("1100").await;
    account.status("/status/period/number", 1).await;
    account.status("/status/packs/used", 1).await;
    account.apply(Action::Unsubscribe).await;
    account.subscribe_at("2026-06-04T00:00:00Z", monthly("starter"), None).await;
    account.status("/status/period/number", 2).await;
    account.status("/status/period/startTime", "2026-06-04T00:00:00Z").await;
    account.balance("1200").await;
    account.has_totals(&[("granted", "2200")]).await;
}

#[tokio::test]
async fn a_subscription_that_a_finalizer_holds_counts_as_deleted_from_its_deletion_on() {
    let account = account_at("clock-held", "2026-01-01T10:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.patch(json!({"metadata": {"finalizers": ["example.org/hold"]}})).await;
    let api = account.api::<Subscription>();
    api.delete("acme", &DeleteParams::default()).await.expect("deleted");
    account.status("/status/conditions/0/reason", "Deleting").await;
    account.status("/status/renewalTime", Value::Null).await;
    // Three boundaries pass: the credits expire, and nothing renews.
    account.clock("2026-04-10T10:00:00Z").await;
    account.balance("0").await;
    account.status("/status/period/number", 1).await;
    account.totals(&[("granted", "1100"), ("expired", "1100")]).await;
    assert_eq!(account.ledger().await["nextInvoice"], 2);
    account.patch(json!({"metadata": {"finalizers": null}})).await;
    wait_while("it is gone", async || account.get::<Subscription>("acme").await).await;
    account.subscribe_at("2026-04-10T11:00:00Z", monthly("starter"), None).await;
    account.status("/status/period/number", 2).await;
    account.balance("1100").await;
}

#[tokio::test]
async fn case_22_a_start_in_the_past_is_granted_the_period_that_contains_now() {
    let account = ClusterAccount::without_subscription(shared().await, "clock-start").await;
    account.subscribe_at("2026-03-10T10:00:00Z", monthly("starter"), Some("2026-01-09T10:00")).await;
    account.balance("1100").await;
    account.status("/status/period/number", 3).await;
    account.has_totals(&[("granted", "1100")]).await;
}

#[tokio::test]
async fn case_20_a_thousand_small_reports_cost_one_credit() {
    let account =
        ClusterAccount::subscribed_long_ago(shared().await, "small-reports", monthly("starter")).await;
    let start = now() - 3_600;
    for index in 0..1_000_i64 {
        let (name, window) = (format!("small-{index}"), seconds(start + index * 3, 3));
        account.report(&name, window, private_egress("1M")).await;
    }
    account.balance("1099").await;
    account.status("/status/thisPeriod/consumed", "1").await;
}

#[tokio::test]
async fn case_6_an_upgrade_keeps_what_is_left_of_the_paid_period_until_its_end() {
    let account = account_at("clock-growth", "2026-03-01T10:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.clock("2026-03-05T00:05:00Z").await;
    account.report("one", window("2026-03-04T00:00", "2026-03-05T00:00"), egress("20G")).await;
    account.balance("900").await;
    account.clock("2026-03-11T10:00:00Z").await;
    account.edit(monthly("growth")).await;
    account.balance("10400").await;
    account.status("/status/period/endTime", "2026-04-11T10:00:00Z").await;
    account.clock("2026-04-01T10:00:00Z").await;
    account.balance("9500").await;
    account.totals(&[("granted", "10600"), ("expired", "900")]).await;
    account.clock("2026-04-11T10:00:00Z").await;
    account.status("/status/period/number", 3).await;
    account.balance("9500").await;
    account.totals(&[("granted", "20100"), ("expired", "10400")]).await;
}

#[tokio::test]
async fn case_7_a_downgrade_taken_back_leaves_no_trace() {
    let account = account_at("clock-taken-back", "2026-03-01T10:00:00Z", monthly("growth")).await;
    account.balance("9500").await;
    account.clock("2026-03-05T10:00:00Z").await;
    account.edit(monthly("starter")).await;
    account.status("/status/pendingChange/plan", "starter").await;
    account.status("/status/pendingChange/effectiveTime", "2026-04-01T10:00:00Z").await;
    account.status("/status/plan", "growth").await;
    account.edit(monthly("growth")).await;
    account.status("/status/pendingChange", Value::Null).await;
    account.balance("9500").await;
    account.status("/status/invoices/1", Value::Null).await;
    account.totals(&[("granted", "9500"), ("expired", "0")]).await;
}

#[tokio::test]
async fn case_8_a_downgrade_keeps_the_credits_of_the_paid_period() {
    let account = account_at("clock-downgrade", "2026-03-01T10:00:00Z", monthly("growth")).await;
    account.balance("9500").await;
    account.edit(monthly("organization-free")).await;
    account.status("/status/pendingChange/plan", "organization-free").await;
    account.clock("2026-04-01T09:59:59Z").await;
    account.balance("9500").await;
    for (end, number) in [("2026-04-01T10:00:00Z", 2), ("2026-05-01T10:00:00Z", 3)] {
        account.clock(end).await;
        account.status("/status/period/number", number).await;
        account.status("/status/plan", "organization-free").await;
        account.balance("40").await;
    }
    account.totals(&[("granted", "9580"), ("expired", "9540")]).await;
}

#[tokio::test]
async fn case_13_a_renewal_repays_debt_first() {
    let account = account_at("clock-owing", "2026-03-01T09:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.clock("2026-03-01T13:00:00Z").await;
    account.report("flood", window("2026-03-01T10:00", "2026-03-01T11:00"), egress("310G")).await;
    account.balance("-2000").await;
    account.clock("2026-04-01T09:00:00Z").await;
    account.balance("-900").await;
    account.status("/status/credits/debt", "900").await;
    account.status("/status/period/number", 2).await;
}

#[tokio::test]
async fn case_16_what_is_not_renewed_lapses_and_keeps_its_packs() {
    let account = account_at("clock-lapse", "2026-03-01T10:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.buy("top-up", "plus-100").await;
    account.balance("1200").await;
    account.edit(without_renewal("starter")).await;
    for (end, number) in
        [("2026-04-01T10:00:00Z", 2), ("2026-05-01T10:00:00Z", 3), ("2026-06-01T10:00:00Z", 4)]
    {
        account.clock(end).await;
        account.status("/status/period/number", number).await;
        account.status("/status/plan", "organization-free").await;
        account.balance("140").await;
        account.status("/status/credits/packs", "100").await;
    }
    account.totals(&[("granted", "1220"), ("purchased", "100"), ("expired", "1180")]).await;
}

#[tokio::test]
async fn case_23_each_threshold_is_told_once() {
    let account = account_at("clock-thresholds", "2026-03-01T09:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.clock("2026-03-01T13:00:00Z").await;
    account.report("up-to-79", window("2026-03-01T10:00", "2026-03-01T11:00"), egress("86.9G")).await;
    account.balance("231").await;
    assert_eq!(account.events("ThresholdReached").await, Vec::<String>::new());
    account.report("up-to-101", window("2026-03-01T11:00", "2026-03-01T12:00"), egress("24.2G")).await;
    account.balance("-11").await;
    account.status("/status/thisPeriod/usedPercent", "101").await;
    let told = wait_for("both thresholds are told", async || {
        let told = account.events("ThresholdReached").await;
        (told.len() >= 2).then_some(told)
    })
    .await;
    for percent in ["80 %", "100 %"] {
        assert_eq!(told.iter().filter(|note| note.contains(percent)).count(), 1, "{told:?}");
    }
    account.report("more", window("2026-03-01T12:00", "2026-03-01T13:00"), egress("1G")).await;
    account.balance("-21").await;
    let ledger = account.ledger().await;
    let entries = ledger["entries"].as_array().expect("entries");
    assert_eq!(entries.iter().filter(|entry| entry.to_string().contains("Threshold")).count(), 2);
}

#[tokio::test]
async fn case_24_the_packs_of_a_month_are_counted_over_all_plans_of_it() {
    let account = account_at("clock-plans", "2026-03-01T10:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    for name in ["monthly-1", "monthly-2", "monthly-3"] {
        account.buy(name, "plus-100").await;
        account.pack_is(name, "Granted").await;
    }
    account.edit(yearly("starter")).await;
    account.balance("16400").await;
    let others = ["yearly-1", "yearly-2", "yearly-3"].into_iter().chain(["growth-1", "growth-2", "growth-3"]);
    for name in others {
        if name == "growth-1" {
            account.edit(monthly("growth")).await;
            account.balance("25900").await;
        }
        account.buy(name, "plus-100").await;
        account.pack_is(name, "Refused").await;
    }
    account.status("/status/packs/used", 3).await;
    account.totals(&[("purchased", "300")]).await;
}

#[tokio::test]
async fn case_25_free_credits_end_with_an_upgrade() {
    let account = account_at("clock-free", "2026-03-01T10:00:00Z", monthly("organization-free")).await;
    account.balance("40").await;
    account.edit(monthly("starter")).await;
    account.balance("1100").await;
    account.totals(&[("granted", "1140"), ("expired", "40")]).await;
}

#[tokio::test]
async fn what_waits_arrived_when_the_test_clock_said_so() {
    let account = account_at("clock-waiting", "2026-03-01T10:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    account.report("early", window("2026-03-01T10:00", "2026-03-01T12:00"), egress("1G")).await;
    account.reason_is::<UsageReport>("early", "WindowNotOver").await;
    // By now its window started too long ago for a report that arrives.
    account.clock("2026-04-05T11:00:00Z").await;
    account.report_is("early", "Charged").await;
    account.expect::<UsageReport>("early", "/status/periodNumber", 1).await;
    account.totals(&[("consumed", "10"), ("expired", "1090")]).await;
}

#[tokio::test]
async fn a_test_clock_that_an_account_cannot_live_by_is_said_once() {
    let account = account_at("no-clock", "2026-03-01T10:00:00Z", monthly("starter")).await;
    account.balance("1100").await;
    let told = wait_for("the event", async || {
        let told = account.events("TestClockIgnored").await;
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("--allow-test-clocks"), "{told:?}");
}
