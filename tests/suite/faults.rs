//! Faults of the cluster and of the API server.
//!
//! - Cluster: removed, recreated or old CRDs, a policy that denies writes, an object that cannot be decoded,
//!   a full etcd, an expired token, missing rights, a new certificate, restored data, and large input.
//! - API server: throttling, expired watches, no answers, a wrong clock, and outages.

mod answers;
mod certificates;
mod clocks;
mod definitions;
mod namespaces;
mod outage;
mod refused_writes;
mod restored_etcd;
mod rights;
mod silence;
mod sizes;
mod undecodable;

pub use self::refused_writes::etcd;

use std::path::PathBuf;

use flashgate_testing::catalog::monthly;
use serde_json::Value;

use crate::cluster_account::ClusterAccount;
use crate::world::{Operator, World};

/// An operator with metrics, whose log is kept.
struct Watched {
    operator: Operator,
    log: PathBuf,
}

impl Watched {
    fn start(world: &World) -> Self {
        Self::start_as(world, &world.plane.kubeconfig())
    }

    fn start_as(world: &World, kubeconfig: &std::path::Path) -> Self {
        Self::start_with(world, kubeconfig, &[])
    }

    fn start_with(world: &World, kubeconfig: &std::path::Path, arguments: &[&str]) -> Self {
        let log = world.plane.folder().join("operator.log");
        let arguments = [&["--metrics-addr", "127.0.0.1:0"], arguments].concat();
        let operator = Operator::start_as(kubeconfig, &arguments, &[("NO_COLOR", "1")], &log);
        Self { operator, log }
    }

    fn read_log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("log")
    }

    /// Returns the value of a metric; 0 if it does not exist yet.
    fn metric(&self, name: &str) -> f64 {
        self.metrics(|line| line.starts_with(name)).first().copied().unwrap_or_default()
    }

    /// Returns the numbers of failed reconciles, by cause.
    fn failures(&self) -> Vec<f64> {
        let failed =
            |line: &str| line.starts_with("flashgate_billing_reconcile_total") && !line.contains(r#""ok""#);
        self.metrics(failed)
    }

    fn metrics(&self, is_meant: impl Fn(&str) -> bool) -> Vec<f64> {
        let text = self.operator.get("/metrics").map(|(_, text)| text).unwrap_or_default();
        let lines = text.lines().filter(|line| is_meant(line));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
    }
}

/// Opens an account on the plan starter, which began a while ago.
async fn open_account<'a>(world: &'a World, namespace: &str) -> ClusterAccount<'a> {
    let account = ClusterAccount::subscribed_long_ago(world, namespace, monthly("starter")).await;
    account.balance("1100").await;
    account.status("/status/ledger/sequence", 1).await;
    account
}

/// Returns the committed CRD of a kind.
fn definition(plural: &str) -> Value {
    let file = crate::world::root().join(format!("crds/{plural}.yaml"));
    serde_yaml::from_str(&std::fs::read_to_string(file).expect("definition")).expect("YAML")
}

/// Replaces a CRD.
async fn redefine(world: &World, definition: &Value) {
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let applied = world.plane.kubectl(&apply, Some(&definition.to_string())).await.expect("kubectl");
    assert!(applied.success, "{}", applied.stderr);
}
