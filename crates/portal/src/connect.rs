//! The base client: server, CA and proxy of a cluster, and never a user's credentials.

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::kubernetes::Kubernetes;

/// Why there is no cluster to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] KubeconfigError),
    /// There is no kubeconfig, and the process does not run in a pod.
    #[error("there is no cluster to connect to: set KUBECONFIG, or run in a pod with the CA of its cluster")]
    NotInCluster(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client cannot be built.
    #[error("the cluster's entry cannot be used")]
    Client(#[source] Box<kube::Error>),
}

/// Returns the API server that KUBECONFIG names, else `~/.kube/config`, else the cluster of this pod.
///
/// # Errors
/// When the kubeconfig is invalid, or there is no cluster.
pub async fn connect() -> Result<Kubernetes, ConnectError> {
    let config = match named_kubeconfig()? {
        Some(kubeconfig) => cluster_of(kubeconfig).await.map_err(ConnectError::Kubeconfig)?,
        None => in_cluster().map_err(|error| ConnectError::NotInCluster(Box::new(error)))?,
    };
    let client = Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))?;
    Ok(Kubernetes::new(client))
}

/// Returns the kubeconfig of KUBECONFIG or of the home folder. A file that exists and is invalid is an error.
fn named_kubeconfig() -> Result<Option<Kubeconfig>, ConnectError> {
    if let Some(kubeconfig) = Kubeconfig::from_env().map_err(ConnectError::Kubeconfig)? {
        return Ok(Some(kubeconfig));
    }
    match Kubeconfig::read() {
        Ok(kubeconfig) => Ok(Some(kubeconfig)),
        Err(KubeconfigError::FindPath | KubeconfigError::ReadConfig(..)) => Ok(None),
        Err(error) => Err(ConnectError::Kubeconfig(error)),
    }
}

/// Returns the configuration of the current context's cluster, without its user.
async fn cluster_of(mut kubeconfig: Kubeconfig) -> Result<Config, KubeconfigError> {
    kubeconfig.auth_infos.clear();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map(shared)
}

/// Returns the configuration of the pod's cluster, without the token of its service account.
fn in_cluster() -> Result<Config, kube::config::InClusterError> {
    Config::incluster().map(shared)
}

/// Returns the configuration for calls of all callers.
fn shared(mut config: Config) -> Config {
    config.auth_info = AuthInfo::default();
    config.headers.clear();
    // A repeated write could conflict with its own first attempt.
    config.default_retry = false;
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
clusters:
- name: one
  cluster:
    server: https://127.0.0.1:6443
    insecure-skip-tls-verify: true
    tls-server-name: api.example
    proxy-url: http://127.0.0.1:3128
users:
- name: admin
  user:
    token: s3cret
    as: root
    exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/false}
contexts:
- name: one
  context: {cluster: one, user: admin}
current-context: one
";

    #[tokio::test]
    async fn the_cluster_entry_is_used_and_the_user_entry_is_not() {
        let kubeconfig = Kubeconfig::from_yaml(KUBECONFIG).expect("kubeconfig");
        let config = cluster_of(kubeconfig).await.expect("config");
        assert_eq!(config.cluster_url.to_string(), "https://127.0.0.1:6443/");
        assert!(config.accept_invalid_certs);
        assert_eq!(config.tls_server_name.as_deref(), Some("api.example"));
        assert_eq!(config.proxy_url.expect("proxy").to_string(), "http://127.0.0.1:3128/");
        let AuthInfo { token, exec, impersonate, .. } = config.auth_info;
        assert!(token.is_none() && exec.is_none() && impersonate.is_none());
    }
}
