//! Measures the portal with 10,000 accounts and 10 million rows of usage, and the charging of reports meanwhile.
//! `make portal-speed` prints the tables of `docs/speed.md`.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flashgate_api::{CreditLedger, Subscription, UsageReport};
use flashgate_testing::action::UsageLine;
use futures::StreamExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::time::Instant;

use super::portal::client::exchange;
use super::portal::{role, serve, token_of};
use super::scale::ledgers;
use crate::cluster_account::{now, private_egress, seconds};
use crate::free_address::free_address;
use crate::world::{Namespace, Operator, World, wait_for, wait_until};

/// Number of accounts that are read.
const ACCOUNTS: usize = 10_000;

/// Number of accounts whose reports are charged while others are read.
const CHARGED: usize = 1_000;

/// Reports of the account whose rows the others get.
const REPORTS: i64 = 10;

/// Models of a report: a row of usage for each.
const MODELS: [&str; 4] = ["small", "medium", "large", "vision"];

/// Requests in a second.
const RATE: u64 = 50;

/// Time for which requests are made before they are measured.
const WARM_UP: Duration = Duration::from_secs(10);

/// Time for which requests are measured.
const MEASURED: Duration = Duration::from_mins(2);

/// Rounds of charging with each load by turns. The first one is not counted.
const ROUNDS: i64 = 6;

/// Objects that are created at the same time.
const AT_ONCE: usize = 16;

/// The seconds of an hour.
const HOUR: i64 = 3_600;

/// The rows of the first account that the others get, and the hours at which they get them.
const MODEL: [&str; 4] = [
    "CREATE TEMP TABLE template AS SELECT id FROM accounts WHERE namespace = 'large' AND name = 'account-0'",
    "CREATE TEMP TABLE hours AS \
     WITH RECURSIVE hours (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM hours WHERE n < 250) SELECT n FROM hours",
    "CREATE TEMP TABLE model_entries AS SELECT entries.* FROM entries JOIN template ON id = account_id WHERE number > 3",
    "CREATE TEMP TABLE model_usage AS SELECT usage.* FROM usage JOIN template ON id = account_id",
];

/// Gives each account 250 charges, one an hour, each with the usage of a charge of the first account. $1 and $2 are the
/// keys of the first and of the last account that get them. The joins keep their order.
const FILL: [&str; 2] = [
    "INSERT INTO entries \
     SELECT accounts.id, '', 3 + n, 3 + n, 0, model.time_seconds - (251 - n) * 3600, 0, model.kind, model.credits_whole, \
       model.credits_nanos, model.balance_whole, model.balance_nanos, model.detail, model.hash, 0, NULL, 0 \
     FROM accounts CROSS JOIN template CROSS JOIN hours CROSS JOIN model_entries AS model \
     WHERE accounts.id BETWEEN $1 AND $2 AND accounts.id <> template.id AND accounts.namespace = 'large' \
       AND model.number = 4 + n % 10",
    "INSERT INTO usage \
     SELECT accounts.id, 3 + n, '', model.group_key, model.report, model.report_uid, model.source, \
       model.start_seconds + n * 3600, 0, model.end_seconds + n * 3600, 0, \
       model.charge_seconds - (251 - n) * 3600, 0, model.node_type, model.operation, model.labels, \
       model.labels_known, model.quantity_whole, model.quantity_nanos, model.quantity_attos, model.credits_whole, \
       model.credits_nanos \
     FROM accounts CROSS JOIN template CROSS JOIN hours CROSS JOIN model_usage AS model \
     WHERE accounts.id BETWEEN $1 AND $2 AND accounts.id <> template.id AND accounts.namespace = 'large' \
       AND model.entry = 4 + n % 10",
];

/// Calls of the API.
const CALLS: [&str; 9] = [
    "credits/balance",
    "credits/transactions?limit=50",
    "credits/transactions?direction=out&page=15&repoId=repo-3",
    "credits/stats/monthly",
    "credits/packs",
    "subscriptions/my",
    "subscriptions/payments",
    "v2/stats/credits?window=7d",
    "v2/stats/credits/breakdown/models?window=30d",
];

/// Pages of an account.
const PAGES: [&str; 9] =
    ["", "plan", "packs", "consumption", "invoices", "history", "history?text=repo-3", "rates", "settings"];

/// The portal under measurement.
struct Portal {
    address: std::net::SocketAddr,
    token: String,
}

/// A request and the time until its answer.
struct Measured {
    path: String,
    time: Duration,
}

impl Portal {
    /// Makes the request with a number: all paths by turns, of another account each time.
    async fn request(&self, number: usize, scheduled: Instant) -> Measured {
        let account = account_of(number);
        let all = CALLS.len() + PAGES.len();
        let (path, url) = match (CALLS.get(number % all), PAGES.get((number % all).wrapping_sub(CALLS.len())))
        {
            (Some(call), _) => ((*call).to_owned(), format!("/api/large/{account}/{call}")),
            (None, page) => {
                let page = page.expect("a page");
                (format!("page {page}"), format!("/large/{account}/{page}"))
            }
        };
        let (address, header) = (self.address, format!("Authorization: Bearer {}", self.token));
        let answered = move || exchange(address, "GET", &url, &[header], "").expect("an answer");
        let (status, _, body) = tokio::task::spawn_blocking(answered).await.expect("sent");
        let time = scheduled.elapsed();
        assert_eq!(status, 200, "{path}: {body}");
        Measured { path, time }
    }
}

/// Makes [`RATE`] requests a second until `is_over`. The time of each counts from the instant at which it is due.
async fn at_the_rate<F: Future<Output = Measured>>(
    is_over: impl Fn() -> bool,
    request: impl Fn(usize, Instant) -> F,
) -> Vec<Measured> {
    let (mut number, mut due) = (0, Instant::now());
    let mut running = futures::stream::FuturesUnordered::new();
    let mut measured = Vec::new();
    while !is_over() {
        tokio::select! {
            () = tokio::time::sleep_until(due) => {
                running.push(request(number, due));
                number += 1;
                due += Duration::from_secs(1) / u32::try_from(RATE).expect("a rate");
            }
            Some(done) = running.next() => measured.push(done),
        }
    }
    measured.extend(running.collect::<Vec<_>>().await);
    measured
}

/// CPU time so far.
struct Processors {
    portal_ticks: u64,
    api_server_seconds: f64,
}

impl Processors {
    async fn of(world: &World, portal: &Operator) -> Self {
        let output = world.plane.kubectl(&["get", "--raw", "/metrics"], None).await.expect("kubectl");
        let metrics = output.succeeded().expect("metrics");
        let seconds = metrics.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
        let api_server_seconds = seconds.and_then(|seconds| seconds.parse().ok()).expect("seconds");
        Self { portal_ticks: portal.cpu_ticks(), api_server_seconds }
    }

    /// Returns the CPU time since then for each request at [`RATE`] during [`MEASURED`].
    async fn spent(&self, world: &World, portal: &Operator) -> String {
        let now = Self::of(world, portal).await;
        let ticks = u32::try_from(now.portal_ticks - self.portal_ticks).expect("ticks");
        let of_portal = Duration::from_millis(10) * ticks;
        let of_api_server = Duration::from_secs_f64(now.api_server_seconds - self.api_server_seconds);
        let requests = u32::try_from(RATE * MEASURED.as_secs()).expect("a count");
        format!("portal {:.1?}, API server {:.1?}", of_portal / requests, of_api_server / requests)
    }
}

/// Reads a Subscription and its ledger by a bare client, as every request about an account must.
async fn read_both(namespace: &Namespace<'_>, number: usize, scheduled: Instant) -> Measured {
    let name = account_of(number);
    namespace.api::<Subscription>().get(&name).await.expect("Subscription");
    namespace.api::<CreditLedger>().get(&name).await.expect("ledger");
    Measured { path: "both objects".to_owned(), time: scheduled.elapsed() }
}

/// Reads a Subscription by a bare client.
async fn read_one(namespace: &Namespace<'_>, number: usize, scheduled: Instant) -> Measured {
    namespace.api::<Subscription>().get(&account_of(number)).await.expect("Subscription");
    Measured { path: "one object".to_owned(), time: scheduled.elapsed() }
}

/// Returns the account of a request: another one each time.
fn account_of(number: usize) -> String {
    format!("account-{}", number.wrapping_mul(7_919) % ACCOUNTS)
}

/// Returns a condition that holds after some time.
fn after(time: Duration) -> impl Fn() -> bool {
    let end = Instant::now() + time;
    move || Instant::now() > end
}

/// Creates objects, some at the same time.
async fn create_all<F: Future<Output = ()>>(objects: impl Iterator<Item = F>) {
    futures::stream::iter(objects).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// Subscribes accounts twelve days ago, and waits until each has its ledger. The timeout applies to each step.
async fn subscribe(namespace: &Namespace<'_>, count: usize) {
    let start = seconds(now() - 12 * 24 * HOUR, 1).start_time.to_string();
    let spec = json!({"plan": "starter", "startTime": start});
    create_all((0..count).map(|index| {
        let spec = spec.clone();
        async move {
            namespace.create::<Subscription>(&format!("account-{index}"), spec).await;
        }
    }))
    .await;
    let count = i64::try_from(count).expect("count");
    let mut opened = 0;
    while opened < count {
        opened = wait_for("more accounts have a ledger", async || {
            let found = ledgers(namespace).await;
            (found > opened || found == count).then_some(found)
        })
        .await;
    }
}

/// Charges reports of the first account, each with usage of all models.
async fn charge_first(namespace: &Namespace<'_>) {
    let account = namespace.account("account-0");
    for number in 0..REPORTS {
        let line = |model: &&str| {
            let labels = json!({"model": model, "repo": format!("repo-{number}")});
            json!({"nodeType": "Public", "operation": "TokensOut", "quantity": "1000", "labels": labels})
        };
        let window = seconds(now() - 11 * 24 * HOUR + number, 1);
        let spec = json!({
            "subscriptionRef": {"name": "account-0"}, "source": "gateway",
            "window": {"startTime": window.start_time, "endTime": window.end_time},
            "usage": MODELS.iter().map(line).collect::<Vec<Value>>(),
        });
        let name = format!("first-{number}");
        account.create::<UsageReport>(&name, spec).await;
        account.report_is(&name, "Charged").await;
    }
}

async fn integer(store: &mut SqliteConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(store).await.expect("a number")
}

/// Fills the store.
async fn fill(file: &PathBuf) {
    let url = format!("sqlite:{}", file.display());
    let options = SqliteConnectOptions::from_str(&url).expect("URL").busy_timeout(Duration::from_mins(5));
    let mut store = options.connect().await.expect("store");
    wait_until("all accounts are recorded", async || {
        let recorded = "SELECT COUNT(*) FROM entries JOIN accounts ON id = account_id \
                        WHERE namespace = 'large' AND number = 3";
        integer(&mut store, recorded).await == i64::try_from(ACCOUNTS).expect("count")
    })
    .await;
    for statement in MODEL {
        store.execute(statement).await.expect("model");
    }
    let last = integer(&mut store, "SELECT MAX(id) FROM accounts").await;
    let started = Instant::now();
    for first in (0..=last).step_by(100) {
        if first % 1_000 == 0 {
            println!("accounts up to key {first} are filled after {} s", started.elapsed().as_secs());
        }
        for statement in FILL {
            let filled = sqlx::query(statement).bind(first).bind(first + 99);
            filled.execute(&mut store).await.expect("filled");
        }
    }
    let rows = integer(&mut store, "SELECT COUNT(*) FROM usage").await;
    let kept = std::fs::metadata(file).expect("file").len() / 1_000_000;
    println!("{ACCOUNTS} accounts, {rows} rows of usage, {kept} MB");
    assert!(rows > 9_990_000, "{rows}");
}

/// Creates a report for each account, and returns the time until all are charged.
async fn charge(namespace: &Namespace<'_>, round: i64) -> Duration {
    let started = Instant::now();
    let start = now() - 10 * 24 * HOUR + round * HOUR;
    let usage: Vec<UsageLine> = private_egress("1M");
    create_all((0..CHARGED).map(|index| {
        let usage = usage.clone();
        async move {
            let account = namespace.account(&format!("account-{index}"));
            account.report(&format!("report-{round}-{index}"), seconds(start, HOUR), usage).await;
        }
    }))
    .await;
    let pending = ListParams::default().fields("status.state!=Charged").limit(1);
    wait_until("all reports are charged", async || {
        namespace.api::<UsageReport>().list(&pending).await.expect("list").items.is_empty()
    })
    .await;
    started.elapsed()
}

/// Returns the value below which `percent` of sorted values are, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).expect("values").as_secs_f64() * 1_000.0
}

fn print(measured: &[Measured]) {
    println!("| request | count | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|");
    let row = |name: &str, chosen: &dyn Fn(&Measured) -> bool| {
        let mut times: Vec<Duration> =
            measured.iter().filter(|one| chosen(one)).map(|one| one.time).collect();
        times.sort();
        let [middle, high, last] = [50, 99, 100].map(|percent| percentile(&times, percent));
        println!("| {name} | {} | {middle:.1} | {high:.1} | {last:.1} |", times.len());
    };
    row("all", &|_| true);
    let mut paths: Vec<&str> = measured.iter().map(|one| one.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        row(&format!("`{path}`"), &|one| one.path == path);
    }
}

/// Returns the median and the spread, from the shortest to the longest, in seconds.
fn summary(times: &mut [Duration]) -> String {
    times.sort();
    let [first, last] = [times.first(), times.last()].map(|time| time.expect("times").as_secs_f64());
    format!("{:.1} ({first:.1} to {last:.1})", percentile(times, 50) / 1_000.0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes most of half an hour and measures: make portal-speed"]
async fn the_portal_answers_quickly_and_does_not_slow_charging() {
    let world = World::start_with_users(&["reader"]).await;
    let rules: [(&str, &[&str]); 3] =
        [("subscriptions", &["get"]), ("creditledgers", &["get"]), ("usagereports", &["list"])];
    let applied = world.plane.kubectl(&["apply", "-f", "-"], Some(&role("reader", &rules).to_string())).await;
    assert!(applied.expect("kubectl").success);
    let bind = ["create", "clusterrolebinding", "reader", "--clusterrole=portal-reader", "--user=reader"];
    world.plane.kubectl(&bind, None).await.expect("kubectl").succeeded().expect("bound");
    let file = world.plane.folder().join("history.db");
    let history = format!("sqlite:{}", file.display());
    let _operator = world.operator(&["--history", &history, "--log-filter", "warn"]);
    let (large, charged) = (world.namespace("large").await, world.namespace("charged").await);
    subscribe(&large, ACCOUNTS).await;
    subscribe(&charged, CHARGED).await;
    charge_first(&large).await;
    fill(&file).await;

    let address = free_address();
    let arguments = ["--listen", &address.to_string(), "--history", &history, "--requests-per-second", "0"];
    let server = serve(&world, &[&arguments[..], &["--log-filter", "warn"]].concat(), None);
    let portal = Portal { address, token: token_of(&world, "reader") };
    wait_until("the portal answers", async || {
        exchange(address, "GET", "/healthz", &[], "").is_ok_and(|(status, ..)| status == 200)
    })
    .await;
    let request = |number, due| portal.request(number, due);
    at_the_rate(after(WARM_UP), request).await;
    let processors = Processors::of(&world, &server).await;
    print(&at_the_rate(after(MEASURED), request).await);
    println!("CPU time of a request: {}", processors.spent(&world, &server).await);
    println!("\nthe reads of a request, by a bare client at the same rate:");
    at_the_rate(after(WARM_UP), |number, due| read_both(&large, number, due)).await;
    let processors = Processors::of(&world, &server).await;
    print(&at_the_rate(after(MEASURED), |number, due| read_both(&large, number, due)).await);
    println!("CPU time of both reads: {}", processors.spent(&world, &server).await);

    measure_charging(&portal, &large, &charged).await;
}

/// The load beside which reports are charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Nothing,
    /// Requests to the portal.
    Portal,
    /// One read of a Subscription for each request, by a bare client: the least that a check of rights costs.
    OneRead,
}

impl Load {
    const ALL: [Self; 3] = [Self::Nothing, Self::Portal, Self::OneRead];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "alone",
            Self::Portal => "beside requests to the portal",
            Self::OneRead => "beside bare reads of one Subscription",
        }
    }
}

/// Prints how long charging takes with each load.
async fn measure_charging(portal: &Portal, large: &Namespace<'_>, charged: &Namespace<'_>) {
    let mut times: Vec<(Load, Duration)> = Vec::new();
    for round in 0..ROUNDS {
        for (number, load) in (0_i64..).zip(Load::ALL) {
            let over = AtomicBool::new(false);
            let charging = async {
                let time = charge(charged, 3 * round + number).await;
                over.store(true, Ordering::Relaxed);
                time
            };
            let is_over = || over.load(Ordering::Relaxed);
            let time = match load {
                Load::Nothing => charging.await,
                Load::Portal => {
                    tokio::join!(charging, at_the_rate(is_over, |number, due| portal.request(number, due))).0
                }
                Load::OneRead => {
                    tokio::join!(charging, at_the_rate(is_over, |number, due| read_one(large, number, due))).0
                }
            };
            // The first round warms up.
            if round > 0 {
                times.push((load, time));
            }
        }
    }
    println!(
        "\n| seconds to create and charge {CHARGED} reports | median (shortest to longest) |\n|---|---|"
    );
    for load in Load::ALL {
        let mut of_load: Vec<Duration> =
            times.iter().filter(|(one, _)| *one == load).map(|(_, time)| *time).collect();
        println!("| {}, {RATE} a second | {} |", load.name(), summary(&mut of_load));
    }
}
