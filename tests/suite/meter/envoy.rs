//! The recipe of Envoy with a real Envoy: each byte that it sends to a tenant's client is charged.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use axum::Router;
use axum::routing::get;
use flashgate_api::UsageMeter;
use flashgate_testing::catalog::monthly;
use jiff::Timestamp;
use kube::api::PostParams;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::recipes::meter_on;
use super::{charged_reports, quantities};
use crate::cluster_account::{LONG_AGO, now};
use crate::free_address::free_address;
use crate::suite::billed::billed;
use crate::suite::gate::proxies::{Proxy, place};
use crate::suite::prometheus::Prometheus;
use crate::world::{Operator, root, wait_for};

/// Returns the configuration on the page with addresses of this machine.
fn configuration(page: &str, admin: SocketAddr, files: SocketAddr) -> Value {
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let mut configuration: Value = serde_yaml::from_str(block).expect("YAML");
    configuration["admin"]["address"] = place(admin);
    let endpoint = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
    *configuration.pointer_mut(endpoint).expect("an endpoint") = place(files);
    configuration
}

/// Sends a request, and returns the number of bytes that arrive.
fn received(address: SocketAddr) -> u64 {
    let mut stream = TcpStream::connect(address).expect("connected");
    let request = "GET /file HTTP/1.1\r\nHost: files.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("received");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    u64::try_from(answer.len()).expect("a length")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_byte_that_envoy_sends_to_a_tenant_is_charged() {
    let world = &billed().await.world;
    let namespace = world.namespace("meter-envoy").await;
    namespace.account("acme").subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let files = Router::new().route("/file", get(async || "x".repeat(123_456)));
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let origin = server.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(server, files).await.expect("served") });
    let page = fs::read_to_string(root().join("docs/how-to/usage/envoy.md")).expect("page");
    let admin = free_address();
    let envoy = Proxy::envoy(configuration(&page, admin, origin)).await;
    let folder = tempfile::tempdir().expect("folder");
    let scraping = json!({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{
            "job_name": "envoy", "metrics_path": "/stats/prometheus",
            "static_configs": [{"targets": [admin.to_string()]}],
        }],
    });
    let prometheus = Prometheus::with_configuration(&folder.path().join("prometheus"), &scraping, &[]).await;
    prometheus
        .expect("count_over_time(envoy_http_downstream_cx_tx_bytes_total{org=\"acme\"}[1m]) >= 2")
        .await;

    let mut meter: UsageMeter = serde_yaml::from_str(&meter_on(&page)).expect("a UsageMeter");
    meter.metadata.namespace = None;
    meter.spec.delay_seconds = 0;
    meter.spec.window.length = "1m".to_owned();
    // Nothing was sent before, so windows of the past are empty, and the first one with usage ends soon.
    meter.spec.start_time = Some(Timestamp::from_second(now() - 60).expect("time"));
    namespace.api::<UsageMeter>().create(&PostParams::default(), &meter).await.expect("created");
    let server = format!("default={}", prometheus.url());
    let arguments = ["--prometheus", &server, "--namespace", "meter-envoy"];
    let kubeconfig = world.plane.kubeconfig();
    let _meter = Operator::start_command("meter", &kubeconfig, &arguments, &[], Stdio::inherit());
    let address = envoy.address;
    let sent = tokio::task::spawn_blocking(move || (0..5).map(|_| received(address)).sum::<u64>());
    let expected = Decimal::from(sent.await.expect("sent"));
    wait_for("every byte is charged", async || {
        let reports = charged_reports(&namespace, "egress").await;
        (quantities(&reports).get("acme") == Some(&expected)).then_some(())
    })
    .await;
}
