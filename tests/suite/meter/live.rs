//! A meter that follows live scrapes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::get;
use flashgate_api::UsageMeter;
use flashgate_testing::catalog::monthly;
use rust_decimal::Decimal;
use serde_json::json;

use super::{charged_reports, create_meter, quantities, spec};
use crate::cluster_account::LONG_AGO;
use crate::suite::billed::billed;
use crate::suite::prometheus::Prometheus;
use crate::world::{Operator, wait_for, wait_until};

#[tokio::test]
async fn live_usage_is_charged_within_two_windows_and_a_restart_loses_nothing() {
    let world = &billed().await.world;
    let namespace = world.namespace("meter-live").await;
    namespace.account("acme").subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let tokens = Arc::new(AtomicU64::new(500));
    let exposed = Arc::clone(&tokens);
    let exporter = Router::new().route(
        "/metrics",
        get(async move || {
            let value = exposed.load(Ordering::SeqCst);
            format!("# TYPE tokens_total counter\ntokens_total{{org=\"acme\"}} {value}\n")
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let target = listener.local_addr().expect("address").to_string();
    tokio::spawn(async move { axum::serve(listener, exporter).await.expect("served") });
    let folder = tempfile::tempdir().expect("folder");
    let configuration = json!({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "gateway", "static_configs": [{"targets": [target]}]}],
    });
    let prometheus =
        Prometheus::with_configuration(&folder.path().join("prometheus"), &configuration, &[]).await;
    // The meter begins at a whole second, and the series must have a sample before it.
    prometheus.expect("count_over_time(tokens_total[1m]) >= 3").await;
    create_meter(&namespace, "tokens", spec(|spec| spec["window"] = json!({"length": "1m"})))
        .await
        .expect("created");
    let server = format!("default={}", prometheus.url());
    let arguments = ["--prometheus", &server, "--namespace", "meter-live", "--metrics-addr", "127.0.0.1:0"];
    let start = || {
        Operator::start_command(
            "meter",
            &world.plane.kubeconfig(),
            &arguments,
            &[],
            std::process::Stdio::inherit(),
        )
    };
    let meter = start();
    wait_until("the meter is ready", async || meter.get("/readyz").is_some_and(|(status, _)| status == 200))
        .await;
    tokens.fetch_add(250, Ordering::SeqCst);
    prometheus.expect("tokens_total == 750").await;
    meter.kill();
    tokens.fetch_add(1_000, Ordering::SeqCst);
    let meter = start();
    // The exporter starts again.
    prometheus.expect("tokens_total == 1750").await;
    tokens.store(40, Ordering::SeqCst);
    prometheus.expect("tokens_total == 40").await;
    let expected = Decimal::from(250 + 1_000 + 40);
    wait_for("all usage is charged", async || {
        let reports = charged_reports(&namespace, "tokens").await;
        (quantities(&reports).get("acme") == Some(&expected)).then_some(())
    })
    .await;
    let (status, metrics) = meter.get("/metrics").expect("metrics");
    assert_eq!(status, 200);
    assert!(
        metrics.contains(r#"flashgate_billing_meter_accounts{namespace="meter-live",meter="tokens"} 1"#),
        "{metrics}"
    );
    wait_until("the status shows the account", async || {
        let meter = namespace.api::<UsageMeter>().get("tokens").await.expect("meter");
        meter.status.is_some_and(|status| status.accounts == Some(1) && status.series == Some(1))
    })
    .await;
    meter.terminate().await;
}
