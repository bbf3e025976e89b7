//! The protocol: what survives deletion, loss of every status, and a quiet minute.

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use flashgate_cluster::Kind;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::suite::installed::shared;
use crate::world::{Namespace, World, wait_for, wait_while};

async fn account(namespace: &Namespace<'_>, name: &str) {
    let spec = json!({"plan": "starter", "startTime": "2026-01-01T00:00:00Z"});
    namespace.create::<Subscription>(name, spec).await;
    namespace.expect::<Subscription>(name, "/status/credits/balance", "1100").await;
}

async fn report(namespace: &Namespace<'_>, account: &str, name: &str) {
    let end = flashgate_cluster::clock::Clock::system().now();
    let start = end - jiff::SignedDuration::from_hours(1);
    let spec = json!({
        "subscriptionRef": {"name": account}, "source": name,
        "window": {"startTime": start.to_string(), "endTime": end.to_string()},
        "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "10G"}],
    });
    namespace.create::<UsageReport>(name, spec).await;
    namespace.state_is::<UsageReport>(name, "Charged").await;
}

async fn buy(namespace: &Namespace<'_>, account: &str, name: &str) {
    let spec = json!({"subscriptionRef": {"name": account}, "pack": "plus-100"});
    namespace.create::<CreditPack>(name, spec).await;
    namespace.state_is::<CreditPack>(name, "Granted").await;
}

#[tokio::test]
async fn a_subscription_that_is_deleted_and_created_again_has_the_same_balance() {
    let namespace = shared().await.namespace("recreated").await;
    account(&namespace, "acme").await;
    report(&namespace, "acme", "gw-1").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1000").await;
    let api = namespace.api::<Subscription>();
    for _ in 0..3 {
        api.delete("acme", &DeleteParams::default()).await.expect("deleted");
        let spec = json!({"plan": "starter"});
        wait_while("the Subscription is gone", async || api.get_opt("acme").await.expect("read")).await;
        namespace.create::<Subscription>("acme", spec).await;
        namespace.expect::<Subscription>("acme", "/status/credits/balance", "1000").await;
        namespace.expect::<Subscription>("acme", "/status/period/number", 11).await;
    }
}

#[tokio::test]
async fn a_plan_that_was_changed_and_changed_back_unseen_grants_and_invoices_nothing() {
    let world = World::start().await;
    let namespace = world.namespace("unseen").await;
    let operator = world.operator(&[]);
    account(&namespace, "acme").await;
    namespace.expect::<Subscription>("acme", "/status/ledger/sequence", 1).await;
    let before = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    operator.suspend();
    for plan in ["growth", "starter"] {
        let change = Patch::Merge(json!({"spec": {"plan": plan}}));
        let api = namespace.api::<Subscription>();
        api.patch("acme", &PatchParams::default(), &change).await.expect("changed");
    }
    operator.resume();
    namespace.expect::<Subscription>("acme", "/status/observedGeneration", 3).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    namespace.expect::<Subscription>("acme", "/status/plan", "starter").await;
    let after = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    for field in ["totals", "invoices", "nextInvoice", "period"] {
        let pointer = format!("/spec/{field}");
        assert!(before.pointer(&pointer).is_some(), "{field}");
        assert_eq!(before.pointer(&pointer), after.pointer(&pointer), "{field}");
    }
}

/// An account that is paid from outside, with one object of each kind that has its verdict.
struct Settled<'a> {
    namespace: Namespace<'a>,
    totals: Value,
}

impl<'a> Settled<'a> {
    async fn begin(world: &'a World) -> Self {
        let namespace = world.namespace("settled").await;
        namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
        pay(&namespace, "paid", 0, "100").await;
        let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
        namespace.create::<CreditPack>("top-up", spec).await;
        pay(&namespace, "paid-pack", 1, "20").await;
        namespace.state_is::<CreditPack>("top-up", "Granted").await;
        let spec = json!({"subscriptionRef": {"name": "acme"}, "credits": "10", "reason": "a test"});
        namespace.create::<CreditAdjustment>("goodwill", spec).await;
        namespace.state_is::<CreditAdjustment>("goodwill", "Granted").await;
        // It is charged at its end, which is soon.
        let start = flashgate_cluster::clock::Clock::system().now() + jiff::SignedDuration::from_secs(1);
        let end = start + jiff::SignedDuration::from_secs(1);
        let spec = json!({
            "subscriptionRef": {"name": "acme"}, "source": "gw",
            "window": {"startTime": start.to_string(), "endTime": end.to_string()},
            "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"}],
        });
        namespace.create::<UsageReport>("gw", spec).await;
        namespace.state_is::<UsageReport>("gw", "Charged").await;
        namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
        let ledger = namespace.get::<CreditLedger>("acme").await.expect("ledger");
        Self { namespace, totals: ledger["spec"]["totals"].clone() }
    }

    /// Deletes an object and creates one of the same name and spec.
    async fn recreate<K: Kind>(&self, name: &str) {
        let object = self.namespace.get::<K>(name).await.expect("object");
        self.namespace.api::<K>().delete(name, &DeleteParams::default()).await.expect("deleted");
        let read = async || self.namespace.get::<K>(name).await;
        wait_while("the object is gone", read).await;
        self.namespace.create::<K>(name, object["spec"].clone()).await;
    }

    /// Every name shows what became of it, and no credit moved.
    async fn is_as_before(&self) {
        let Self { namespace, totals } = self;
        for name in ["paid", "paid-pack"] {
            namespace.state_is::<Payment>(name, "Applied").await;
        }
        namespace.state_is::<CreditPack>("top-up", "Granted").await;
        namespace.state_is::<CreditAdjustment>("goodwill", "Granted").await;
        // Its window was charged by a report that was deleted.
        namespace.state_is::<UsageReport>("gw", "Rejected").await;
        namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
        namespace.expect::<Subscription>("acme", "/status/observedGeneration", 1).await;
        let ledger = namespace.get::<CreditLedger>("acme").await.expect("ledger");
        assert_eq!(ledger["spec"]["totals"], *totals);
    }
}

/// Settles the `index`th invoice once it is open.
async fn pay(namespace: &Namespace<'_>, name: &str, index: usize, amount: &str) {
    let invoice = format!("/status/invoices/{index}");
    namespace.expect::<Subscription>("acme", &format!("{invoice}/state"), "Open").await;
    let account = namespace.get::<Subscription>("acme").await.expect("account");
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "invoice": account.pointer(&format!("{invoice}/number")),
        "state": "Settled", "amount": amount, "currency": "USD",
    });
    namespace.create::<Payment>(name, spec).await;
    namespace.state_is::<Payment>(name, "Applied").await;
}

#[tokio::test]
async fn an_object_of_any_kind_that_is_created_again_shows_its_verdict_and_moves_no_credit() {
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
async fn case_19_all_statuses_wiped_come_back_without_a_commit() {
    let namespace = shared().await.namespace("wiped").await;
    account(&namespace, "acme").await;
    report(&namespace, "acme", "gw-1").await;
    buy(&namespace, "acme", "top-up").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    // One report more: its commit drops the first one's receipt, so the first is charged long ago.
    report(&namespace, "acme", "gw-2").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1000").await;
    let subscription = namespace.get::<Subscription>("acme").await.expect("subscription");
    let pack = namespace.get::<CreditPack>("top-up").await.expect("pack");
    let ledger = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    wipe::<Subscription>(&namespace, "acme").await;
    wipe::<CreditPack>(&namespace, "top-up").await;
    wipe::<UsageReport>(&namespace, "gw-1").await;
    namespace.state_is::<UsageReport>("gw-1", "Rejected").await;
    namespace.state_is::<CreditPack>("top-up", "Granted").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1000").await;
    let report = namespace.get::<UsageReport>("gw-1").await.expect("report");
    assert!(report.to_string().contains("DuplicateWindow"), "{report:#}");
    let same = |before: &Value, after: &Value, fields: &[&str]| {
        for field in fields {
            let pointer = format!("/status/{field}");
            assert_eq!(before.pointer(&pointer), after.pointer(&pointer), "{field}");
        }
    };
    let shown = namespace.get::<Subscription>("acme").await.expect("subscription");
    same(&subscription, &shown, &["plan", "period", "credits", "thisPeriod", "packs", "invoices", "ledger"]);
    let shown = namespace.get::<CreditPack>("top-up").await.expect("pack");
    same(&pack, &shown, &["state", "credits", "price", "invoice", "grantTime"]);
    let after = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger.pointer("/spec"), after.pointer("/spec"), "no new commit");
}

/// Removes the whole status, as a backup that does not hold it would.
async fn wipe<K: Kind>(namespace: &Namespace<'_>, name: &str) {
    let api: Api<K> = namespace.api();
    let removal = json!([{"op": "remove", "path": "/status"}]);
    let removal: Patch<()> = Patch::Json(serde_json::from_value(removal).expect("patch"));
    api.patch_status(name, &PatchParams::default(), &removal).await.expect("wiped");
}

#[tokio::test]
async fn a_steady_state_makes_no_write_for_a_minute() {
    let world = World::start().await;
    let namespace = world.namespace("steady").await;
    let operator = world.operator(&[]);
    account(&namespace, "acme").await;
    account(&namespace, "globex").await;
    report(&namespace, "acme", "gw-1").await;
    buy(&namespace, "acme", "top-up").await;
    let spec = json!({"subscriptionRef": {"name": "missing"}, "pack": "plus-100"});
    namespace.create::<CreditPack>("waiting", spec).await;
    namespace.expect::<Subscription>("acme", "/status/thisPeriod/consumed", "100").await;
    namespace.expect::<Subscription>("acme", "/status/packs/used", 1).await;
    wait_for("the waiting pack is seen", async || {
        let pack = namespace.get::<CreditPack>("waiting").await?;
        (pack.pointer("/status/observedGeneration") == Some(&json!(1))).then_some(())
    })
    .await;
    let before = versions(&namespace).await;
    assert_eq!(before.len(), 2 + 2 + 1 + 2, "{before:?}");
    // The one wait that is on time: this is about what does not happen meanwhile.
    let minute = std::time::Duration::from_secs(60);
    tokio::time::sleep(minute).await;
    assert_eq!(versions(&namespace).await, before, "objects written in a steady state");
    drop(operator);
    let second = world.operator(&[]);
    report(&namespace, "globex", "gw-2").await;
    let after = versions(&namespace).await;
    let written: Vec<_> = before.iter().filter(|version| !after.contains(version)).collect();
    assert!(written.iter().all(|version| version.contains("globex")), "a second start wrote {written:?}");
    drop(second);
}

#[tokio::test]
async fn what_changes_is_told_by_events_once() {
    let namespace = shared().await.namespace("events").await;
    account(&namespace, "acme").await;
    for name in ["a", "b", "c", "d"] {
        let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
        namespace.create::<CreditPack>(name, spec).await;
    }
    namespace.state_is::<CreditPack>("d", "Refused").await;
    let told = wait_for("the refusal has an Event", async || {
        let output = namespace.kubectl(&["get", "events", "-o", "json"], None).await;
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
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["type"], "Warning");
    assert_eq!(told[0]["involvedObject"]["name"], "d");
    assert!(told[0]["message"].as_str().is_some_and(|message| message.contains("used 3 of 3")), "{told:#?}");
}

/// Returns kind, name and version of every object of this product.
async fn versions(namespace: &Namespace<'_>) -> Vec<String> {
    let mut all = of_kind::<Subscription>(namespace).await;
    all.extend(of_kind::<CreditLedger>(namespace).await);
    all.extend(of_kind::<UsageReport>(namespace).await);
    all.extend(of_kind::<CreditPack>(namespace).await);
    all.extend(of_kind::<Payment>(namespace).await);
    all.extend(of_kind::<CreditAdjustment>(namespace).await);
    all
}

async fn of_kind<K: Kind>(namespace: &Namespace<'_>) -> Vec<String> {
    let objects = namespace.api::<K>().list(&ListParams::default()).await.expect("list");
    let version = |object: &K| {
        format!("{} {} {}", K::kind(&()), object.name_any(), object.resource_version().unwrap_or_default())
    };
    objects.items.iter().map(version).collect()
}
