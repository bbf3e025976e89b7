//! The bound of a gate: a hundred tenants spend through Envoy, a meter and the operator charge them, and the gate stops each
//! one before it exceeds the overshoot that its Subscription showed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use flashgate_api::Subscription;
use flashgate_billing::catalog::SHIPPED;
use flashgate_testing::catalog::monthly;
use futures::StreamExt as _;
use rust_decimal::Decimal;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::envoy::configuration;
use super::proxies::{Proxy, Setting};
use super::{Gate, bearer, give_key};
use crate::cluster_account::{ClusterAccount, LONG_AGO};
use crate::suite::meter::{create_meter, spec};
use crate::suite::prometheus::Prometheus;
use crate::world::{Namespace, Operator, World, eventually, wait_for};

/// Tenants: each is one run of the test.
const TENANTS: u32 = 100;

/// Tokens of a request. They cost one credit.
const TOKENS: u64 = 1_000;

/// Time between two requests of a tenant, which gives the known rate of a credit a second.
const PACE: Duration = Duration::from_secs(1);

/// Credits of the plan, in the catalog of the test.
const PLAN_CREDITS: u32 = 40;

/// Longest time until all tenants are stopped: the first window, the last one of a minute, and the way to the gate.
const PATIENCE: Duration = Duration::from_mins(8);

/// Tokens by tenant, as the server behind the proxy counts them.
type Tokens = Arc<Mutex<BTreeMap<String, u64>>>;

/// A tenant that was stopped.
#[derive(Debug)]
struct Stopped {
    /// Requests that reached the server.
    served: u32,
    /// The overshoot that the Subscription showed when the first request was refused.
    bound: Decimal,
}

/// Starts a server that counts the tokens of each request for the account that the gate found.
async fn serve(tokens: &Tokens) -> SocketAddr {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/chat/completions", post(complete))
        .with_state(Arc::clone(tokens));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(listener, routes).await.expect("served") });
    address
}

async fn metrics(State(tokens): State<Tokens>) -> String {
    let mut text = "# TYPE tokens_total counter\n".to_owned();
    for (tenant, count) in tokens.lock().expect("tokens").iter() {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "tokens_total{{org=\"{tenant}\"}} {count}");
    }
    text
}

async fn complete(State(tokens): State<Tokens>, headers: HeaderMap) {
    let account = headers.get("x-flashgate-account").and_then(|account| account.to_str().ok());
    let tenant = account.and_then(|account| account.split_once('/')).expect("an account").1;
    *tokens.lock().expect("tokens").entry(tenant.to_owned()).or_default() += TOKENS;
}

/// Opens the account of a tenant, with another amount of credits for each.
async fn open<'a>(namespace: &Namespace<'a>, number: u32) -> (ClusterAccount<'a>, u32) {
    let name = format!("tenant-{number}");
    let account = namespace.account(&name);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let more = 1 + number % 60;
    account.adjust(&format!("gift-{number}"), &more.to_string()).await;
    give_key(namespace, &name, &format!("key-{number}")).await;
    account.balance(&(PLAN_CREDITS + more).to_string()).await;
    (account, PLAN_CREDITS + more)
}

/// Sends requests of a tenant at its pace until one is refused.
async fn spend(proxy: &Proxy, account: &ClusterAccount<'_>, number: u32) -> Stopped {
    let client = [bearer(&format!("key-{number}"))];
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut served = 0;
    loop {
        pace.tick().await;
        let answer = proxy.request(&client).await;
        if answer.status == 200 {
            served += 1;
            continue;
        }
        assert_eq!((answer.status, answer.header("x-flashgate-reason")), (402, Some("CreditsExhausted")));
        let bound = wait_for("the status shows the bound", async || {
            let status = account.get::<Subscription>(&format!("tenant-{number}")).await?;
            status.pointer("/status/gate/worstOvershoot")?.as_str()?.parse().ok()
        });
        return Stopped { served, bound: bound.await };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_exceeds_the_overshoot_that_its_subscription_shows() {
    let world = World::start().await;
    let folder = tempfile::tempdir().expect("folder");
    let catalog = folder.path().join("catalog.yaml");
    let small = SHIPPED
        .replace("monthly: {credits: \"1100\"", &format!("monthly: {{credits: \"{PLAN_CREDITS}\""))
        // The ledger has whole seconds, and the operator writes a status at most once a second.
        .replace("cacheSeconds: 0", "cacheSeconds: 3");
    std::fs::write(&catalog, small).expect("catalog");
    let _operator = world.operator(&["--catalog", &catalog.display().to_string()]);
    let namespace = world.namespace("gate-bound").await;
    let opened = futures::stream::iter((0..TENANTS).map(|number| open(&namespace, number)));
    let accounts: Vec<_> = opened.buffered(16).collect().await;

    let tokens: Tokens = Arc::default();
    tokens.lock().expect("tokens").extend((0..TENANTS).map(|number| (format!("tenant-{number}"), 0)));
    let backend = serve(&tokens).await;
    let scraping = json!({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "models", "static_configs": [{"targets": [backend.to_string()]}]}],
    });
    let prometheus = Prometheus::with_configuration(&folder.path().join("prometheus"), &scraping, &[]).await;
    prometheus.expect("count_over_time(tokens_total{org=\"tenant-0\"}[1m]) >= 3").await;
    let minutes = spec(|spec| spec["window"] = json!({"length": "1m"}));
    create_meter(&namespace, "tokens", minutes).await.expect("created");
    let kubeconfig = world.plane.kubeconfig();
    let server = format!("default={}", prometheus.url());
    let _meter =
        Operator::start_command("meter", &kubeconfig, &["--prometheus", &server], &[], Stdio::inherit());

    let gate = Gate::start(&kubeconfig, &["--api-key-header", "authorization"]).await;
    let setting = Setting { gate: gate.address, backend, namespace: namespace.name.clone() };
    let proxy = Proxy::envoy(configuration(&setting, None)).await;
    let spending = accounts.iter().zip(0..).map(|((account, _), number)| spend(&proxy, account, number));
    let stopped =
        tokio::time::timeout(PATIENCE, futures::future::join_all(spending)).await.expect("all are stopped");

    let mut shares: Vec<Decimal> = Vec::new();
    for (number, ((_, credits), Stopped { served, bound })) in accounts.iter().zip(&stopped).enumerate() {
        let overshoot = Decimal::from(*served) - Decimal::from(*credits);
        assert!(
            overshoot <= *bound,
            "tenant-{number} has a bound of {bound} and an overshoot of {overshoot}"
        );
        shares.push(overshoot / bound);
    }
    shares.sort();
    assert!(shares.first().is_some_and(|least| *least >= Decimal::ZERO), "stopped too early: {shares:?}");
    println!(
        "{TENANTS} tenants at a credit a second: overshoot of {:.2} to {:.2} of the bound, {:.2} in the middle",
        shares[0],
        shares[shares.len() - 1],
        shares[shares.len() / 2]
    );

    // A pack pays for the overshoot, and the tenant goes on.
    let (account, _) = &accounts[0];
    account.buy("top-up", "plus-100").await;
    account.pack_is("top-up", "Granted").await;
    let client = [bearer("key-0")];
    let goes_on = async || (proxy.request(&client).await.status == 200).then_some(());
    eventually("the tenant goes on", goes_on).await_some().await;
}
