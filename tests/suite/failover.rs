//! Failover: leaders change under load, and every report is charged once.

use std::cell::Cell;
use std::time::Duration;

use flashgate_api::{CreditLedger, UsageReport};
use flashgate_testing::Action;
use flashgate_testing::catalog::monthly;
use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster_account::{ClusterAccount, LONG_AGO, now, private_egress, seconds};
use crate::world::{Operator, PATIENCE, World, wait_for, wait_until};

/// Namespace of the leases in these tests.
const LEASE_NAMESPACE: &str = "default";

/// The default name of a lease.
const LEASE: &str = "flashgate-billing";

/// A lease that expires within a test, but is long enough for a slow machine to renew.
const SHORT_LEASE: Duration = Duration::from_secs(6);

/// Maximum time from SIGTERM, or from the expiry of a lease, to the first commit of the next leader.
const HANDOVER: Duration = Duration::from_secs(2);

const SHORT_TIMES: [&str; 6] = [
    "--leader-elect-lease-seconds",
    "6",
    "--leader-elect-renew-seconds",
    "4",
    "--leader-elect-retry-seconds",
    "1",
];

/// Starts an operator with leader election, and waits until its caches are synchronized.
async fn candidate(world: &World, arguments: &[&str]) -> Operator {
    let stand =
        ["--leader-elect", "--leader-elect-namespace", LEASE_NAMESPACE, "--metrics-addr", "127.0.0.1:0"];
    let arguments: Vec<&str> = stand.into_iter().chain(arguments.iter().copied()).collect();
    let operator = world.operator(&arguments);
    wait_for("it serves its health", async || operator.listening_port()).await;
    wait_for("it is ready", async || (operator.get("/readyz")?.0 == 200).then_some(())).await;
    operator
}

fn leads(operator: &Operator) -> bool {
    let metrics = operator.get("/metrics").map(|(_, text)| text).unwrap_or_default();
    metrics.lines().any(|line| line == "flashgate_billing_leader 1")
}

async fn until_it_leads(operator: &Operator) {
    wait_until("it leads", async || leads(operator)).await;
}

async fn leases(world: &World) -> Api<Lease> {
    Api::namespaced(world.client().await, LEASE_NAMESPACE)
}

async fn holder(leases: &Api<Lease>) -> Option<String> {
    // No holder is visible while the API server is unavailable.
    let lease = leases.get_opt(LEASE).await.ok()??;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

/// Accounts that get reports in a loop.
struct Load<'a> {
    accounts: &'a [ClusterAccount<'a>],
    is_over: Cell<bool>,
    created: Cell<i64>,
}

/// Credits of the plan. Each report costs one.
const CREDITS_OF_PLAN: i64 = 1_100;

impl<'a> Load<'a> {
    async fn on(accounts: &'a [ClusterAccount<'a>]) -> Self {
        for account in accounts {
            account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
        }
        Self { accounts, is_over: Cell::new(false), created: Cell::new(0) }
    }

    /// Creates reports until the end. Each costs one credit and has its own window.
    async fn run(&self) {
        let start = now() - 24 * 3_600;
        while !self.is_over.get() {
            let index = self.created.get();
            let create = self.accounts.iter().map(|account| create(account, index, start + index * 3));
            futures::stream::iter(create).buffer_unordered(8).collect::<Vec<()>>().await;
            self.created.set(index + 1);
        }
    }

    /// Waits until each account has `count` more reports.
    async fn wait_for_more(&self, count: i64) {
        let goal = self.created.get() + count;
        wait_until("the load goes on", async || self.created.get() >= goal).await;
    }

    fn ends(&self) {
        self.is_over.set(true);
    }

    /// Asserts that every report was charged once, and that nothing else happened.
    async fn assert_exact_totals(&self) {
        let created = self.created.get();
        assert!(created > 0);
        for account in self.accounts {
            wait_for("all are charged", async || {
                let charged = ListParams::default().fields("status.state=Charged");
                let charged = account.api::<UsageReport>().list(&charged).await.ok()?.items.len();
                (i64::try_from(charged) == Ok(created)).then_some(())
            })
            .await;
            account.balance(&(CREDITS_OF_PLAN - created).to_string()).await;
            let granted = CREDITS_OF_PLAN.to_string();
            account.has_totals(&[("consumed", &created.to_string()), ("granted", &granted)]).await;
        }
    }
}

/// Creates a report, also through an API server that goes away meanwhile.
async fn create(account: &ClusterAccount<'_>, index: i64, start: i64) {
    let (name, source, window) = (format!("report-{index}"), "gw".to_owned(), seconds(start, 3));
    let usage = private_egress("1G");
    account.apply_within(PATIENCE, Action::Report { name, source, window, usage }).await;
}

async fn sequences(accounts: &[ClusterAccount<'_>]) -> i64 {
    let mut sum = 0;
    for account in accounts {
        let ledger = account.get::<CreditLedger>("acme").await.unwrap_or_default();
        sum += ledger.pointer("/spec/sequence").and_then(Value::as_i64).unwrap_or_default();
    }
    sum
}

/// Returns the maximum time from `signalled` to the first commit of an operator other than `before`.
async fn time_to_commit_of_another(
    load: &Load<'_>,
    leases: &Api<Lease>,
    before: &str,
    signalled: Instant,
) -> Duration {
    wait_for("another leads", async || holder(leases).await.filter(|now| now != before)).await;
    let known = sequences(load.accounts).await;
    wait_until("another commits", async || sequences(load.accounts).await > known).await;
    signalled.elapsed()
}

/// Runs a scenario in two namespaces under load.
async fn under_load(world: &World, scenario: impl AsyncFnOnce(&Load<'_>)) {
    let accounts = ["one", "two"].map(|name| ClusterAccount::without_subscription(world, name));
    let accounts = futures::future::join_all(accounts).await;
    let load = Load::on(&accounts).await;
    tokio::join!(load.run(), async {
        scenario(&load).await;
        load.ends();
    });
    load.assert_exact_totals().await;
}

#[tokio::test]
async fn a_terminated_leader_hands_over_within_two_seconds() {
    let world = World::start().await;
    let leases = leases(&world).await;
    let first = candidate(&world, &[]).await;
    until_it_leads(&first).await;
    let second = candidate(&world, &[]).await;
    under_load(&world, async |load| {
        load.wait_for_more(20).await;
        assert!(!leads(&second), "there are two leaders");
        let metrics = second.get("/metrics").expect("metrics").1;
        assert!(metrics.contains("flashgate_billing_commits_total 0"), "{metrics}");
        assert!(!metrics.contains("flashgate_billing_reconcile_total{"), "a standby does not reconcile");
        let before = holder(&leases).await.expect("a leader");
        let signalled = Instant::now();
        first.ask_to_stop();
        let took = time_to_commit_of_another(load, &leases, &before, signalled).await;
        println!("SIGTERM: first commit of the next leader after {took:?}");
        assert!(took <= HANDOVER, "{took:?}");
        assert!(leads(&second));
        load.wait_for_more(5).await;
    })
    .await;
}

#[tokio::test]
async fn a_killed_leader_is_replaced_when_its_lease_expires() {
    let world = World::start().await;
    let leases = leases(&world).await;
    let first = candidate(&world, &SHORT_TIMES).await;
    until_it_leads(&first).await;
    let _second = candidate(&world, &SHORT_TIMES).await;
    under_load(&world, async |load| {
        load.wait_for_more(20).await;
        let before = holder(&leases).await.expect("a leader");
        let signalled = Instant::now();
        first.kill();
        let took = time_to_commit_of_another(load, &leases, &before, signalled).await;
        println!("SIGKILL: first commit of the next leader after {took:?}");
        assert!(took <= SHORT_LEASE + HANDOVER, "{took:?}");
        load.wait_for_more(5).await;
    })
    .await;
}

#[tokio::test]
async fn a_leader_paused_for_two_leases_during_a_commit_charges_nothing_twice() {
    let world = World::start().await;
    let leases = leases(&world).await;
    let go = world.plane.folder().join("go");
    let failpoint = format!("--failpoint=replace-ledger#9@before=pause:{}", go.display());
    let arguments: Vec<&str> = SHORT_TIMES.into_iter().chain([failpoint.as_str()]).collect();
    let first = candidate(&world, &arguments).await;
    until_it_leads(&first).await;
    let second = candidate(&world, &SHORT_TIMES).await;
    under_load(&world, async |load| {
        let reached = world.plane.folder().join("go.reached");
        wait_until("a commit is about to be sent", async || reached.exists()).await;
        let before = holder(&leases).await.expect("a leader");
        let signalled = Instant::now();
        first.suspend();
        std::fs::write(&go, "").expect("go");
        time_to_commit_of_another(load, &leases, &before, signalled).await;
        wait_until("two leases have passed", async || signalled.elapsed() >= SHORT_LEASE * 2).await;
        first.resume();
        wait_until("it stands by", async || !leads(&first) && leads(&second)).await;
        load.wait_for_more(5).await;
        // It leads again when it may.
        second.ask_to_stop();
        until_it_leads(&first).await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_lease_gets_exactly_one_holder_again() {
    let world = World::start().await;
    let leases = leases(&world).await;
    let candidates = [candidate(&world, &SHORT_TIMES).await, candidate(&world, &SHORT_TIMES).await];
    under_load(&world, async |load| {
        for _ in 0..3 {
            load.wait_for_more(5).await;
            leases.delete(LEASE, &DeleteParams::default()).await.expect("deleted");
            wait_for("one leads", async || {
                holder(&leases).await?;
                (candidates.iter().filter(|candidate| leads(candidate)).count() == 1).then_some(())
            })
            .await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_restart_of_the_api_server_loses_nothing() {
    let world = World::start().await;
    let _candidates = [candidate(&world, &SHORT_TIMES).await, candidate(&world, &SHORT_TIMES).await];
    under_load(&world, async |load| {
        for _ in 0..2 {
            load.wait_for_more(10).await;
            world.plane.restart_apiserver().await.expect("restarted");
        }
        load.wait_for_more(5).await;
    })
    .await;
}

/// Runs load in the namespaces `a`, `b` and `c`, with two leaders for the given namespaces.
async fn two_leaders(first: &[&str], second: &[&str]) {
    let world = World::start().await;
    let accounts = ["a", "b", "c"].map(|name| ClusterAccount::without_subscription(&world, name));
    let accounts = futures::future::join_all(accounts).await;
    let leader_of = async |name: &str, namespaces: &[&str]| {
        let arguments: Vec<&str> = ["--leader-elect-name", name, "--namespace"]
            .into_iter()
            .chain(namespaces.iter().copied())
            .collect();
        candidate(&world, &arguments).await
    };
    let first = leader_of("first", first).await;
    let second = leader_of("second", second).await;
    let load = Load::on(&accounts).await;
    tokio::join!(load.run(), async {
        load.wait_for_more(30).await;
        assert!(leads(&first) && leads(&second), "each operator must lead its own namespaces");
        load.ends();
    });
    load.assert_exact_totals().await;
}

#[tokio::test]
async fn operators_of_different_namespaces_lead_in_parallel() {
    two_leaders(&["a"], &["b", "c"]).await;
}

#[tokio::test]
async fn operators_with_overlapping_namespaces_charge_each_report_once() {
    two_leaders(&["a", "b"], &["b", "c"]).await;
}

#[tokio::test]
async fn a_leader_with_hanging_calls_still_stops_and_releases_its_lease() {
    let world = World::start().await;
    let leases = leases(&world).await;
    let never = world.plane.folder().join("never");
    let failpoint = format!("--failpoint=create-ledger#1@before=pause:{}", never.display());
    let operator = candidate(&world, &[&failpoint]).await;
    until_it_leads(&operator).await;
    let account = ClusterAccount::subscribed(&world, "hanging", monthly("starter")).await;
    let reached = world.plane.folder().join("never.reached");
    wait_until("its commit hangs", async || reached.exists()).await;
    operator.terminate().await;
    assert_eq!(holder(&leases).await, None);
    assert!(account.get::<CreditLedger>("acme").await.is_none());
}

#[tokio::test]
async fn a_hanging_call_blocks_only_its_own_account() {
    let world = World::start().await;
    let go = world.plane.folder().join("go");
    let _operator = world.operator(&[&format!("--failpoint=create-ledger#1@before=pause:{}", go.display())]);
    let namespace = world.namespace("hanging").await;
    let hanging = namespace.account("hanging");
    hanging.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let reached = world.plane.folder().join("go.reached");
    wait_until("its commit hangs", async || reached.exists()).await;
    for index in 0..5 {
        let other = namespace.account(&format!("other-{index}"));
        other.subscribe(monthly("starter"), Some(LONG_AGO)).await;
        other.balance("1100").await;
    }
    assert!(namespace.get::<CreditLedger>("hanging").await.is_none());
    std::fs::write(&go, "").expect("go");
    hanging.balance("1100").await;
}
