//! Causes each alert with running operators.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flashgate_api::{CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use flashgate_cluster::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::distance::{self, DistantServer};
use super::prometheus::{Prometheus, Target};
use crate::relay;
use crate::suite::accounts::{hour_until, usage};
use crate::suite::payments::{free_address, secrets_file, webhook};
use crate::world::{Namespace, Operator, World, eventually, root};

const CLOCK: &str = "billing.flashgate.dev/test-clock";

/// The user without any right.
pub const STRANGER: &str = "stranger";

/// Namespaces that the stranger watches. Each adds one failed watch to every try.
const WATCHED_BY_THE_STRANGER: [&str; 12] =
    ["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10", "n11", "n12"];

/// Three operators and Prometheus. One operator works, one has no rights, and one has a slow and failing API
/// server with a wrong clock.
pub struct Scene<'a> {
    pub prometheus: Prometheus,
    /// The metrics addresses of the operators.
    pub addresses: Vec<SocketAddr>,
    pub operators: Vec<Operator>,
    /// The log of the working operator.
    pub log: PathBuf,
    /// Namespace of the accounts that use real time.
    pub tenants: Namespace<'a>,
    /// Namespace of the accounts that use test clocks.
    clocked: Namespace<'a>,
    /// The control plane.
    pub world: &'a World,
    webhook: SocketAddr,
}

impl<'a> Scene<'a> {
    /// Starts the operators and Prometheus. Waits until Prometheus has scraped each.
    pub async fn set(world: &'a World, rules: &Value) -> Self {
        let addresses = vec![free_address(), free_address(), free_address()];
        let webhook = free_address();
        let log = world.plane.folder().join("worker.log");
        let operators = vec![
            start_worker(world, addresses[0], webhook, &log),
            start_stranger(world, addresses[1]),
            start_behind_relay(world, addresses[2]).await,
        ];
        let pods = [("billing", "worker"), ("elsewhere", "stranger"), ("far-away", "relayed")];
        let targets = pods.iter().zip(&addresses);
        let targets: Vec<Target> =
            targets.map(|((namespace, pod), address)| Target { namespace, pod, address: *address }).collect();
        let prometheus = Prometheus::start(world.plane.folder(), &targets, rules).await;
        prometheus.expect("sum(up) == 3").await;
        let tenants = world.namespace("tenants").await;
        let clocked = world.namespace("clocked").await;
        Self { prometheus, addresses, operators, log, tenants, clocked, world, webhook }
    }

    /// Waits until an alert fires.
    pub async fn fires(&self, alert: &str) {
        let fires =
            async || self.prometheus.firing().iter().any(|labels| labels["alertname"] == alert).then_some(());
        eventually(&format!("{alert} fires"), fires).await_some().await;
    }

    /// Creates accounts with credits, and waits until Prometheus has their metrics.
    pub async fn create_accounts(&self) {
        for name in ["low", "gone", "late", "lost", "tampered"] {
            let spec = json!({"plan": "organization-free", "startTime": "2026-01-01T00:00:00Z"});
            self.tenants.create::<Subscription>(name, spec).await;
        }
        self.prometheus.expect("count(flashgate_billing_credits_balance == 40) == 5").await;
    }

    /// Uses most credits of one account and exceeds those of another. The usage of a third is reported late.
    /// A report for an account that does not exist stays pending.
    pub async fn use_credits(&self) {
        self.report("low", "3500M", 1).await;
        self.report("gone", "5G", 1).await;
        self.report("late", "100M", 4).await;
        self.report("missing", "1G", 1).await;
        self.tenants.expect::<Subscription>("low", "/status/credits/balance", "5").await;
        self.tenants.expect::<Subscription>("gone", "/status/credits/balance", "-10").await;
    }

    /// Reports the usage of an hour that began `hours_ago`.
    async fn report(&self, account: &str, quantity: &str, hours_ago: i64) {
        self.report_as(&format!("{account}-1"), account, "StorageEgress", quantity, hours_ago).await;
    }

    /// Reports the usage of an operation in an hour that began `hours_ago`, under a name.
    pub async fn report_as(
        &self,
        name: &str,
        account: &str,
        operation: &str,
        quantity: &str,
        hours_ago: i64,
    ) {
        let end = now() - SignedDuration::from_hours(hours_ago - 1);
        let spec = usage(account, "gw", hour_until(end), operation, quantity);
        self.tenants.create::<UsageReport>(name, spec).await;
    }

    /// Leaves the first invoice of one account open for two days, and makes the renewal of another due. Sends
    /// a callback that cannot be decoded.
    pub async fn cause_payment_alerts(&self) {
        self.subscribe("owing", &(now() - SignedDuration::from_hours(48)).to_string()).await;
        self.invoice("owing", 0).await;
        self.subscribe("lapsing", "2026-01-31T10:00:00Z").await;
        let invoice = self.invoice("lapsing", 0).await;
        let spec = json!({
            "subscriptionRef": {"name": "lapsing"}, "invoice": invoice, "state": "Settled", "amount": "100",
            "currency": "USD",
        });
        self.clocked.create::<Payment>("first", spec).await;
        self.clocked.expect::<Subscription>("lapsing", "/status/plan", "starter").await;
        self.move_clock("lapsing", "2026-02-28T10:00:01Z").await;
        self.invoice("lapsing", 1).await;
        self.move_clock("lapsing", "2026-03-05T10:00:00Z").await;
        self.clocked.expect::<Subscription>("lapsing", "/status/plan", "organization-free").await;
        let order = json!({"subscriptionRef": {"name": "lapsing"}, "pack": "plus-100"});
        self.clocked.create::<CreditPack>("too-late", order).await;
        webhook::post(self.webhook, "clocked", &json!({"id": "evt_1"})).await;
    }

    async fn subscribe(&self, name: &str, clock: &str) {
        let metadata = json!({"name": name, "annotations": {CLOCK: clock}});
        self.clocked.create_with::<Subscription>(metadata, json!({"plan": "starter"})).await;
    }

    async fn move_clock(&self, name: &str, clock: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {CLOCK: clock}}}));
        let subscriptions = self.clocked.api::<Subscription>();
        subscriptions.patch(name, &PatchParams::default(), &patch).await.expect("patched");
    }

    /// Returns the number of an account's open invoice, once it exists.
    async fn invoice(&self, name: &str, index: usize) -> String {
        self.clocked.expect::<Subscription>(name, &format!("/status/invoices/{index}/state"), "Open").await;
        let subscription = self.clocked.get::<Subscription>(name).await.expect("Subscription");
        let number = subscription.pointer(&format!("/status/invoices/{index}/number"));
        number.and_then(Value::as_str).expect("number").to_owned()
    }

    /// Deletes a ledger.
    pub async fn delete_ledger(&self) {
        let ledgers = self.tenants.api::<CreditLedger>();
        ledgers.delete("lost", &DeleteParams::default()).await.expect("deleted");
    }

    /// Writes a ledger whose hash is wrong.
    pub async fn corrupt_ledger(&self) {
        let ledgers = self.tenants.api::<CreditLedger>();
        let mut tampered = ledgers.get("tampered").await.expect("ledger");
        tampered.spec.sequence += 1;
        tampered.spec.hash = "0".repeat(64);
        ledgers.replace("tampered", &PostParams::default(), &tampered).await.expect("written");
    }

    /// Creates accounts behind the relay, which is slow or fails, and has another clock.
    pub async fn create_accounts_behind_relay(&self) {
        for name in [distance::SLOW, distance::FAILING] {
            let namespace = self.world.namespace(name).await;
            namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
        }
    }

    /// Loosens a CRD as an administrator, and writes an object that the operator cannot decode.
    pub async fn write_undecodable_payment(&self) {
        let states = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/state/enum/-";
        let patch = json!([{"op": "add", "path": states, "value": "Odd"}]).to_string();
        let loosen = ["patch", "crd", "payments.billing.flashgate.dev", "--type=json", "--patch", &patch];
        self.tenants.kubectl(&loosen, None).await.succeeded().expect("loosened");
        let payment = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Payment", "metadata": {"name": "odd"},
            "spec": {
                "subscriptionRef": {"name": "low"}, "invoice": "low-0001", "state": "Odd", "amount": "1",
                "currency": "USD",
            },
        })
        .to_string();
        eventually("the loosened definition is in force", async || {
            let output = self.tenants.kubectl(&["create", "--filename", "-"], Some(&payment)).await;
            output.success.then_some(())
        })
        .await_some()
        .await;
    }
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// Starts the working operator, with external payments.
fn start_worker(world: &World, metrics: SocketAddr, webhook: SocketAddr, log: &Path) -> Operator {
    let catalog = root().join("examples/payments/catalog.yaml").display().to_string();
    let secrets = secrets_file(world).display().to_string();
    let (metrics, webhook) = (metrics.to_string(), webhook.to_string());
    let arguments = [
        "--catalog",
        &catalog,
        "--metrics-addr",
        &metrics,
        "--account-metrics",
        "--payments-addr",
        &webhook,
        "--payments-secret-file",
        &secrets,
        "--log-format",
        "json",
        "--allow-test-clocks",
        "clocked",
        "--namespace",
        "tenants",
        "clocked",
    ];
    Operator::start_as(&world.plane.kubeconfig(), &arguments, &[], log)
}

/// Starts an operator without rights. It cannot watch, and never leads.
fn start_stranger(world: &World, metrics: SocketAddr) -> Operator {
    let kubeconfig = world.plane.kubeconfig_for(STRANGER).expect("kubeconfig");
    let metrics = metrics.to_string();
    let arguments =
        ["--metrics-addr", &metrics, "--leader-elect", "--leader-elect-namespace", "default", "--namespace"];
    let arguments: Vec<&str> = arguments.into_iter().chain(WATCHED_BY_THE_STRANGER).collect();
    Operator::start_as(&kubeconfig, &arguments, &[], &world.plane.folder().join("stranger.log"))
}

/// Starts an operator behind the relay.
async fn start_behind_relay(world: &World, metrics: SocketAddr) -> Operator {
    let kubeconfig = relay::start(world, Arc::new(DistantServer)).await;
    let metrics = metrics.to_string();
    // That Lease has no record of a backup.
    let backups = ["--backup-lease", "backups", "--backup-lease-namespace", "default"];
    let arguments = ["--metrics-addr", &metrics, "--namespace", distance::SLOW, distance::FAILING];
    let arguments = [&arguments[..], &backups].concat();
    Operator::start_as(&kubeconfig, &arguments, &[], &world.plane.folder().join("far-away.log"))
}
