//! Causes each alert with running operators.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flashgate_testing::action::UsageLine;
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::{HOUR, at};
use serde_json::{Value, json};

use super::distance::{self, DistantServer};
use super::{gates, history, meters};
use crate::cluster_account::{ClusterAccount, LONG_AGO, now, seconds};
use crate::relay;
use crate::suite::prometheus::{Prometheus, Target};

use crate::free_address::free_address;
use crate::suite::payments::{secrets_file, webhook};
use crate::world::{Namespace, Operator, World, root, wait_for, wait_until};

/// The user without any right.
pub const STRANGER: &str = "stranger";

/// Namespaces that the stranger watches. Each adds one failed watch to every try.
const WATCHED_BY_THE_STRANGER: [&str; 12] =
    ["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10", "n11", "n12"];

/// Five operators, a meter, two gates and Prometheus. One operator works, one has no rights, and one has a slow and failing API
/// server with a wrong clock. One records a history, and the history store of the last one is not available.
pub struct Scene<'a> {
    pub prometheus: Prometheus,
    /// The metrics addresses of all processes.
    pub addresses: Vec<SocketAddr>,
    /// The operators, the meter and the gates.
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
    /// The address at which the gate with rights answers.
    pub gate: SocketAddr,
}

impl<'a> Scene<'a> {
    /// Starts the operators and Prometheus. Waits until Prometheus has scraped each.
    pub async fn set(world: &'a World, rules: &Value) -> Self {
        let addresses: Vec<SocketAddr> = (0..5).map(|_| free_address()).collect();
        let webhook = free_address();
        let log = world.plane.folder().join("worker.log");
        let operators = vec![
            start_worker(world, addresses[0], webhook, &log),
            start_stranger(world, addresses[1]),
            start_behind_relay(world, addresses[2]).await,
            history::start(world, history::RECORDED, addresses[3], &history::store(world)),
            history::start(world, history::UNRECORDED, addresses[4], Path::new("/proc/no-folder/history.db")),
        ];
        let pods = [
            ("billing", "worker"),
            ("elsewhere", "stranger"),
            ("far-away", "relayed"),
            (history::RECORDED, "recorder"),
            (history::UNRECORDED, "other"),
        ];
        let targets = pods.iter().zip(&addresses);
        let targets: Vec<Target> =
            targets.map(|((namespace, pod), address)| Target { namespace, pod, address: *address }).collect();
        let (mut addresses, mut operators, meter) = (addresses.clone(), operators, free_address());
        let metered = Target { namespace: "billing", pod: "meter", address: meter };
        let (gate, metrics_of_gates) = (free_address(), [free_address(), free_address()]);
        let with_gates =
            [("billing", "gate", metrics_of_gates[0]), ("elsewhere", "blind-gate", metrics_of_gates[1])];
        let with_gates = with_gates.map(|(namespace, pod, address)| Target { namespace, pod, address });
        let targets: Vec<Target> = targets.into_iter().chain([metered]).chain(with_gates).collect();
        let prometheus = Prometheus::start(world.plane.folder(), &targets, rules).await;
        addresses.push(meter);
        operators.push(meters::start(world, meter, &prometheus.url()));
        let stranger = world.plane.kubeconfig_for(STRANGER).expect("kubeconfig");
        operators.push(gates::start(world, &world.plane.kubeconfig(), gate, metrics_of_gates[0]));
        operators.push(gates::start(world, &stranger, free_address(), metrics_of_gates[1]));
        addresses.extend(metrics_of_gates);
        prometheus.expect("sum(up) == 8").await;
        let tenants = world.namespace("tenants").await;
        let clocked = world.namespace("clocked").await;
        Self { prometheus, addresses, operators, log, tenants, clocked, world, webhook, gate }
    }

    /// Waits until an alert fires.
    pub async fn fires(&self, alert: &str) {
        let fires =
            async || self.prometheus.firing().iter().any(|labels| labels["alertname"] == alert).then_some(());
        wait_for(&format!("{alert} fires"), fires).await;
    }

    /// Creates accounts with credits, and waits until Prometheus has their metrics.
    pub async fn create_accounts(&self) {
        for name in ["low", "gone", "late", "lost", "tampered"] {
            self.tenants.account(name).subscribe(monthly("organization-free"), Some(LONG_AGO)).await;
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
        self.tenants.account("low").balance("5").await;
        self.tenants.account("gone").balance("-10").await;
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
        let window = seconds(now() - hours_ago * HOUR, HOUR);
        let usage = vec![UsageLine::new("Public", operation, quantity)];
        self.tenants.account(account).report(name, window, usage).await;
    }

    /// Leaves one account's first invoice open for two days, lets another's renewal fall due, and sends a callback that
    /// cannot be decoded.
    pub async fn cause_payment_alerts(&self) {
        let owing = self.clocked.account("owing");
        owing.subscribe_at(&at(now() - 48 * HOUR).to_string(), monthly("starter"), None).await;
        owing.invoice(0, "Open").await;
        let lapsing = self.clocked.account("lapsing");
        lapsing.subscribe_at("2026-01-31T10:00:00Z", monthly("starter"), None).await;
        lapsing.pay("first", &lapsing.invoice(0, "Open").await, "Settled", "100").await;
        lapsing.status("/status/plan", "starter").await;
        lapsing.clock("2026-02-28T10:00:01Z").await;
        lapsing.invoice(1, "Open").await;
        lapsing.clock("2026-03-05T10:00:00Z").await;
        lapsing.status("/status/plan", "organization-free").await;
        lapsing.buy("too-late", "plus-100").await;
        webhook::post(self.webhook, "clocked", &json!({"id": "evt_1"})).await;
    }

    /// Deletes a ledger.
    pub async fn delete_ledger(&self) {
        self.tenants.account("lost").delete("CreditLedger", "lost").await;
    }

    /// Writes a ledger whose hash is wrong.
    pub async fn corrupt_ledger(&self) {
        self.tenants.account("tampered").tamper().await;
    }

    /// Creates accounts behind the relay, which is slow or fails, and has another clock.
    pub async fn create_accounts_behind_relay(&self) {
        for name in [distance::SLOW, distance::FAILING] {
            ClusterAccount::subscribed(self.world, name, monthly("starter")).await;
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
        wait_until("the loosened definition is in force", async || {
            let output = self.tenants.kubectl(&["create", "--filename", "-"], Some(&payment)).await;
            output.success
        })
        .await;
    }
}

/// Starts the operator that does its work, with payments from outside.
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
