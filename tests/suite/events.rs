//! Events on a real control plane: each occurrence gives one Event, however often the operator reconciles or restarts.

use std::collections::BTreeMap;

use flashgate_api::{Subscription, UsageReport};
use flashgate_testing::Action;
use flashgate_testing::action::UsageLine;
use flashgate_testing::catalog::{monthly, yearly};
use serde_json::{Value, json};

use crate::cluster_account::{ClusterAccount, LONG_AGO, now, seconds};
use crate::world::{Namespace, World, wait_until};

/// Events by reason and object, with their type and count.
type EventCounts = BTreeMap<(String, String, String), u64>;

/// Returns the Events of a namespace, with the counts of their series.
async fn event_counts(namespace: &Namespace<'_>) -> EventCounts {
    let listed = namespace.kubectl(&["get", "events.events.k8s.io", "-o", "json"], None).await;
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let mut counts = EventCounts::new();
    for event in listed["items"].as_array().expect("items") {
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = format!("{}/{}", text("/regarding/kind"), text("/regarding/name"));
        let count = event.pointer("/series/count").and_then(Value::as_u64).unwrap_or(1);
        *counts.entry((object, text("/type"), text("/reason"))).or_default() += count;
    }
    counts
}

/// Waits until an Event has this count.
async fn wait_for_event(namespace: &Namespace<'_>, object: &str, kind: &str, reason: &str, count: u64) {
    let key = (object.to_owned(), kind.to_owned(), reason.to_owned());
    wait_until(&format!("{object} has {count} Events {kind}/{reason}"), async || {
        event_counts(namespace).await.get(&key).copied().unwrap_or_default() == count
    })
    .await;
}

/// Subscribes to a plan.
async fn account<'a>(namespace: &Namespace<'a>, name: &str, plan: &str) -> ClusterAccount<'a> {
    let account = namespace.account(name);
    account.subscribe(monthly(plan), Some(LONG_AGO)).await;
    account
}

/// Subscribes to a plan that the catalog has.
async fn account_in_force<'a>(namespace: &Namespace<'a>, name: &str, plan: &str) -> ClusterAccount<'a> {
    let account = account(namespace, name, plan).await;
    account.reason_is::<Subscription>(name, "InForce").await;
    account
}

/// Changes the thresholds of an account.
async fn edit_thresholds(account: &ClusterAccount<'_>) {
    account.patch(json!({"spec": {"alertThresholdsPercent": [50]}})).await;
}

/// Reports usage of the last minute, by a source of its own.
async fn report(account: &ClusterAccount<'_>, name: &str, operation: &str, quantity: &str) {
    let usage = vec![UsageLine::new("Public", operation, quantity)];
    account.report_from(name, name, seconds(now() - 60, 60), usage).await;
}

/// Asks for what the catalog does not have, and for less.
async fn request_unavailable_plans(namespace: &Namespace<'_>) {
    let unknown = account(namespace, "unknown", "gold").await;
    wait_for_event(namespace, "Subscription/unknown", "Warning", "PlanNotFound", 1).await;
    unknown.edit(monthly("silver")).await;
    wait_for_event(namespace, "Subscription/unknown", "Warning", "PlanNotFound", 2).await;
    edit_thresholds(&unknown).await;
    let individual = account_in_force(namespace, "yearly", "individual").await;
    individual.edit(yearly("individual")).await;
    wait_for_event(namespace, "Subscription/yearly", "Warning", "BillingPeriodNotOffered", 1).await;
    let less = account_in_force(namespace, "less", "growth").await;
    less.edit(monthly("starter")).await;
    wait_for_event(namespace, "Subscription/less", "Normal", "ChangePending", 1).await;
}

/// Deletes one ledger and overwrites another.
async fn damage_ledgers(namespace: &Namespace<'_>) {
    let missing = account_in_force(namespace, "missing", "starter").await;
    let tampered = account_in_force(namespace, "tampered", "starter").await;
    missing.delete("CreditLedger", "missing").await;
    wait_for_event(namespace, "Subscription/missing", "Warning", "LedgerMissing", 1).await;
    tampered.tamper().await;
    wait_for_event(namespace, "Subscription/tampered", "Warning", "LedgerInconsistent", 1).await;
}

/// Reports usage without a rate, uses more than the balance, and lets another Subscription resume the account.
async fn exceed_credits_and_resume(namespace: &Namespace<'_>) {
    let owing = account_in_force(namespace, "owing", "organization-free").await;
    report(&owing, "unheard", "Unheard", "1").await;
    owing.report_is("unheard", "Rejected").await;
    wait_for_event(namespace, "UsageReport/unheard", "Warning", "UnknownRate", 1).await;
    report(&owing, "much", "StorageEgress", "5G").await;
    owing.status("/status/credits/debt", "10").await;
    owing.apply(Action::Unsubscribe).await;
    owing.subscribe(monthly("organization-free"), Some(LONG_AGO)).await;
    owing.status("/status/credits/debt", "10").await;
    wait_for_event(namespace, "Subscription/owing", "Warning", "Resumed", 1).await;
}

#[tokio::test]
async fn each_occurrence_has_one_event_regardless_of_restarts() {
    let world = World::start().await;
    let namespace = world.namespace("counts").await;
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
        report(&namespace.account(name), &done, "TokensOut", "1").await;
        namespace.state_is::<UsageReport>(&done, "Charged").await;
    }
    // The frozen accounts write nothing, but their conditions follow an edit.
    for name in ["missing", "tampered"] {
        edit_thresholds(&namespace.account(name)).await;
        namespace.expect::<Subscription>(name, "/status/observedGeneration", 2).await;
    }
    assert_eq!(event_counts(&namespace).await, before);
}
