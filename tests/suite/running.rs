//! The running operator: its sweep of reports, its namespaces, its logs, and its health checks.

use std::fs;

use flashgate_api::{CreditLedger, CreditPack, UsageReport};
use flashgate_testing::action::UsageLine;
use flashgate_testing::catalog::monthly;

use crate::cluster_account::{ClusterAccount, LONG_AGO, now, seconds};
use crate::world::{Operator, World, wait_for, wait_until, wait_while};

/// Reports 10 credits of the last hour, if the operation has a rate.
async fn report(account: &ClusterAccount<'_>, name: &str, operation: &str) {
    let usage = vec![UsageLine::new("Public", operation, "1G")];
    account.report_from(name, name, seconds(now() - 3_600, 3_600), usage).await;
}

#[tokio::test]
async fn reports_are_swept_after_their_retention_and_stay_charged() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "swept").await;
    let catalog = world.catalog_that_keeps_reports_for(2);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    for name in ["a", "b", "c"] {
        report(&account, name, "StorageEgress").await;
    }
    report(&account, "unknown", "Teleport").await;
    let _operator = world.operator(&["--catalog", &catalog]);
    account.balance("1070").await;
    wait_while("every report is gone", async || {
        let reports =
            account.api::<UsageReport>().list(&kube::api::ListParams::default()).await.expect("list");
        (!reports.items.is_empty()).then_some(())
    })
    .await;
    account.balance("1070").await;
}

#[tokio::test]
async fn an_operator_of_one_namespace_ignores_the_others() {
    let world = World::start().await;
    let (mine, other) = (
        ClusterAccount::without_subscription(&world, "mine").await,
        ClusterAccount::without_subscription(&world, "other").await,
    );
    other.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let _operator = world.operator(&["--namespace", "mine"]);
    mine.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    mine.balance("1100").await;
    assert!(other.get::<CreditLedger>("acme").await.is_none());
    other.status("/status/observedGeneration", -1).await;
}

#[tokio::test]
async fn a_paused_operator_writes_nothing_and_is_healthy() {
    let world = World::start().await;
    let account = ClusterAccount::subscribed_long_ago(&world, "held", monthly("starter")).await;
    let operator = world.operator(&["--hold", "--metrics-addr", "127.0.0.1:0", "--log-format", "json"]);
    wait_for("the port is open", async || operator.listening_port()).await;
    let get = |path: &str| operator.get(path).expect("an answer");
    assert_eq!(get("/healthz"), (200, "ok\n".to_owned()));
    wait_until("it is ready", async || get("/readyz").0 == 200).await;
    let (status, metrics) = get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("flashgate_billing_commits_total 0"), "{metrics}");
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
    assert!(account.get::<CreditLedger>("acme").await.is_none());
    account.status("/status/observedGeneration", -1).await;
}

#[tokio::test]
async fn an_invalid_catalog_prevents_the_start_and_names_the_line() {
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
async fn a_catalog_that_becomes_invalid_does_not_affect_a_running_operator() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "broken-catalog").await;
    let file = world.plane.folder().join("catalog.yaml");
    let shipped = fs::read_to_string(crate::world::root().join("src/catalog/shipped.yaml")).expect("catalog");
    fs::write(&file, shipped).expect("catalog");
    let operator = world.operator(&["--catalog", &file.display().to_string()]);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    fs::write(&file, "currency: USD\nplans: [\n").expect("catalog");
    account.buy("order", "plus-100").await;
    account.state_is::<CreditPack>("order", "Granted").await;
    account.expect::<CreditPack>("order", "/status/price", "20").await;
    account.balance("1200").await;
    assert!(!operator.has_stopped());
}

#[tokio::test]
async fn the_log_filter_can_change_at_run_time_and_an_invalid_filter_is_ignored() {
    let world = World::start().await;
    let (filter, log) = (world.plane.folder().join("filter"), world.plane.folder().join("log"));
    fs::write(&filter, "error\n").expect("filter");
    let file = filter.display().to_string();
    let _operator = Operator::start_as(&world.plane.kubeconfig(), &["--log-filter-file", &file], &[], &log);
    let logged = async |text: &str| {
        let found = async || fs::read_to_string(&log).ok()?.contains(text).then_some(());
        wait_for(text, found).await;
    };
    let account = ClusterAccount::subscribed_long_ago(&world, "quiet", monthly("starter")).await;
    account.balance("1100").await;
    assert_eq!(fs::read_to_string(&log).expect("log"), "", "errors alone are logged");
    fs::write(&filter, "info").expect("filter");
    logged("what is logged has changed").await;
    fs::write(&filter, "info,kube=loud").expect("filter");
    logged("what is logged stays").await;
    account.buy("order", "plus-100").await;
    logged("Purchased").await;
}

#[tokio::test]
async fn a_metrics_address_in_use_prevents_the_start() {
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
