//! Cost depends on pending objects, not on history.

use std::time::Duration;

use flashgate_api::{CreditLedger, Subscription, UsageReport};
use flashgate_cluster::Kind;
use flashgate_testing::catalog::monthly;
use futures::StreamExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster_account::{ClusterAccount, now, private_egress, seconds};
use crate::world::{Namespace, Operator, World, wait_for};

const REPORTS: i64 = 10_000;

async fn fill(account: &ClusterAccount<'_>) {
    let start = now() - REPORTS * 2 - 60;
    let created = futures::stream::iter(0..REPORTS).map(|index| async move {
        let window = seconds(start + index * 2, 2);
        account.report(&format!("report-{index}"), window, private_egress("100M")).await;
    });
    created.buffer_unordered(16).collect::<Vec<()>>().await;
}

/// Returns whether a report waits for its charge or its receipt.
async fn is_pending(namespace: &Namespace<'_>) -> bool {
    let params = ListParams::default().fields("status.state!=Charged").limit(1);
    !namespace.api::<UsageReport>().list(&params).await.expect("list").items.is_empty()
}

/// Returns the number of commits of the account.
async fn commits(namespace: &Namespace<'_>) -> Option<i64> {
    namespace.get::<CreditLedger>("acme").await?.pointer("/spec/sequence").and_then(Value::as_i64)
}

/// Returns how often single reports were read, from the API server's own metrics.
async fn reads_of_reports(world: &World) -> f64 {
    let output = world.plane.kubectl(&["get", "--raw", "/metrics"], None).await.expect("kubectl");
    let metrics = output.succeeded().expect("metrics");
    let is_read = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && line.contains("resource=\"usagereports\"")
            && line.contains("verb=\"GET\"")
    };
    metrics.lines().filter(is_read).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn ten_thousand_pending_reports_need_at_most_two_hundred_commits_and_their_memory_is_freed() {
    let world = World::start().await;
    let namespace = ClusterAccount::subscribed_long_ago(&world, "many", monthly("starter")).await;
    fill(&namespace).await;
    let operator = world.operator(&[]);
    let mut peak = 0;
    let mut last = None;
    // The timeout applies to each step of progress.
    while is_pending(&namespace).await {
        let before = last;
        last = wait_for("reports are charged", async || {
            peak = peak.max(operator.memory_kib());
            let now = commits(&namespace).await;
            (now != before || !is_pending(&namespace).await).then_some(now)
        })
        .await;
    }
    namespace.balance("100").await;
    let ledger = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    let commits = commits(&namespace).await.expect("ledger");
    assert!(commits <= 200, "{commits} commits");
    assert!(peak < 256 * 1_024, "{peak} KiB at the peak");
    drop(operator);
    // After a restart, the operator reads no charged report.
    let reads = reads_of_reports(&world).await;
    let second = world.operator(&[]);
    let fresh = ClusterAccount::subscribed(&world, "fresh", monthly("starter")).await;
    fresh.balance("1100").await;
    let memory = second.memory_kib();
    println!("commits {commits}, peak {peak} KiB, second start {memory} KiB");
    assert!(memory < 64 * 1_024, "{memory} KiB with nothing pending");
    let after = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger, after, "a restarted operator writes nothing");
    assert!(reads_of_reports(&world).await <= reads, "a restarted operator reads no charged report");
}

/// Number of accounts in the largest supported installation.
const ACCOUNTS: i64 = 100_000;

/// Returns the number of ledgers.
pub async fn ledgers(namespace: &Namespace<'_>) -> i64 {
    let page = namespace.api::<CreditLedger>().list(&ListParams::default().limit(1)).await.expect("list");
    let first = i64::try_from(page.items.len()).expect("count");
    first + page.metadata.remaining_item_count.unwrap_or_default()
}

/// Reads every Subscription and every ledger, page by page, as any client would.
async fn read_all<K: Kind>(namespace: &Namespace<'_>) -> usize {
    let (mut count, mut params) = (0, ListParams::default().limit(500));
    loop {
        let page = namespace.api::<K>().list(&params).await.expect("list");
        count += page.items.len();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return count,
        }
    }
}

async fn start_and_become_ready(world: &World) -> (Operator, Duration) {
    let started = Instant::now();
    let operator = world.operator(&["--metrics-addr", "127.0.0.1:0"]);
    let is_ready = || operator.get("/readyz").is_some_and(|(status, _)| status == 200);
    let mut memory = 0;
    // Progress is the amount of data that it has read.
    while !is_ready() {
        memory = wait_for("it reads on", async || {
            let now = operator.memory_kib();
            (now > memory || is_ready()).then_some(now)
        })
        .await;
    }
    (operator, started.elapsed())
}

#[tokio::test]
#[ignore = "takes most of an hour and measures: \
            cargo test --release --test suite -- --ignored --nocapture scale::a_hundred_thousand"]
async fn a_hundred_thousand_accounts_are_ready_about_as_fast_as_they_are_read() {
    let world = World::start().await;
    let namespace = world.namespace("large").await;
    let (operator, _) = start_and_become_ready(&world).await;
    let empty = operator.memory_kib();
    let created = futures::stream::iter(0..ACCOUNTS).map(|index| {
        let namespace = &namespace;
        async move {
            namespace.create::<Subscription>(&format!("account-{index}"), json!({"plan": "starter"})).await
        }
    });
    created.buffer_unordered(16).for_each(async |_| {}).await;
    let mut opened = ledgers(&namespace).await;
    // The timeout applies to each step of progress.
    while opened < ACCOUNTS {
        opened = wait_for("accounts are opened", async || {
            let now = ledgers(&namespace).await;
            (now > opened).then_some(now)
        })
        .await;
    }
    operator.terminate().await;
    let (operator, ready) = start_and_become_ready(&world).await;
    let memory = operator.memory_kib() - empty;
    let started = Instant::now();
    let read = read_all::<Subscription>(&namespace).await + read_all::<CreditLedger>(&namespace).await;
    let bare = started.elapsed();
    assert_eq!(i64::try_from(read), Ok(2 * ACCOUNTS));
    let bytes = i64::try_from(memory * 1_024).expect("bytes") / ACCOUNTS;
    println!(
        "{ACCOUNTS} accounts: ready after {ready:?}, read by a bare client in {bare:?}, {bytes} bytes each"
    );
}
