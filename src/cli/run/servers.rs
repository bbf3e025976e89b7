//! The servers of `run`, and their limits.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use flashgate_cluster::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::metrics::Metrics;
use crate::operator::health::{self, Health};
use crate::payments::Webhook;
use crate::payments::secrets::{SecretFiles, Secrets};
use crate::server::{Limits, Server};

/// Options of the payment webhook.
#[derive(Debug, clap::Args)]
pub struct PaymentArgs {
    /// Address of the payment webhook, such as 0.0.0.0:8081; not served when absent
    #[arg(long, value_name = "ADDRESS", requires = "payment_secrets")]
    payments_addr: Option<SocketAddr>,
    #[command(flatten)]
    secrets: SecretArgs,
}

/// The files with the secrets of the payment webhook.
#[derive(Debug, clap::Args)]
#[group(id = "payment_secrets", multiple = true)]
struct SecretArgs {
    /// Folder with a folder for each namespace, named after it. Its files contain the signing secrets of payment callbacks
    /// for that namespace, one a line, each of at least 32 bytes. They are read again when they change
    #[arg(long, value_name = "FOLDER", requires = "payments_addr")]
    payments_secret_folder: Option<PathBuf>,
    /// File with secrets for all namespaces, one a line, each of at least 32 bytes. With more than one namespace, the
    /// signed body must name its own. The file is read again when it changes
    #[arg(long, value_name = "FILE", requires = "payments_addr")]
    payments_secret_file: Option<PathBuf>,
}

impl PaymentArgs {
    /// Returns the address of the webhook and its secrets, if it is enabled.
    ///
    /// # Errors
    /// When the secrets cannot be used.
    pub fn webhook(
        &self,
        namespaces: &[String],
        clock: &Clock,
    ) -> anyhow::Result<Option<(SocketAddr, Secrets)>> {
        let Some(address) = self.payments_addr else { return Ok(None) };
        let only_namespace = match namespaces {
            [only] => Some(only.clone()),
            _ => None,
        };
        let files = SecretFiles {
            file: self.secrets.payments_secret_file.clone(),
            folder: self.secrets.payments_secret_folder.clone(),
            only_namespace,
        };
        let secrets =
            Secrets::open(files, clock.clone()).context("the secrets of payments cannot be used")?;
        Ok(Some((address, secrets)))
    }
}

/// Limits of each server: of the payment webhook, and of health and metrics.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ServerLimits {
    /// Maximum number of connections to each server. A new one closes the connection that is idle the longest
    #[arg(long, value_name = "COUNT", default_value_t = Limits::CONNECTIONS)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=8192))]
    max_connections: u16,
    /// Maximum number of connections to each server from one address. Behind a proxy all connections have one address
    #[arg(long, value_name = "COUNT", default_value_t = Limits::CONNECTIONS_PER_ADDRESS)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=8192))]
    max_connections_per_address: u16,
}

impl ServerLimits {
    /// Returns the limits of a server.
    pub fn limits(self) -> Limits {
        Limits {
            connections: self.max_connections.into(),
            connections_per_address: self.max_connections_per_address.into(),
            ..Limits::default()
        }
    }
}

/// Listens on the address that an option gives.
///
/// # Errors
/// When another program has the address.
pub async fn listen(option: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("`{option} {address}` cannot be listened on: choose a free address"))
}

/// Starts to serve health and metrics until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn start_health(
    address: SocketAddr,
    limits: Limits,
    metrics: Metrics,
    health: Health,
) -> anyhow::Result<()> {
    let listener = listen("--metrics-addr", address).await?;
    let server = Server::new("health", limits, metrics);
    tokio::spawn(async move {
        if let Err(error) = health::serve(listener, server, health).await {
            tracing::error!(%address, %error, "health and metrics are no longer served");
        }
    });
    Ok(())
}

/// Starts the payment webhook.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn start_webhook(
    address: SocketAddr,
    webhook: Webhook,
    limits: ServerLimits,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<JoinHandle<()>> {
    let listener = listen("--payments-addr", address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving the payment webhook");
    Ok(tokio::spawn(webhook.serve(listener, limits.limits(), stop)))
}
