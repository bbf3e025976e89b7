//! The protocol: objects that are deleted and created again, statuses that are lost, and a minute without writes.

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use flashgate_cluster::Kind;
use flashgate_testing::Action;
use flashgate_testing::catalog::monthly;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::cluster_account::{ClusterAccount, LONG_AGO, egress, now, seconds};
use crate::suite::installed::shared;
use crate::world::{World, wait_for};

/// Subscribes to the plan `starter`, and waits until its credits are granted.
async fn subscribe(account: &ClusterAccount<'_>) {
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
}

/// Reports 100 credits of usage of the last hour.
async fn report(account: &ClusterAccount<'_>, name: &str) {
    account.report_from(name, name, seconds(now() - 3_600, 3_600), egress("10G")).await;
    account.report_is(name, "Charged").await;
}

async fn buy(account: &ClusterAccount<'_>, name: &str) {
    account.buy(name, "plus-100").await;
    account.pack_is(name, "Granted").await;
}

#[tokio::test]
async fn a_recreated_subscription_has_the_same_balance() {
    let account = ClusterAccount::without_subscription(shared().await, "recreated").await;
    subscribe(&account).await;
    report(&account, "gw-1").await;
    account.balance("1000").await;
    let number = account.ledger().await["period"]["number"].clone();
    assert!(number.is_number(), "{number}");
    for _ in 0..3 {
        account.apply(Action::Unsubscribe).await;
        account.subscribe(monthly("starter"), None).await;
        account.balance("1000").await;
        account.status("/status/period/number", number.clone()).await;
    }
}

#[tokio::test]
async fn a_plan_change_that_is_reverted_before_a_reconcile_grants_and_invoices_nothing() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "unseen").await;
    let operator = world.operator(&[]);
    subscribe(&account).await;
    account.status("/status/ledger/sequence", 1).await;
    let before = account.ledger().await;
    operator.suspend();
    for plan in ["growth", "starter"] {
        account.edit(monthly(plan)).await;
    }
    operator.resume();
    account.status("/status/observedGeneration", 3).await;
    account.balance("1100").await;
    account.status("/status/plan", "starter").await;
    let after = account.ledger().await;
    for field in ["totals", "invoices", "nextInvoice", "period"] {
        assert!(before.get(field).is_some(), "{field}");
        assert_eq!(before[field], after[field], "{field}");
    }
}

/// An account with external payments, and one object of each kind with its verdict.
struct Settled<'a> {
    account: ClusterAccount<'a>,
    totals: Value,
}

impl<'a> Settled<'a> {
    async fn begin(world: &'a World) -> Self {
        let account = ClusterAccount::subscribed(world, "settled", monthly("starter")).await;
        account.apply_payment("paid", &account.invoice(0, "Open").await, "Settled", "100").await;
        account.buy("top-up", "plus-100").await;
        account.apply_payment("paid-pack", &account.invoice(1, "Open").await, "Settled", "20").await;
        account.state_is::<CreditPack>("top-up", "Granted").await;
        account.adjust("goodwill", "10").await;
        account.state_is::<CreditAdjustment>("goodwill", "Granted").await;
        // It is charged at its end, which is soon.
        account.report("gw", seconds(now() + 1, 1), egress("1G")).await;
        account.state_is::<UsageReport>("gw", "Charged").await;
        account.balance("1200").await;
        let totals = account.ledger().await["totals"].take();
        Self { account, totals }
    }

    /// Deletes an object and creates one of the same name and spec.
    async fn recreate<K: Kind>(&self, name: &str) {
        let object = self.account.get::<K>(name).await.expect("object");
        self.account.delete(&K::kind(&()), name).await;
        self.account.create::<K>(name, object["spec"].clone()).await;
    }

    /// Asserts that every new object shows the old verdict, and that no balance changed.
    async fn is_as_before(&self) {
        let Self { account, totals } = self;
        for name in ["paid", "paid-pack"] {
            account.state_is::<Payment>(name, "Applied").await;
        }
        account.state_is::<CreditPack>("top-up", "Granted").await;
        account.state_is::<CreditAdjustment>("goodwill", "Granted").await;
        // Its window was charged by a report that was deleted.
        account.state_is::<UsageReport>("gw", "Rejected").await;
        account.balance("1200").await;
        account.status("/status/observedGeneration", 1).await;
        assert_eq!(account.ledger().await["totals"], *totals);
    }
}

#[tokio::test]
async fn a_recreated_object_of_any_kind_shows_its_verdict_and_changes_no_balance() {
    let world = World::start().await;
    let catalog = crate::world::root().join("examples/payments/catalog.yaml").display().to_string();
    let arguments = ["--catalog", catalog.as_str()];
    let operator = world.operator(&arguments);
    let settled = Settled::begin(&world).await;
    let recreate_all = async || {
        settled.recreate::<Payment>("paid").await;
        settled.recreate::<Payment>("paid-pack").await;
        settled.recreate::<CreditPack>("top-up").await;
        settled.recreate::<CreditAdjustment>("goodwill").await;
        settled.recreate::<UsageReport>("gw").await;
        settled.recreate::<Subscription>("acme").await;
    };
    recreate_all().await;
    settled.is_as_before().await;
    operator.terminate().await;
    recreate_all().await;
    let _operator = world.operator(&arguments);
    settled.is_as_before().await;
}

#[tokio::test]
async fn case_19_removed_statuses_are_restored_without_a_commit() {
    let account = ClusterAccount::without_subscription(shared().await, "wiped").await;
    subscribe(&account).await;
    report(&account, "gw-1").await;
    buy(&account, "top-up").await;
    account.balance("1100").await;
    // One report more: its commit drops the first one's receipt, so the first is charged long ago.
    report(&account, "gw-2").await;
    account.balance("1000").await;
    let subscription = account.get::<Subscription>("acme").await.expect("subscription");
    let pack = account.get::<CreditPack>("top-up").await.expect("pack");
    let ledger = account.ledger().await;
    wipe::<Subscription>(&account, "acme").await;
    wipe::<CreditPack>(&account, "top-up").await;
    wipe::<UsageReport>(&account, "gw-1").await;
    account.state_is::<UsageReport>("gw-1", "Rejected").await;
    account.state_is::<CreditPack>("top-up", "Granted").await;
    account.balance("1000").await;
    let report = account.get::<UsageReport>("gw-1").await.expect("report");
    assert!(report.to_string().contains("DuplicateWindow"), "{report:#}");
    let same = |before: &Value, after: &Value, fields: &[&str]| {
        for field in fields {
            let pointer = format!("/status/{field}");
            assert_eq!(before.pointer(&pointer), after.pointer(&pointer), "{field}");
        }
    };
    let shown = account.get::<Subscription>("acme").await.expect("subscription");
    same(&subscription, &shown, &["plan", "period", "credits", "thisPeriod", "packs", "invoices", "ledger"]);
    let shown = account.get::<CreditPack>("top-up").await.expect("pack");
    same(&pack, &shown, &["state", "credits", "price", "invoice", "grantTime"]);
    let after = account.ledger().await;
    assert_eq!(ledger, after, "no new commit");
}

/// Removes the whole status, as a backup that does not hold it would.
async fn wipe<K: Kind>(account: &ClusterAccount<'_>, name: &str) {
    let api: Api<K> = account.api();
    let removal = json!([{"op": "remove", "path": "/status"}]);
    let removal: Patch<()> = Patch::Json(serde_json::from_value(removal).expect("patch"));
    api.patch_status(name, &PatchParams::default(), &removal).await.expect("wiped");
}

#[tokio::test]
async fn an_idle_operator_writes_nothing_for_a_minute() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "steady").await;
    let operator = world.operator(&[]);
    subscribe(&account).await;
    let globex = account.account("globex");
    subscribe(&globex).await;
    report(&account, "gw-1").await;
    buy(&account, "top-up").await;
    let spec = json!({"subscriptionRef": {"name": "missing"}, "pack": "plus-100"});
    account.create::<CreditPack>("waiting", spec).await;
    account.status("/status/thisPeriod/consumed", "100").await;
    account.status("/status/packs/used", 1).await;
    account.expect::<CreditPack>("waiting", "/status/observedGeneration", 1).await;
    let before = versions(&account).await;
    assert_eq!(before.len(), 2 + 2 + 1 + 2, "{before:?}");
    // The only wait for a fixed time: the test is about the absence of writes.
    let minute = std::time::Duration::from_mins(1);
    tokio::time::sleep(minute).await;
    assert_eq!(versions(&account).await, before, "objects written in a steady state");
    drop(operator);
    let second = world.operator(&[]);
    report(&globex, "gw-2").await;
    let after = versions(&account).await;
    let written: Vec<_> = before.iter().filter(|version| !after.contains(version)).collect();
    assert!(
        written.iter().all(|version| version.contains("globex")),
        "a restarted operator wrote {written:?}"
    );
    drop(second);
}

#[tokio::test]
async fn each_change_has_one_event() {
    let account = ClusterAccount::without_subscription(shared().await, "events").await;
    subscribe(&account).await;
    for name in ["a", "b", "c", "d"] {
        account.buy(name, "plus-100").await;
    }
    account.state_is::<CreditPack>("d", "Refused").await;
    let events = wait_for("the refusal has an Event", async || {
        let output = account.kubectl(&["get", "events", "-o", "json"], None).await;
        let events: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let events = events["items"].as_array().cloned().unwrap_or_default();
        let of = |reason: &str| {
            let same = |event: &&Value| event["reason"] == reason;
            events.iter().filter(same).cloned().collect::<Vec<Value>>()
        };
        let refused = of("PackLimitReached");
        (!refused.is_empty()).then_some(refused)
    })
    .await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["type"], "Warning");
    assert_eq!(events[0]["involvedObject"]["name"], "d");
    assert!(
        events[0]["message"].as_str().is_some_and(|message| message.contains("used 3 of 3")),
        "{events:#?}"
    );
}

/// Returns kind, name and version of every object of this product.
async fn versions(account: &ClusterAccount<'_>) -> Vec<String> {
    let mut all = of_kind::<Subscription>(account).await;
    all.extend(of_kind::<CreditLedger>(account).await);
    all.extend(of_kind::<UsageReport>(account).await);
    all.extend(of_kind::<CreditPack>(account).await);
    all.extend(of_kind::<Payment>(account).await);
    all.extend(of_kind::<CreditAdjustment>(account).await);
    all
}

async fn of_kind<K: Kind>(account: &ClusterAccount<'_>) -> Vec<String> {
    let objects = account.api::<K>().list(&ListParams::default()).await.expect("list");
    let version = |object: &K| {
        format!("{} {} {}", K::kind(&()), object.name_any(), object.resource_version().unwrap_or_default())
    };
    objects.items.iter().map(version).collect()
}
