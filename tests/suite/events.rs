//! Events on a real control plane: one Event for each occurrence, regardless of reconciles and restarts.

use std::collections::BTreeMap;

use flashgate_api::{CreditLedger, Subscription, UsageReport};
use flashgate_cluster::clock::Clock;
use jiff::SignedDuration;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::suite::accounts::{create_account, usage};
use crate::suite::trouble::reason_is;
use crate::world::{Namespace, World, eventually};

/// Events by reason and object, with their type and count.
type EventCounts = BTreeMap<(String, String, String), u64>;

/// Returns the Events of a namespace, with the counts of their series.
async fn event_counts(namespace: &Namespace<'_>) -> EventCounts {
    let listed = namespace.kubectl(&["get", "events.events.k8s.io", "-o", "json"], None).await;
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let mut told = EventCounts::new();
    for event in listed["items"].as_array().expect("items") {
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = format!("{}/{}", text("/regarding/kind"), text("/regarding/name"));
        let count = event.pointer("/series/count").and_then(Value::as_u64).unwrap_or(1);
        *told.entry((object, text("/type"), text("/reason"))).or_default() += count;
    }
    told
}

/// Waits until an Event has this count.
async fn wait_for_event(namespace: &Namespace<'_>, object: &str, kind: &str, reason: &str, count: u64) {
    let key = (object.to_owned(), kind.to_owned(), reason.to_owned());
    eventually(&format!("{object} has {count} Events {kind}/{reason}"), async || {
        (event_counts(namespace).await.get(&key).copied().unwrap_or_default() == count).then_some(())
    })
    .await_some()
    .await;
}

async fn ask(namespace: &Namespace<'_>, name: &str, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    namespace.api::<Subscription>().patch(name, &PatchParams::default(), &patch).await.expect("patched");
}

/// Reports usage of the last minute, with its own source.
async fn report(namespace: &Namespace<'_>, name: &str, account: &str, operation: &str, quantity: &str) {
    let end = Clock::system().now();
    let window = [end - SignedDuration::from_secs(60), end];
    let spec = usage(account, name, window, operation, quantity);
    namespace.create::<UsageReport>(name, spec).await;
}

/// Requests things that the catalog does not have, and a downgrade.
async fn request_unavailable_plans(namespace: &Namespace<'_>) {
    create_account(namespace, "unknown", "gold").await;
    wait_for_event(namespace, "Subscription/unknown", "Warning", "PlanNotFound", 1).await;
    ask(namespace, "unknown", json!({"plan": "silver"})).await;
    wait_for_event(namespace, "Subscription/unknown", "Warning", "PlanNotFound", 2).await;
    ask(namespace, "unknown", json!({"alertThresholdsPercent": [50]})).await;
    create_account(namespace, "yearly", "individual").await;
    reason_is(namespace, "yearly", "InForce").await;
    ask(namespace, "yearly", json!({"billingPeriod": "Yearly"})).await;
    wait_for_event(namespace, "Subscription/yearly", "Warning", "BillingPeriodNotOffered", 1).await;
    create_account(namespace, "less", "growth").await;
    reason_is(namespace, "less", "InForce").await;
    ask(namespace, "less", json!({"plan": "starter"})).await;
    wait_for_event(namespace, "Subscription/less", "Normal", "ChangePending", 1).await;
}

/// Deletes one ledger and overwrites another.
async fn damage_ledgers(namespace: &Namespace<'_>) {
    for name in ["missing", "tampered"] {
        create_account(namespace, name, "starter").await;
        reason_is(namespace, name, "InForce").await;
    }
    let ledgers = namespace.api::<CreditLedger>();
    ledgers.delete("missing", &DeleteParams::default()).await.expect("deleted");
    wait_for_event(namespace, "Subscription/missing", "Warning", "LedgerMissing", 1).await;
    let mut tampered = ledgers.get("tampered").await.expect("ledger");
    tampered.spec.sequence += 1;
    tampered.spec.hash = "0".repeat(64);
    ledgers.replace("tampered", &PostParams::default(), &tampered).await.expect("written");
    wait_for_event(namespace, "Subscription/tampered", "Warning", "LedgerInconsistent", 1).await;
}

/// Reports usage without a rate, exceeds the credits, and resumes the account with a new Subscription.
async fn exceed_credits_and_resume(namespace: &Namespace<'_>) {
    create_account(namespace, "owing", "organization-free").await;
    reason_is(namespace, "owing", "InForce").await;
    report(namespace, "unheard", "owing", "Unheard", "1").await;
    namespace.expect::<UsageReport>("unheard", "/status/state", "Rejected").await;
    wait_for_event(namespace, "UsageReport/unheard", "Warning", "UnknownRate", 1).await;
    report(namespace, "much", "owing", "StorageEgress", "5G").await;
    namespace.expect::<Subscription>("owing", "/status/credits/debt", "10").await;
    let subscriptions = namespace.api::<Subscription>();
    subscriptions.delete("owing", &DeleteParams::default()).await.expect("deleted");
    eventually("the object is gone", async || {
        subscriptions.get_opt("owing").await.expect("read").is_none().then_some(())
    })
    .await_some()
    .await;
    create_account(namespace, "owing", "organization-free").await;
    namespace.expect::<Subscription>("owing", "/status/credits/debt", "10").await;
    wait_for_event(namespace, "Subscription/owing", "Warning", "Resumed", 1).await;
}

#[tokio::test]
async fn each_occurrence_has_one_event_regardless_of_restarts() {
    let world = World::start().await;
    let namespace = world.namespace("told").await;
    let operator = world.operator(&[]);
    request_unavailable_plans(&namespace).await;
    damage_ledgers(&namespace).await;
    exceed_credits_and_resume(&namespace).await;
    let before = event_counts(&namespace).await;
    operator.terminate().await;
    let _second = world.operator(&[]);
    // The operator has seen all accounts once each has another change.
    for name in ["unknown", "yearly", "less", "owing"] {
        let done = format!("{name}-done");
        report(&namespace, &done, name, "TokensOut", "1").await;
        namespace.expect::<UsageReport>(&done, "/status/state", "Charged").await;
    }
    // Those that are stuck do nothing, but conditions follow an edit.
    for name in ["missing", "tampered"] {
        ask(&namespace, name, json!({"alertThresholdsPercent": [50]})).await;
        namespace.expect::<Subscription>(name, "/status/observedGeneration", 2).await;
    }
    assert_eq!(event_counts(&namespace).await, before);
}
