//! The connection to the cluster.

use std::path::PathBuf;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
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

/// The cluster of a command that people run, by the options that kubectl has too.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// Namespace; default: the one of the kubeconfig's context
    #[arg(short, long, value_name = "NAME", global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig; default: the current one
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
    /// The kubeconfig; default: the files of KUBECONFIG, or ~/.kube/config
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// User in whose name the API server is called
    #[arg(long = "as", value_name = "USER", global = true)]
    pub impersonated: Option<String>,
}

/// A cluster, and the namespace of a command.
#[derive(Clone)]
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl ClusterArgs {
    /// Connects to the cluster for reads. The client library repeats those that the API server is too busy for.
    ///
    /// # Errors
    /// When there is no such kubeconfig or context, or it cannot be used.
    pub async fn connect_to_read(&self) -> anyhow::Result<Cluster> {
        let config = self.config().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the kubeconfig cannot be used")?;
        Ok(Cluster { client, namespace })
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let Self { context, kubeconfig, impersonated, namespace: _ } = self;
        let mut config = if context.is_none() && kubeconfig.is_none() {
            // Also finds the service account of a pod.
            Config::infer()
                .await
                .context("no cluster to connect to: set KUBECONFIG, or use `--kubeconfig`")?
        } else {
            let file = match kubeconfig {
                Some(file) => Kubeconfig::read_from(file),
                None => Kubeconfig::read(),
            };
            let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
            let file = file.context("the kubeconfig cannot be read")?;
            Config::from_custom_kubeconfig(file, &options).await.context("the kubeconfig cannot be used")?
        };
        if impersonated.is_some() {
            config.auth_info.impersonate.clone_from(impersonated);
        }
        Ok(config)
    }
}
