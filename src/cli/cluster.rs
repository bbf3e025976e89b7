//! The connection to the cluster.

use anyhow::Context as _;
use kube::{Client, Config};

/// Connects to the cluster of KUBECONFIG, or of the service account of the pod, after `change` to its configuration.
///
/// # Errors
/// When there is no cluster to connect to, or its configuration cannot be used.
pub async fn connect(change: impl FnOnce(&mut Config)) -> anyhow::Result<Client> {
    let mut config = Config::infer()
        .await
        .context("no cluster to connect to: set KUBECONFIG, or run in a pod with a service account")?;
    change(&mut config);
    Client::try_from(config).context("the cluster's configuration cannot be used")
}
