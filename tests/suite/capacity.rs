//! Measures objects: bytes in etcd, memory and CPU time of the operator. `make capacity` prints the tables of
//! `docs/how-to/capacity.md`.

use flashgate_api::{CreditLedger, CreditPack, Subscription, UsageReport};
use flashgate_testing::action::UsageLine;
use flashgate_testing::catalog::monthly;
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::json;

use crate::cluster_account::{ClusterAccount, egress, now, private_egress, seconds};
use crate::world::{Namespace, Operator, World, wait_for, wait_until};

/// Number of accounts.
const ACCOUNTS: i64 = 1_000;

/// Number of reports of one account.
const REPORTS: i64 = 2_000;

/// Number of reports that wait for the end of their window during the edits.
const WAITING: i64 = 8_000;

/// Number of edits of a Subscription.
const EDITS: u64 = 100;

/// Number of objects created in parallel.
const AT_ONCE: usize = 8;

/// Returns the mean size of the objects of a resource as the API server stores them, in JSON.
async fn mean_bytes(namespace: &Namespace<'_>, resource: &ApiResource) -> usize {
    let api: Api<DynamicObject> = Api::namespaced_with(namespace.client.clone(), &namespace.name, resource);
    let page = api.list(&ListParams::default().limit(500)).await.expect("list");
    let bytes = page.items.iter().map(|object| serde_json::to_vec(object).expect("JSON").len());
    bytes.sum::<usize>() / page.items.len().max(1)
}

/// Returns the size of the database of etcd, as the API server reports it.
async fn database_bytes(world: &World) -> f64 {
    let output = world.plane.kubectl(&["get", "--raw", "/metrics"], None).await.expect("kubectl");
    let metrics = output.succeeded().expect("metrics");
    let line = metrics.lines().find(|line| line.starts_with("apiserver_storage_size_bytes"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("the size of the database")
}

async fn ready(operator: &Operator) {
    wait_until("it is ready", async || operator.get("/readyz").is_some_and(|(status, _)| status == 200))
        .await;
}

fn start(world: &World) -> Operator {
    world.operator(&["--metrics-addr", "127.0.0.1:0"])
}

/// Reports windows of two seconds, one after the other, of three lines each.
async fn report(account: &ClusterAccount<'_>) {
    let start = now() - REPORTS * 2 - 60;
    let created = futures::stream::iter(0..REPORTS).map(|index| async move {
        let tokens = vec![UsageLine::new("Private", "TokensOut", "1")];
        let usage = [egress("1M"), private_egress("1M"), tokens].concat();
        account.report(&format!("report-{index}"), seconds(start + index * 2, 2), usage).await;
    });
    created.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// Waits until no report is pending. The timeout applies to each step of progress.
async fn all_are_charged(operator: &Operator) {
    let series = "flashgate_billing_pending_objects{kind=\"UsageReport\"} ";
    let left = || {
        let metrics = operator.get("/metrics")?.1;
        metrics.lines().find_map(|line| line.strip_prefix(series)?.parse::<i64>().ok())
    };
    let mut before = i64::MAX;
    while before > 0 {
        before = wait_for("fewer are pending", async || left().filter(|now| *now < before)).await;
    }
}

#[tokio::test]
#[ignore = "takes some minutes and measures: make capacity"]
async fn the_table_on_the_page_is_measured() {
    let world = World::start().await;
    let namespace = world.namespace("measured").await;
    let operator = start(&world);
    ready(&operator).await;
    let empty = operator.memory_kib();
    let created = futures::stream::iter(0..ACCOUNTS).map(|index| {
        let namespace = &namespace;
        async move {
            let account = namespace.account(&format!("account-{index}"));
            account.subscribe(monthly("starter"), None).await;
            account.balance("1100").await;
        }
    });
    created.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    for index in 0..3 {
        namespace.account("account-0").buy(&format!("order-{index}"), "plus-100").await;
    }
    operator.terminate().await;
    let operator = start(&world);
    ready(&operator).await;
    let with_accounts = operator.memory_kib();
    operator.terminate().await;

    let before = database_bytes(&world).await;
    report(&namespace.account("account-0")).await;
    let with_pending_on_disk = database_bytes(&world).await;
    let operator = start(&world);
    ready(&operator).await;
    let with_pending = operator.memory_kib();
    all_are_charged(&operator).await;
    let with_charged_on_disk = database_bytes(&world).await;

    println!("| measured | figure |\n|---|---|");
    for (name, resource) in [
        ("Subscription, with status", ApiResource::erase::<Subscription>(&())),
        ("CreditLedger of a new account", ApiResource::erase::<CreditLedger>(&())),
        ("CreditPack, granted", ApiResource::erase::<CreditPack>(&())),
        ("UsageReport of 3 lines, charged", ApiResource::erase::<UsageReport>(&())),
    ] {
        println!("| {name} | {} bytes |", mean_bytes(&namespace, &resource).await);
    }
    let each = |bytes: f64| bytes / f64::from(i32::try_from(REPORTS).expect("count"));
    println!("| etcd, for each report that is created | {:.0} bytes |", each(with_pending_on_disk - before));
    println!(
        "| etcd, for each report that is created and charged, before compaction | {:.0} bytes |",
        each(with_charged_on_disk - before)
    );
    println!("| operator, without accounts | {} MiB |", empty / 1_024);
    println!(
        "| operator, for each account | {} bytes |",
        with_accounts.saturating_sub(empty) * 1_024 / 1_000
    );
    println!(
        "| operator, for each pending report | {} bytes |",
        with_pending.saturating_sub(with_accounts) * 1_024 / 2_000
    );
}

/// Edits the Subscription repeatedly, each time after the operator has seen the last edit. Returns the CPU
/// time of the operator for each edit, in milliseconds.
async fn milliseconds_of_an_edit(namespace: &Namespace<'_>, operator: &Operator) -> f64 {
    let before = operator.cpu_ticks();
    for edit in 0..EDITS {
        let percent = 50 + edit % 40;
        let patch = json!({"spec": {"alertThresholdsPercent": [percent]}});
        let api = namespace.api::<Subscription>();
        let patched =
            api.patch("acme", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
        let generation = patched.metadata.generation.expect("generation");
        namespace.expect::<Subscription>("acme", "/status/observedGeneration", generation).await;
    }
    let ticks = u32::try_from(operator.cpu_ticks() - before).expect("few");
    f64::from(ticks) * 10.0 / f64::from(u32::try_from(EDITS).expect("few"))
}

#[tokio::test]
#[ignore = "takes some minutes and measures: make capacity"]
async fn an_edit_beside_waiting_reports_is_measured() {
    let world = World::start().await;
    let account = ClusterAccount::subscribed(&world, "edited", monthly("starter")).await;
    let operator = start(&world);
    account.balance("1100").await;
    milliseconds_of_an_edit(&account, &operator).await;
    let alone = milliseconds_of_an_edit(&account, &operator).await;
    let window = seconds(now() - 3_600, 13 * 3_600);
    let created = futures::stream::iter(0..WAITING).map(|index| {
        let account = &account;
        let (source, name) = (format!("gw-{index}"), format!("report-{index}"));
        async move { account.report_from(&source, &name, window, private_egress("100M")).await }
    });
    created.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    for index in 0..WAITING {
        let name = format!("report-{index}");
        account.expect::<UsageReport>(&name, "/status/conditions/0/reason", "WindowNotOver").await;
    }
    milliseconds_of_an_edit(&account, &operator).await;
    let beside = milliseconds_of_an_edit(&account, &operator).await;
    println!("| measured | figure |\n|---|---|");
    println!("| operator's processor time for an edit of a Subscription | {alone:.1} ms |");
    println!("| the same, beside {WAITING} waiting reports of the account | {beside:.1} ms |");
    println!("| ratio | {:.2} |", beside / alone);
}
