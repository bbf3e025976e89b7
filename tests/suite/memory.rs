//! Hundreds of objects of the maximum size: the operator stays below the chart's memory limit.

use std::time::Duration;

use flashgate_api::{Subscription, UsageReport};
use flashgate_cluster::Kind;
use flashgate_control_plane::ControlPlane;
use flashgate_testing::catalog::monthly;
use futures::StreamExt as _;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::cluster_account::ClusterAccount;
use crate::world::{Namespace, Operator, World, eventually, root};

/// Reports with as many lines and labels as admission accepts, about 590 KB each.
const REPORTS: usize = 100;

/// Subscriptions with as many annotations as the API server accepts, 250 KiB each.
const SUBSCRIPTIONS: usize = 1_000;

/// Longest time to wait for the operator. It reads 300 MB of JSON in a debug build, beside other tests.
const PATIENCE: Duration = Duration::from_mins(10);

/// Number of objects created in parallel.
const AT_ONCE: usize = 8;

/// Returns the chart's memory limit in KiB.
fn limit_kib() -> u64 {
    let values =
        std::fs::read_to_string(root().join("charts/flashgate-billing/values.yaml")).expect("values");
    let values: Value = serde_yaml::from_str(&values).expect("YAML");
    let limit = values.pointer("/resources/limits/memory").and_then(Value::as_str).expect("limit");
    limit.strip_suffix("Mi").expect("MiB").parse::<u64>().expect("number") * 1_024
}

/// Returns a report with a thousand lines, each with four labels of the maximum length. Its account does not
/// exist, so the report stays pending.
fn fat_report(index: usize) -> Value {
    let labels: serde_json::Map<String, Value> =
        (0..4).map(|label| (format!("{label}{}", "n".repeat(62)), json!("v".repeat(63)))).collect();
    let line = json!({
        "nodeType": "Public", "operation": "StorageEgress", "quantity": "100M", "labels": labels,
    });
    let now = flashgate_cluster::clock::Clock::system().now();
    let start = now - jiff::SignedDuration::from_hours(1);
    json!({
        "subscriptionRef": {"name": "does-not-exist"}, "source": format!("gw-{index}"),
        "window": {"startTime": start.to_string(), "endTime": now.to_string()},
        "usage": vec![line; 1_000],
    })
}

/// Creates an object. The API server may have created it although its answer did not come in time.
async fn create<K: Kind>(namespace: &Namespace<'_>, metadata: &Value, spec: &Value) {
    let object = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata, "spec": spec,
    });
    let object: K = serde_json::from_value(object).expect("object");
    match namespace.api().create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        created => drop(created.expect("created")),
    }
}

async fn flood(namespace: &Namespace<'_>) {
    let reports = futures::stream::iter(0..REPORTS).map(|index| async move {
        let name = json!({"name": format!("fat-{index}")});
        create::<UsageReport>(namespace, &name, &fat_report(index)).await;
    });
    reports.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let note = &"x".repeat(250 * 1_024);
    let subscriptions = futures::stream::iter(0..SUBSCRIPTIONS).map(|index| async move {
        let metadata = json!({"name": format!("fat-{index}"), "annotations": {"example.com/note": note}});
        create::<Subscription>(namespace, &metadata, &json!({"plan": "individual"})).await;
    });
    subscriptions.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// Waits until the operator has seen all pending reports and Subscriptions.
async fn wait_until_all_are_seen(operator: &Operator) {
    let sum_of = |text: &str, name: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let has_seen = async || {
        let (_, text) = operator.get("/metrics")?;
        let reports = sum_of(&text, r#"flashgate_billing_pending_objects{kind="UsageReport"}"#);
        let subscriptions = sum_of(&text, "flashgate_billing_subscriptions{");
        let expected = u32::try_from(REPORTS + SUBSCRIPTIONS).expect("count");
        (reports + subscriptions >= f64::from(expected)).then_some(())
    };
    eventually("the operator has seen all objects", has_seen).within(PATIENCE).await_some().await;
}

/// Waits until the Subscription of an account shows a balance. All others are reconciled before it.
async fn wait_for_balance(account: &ClusterAccount<'_>, balance: &str) {
    let has_balance = async || {
        let subscription = account.get::<Subscription>("acme").await?;
        (subscription.pointer("/status/credits/balance")? == balance).then_some(())
    };
    eventually(&format!("the balance is {balance}"), has_balance).within(PATIENCE).await_some().await;
}

#[tokio::test]
async fn hundreds_of_the_largest_objects_keep_the_operator_below_the_charts_memory_limit() {
    // etcd keeps several versions of each object until it is compacted.
    let builder = ControlPlane::builder().etcd_flag("--quota-backend-bytes=8589934592");
    let world = World::start_with_builder(builder).await.with_definitions().await;
    flood(&world.namespace("flooded").await).await;
    let quiet = ClusterAccount::subscribed_long_ago(&world, "quiet", monthly("starter")).await;
    let operator = world.operator(&["--metrics-addr", "127.0.0.1:0"]);
    wait_until_all_are_seen(&operator).await;
    wait_for_balance(&quiet, "1100").await;
    let mut report = fat_report(REPORTS);
    report["subscriptionRef"]["name"] = json!("acme");
    quiet.create::<UsageReport>("gw", report).await;
    wait_for_balance(&quiet, "100").await;
    quiet.state_is::<UsageReport>("gw", "Charged").await;
    let (peak, limit) = (operator.peak_memory_kib(), limit_kib());
    println!("peak {peak} KiB of {limit} KiB");
    assert!(!operator.has_stopped());
    assert!(peak < limit * 3 / 4, "{peak} KiB at the peak; the limit is {limit} KiB");
}
