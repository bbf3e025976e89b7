//! The speed and the memory of a gate with many accounts. `make gate-speed` runs it and prints the figures of
//! `docs/speed.md`.
//!
//! The gate is the real process. Its API server is a stand-in, which serves the Subscriptions in pages and then a watch
//! without events: a hundred thousand objects in etcd would take an hour, and the gate asks for them once.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::StreamExt as _;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::gate::Gate;
use super::gate::connection::Connection;

/// Accounts.
const ACCOUNTS: usize = 100_000;

/// Connections of the load, as a proxy keeps them.
const CONNECTIONS: usize = 16;

/// Rounds of the comparison, and the time of each.
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(1_500);

/// Requests a second at which the latency is measured, and for how long in each round.
const RATE: u32 = 5_000;
const MEASURED: Duration = Duration::from_secs(1);

/// Returns a Subscription with a status of usual size.
fn subscription(number: usize) -> Value {
    let time = "2026-11-30T10:00:00Z";
    let conditions = ["Ready", "Active", "CreditsLow", "CreditsExhausted"].map(|kind| {
        json!({
            "type": kind, "status": "True", "reason": "InForce", "message": "starter Monthly until the next period",
            "lastTransitionTime": time, "observedGeneration": 1,
        })
    });
    json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription",
        "metadata": {
            "name": format!("account-{number}"), "namespace": format!("team-{}", number % 500),
            "uid": format!("5f0c2d1e-0000-4000-8000-{number:012}"), "resourceVersion": (number + 1).to_string(),
            "generation": 1, "creationTimestamp": time, "labels": {"app.kubernetes.io/managed-by": "argocd"},
        },
        "spec": {"plan": "starter"},
        "status": {
            "observedGeneration": 1, "plan": "starter", "billingPeriod": "Monthly", "renewalTime": "2026-12-30T10:00:00Z",
            "credits": {
                "balance": format!("{}.25", number % 1_100), "plan": "1000", "packs": "100", "adjustments": "0",
                "debt": "0", "settling": "0",
            },
            "gate": {"open": true, "reason": "CreditsLeft", "worstOvershoot": "12.5"},
            "ledger": {"uid": "ledger", "sequence": 12, "hash": "a".repeat(64)},
            "conditions": conditions,
        },
    })
}

/// A query of the API server.
#[derive(serde::Deserialize)]
struct List {
    #[serde(default)]
    watch: bool,
    #[serde(default, rename = "continue")]
    continue_token: usize,
    limit: Option<usize>,
    #[serde(default, rename = "timeoutSeconds")]
    timeout_seconds: u64,
}

/// Starts a stand-in for the API server with this number of accounts, and returns the kubeconfig for it.
async fn api_server(folder: &Path, accounts: usize) -> std::path::PathBuf {
    let list = move |Query(list): Query<List>| async move { answer(&list, accounts) };
    let routes = Router::new().route("/apis/billing.flashgate.dev/v1alpha1/subscriptions", get(list));
    let address = serve(routes).await;
    let file = folder.join(format!("{accounts}.kubeconfig"));
    let content = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "it", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    std::fs::write(&file, content.to_string()).expect("kubeconfig");
    file
}

fn answer(list: &List, accounts: usize) -> Response {
    if list.watch {
        let end = Box::pin(sleep(Duration::from_secs(list.timeout_seconds)));
        let events = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>().take_until(end);
        return Body::from_stream(events).into_response();
    }
    let end = (list.continue_token + list.limit.unwrap_or(accounts)).min(accounts);
    let items: Vec<Value> = (list.continue_token..end).map(subscription).collect();
    let next = if end < accounts { end.to_string() } else { String::new() };
    let page = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "SubscriptionList",
        "metadata": {"resourceVersion": accounts.to_string(), "continue": next}, "items": items,
    });
    ([("content-type", "application/json")], page.to_string()).into_response()
}

/// Serves on threads of their own, as another process would: tasks on the threads of the load would be woken without a
/// switch between threads.
async fn serve(routes: Router) -> SocketAddr {
    let (send, address) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
            send.send(listener.local_addr().expect("address")).expect("the test waits for it");
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                stream.set_nodelay(true).expect("no delay");
            });
            axum::serve(listener, routes).await.expect("served");
        });
    });
    address.await.expect("address")
}

/// A client that asks about another account each time.
struct Client {
    connection: Connection,
    number: usize,
}

impl Client {
    async fn connect(address: SocketAddr, number: usize) -> Self {
        Self { connection: Connection::to(address).await, number }
    }

    async fn check(&mut self) {
        self.number =
            self.number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (self.number >> 33) % ACCOUNTS;
        self.connection.check(&format!("team-{}/account-{number}", number % 500)).await;
    }
}

/// Returns the checks a second that a server answers to all connections together.
async fn throughput(address: SocketAddr) -> f64 {
    let end = Instant::now() + ROUND;
    let counts = join_all((0..CONNECTIONS).map(|number| {
        tokio::spawn(async move {
            let mut client = Client::connect(address, number).await;
            let mut count = 0_u32;
            while Instant::now() < end {
                client.check().await;
                count += 1;
            }
            count
        })
    }));
    let count: u32 = counts.await.into_iter().map(|count| count.expect("checked")).sum();
    f64::from(count) / ROUND.as_secs_f64()
}

/// Returns the times of all checks at a fixed rate, each from its sending to the end of its answer. A
/// connection sends its next check 3.2 ms after the one before, or late if there is no answer yet.
async fn latencies(address: SocketAddr) -> Vec<Duration> {
    let connections = u32::try_from(CONNECTIONS).expect("count");
    let pause = Duration::from_secs(1) * connections / RATE;
    let start = Instant::now() + Duration::from_millis(100);
    let times = join_all((0..connections).map(|number| {
        tokio::spawn(async move {
            let mut client = Client::connect(address, usize::try_from(number).expect("number")).await;
            let mut due = interval_at(start + pause * number / connections, pause);
            due.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut times = Vec::new();
            while start.elapsed() < MEASURED {
                due.tick().await;
                let sent = Instant::now();
                client.check().await;
                times.push(sent.elapsed());
            }
            times
        })
    }));
    times.await.into_iter().flat_map(|times| times.expect("measured")).collect()
}

/// Returns the median, the 99th and the 99.9th percentile.
fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let percentile = |permille: usize| times[times.len() * permille / 1_000].as_secs_f64() * 1_000.0;
    format!("{:.2}, {:.2}, {:.2} ms", percentile(500), percentile(990), percentile(999))
}

/// The handler to compare with: it reads the header, and answers with as many headers.
async fn bare(headers: HeaderMap) -> Response {
    let account = headers.get("x-flashgate-account").cloned().expect("an account");
    let names = ["x-flashgate-account", "x-flashgate-balance", "x-flashgate-plan", "x-flashgate-reason"];
    (names.map(|name| (name, account.clone())), ()).into_response()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run it with `make gate-speed`"]
async fn a_gate_with_many_accounts_answers_as_fast_as_a_bare_server() {
    let folder = tempfile::tempdir().expect("folder");
    let empty = Gate::start(&api_server(folder.path(), 0).await, &[]).await;
    let empty_kib = empty.memory_kib();
    let gate = Gate::start(&api_server(folder.path(), ACCOUNTS).await, &[]).await;
    let kib = gate.memory_kib();
    let bare = serve(Router::new().route("/check", get(bare))).await;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (before, checks, after) =
            (throughput(bare).await, throughput(gate.address).await, throughput(bare).await);
        ratios.push((checks / f64::midpoint(before, after), checks, f64::midpoint(before, after)));
    }
    ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, checks, of_bare) = ratios[ROUNDS / 2];
    let (mut times, mut times_of_bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times.append(&mut latencies(gate.address).await);
        times_of_bare.append(&mut latencies(bare).await);
    }
    let accounts = u64::try_from(ACCOUNTS).expect("count");
    let bytes = kib.saturating_sub(empty_kib) * 1_024 / accounts;
    println!("{ACCOUNTS} accounts, {CONNECTIONS} connections, {ROUNDS} rounds of {ROUND:?} for each server");
    println!("| figure | value |\n|---|---|");
    println!(
        "| checks a second, as a ratio to a bare axum handler | {ratio:.2} ({:.2} to {:.2}) |",
        ratios[0].0,
        ratios[ROUNDS - 1].0
    );
    println!("| checks a second of both in the median round | {checks:.0}, {of_bare:.0} |");
    println!("| p50, p99 and p99.9 at {RATE} checks a second | {} |", percentiles(times));
    println!("| the same of the bare handler | {} |", percentiles(times_of_bare));
    println!(
        "| memory of an account | {bytes} bytes ({} MB in all, {} MB without accounts) |",
        kib / 1_024,
        empty_kib / 1_024
    );
}
