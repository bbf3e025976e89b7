//! How an operator is run: what it sweeps, what it leaves alone, and what it says of itself.

use std::fs;

use flashgate_api::{CreditLedger, CreditPack, Subscription, UsageReport};
use serde_json::json;

use crate::world::{Namespace, Operator, World, wait_for, wait_until, wait_while};

async fn account(namespace: &Namespace<'_>) {
    let spec = json!({"plan": "starter", "startTime": "2026-01-01T00:00:00Z"});
    namespace.create::<Subscription>("acme", spec).await;
}

async fn report(namespace: &Namespace<'_>, name: &str, operation: &str) {
    let end = flashgate_cluster::clock::Clock::system().now();
    let start = end - jiff::SignedDuration::from_hours(1);
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "source": name,
        "window": {"startTime": start.to_string(), "endTime": end.to_string()},
        "usage": [{"nodeType": "Public", "operation": operation, "quantity": "1G"}],
    });
    namespace.create::<UsageReport>(name, spec).await;
}

#[tokio::test]
async fn reports_are_swept_some_time_after_their_verdict_and_stay_charged() {
    let world = World::start().await;
    let namespace = world.namespace("swept").await;
    let catalog = world.catalog_that_keeps_reports_for(2);
    account(&namespace).await;
    for name in ["a", "b", "c"] {
        report(&namespace, name, "StorageEgress").await;
    }
    report(&namespace, "unknown", "Teleport").await;
    let _operator = world.operator(&["--catalog", &catalog]);
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1070").await;
    wait_while("every report is gone", async || {
        let reports =
            namespace.api::<UsageReport>().list(&kube::api::ListParams::default()).await.expect("list");
        (!reports.items.is_empty()).then_some(())
    })
    .await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1070").await;
}

#[tokio::test]
async fn an_operator_of_one_namespace_leaves_the_others_alone() {
    let world = World::start().await;
    let (mine, other) = (world.namespace("mine").await, world.namespace("other").await);
    account(&other).await;
    let _operator = world.operator(&["--namespace", "mine"]);
    account(&mine).await;
    mine.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    assert!(other.get::<CreditLedger>("acme").await.is_none());
    other.expect::<Subscription>("acme", "/status/observedGeneration", -1).await;
}

#[tokio::test]
async fn an_operator_that_holds_writes_nothing_and_says_that_it_is_alive() {
    let world = World::start().await;
    let namespace = world.namespace("held").await;
    account(&namespace).await;
    let operator = world.operator(&["--hold", "--metrics-addr", "127.0.0.1:0", "--log-format", "json"]);
    wait_for("the port is open", async || operator.listening_port()).await;
    let get = |path: &str| operator.get(path).expect("an answer");
    assert_eq!(get("/healthz"), (200, "ok\n".to_owned()));
    wait_until("it is ready", async || get("/readyz").0 == 200).await;
    let (status, metrics) = get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("flashgate_billing_commits_total 0"), "{metrics}");
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
    assert!(namespace.get::<CreditLedger>("acme").await.is_none());
    namespace.expect::<Subscription>("acme", "/status/observedGeneration", -1).await;
}

#[tokio::test]
async fn a_catalog_with_a_mistake_stops_the_start_with_its_line() {
    let world = World::start().await;
    let file = world.plane.folder().join("wrong.yaml");
    fs::write(&file, "currency: USD\nplans:\n- name: starter\n  monthly: {credits: 1100}\n")
        .expect("catalog");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_flashgate-billing"))
        .args(["run", "--catalog"])
        .arg(&file)
        .env("KUBECONFIG", world.plane.kubeconfig())
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("wrong.yaml:4:22") && said.contains("must be"), "{said}");
}

#[tokio::test]
async fn a_catalog_that_is_broken_under_a_running_operator_changes_nothing_for_it() {
    let world = World::start().await;
    let namespace = world.namespace("broken-catalog").await;
    let file = world.plane.folder().join("catalog.yaml");
    let shipped = fs::read_to_string(crate::world::root().join("src/catalog/shipped.yaml")).expect("catalog");
    fs::write(&file, shipped).expect("catalog");
    let operator = world.operator(&["--catalog", &file.display().to_string()]);
    account(&namespace).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    fs::write(&file, "currency: USD\nplans: [\n").expect("catalog");
    let pack = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    namespace.create::<CreditPack>("order", pack).await;
    namespace.state_is::<CreditPack>("order", "Granted").await;
    namespace.expect::<CreditPack>("order", "/status/price", "20").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
    assert!(!operator.has_stopped());
}

#[tokio::test]
async fn what_is_logged_can_be_changed_while_it_runs_and_a_mistake_changes_nothing() {
    let world = World::start().await;
    let (filter, log) = (world.plane.folder().join("filter"), world.plane.folder().join("log"));
    fs::write(&filter, "error\n").expect("filter");
    let file = filter.display().to_string();
    let _operator = Operator::start_as(&world.plane.kubeconfig(), &["--log-filter-file", &file], &[], &log);
    let logged = async |text: &str| {
        let found = async || fs::read_to_string(&log).ok()?.contains(text).then_some(());
        wait_for(text, found).await;
    };
    let namespace = world.namespace("quiet").await;
    account(&namespace).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    assert_eq!(fs::read_to_string(&log).expect("log"), "", "errors alone are logged");
    fs::write(&filter, "info").expect("filter");
    logged("what is logged has changed").await;
    fs::write(&filter, "info,kube=loud").expect("filter");
    logged("what is logged stays").await;
    namespace
        .create::<CreditPack>("order", json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"}))
        .await;
    logged("Purchased").await;
}

#[tokio::test]
async fn an_address_of_metrics_that_is_taken_ends_the_start_with_an_error() {
    let world = crate::world::bare().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    let address = taken.local_addr().expect("address").to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_flashgate-billing"))
        .args(["run", "--metrics-addr", &address])
        .env("KUBECONFIG", world.plane.kubeconfig())
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let expected = format!("`--metrics-addr {address}` cannot be listened on: choose a free address");
    assert!(said.contains(&expected), "{said}");
}
