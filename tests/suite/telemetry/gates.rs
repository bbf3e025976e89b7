//! Causes the alerts about gates.

use std::net::SocketAddr;
use std::path::Path;

use super::causes::Scene;
use crate::suite::gate::send;
use crate::world::{Operator, World};

/// Requests that name no account.
const UNKNOWN: usize = 20;

/// Starts a gate with the identity of `kubeconfig`.
pub fn start(world: &World, kubeconfig: &Path, listen: SocketAddr, metrics: SocketAddr) -> Operator {
    let (listen, metrics) = (listen.to_string(), metrics.to_string());
    let log =
        std::fs::File::create(world.plane.folder().join(format!("gate-{}.log", metrics.replace(':', "-"))));
    let arguments = ["--listen", &listen, "--metrics-addr", &metrics];
    Operator::start_command("gate", kubeconfig, &arguments, &[], log.expect("log").into())
}

/// Asks the gate about accounts that do not exist. The gate without rights is stale from its start.
pub async fn cause_alerts(scene: &Scene<'_>) {
    scene.prometheus.expect("sum(flashgate_billing_gate_stale{pod=\"gate\"}) == 0").await;
    for _ in 0..UNKNOWN {
        let answer = send(scene.gate, "GET", "/check/tenants/no-such-account", &[]).await;
        assert_eq!(answer.expect("an answer").status, 403);
    }
}
