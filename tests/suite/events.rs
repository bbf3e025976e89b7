//! Events on a real control plane: each occurrence gives one, however often the operator looks, and starts.

use std::collections::BTreeMap;

use flashgate_api::{CreditLedger, Subscription, UsageReport};
use flashgate_cluster::clock::Clock;
use jiff::SignedDuration;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::world::{Namespace, World, wait_until};

/// Events of one reason about one object: their type, and how often the occurrence was told.
type Told = BTreeMap<(String, String, String), u64>;

/// Returns the Events of a namespace; those of a series count as often as the series says.
async fn told(namespace: &Namespace<'_>) -> Told {
    let listed = namespace.kubectl(&["get", "events.events.k8s.io", "-o", "json"], None).await;
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let mut told = Told::new();
    for event in listed["items"].as_array().expect("items") {
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = format!("{}/{}", text("/regarding/kind"), text("/regarding/name"));
        let count = event.pointer("/series/count").and_then(Value::as_u64).unwrap_or(1);
        *told.entry((object, text("/type"), text("/reason"))).or_default() += count;
    }
    told
}

/// Waits until an occurrence was told that often.
async fn is_told(namespace: &Namespace<'_>, object: &str, kind: &str, reason: &str, count: u64) {
    let key = (object.to_owned(), kind.to_owned(), reason.to_owned());
    wait_until(&format!("{object} has {count} Events {kind}/{reason}"), async || {
        told(namespace).await.get(&key).copied().unwrap_or_default() == count
    })
    .await;
}

async fn account(namespace: &Namespace<'_>, name: &str, plan: &str) {
    let spec = json!({"plan": plan, "startTime": "2026-01-01T00:00:00Z"});
    namespace.create::<Subscription>(name, spec).await;
}

async fn ask(namespace: &Namespace<'_>, name: &str, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    namespace.api::<Subscription>().patch(name, &PatchParams::default(), &patch).await.expect("patched");
}

/// Reports usage of the last minute, by a source of its own.
async fn report(namespace: &Namespace<'_>, name: &str, account: &str, operation: &str, quantity: &str) {
    let end = Clock::system().now();
    let start = end - SignedDuration::from_secs(60);
    let spec = json!({
        "subscriptionRef": {"name": account}, "source": name,
        "window": {"startTime": start.to_string(), "endTime": end.to_string()},
        "usage": [{"nodeType": "Public", "operation": operation, "quantity": quantity}],
    });
    namespace.create::<UsageReport>(name, spec).await;
}

/// Asks for what the catalog does not have, and for less.
async fn ask_for_what_cannot_be(namespace: &Namespace<'_>) {
    account(namespace, "unknown", "gold").await;
    is_told(namespace, "Subscription/unknown", "Warning", "PlanNotFound", 1).await;
    ask(namespace, "unknown", json!({"plan": "silver"})).await;
    is_told(namespace, "Subscription/unknown", "Warning", "PlanNotFound", 2).await;
    ask(namespace, "unknown", json!({"alertThresholdsPercent": [50]})).await;
    account(namespace, "yearly", "individual").await;
    namespace.reason_is::<Subscription>("yearly", "InForce").await;
    ask(namespace, "yearly", json!({"billingPeriod": "Yearly"})).await;
    is_told(namespace, "Subscription/yearly", "Warning", "BillingPeriodNotOffered", 1).await;
    account(namespace, "less", "growth").await;
    namespace.reason_is::<Subscription>("less", "InForce").await;
    ask(namespace, "less", json!({"plan": "starter"})).await;
    is_told(namespace, "Subscription/less", "Normal", "ChangePending", 1).await;
}

/// Takes one ledger away and writes over another.
async fn damage_ledgers(namespace: &Namespace<'_>) {
    for name in ["missing", "tampered"] {
        account(namespace, name, "starter").await;
        namespace.reason_is::<Subscription>(name, "InForce").await;
    }
    let ledgers = namespace.api::<CreditLedger>();
    ledgers.delete("missing", &DeleteParams::default()).await.expect("deleted");
    is_told(namespace, "Subscription/missing", "Warning", "LedgerMissing", 1).await;
    let mut tampered = ledgers.get("tampered").await.expect("ledger");
    tampered.spec.sequence += 1;
    tampered.spec.hash = "0".repeat(64);
    ledgers.replace("tampered", &PostParams::default(), &tampered).await.expect("written");
    is_told(namespace, "Subscription/tampered", "Warning", "LedgerInconsistent", 1).await;
}

/// Reports what has no rate, uses more than there is, and lets another Subscription resume the account.
async fn owe_and_come_back(namespace: &Namespace<'_>) {
    account(namespace, "owing", "organization-free").await;
    namespace.reason_is::<Subscription>("owing", "InForce").await;
    report(namespace, "unheard", "owing", "Unheard", "1").await;
    namespace.state_is::<UsageReport>("unheard", "Rejected").await;
    is_told(namespace, "UsageReport/unheard", "Warning", "UnknownRate", 1).await;
    report(namespace, "much", "owing", "StorageEgress", "5G").await;
    namespace.expect::<Subscription>("owing", "/status/credits/debt", "10").await;
    let subscriptions = namespace.api::<Subscription>();
    subscriptions.delete("owing", &DeleteParams::default()).await.expect("deleted");
    wait_until("it is gone", async || subscriptions.get_opt("owing").await.expect("read").is_none()).await;
    account(namespace, "owing", "organization-free").await;
    namespace.expect::<Subscription>("owing", "/status/credits/debt", "10").await;
    is_told(namespace, "Subscription/owing", "Warning", "Resumed", 1).await;
}

#[tokio::test]
async fn each_occurrence_is_told_by_one_event_however_often_the_operator_starts() {
    let world = World::start().await;
    let namespace = world.namespace("told").await;
    let operator = world.operator(&[]);
    ask_for_what_cannot_be(&namespace).await;
    damage_ledgers(&namespace).await;
    owe_and_come_back(&namespace).await;
    let before = told(&namespace).await;
    operator.terminate().await;
    let _second = world.operator(&[]);
    // It has seen all accounts when each has done something more.
    for name in ["unknown", "yearly", "less", "owing"] {
        let done = format!("{name}-done");
        report(&namespace, &done, name, "TokensOut", "1").await;
        namespace.state_is::<UsageReport>(&done, "Charged").await;
    }
    // Those that are stuck do nothing, but conditions follow an edit.
    for name in ["missing", "tampered"] {
        ask(&namespace, name, json!({"alertThresholdsPercent": [50]})).await;
        namespace.expect::<Subscription>(name, "/status/observedGeneration", 2).await;
    }
    assert_eq!(told(&namespace).await, before);
}
