//! The cost of a meter with many accounts. `make meter-speed` runs it and prints the figures of `docs/speed.md`.

use std::fmt::Write as _;
use std::process::Stdio;

use flashgate_api::{Subscription, UsageReport};
use flashgate_testing::values::HOUR;
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::ListParams;
use serde_json::json;

use super::meter::{create_meter, spec};
use crate::cluster_account::{LONG_AGO, now};
use crate::suite::prometheus::{Prometheus, get};
use crate::world::{Operator, World, eventually};

/// Accounts, and the series of each.
const ACCOUNTS: usize = 1_000;
const SERIES: usize = 20;

/// Hourly windows of each account.
const WINDOWS: usize = 3;

/// Seconds between two samples of a series.
const SCRAPE: i64 = 60;

/// Accounts that are created at the same time.
const AT_ONCE: usize = 16;

/// Longest time until all windows are reported.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(10);

/// Returns the sum of a counter of the API server over the series that have all these labels.
async fn requests(world: &World, labels: &[&str]) -> f64 {
    let output = world.plane.kubectl(&["get", "--raw", "/metrics"], None).await.expect("kubectl");
    let metrics = output.succeeded().expect("metrics");
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    let chosen = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    chosen.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Returns the writes of our kinds that the API server has served.
async fn writes(world: &World) -> f64 {
    let mut sum = 0.0;
    for verb in ["POST", "PATCH", "APPLY", "PUT"] {
        sum += requests(world, &["group=\"billing.flashgate.dev\"", &format!("verb=\"{verb}\"")]).await;
    }
    sum
}

/// Returns the CPU time of a Prometheus in seconds.
fn cpu_of(prometheus: &Prometheus) -> f64 {
    let address = prometheus.url().trim_start_matches("http://").parse().expect("address");
    let (_, metrics) = get(address, "/metrics").expect("metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
    line.and_then(|seconds| seconds.parse().ok()).expect("seconds")
}

#[tokio::test]
#[ignore = "takes minutes; run it with `make meter-speed`"]
async fn hourly_windows_of_a_thousand_accounts_cost_little() {
    let world = World::start().await;
    let namespace = world.namespace("large").await;
    let account = async |number: usize| {
        let spec = json!({"plan": "starter", "startTime": LONG_AGO});
        namespace.create::<Subscription>(&format!("account-{number}"), spec).await;
    };
    futures::stream::iter((0..ACCOUNTS).map(account)).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let start = (now() - HOUR) / HOUR * HOUR - i64::try_from(WINDOWS).expect("count") * HOUR;
    let mut text = String::new();
    for series in 0..ACCOUNTS * SERIES {
        let (account, pod) = (series / SERIES, series % SERIES);
        for (step, second) in (0..i64::try_from(WINDOWS).expect("count") * HOUR).step_by(60).enumerate() {
            let value = 1_000 + step * (pod + 1);
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "tokens_total{{org=\"account-{account}\",pod=\"gateway-{pod}\",model=\"model-{}\"}} {value} {}",
                pod % 4,
                start + second
            );
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let prometheus = Prometheus::of_samples(folder.path(), &text, &[]).await;
    drop(text);
    let start_time = Timestamp::from_second(start).expect("time").to_string();
    let changed = spec(|spec| {
        spec["startTime"] = start_time.into();
        spec["labels"] = json!({"model": "model"});
    });
    create_meter(&namespace, "tokens", changed).await.expect("created");
    let (written, cpu) = (writes(&world).await, cpu_of(&prometheus));
    let server = format!("default={}", prometheus.url());
    let started = tokio::time::Instant::now();
    let meter = Operator::start_command(
        "meter",
        &world.plane.kubeconfig(),
        &["--prometheus", &server],
        &[],
        Stdio::null(),
    );
    let expected = ACCOUNTS * WINDOWS;
    let all_reported = async || {
        let list = ListParams::default().limit(1);
        let page = namespace.api::<UsageReport>().list(&list).await.expect("list");
        let left = usize::try_from(page.metadata.remaining_item_count.unwrap_or_default()).expect("count");
        (page.items.len() + left == expected).then_some(())
    };
    eventually("all windows are reported", all_reported).within(PATIENCE).await_some().await;
    let seconds = started.elapsed().as_secs_f64();
    let ticks = u32::try_from(meter.cpu_ticks()).expect("ticks");
    let (meter_cpu, server_cpu) = (f64::from(ticks) / 100.0, cpu_of(&prometheus) - cpu);
    let written = writes(&world).await - written;
    let (windows, reports) = (
        f64::from(u32::try_from(WINDOWS).expect("count")),
        f64::from(u32::try_from(expected).expect("count")),
    );
    println!(
        "{ACCOUNTS} accounts with {SERIES} series each, a sample every {SCRAPE} s, {WINDOWS} hourly windows"
    );
    println!("| figure | value |\n|---|---|");
    println!("| time until {expected} reports exist, as after an outage | {seconds:.1} s |");
    println!(
        "| CPU time of the meter for one hour of all accounts | {:.2} s, {:.2} % of a core |",
        meter_cpu / windows,
        meter_cpu / windows / 36.0
    );
    println!("| CPU time of Prometheus for the same | {:.2} s |", server_cpu / windows);
    println!("| writes to the API server for a report | {:.3} |", written / reports);
    println!("| largest memory of the meter | {} MB |", meter.peak_memory_kib() / 1_024);
}
