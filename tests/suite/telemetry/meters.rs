//! Causes the alerts about meters.

use std::net::SocketAddr;

use flashgate_testing::catalog::monthly;
use flashgate_testing::values::{HOUR, at};
use serde_json::{Value, json};

use super::causes::Scene;
use crate::cluster_account::{ClusterAccount, LONG_AGO, now};
use crate::suite::meter::{create_meter, spec};
use crate::world::{Namespace, Operator, World};

/// Starts a meter that reads from the Prometheus that scrapes it, and can name a server that does not exist.
pub fn start(world: &World, metrics: SocketAddr, url: &str) -> Operator {
    let (metrics, server) = (metrics.to_string(), format!("default={url}"));
    let arguments = ["--metrics-addr", &metrics, "--prometheus", &server, "broken=http://127.0.0.1:1"];
    let log = std::fs::File::create(world.plane.folder().join("meter.log")).expect("log");
    Operator::start_command("meter", &world.plane.kubeconfig(), &arguments, &[], log.into())
}

/// Creates meters, each of which causes an alert.
pub async fn cause_alerts(scene: &Scene<'_>) {
    let metered = ClusterAccount::without_subscription(scene.world, "metered").await;
    // No operator bills this namespace, and the meter needs only the Subscription.
    metered.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let hours_ago = |hours: i64| at(now() - hours * HOUR).to_string();
    create(&metered, "lagging", json!({"prometheus": "broken", "startTime": hours_ago(5)})).await;
    create(&metered, "unmatched", json!({"account": {"label": "pod"}})).await;
    // The tenants of this scene, by a metric that has their names. No rate of the catalog is for teleportation.
    let usage = json!({"nodeType": {"value": "Public"}, "operation": {"value": "Teleport"}});
    let rejected = json!({
        "counter": "flashgate_billing_period_credits_consumed", "account": {"label": "account"}, "usage": usage,
        "startTime": hours_ago(1), "window": {"length": "1m"},
    });
    create(&scene.tenants, "rejected", rejected).await;
}

async fn create(namespace: &Namespace<'_>, name: &str, change: Value) {
    let changed = spec(|spec| {
        spec["counter"] = "flashgate_billing_commits_total".into();
        spec.as_object_mut().expect("spec").extend(change.as_object().expect("change").clone());
    });
    create_meter(namespace, name, changed).await.expect("created");
}
