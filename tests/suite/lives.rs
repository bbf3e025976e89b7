//! The numbers of the shipped catalog and the numbered cases, through the real API server.
//!
//! Where time matters, the account lives by a test clock.

use flashgate_api::{CreditLedger, CreditPack, Subscription, UsageReport};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::suite::installed::shared;
use crate::world::{Namespace, eventually};

const CLOCK: &str = "billing.flashgate.dev/test-clock";

/// An account that lives by a test clock.
struct Life {
    namespace: Namespace<'static>,
}

impl Life {
    async fn begin(namespace: &str, now: &str, spec: Value) -> Self {
        let namespace = shared().await.namespace(namespace).await;
        let life = Self { namespace };
        life.subscribe(now, spec).await;
        life
    }

    async fn subscribe(&self, now: &str, spec: Value) {
        let metadata = json!({"name": "acme", "annotations": {CLOCK: now}});
        self.namespace.create_with::<Subscription>(metadata, spec).await;
    }

    /// Moves the clock on, and waits until the ledger has seen it or needed not.
    async fn clock(&self, now: &str) {
        let patch = json!({"metadata": {"annotations": {CLOCK: now}}});
        let api = self.namespace.api::<Subscription>();
        api.patch("acme", &PatchParams::default(), &Patch::Merge(patch)).await.expect("clock");
    }

    async fn change(&self, spec: Value) {
        let api = self.namespace.api::<Subscription>();
        let patch = json!({"spec": spec});
        api.patch("acme", &PatchParams::default(), &Patch::Merge(patch)).await.expect("spec");
    }

    async fn buy(&self, name: &str, pack: &str) {
        let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": pack});
        self.namespace.create::<CreditPack>(name, spec).await;
    }

    async fn pack_is(&self, name: &str, state: &str) {
        self.namespace.expect::<CreditPack>(name, "/status/state", state).await;
    }

    async fn report(&self, name: &str, window: (&str, &str), usage: Value) {
        let spec = json!({
            "subscriptionRef": {"name": "acme"}, "source": "gw-eu-1",
            "window": {"startTime": window.0, "endTime": window.1}, "usage": usage,
        });
        self.namespace.create::<UsageReport>(name, spec).await;
    }

    async fn report_is(&self, name: &str, state: &str) {
        self.namespace.expect::<UsageReport>(name, "/status/state", state).await;
    }

    async fn report_reason(&self, name: &str) -> String {
        reason(&self.namespace.get::<UsageReport>(name).await.expect("report"))
    }

    async fn balance(&self, balance: &str) {
        self.namespace.expect::<Subscription>("acme", "/status/credits/balance", balance).await;
    }

    async fn status(&self, pointer: &str, expected: impl Into<Value>) {
        self.namespace.expect::<Subscription>("acme", pointer, expected).await;
    }

    /// Checks totals of the account's whole life.
    async fn totals(&self, expected: &[(&str, &str)]) {
        for (total, credits) in expected {
            self.namespace.expect::<CreditLedger>("acme", &format!("/spec/totals/{total}"), *credits).await;
        }
    }

    /// Returns what the events of a reason say.
    async fn events(&self, reason: &str) -> Vec<String> {
        let listed = self.namespace.kubectl(&["get", "events.events.k8s.io", "-o", "json"], None).await;
        let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
        let events = listed["items"].as_array().expect("items").iter();
        let events = events.filter(|event| event["reason"] == reason);
        events.filter_map(|event| event["note"].as_str().map(str::to_owned)).collect()
    }
}

fn reason(object: &Value) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).expect("conditions");
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").expect("Ready");
    ready["reason"].as_str().expect("reason").to_owned()
}

fn egress(quantity: &str) -> Value {
    json!([{"nodeType": "Public", "operation": "StorageEgress", "quantity": quantity}])
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
        namespace
            .create::<Subscription>(&format!("{plan}-paid"), json!({"plan": plan, "billingPeriod": "Yearly"}))
            .await;
        let name = format!("{plan}-paid");
        eventually("not offered", async || {
            let object = namespace.get::<Subscription>(&name).await?;
            object.pointer("/status/conditions/0")?;
            (reason(&object) == "BillingPeriodNotOffered").then_some(())
        })
        .await_some()
        .await;
    }
}

#[tokio::test]
async fn every_pack_and_every_rate_is_the_catalogs() {
    let namespace = shared().await.namespace("packs-and-rates").await;
    namespace
        .create::<Subscription>("acme", json!({"plan": "scale", "startTime": "2026-01-01T00:00:00Z"}))
        .await;
    for (pack, credits, price) in
        [("plus-100", "100", "20"), ("plus-500", "500", "50"), ("plus-1000", "1000", "100")]
    {
        let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": pack});
        namespace.create::<CreditPack>(pack, spec).await;
        namespace.expect::<CreditPack>(pack, "/status/state", "Granted").await;
        namespace.expect::<CreditPack>(pack, "/status/credits", credits).await;
        namespace.expect::<CreditPack>(pack, "/status/price", price).await;
    }
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "90600").await;
    let rates = [
        ("Public", "StorageEgress", "1G", "10"),
        ("Public", "TokensOut", "1", "0.001"),
        ("Private", "StorageEgress", "1G", "1"),
        ("Private", "TokensOut", "1", "0.00005"),
    ];
    let now = jiff::Timestamp::from_second(now()).expect("time");
    for (index, (node_type, operation, quantity, credits)) in rates.into_iter().enumerate() {
        let name = format!("rate-{index}");
        let window = json!({"startTime": (now - jiff::SignedDuration::from_hours(1)).to_string(), "endTime": now.to_string()});
        let usage = json!([{"nodeType": node_type, "operation": operation, "quantity": quantity}]);
        let spec =
            json!({"subscriptionRef": {"name": "acme"}, "source": name, "window": window, "usage": usage});
        namespace.create::<UsageReport>(&name, spec).await;
        namespace.expect::<UsageReport>(&name, "/status/credits", credits).await;
    }
}

/// Returns the time of this machine, which the control plane shares.
fn now() -> i64 {
    flashgate_cluster::clock::Clock::system().now().as_second()
}

#[tokio::test]
async fn cases_2_3_and_4_usage_is_charged_once() {
    let life = Life::begin("clock-late", "2026-03-01T09:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.clock("2026-03-01T14:00:00Z").await;
    let usage = json!([
        {"nodeType": "Public", "operation": "StorageEgress", "quantity": "12G"},
        {"nodeType": "Public", "operation": "TokensOut", "quantity": 250_000},
    ]);
    life.report("first", ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"), usage.clone()).await;
    life.report_is("first", "Charged").await;
    life.balance("730").await;
    life.report("again", ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"), usage).await;
    life.report_is("again", "Rejected").await;
    assert_eq!(life.report_reason("again").await, "DuplicateWindow");
    life.report("later", ("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"), egress("1G")).await;
    life.report_is("later", "Charged").await;
    life.report("between", ("2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"), egress("1G")).await;
    life.report_is("between", "Charged").await;
    life.report("across", ("2026-03-01T11:30:00Z", "2026-03-01T12:30:00Z"), egress("1G")).await;
    life.report_is("across", "Rejected").await;
    life.balance("710").await;
    let bad = json!([
        {"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"},
        {"nodeType": "Public", "operation": "Teleport", "quantity": "1"},
    ]);
    life.report("case-21", ("2026-03-01T13:00:00Z", "2026-03-01T13:30:00Z"), bad).await;
    life.report_is("case-21", "Rejected").await;
    assert_eq!(life.report_reason("case-21").await, "UnknownRate");
    let object = life.namespace.get::<UsageReport>("case-21").await.expect("report");
    assert!(object.to_string().contains("spec.usage[1]"), "names the line: {object:#}");
    life.balance("710").await;
}

#[tokio::test]
async fn cases_1_and_5_periods_are_counted_from_the_anchor_and_missed_boundaries_are_made_up() {
    let life = Life::begin("clock-anchor", "2026-01-31T10:00:00Z", json!({"plan": "starter"})).await;
    life.status("/status/period/startTime", "2026-01-31T10:00:00Z").await;
    for (number, start) in [(2, "02-28"), (3, "03-31"), (4, "04-30"), (5, "05-31")] {
        let start = format!("2026-{start}T10:00:00Z");
        life.clock(&start).await;
        life.status("/status/period/number", number).await;
        life.status("/status/period/startTime", start).await;
        life.balance("1100").await;
    }
    life.clock("2026-08-31T13:00:00Z").await;
    life.status("/status/period/number", 8).await;
    life.balance("1100").await;
    let ledger = life.namespace.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger.pointer("/spec/totals/granted"), Some(&json!("8800")));
    assert_eq!(ledger.pointer("/spec/totals/expired"), Some(&json!("7700")));
}

#[tokio::test]
async fn cases_9_and_10_three_packs_a_month() {
    let life = Life::begin(
        "clock-packs",
        "2026-03-10T10:00:00Z",
        json!({"plan": "starter", "billingPeriod": "Yearly"}),
    )
    .await;
    life.balance("15000").await;
    for name in ["a", "b", "c"] {
        life.buy(name, "plus-100").await;
        life.pack_is(name, "Granted").await;
    }
    life.buy("d", "plus-100").await;
    life.pack_is("d", "Refused").await;
    life.namespace.expect::<CreditPack>("d", "/status/nextAvailableTime", "2026-04-10T10:00:00Z").await;
    life.balance("15300").await;
    life.status("/status/packs/used", 3).await;
    life.clock("2026-04-10T10:00:00Z").await;
    life.buy("e", "plus-100").await;
    life.pack_is("e", "Granted").await;
    life.balance("15400").await;
    life.buy("f", "plus-7").await;
    life.pack_is("f", "Refused").await;
    let object = life.namespace.get::<CreditPack>("f").await.expect("pack");
    assert_eq!(reason(&object), "UnknownPack");
}

#[tokio::test]
async fn case_11_packs_need_a_paid_plan() {
    let life =
        Life::begin("clock-upgrade", "2026-03-01T10:00:00Z", json!({"plan": "organization-free"})).await;
    life.balance("40").await;
    life.buy("early", "plus-100").await;
    life.pack_is("early", "Refused").await;
    life.change(json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.buy("late", "plus-100").await;
    life.pack_is("late", "Granted").await;
    life.pack_is("early", "Refused").await;
    life.balance("1200").await;
}

#[tokio::test]
async fn case_12_a_pack_repays_debt_first() {
    let life = Life::begin("clock-debt", "2026-03-01T09:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.clock("2026-03-01T13:00:00Z").await;
    life.report("one", ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"), egress("107G")).await;
    life.balance("30").await;
    life.report("two", ("2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"), egress("6G")).await;
    life.balance("-30").await;
    life.status("/status/credits/debt", "30").await;
    life.buy("top-up", "plus-100").await;
    life.balance("70").await;
}

#[tokio::test]
async fn case_14_plan_credits_burn_before_the_packs() {
    let life = Life::begin("clock-burn", "2026-03-01T09:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.buy("top-up", "plus-100").await;
    life.balance("1200").await;
    life.clock("2026-03-01T13:00:00Z").await;
    life.report("one", ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"), egress("112G")).await;
    life.balance("80").await;
    life.status("/status/credits/plan", "0").await;
    life.status("/status/credits/packs", "80").await;
}

#[tokio::test]
async fn case_15_usage_of_the_last_hour_is_paid_by_the_period_it_belongs_to() {
    let life = Life::begin("clock-renewal", "2026-03-01T00:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.clock("2026-04-01T00:20:00Z").await;
    life.status("/status/period/number", 2).await;
    life.report("in-time", ("2026-03-31T23:00:00Z", "2026-04-01T00:00:00Z"), egress("10G")).await;
    life.report_is("in-time", "Charged").await;
    life.balance("1100").await;
    life.namespace.expect::<UsageReport>("in-time", "/status/periodNumber", 1).await;
    life.clock("2026-04-01T02:00:01Z").await;
    life.report("late", ("2026-03-31T22:00:00Z", "2026-03-31T23:00:00Z"), egress("10G")).await;
    life.balance("1000").await;
}

#[tokio::test]
async fn case_18_an_account_outlives_its_subscription() {
    let life = Life::begin("clock-deletion", "2026-03-01T00:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.buy("top-up", "plus-100").await;
    life.balance("1200").await;
    life.clock("2026-03-02T02:00:00Z").await;
    life.report("one", ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"), egress("10G")).await;
    life.balance("1100").await;
    delete(&life).await;
    life.subscribe("2026-03-13T00:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.status("/status/period/number", 1).await;
    life.status("/status/packs/used", 1).await;
    delete(&life).await;
    life.subscribe("2026-06-04T00:00:00Z", json!({"plan": "starter"})).await;
    life.status("/status/period/number", 2).await;
    life.status("/status/period/startTime", "2026-06-04T00:00:00Z").await;
    life.balance("1200").await;
    let ledger = life.namespace.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger.pointer("/spec/totals/granted"), Some(&json!("2200")));
}

async fn delete(life: &Life) {
    let api = life.namespace.api::<Subscription>();
    api.delete("acme", &DeleteParams::default()).await.expect("deleted");
    eventually("the Subscription is gone", async || life.namespace.get::<Subscription>("acme").await)
        .await_end()
        .await;
}

#[tokio::test]
async fn a_subscription_that_a_finalizer_holds_counts_as_deleted_from_its_deletion_on() {
    let life = Life::begin("clock-held", "2026-01-01T10:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    let api = life.namespace.api::<Subscription>();
    let finalizers = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let held = finalizers(json!(["example.org/hold"]));
    api.patch("acme", &PatchParams::default(), &held).await.expect("held");
    api.delete("acme", &DeleteParams::default()).await.expect("deleted");
    life.status("/status/conditions/0/reason", "Deleting").await;
    life.status("/status/renewalTime", Value::Null).await;
    // Three boundaries pass: the credits expire, and nothing renews.
    life.clock("2026-04-10T10:00:00Z").await;
    life.balance("0").await;
    life.status("/status/period/number", 1).await;
    life.totals(&[("granted", "1100"), ("expired", "1100")]).await;
    let ledger = life.namespace.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger.pointer("/spec/nextInvoice"), Some(&json!(2)));
    api.patch("acme", &PatchParams::default(), &finalizers(json!(null))).await.expect("let go");
    eventually("it is gone", async || life.namespace.get::<Subscription>("acme").await).await_end().await;
    life.subscribe("2026-04-10T11:00:00Z", json!({"plan": "starter"})).await;
    life.status("/status/period/number", 2).await;
    life.balance("1100").await;
}

#[tokio::test]
async fn case_22_a_start_in_the_past_is_granted_the_period_that_contains_now() {
    let spec = json!({"plan": "starter", "startTime": "2026-01-09T10:00:00Z"});
    let life = Life::begin("clock-start", "2026-03-10T10:00:00Z", spec).await;
    life.balance("1100").await;
    life.status("/status/period/number", 3).await;
    let ledger = life.namespace.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger.pointer("/spec/totals/granted"), Some(&json!("1100")));
}

#[tokio::test]
async fn case_20_a_thousand_small_reports_cost_one_credit() {
    let namespace = shared().await.namespace("small-reports").await;
    let start = now() - 3_600;
    namespace
        .create::<Subscription>("acme", json!({"plan": "starter", "startTime": "2026-01-01T00:00:00Z"}))
        .await;
    let time = |second: i64| jiff::Timestamp::from_second(second).expect("time").to_string();
    for index in 0..1_000_i64 {
        let window = json!({"startTime": time(start + index * 3), "endTime": time(start + index * 3 + 3)});
        let usage = json!([{"nodeType": "Private", "operation": "StorageEgress", "quantity": "1M"}]);
        let spec =
            json!({"subscriptionRef": {"name": "acme"}, "source": "gw", "window": window, "usage": usage});
        namespace.create::<UsageReport>(&format!("small-{index}"), spec).await;
    }
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1099").await;
    namespace.expect::<Subscription>("acme", "/status/thisPeriod/consumed", "1").await;
}

#[tokio::test]
async fn case_6_an_upgrade_keeps_what_is_left_of_the_paid_period_until_its_end() {
    let life = Life::begin("clock-growth", "2026-03-01T10:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.clock("2026-03-05T00:05:00Z").await;
    life.report("one", ("2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"), egress("20G")).await;
    life.balance("900").await;
    life.clock("2026-03-11T10:00:00Z").await;
    life.change(json!({"plan": "growth"})).await;
    life.balance("10400").await;
    life.status("/status/period/endTime", "2026-04-11T10:00:00Z").await;
    life.clock("2026-04-01T10:00:00Z").await;
    life.balance("9500").await;
    life.totals(&[("granted", "10600"), ("expired", "900")]).await;
    life.clock("2026-04-11T10:00:00Z").await;
    life.status("/status/period/number", 3).await;
    life.balance("9500").await;
    life.totals(&[("granted", "20100"), ("expired", "10400")]).await;
}

#[tokio::test]
async fn case_7_a_downgrade_taken_back_leaves_no_trace() {
    let life = Life::begin("clock-taken-back", "2026-03-01T10:00:00Z", json!({"plan": "growth"})).await;
    life.balance("9500").await;
    life.clock("2026-03-05T10:00:00Z").await;
    life.change(json!({"plan": "starter"})).await;
    life.status("/status/pendingChange/plan", "starter").await;
    life.status("/status/pendingChange/effectiveTime", "2026-04-01T10:00:00Z").await;
    life.status("/status/plan", "growth").await;
    life.change(json!({"plan": "growth"})).await;
    life.status("/status/pendingChange", Value::Null).await;
    life.balance("9500").await;
    life.status("/status/invoices/1", Value::Null).await;
    life.totals(&[("granted", "9500"), ("expired", "0")]).await;
}

#[tokio::test]
async fn case_8_a_downgrade_keeps_the_credits_of_the_paid_period() {
    let life = Life::begin("clock-downgrade", "2026-03-01T10:00:00Z", json!({"plan": "growth"})).await;
    life.balance("9500").await;
    life.change(json!({"plan": "organization-free"})).await;
    life.status("/status/pendingChange/plan", "organization-free").await;
    life.clock("2026-04-01T09:59:59Z").await;
    life.balance("9500").await;
    for (end, number) in [("2026-04-01T10:00:00Z", 2), ("2026-05-01T10:00:00Z", 3)] {
        life.clock(end).await;
        life.status("/status/period/number", number).await;
        life.status("/status/plan", "organization-free").await;
        life.balance("40").await;
    }
    life.totals(&[("granted", "9580"), ("expired", "9540")]).await;
}

#[tokio::test]
async fn case_13_a_renewal_repays_debt_first() {
    let life = Life::begin("clock-owing", "2026-03-01T09:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.clock("2026-03-01T13:00:00Z").await;
    life.report("flood", ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"), egress("310G")).await;
    life.balance("-2000").await;
    life.clock("2026-04-01T09:00:00Z").await;
    life.balance("-900").await;
    life.status("/status/credits/debt", "900").await;
    life.status("/status/period/number", 2).await;
}

#[tokio::test]
async fn case_16_what_is_not_renewed_lapses_and_keeps_its_packs() {
    let life = Life::begin("clock-lapse", "2026-03-01T10:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.buy("top-up", "plus-100").await;
    life.balance("1200").await;
    life.change(json!({"renewal": "None"})).await;
    for (end, number) in
        [("2026-04-01T10:00:00Z", 2), ("2026-05-01T10:00:00Z", 3), ("2026-06-01T10:00:00Z", 4)]
    {
        life.clock(end).await;
        life.status("/status/period/number", number).await;
        life.status("/status/plan", "organization-free").await;
        life.balance("140").await;
        life.status("/status/credits/packs", "100").await;
    }
    life.totals(&[("granted", "1220"), ("purchased", "100"), ("expired", "1180")]).await;
}

#[tokio::test]
async fn case_23_each_threshold_is_told_once() {
    let life = Life::begin("clock-thresholds", "2026-03-01T09:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.clock("2026-03-01T13:00:00Z").await;
    life.report("up-to-79", ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"), egress("86.9G")).await;
    life.balance("231").await;
    assert_eq!(life.events("ThresholdReached").await, Vec::<String>::new());
    life.report("up-to-101", ("2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"), egress("24.2G")).await;
    life.balance("-11").await;
    life.status("/status/thisPeriod/usedPercent", "101").await;
    let both = eventually("both thresholds are told", async || {
        let told = life.events("ThresholdReached").await;
        (told.len() >= 2).then_some(told)
    });
    let told = both.await_some().await;
    for percent in ["80 %", "100 %"] {
        assert_eq!(told.iter().filter(|note| note.contains(percent)).count(), 1, "{told:?}");
    }
    life.report("more", ("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"), egress("1G")).await;
    life.balance("-21").await;
    let ledger = life.namespace.get::<CreditLedger>("acme").await.expect("ledger");
    let entries = ledger.pointer("/spec/entries").and_then(Value::as_array).expect("entries");
    assert_eq!(entries.iter().filter(|entry| entry.to_string().contains("Threshold")).count(), 2);
}

#[tokio::test]
async fn case_24_the_packs_of_a_month_are_counted_over_all_plans_of_it() {
    let life = Life::begin("clock-plans", "2026-03-01T10:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    for name in ["monthly-1", "monthly-2", "monthly-3"] {
        life.buy(name, "plus-100").await;
        life.pack_is(name, "Granted").await;
    }
    life.change(json!({"billingPeriod": "Yearly"})).await;
    life.balance("16400").await;
    let others = ["yearly-1", "yearly-2", "yearly-3"].into_iter().chain(["growth-1", "growth-2", "growth-3"]);
    for name in others {
        if name == "growth-1" {
            life.change(json!({"plan": "growth", "billingPeriod": "Monthly"})).await;
            life.balance("25900").await;
        }
        life.buy(name, "plus-100").await;
        life.pack_is(name, "Refused").await;
    }
    life.status("/status/packs/used", 3).await;
    life.totals(&[("purchased", "300")]).await;
}

#[tokio::test]
async fn case_25_free_credits_end_with_an_upgrade() {
    let life = Life::begin("clock-free", "2026-03-01T10:00:00Z", json!({"plan": "organization-free"})).await;
    life.balance("40").await;
    life.change(json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.totals(&[("granted", "1140"), ("expired", "40")]).await;
}

#[tokio::test]
async fn what_waits_arrived_when_the_test_clock_said_so() {
    let life = Life::begin("clock-waiting", "2026-03-01T10:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    life.report("early", ("2026-03-01T10:00:00Z", "2026-03-01T12:00:00Z"), egress("1G")).await;
    eventually("the report waits", async || {
        let report = life.namespace.get::<UsageReport>("early").await?;
        report.pointer("/status/conditions")?;
        (reason(&report) == "WindowNotOver").then_some(())
    })
    .await_some()
    .await;
    // By now its window started too long ago for a report that arrives.
    life.clock("2026-04-05T11:00:00Z").await;
    life.report_is("early", "Charged").await;
    life.namespace.expect::<UsageReport>("early", "/status/periodNumber", 1).await;
    life.totals(&[("consumed", "10"), ("expired", "1090")]).await;
}

#[tokio::test]
async fn a_test_clock_that_an_account_cannot_live_by_is_said_once() {
    let namespace = shared().await.namespace("no-clock").await;
    let life = Life { namespace };
    life.subscribe("2026-03-01T10:00:00Z", json!({"plan": "starter"})).await;
    life.balance("1100").await;
    let told = eventually("the event", async || {
        let told = life.events("TestClockIgnored").await;
        (!told.is_empty()).then_some(told)
    })
    .await_some()
    .await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("--allow-test-clocks"), "{told:?}");
}
