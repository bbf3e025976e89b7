//! `meter`: counters of Prometheus become UsageReports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use flashgate_cluster::clock::Clock;
use flashgate_ledger::catalog::Catalog;
use flashgate_meter::configuration::Servers;
use flashgate_meter::run::{Meters, Now};
use jiff::SignedDuration;

use crate::catalog;
use crate::cli::cluster::connect;
use crate::cli::log::LogArgs;
use crate::cli::run::servers::{ServerLimits, start_health};
use crate::cli::stop_signal::stop_signal;
use crate::metrics::meters::MeterMetrics;
use crate::metrics::{Metrics, text_of};
use crate::operator::health::Health;

/// Options of `meter`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Servers of Prometheus that need no credentials, by the names that UsageMeters use
    #[arg(long, value_name = "NAME=URL", num_args = 1..)]
    prometheus: Vec<String>,
    /// Servers of Prometheus with their credentials, in YAML, see docs/reference/usage-meter.md
    #[arg(long, value_name = "FILE")]
    prometheus_config: Option<PathBuf>,
    /// Closes every window that is due, then exits: 0 if all could be closed, else 1
    #[arg(long)]
    once: bool,
    /// Catalog of the operator in YAML, for the time within which reports are accepted; the shipped catalog when absent
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Namespaces whose UsageMeters and Subscriptions are read; all when absent
    #[arg(long = "namespace", value_name = "NAMESPACE", num_args = 1..)]
    namespaces: Vec<String>,
    /// Address of /healthz, /readyz and /metrics, such as 127.0.0.1:8083; not served when absent
    #[arg(long, value_name = "ADDRESS")]
    metrics_addr: Option<SocketAddr>,
    #[command(flatten)]
    server_limits: ServerLimits,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the meters until the process receives SIGTERM or SIGINT, or once.
///
/// # Errors
/// When an option, the catalog or the configuration of the servers is wrong, the address cannot be listened on, or there
/// is no cluster to connect to.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    args.log.start()?;
    let catalog = catalog::load_or_shipped(args.catalog.as_deref())?;
    let mut servers = match &args.prometheus_config {
        Some(file) => Servers::read(file).context("`--prometheus-config` cannot be used")?,
        None => Servers::default(),
    };
    for server in &args.prometheus {
        servers.add(server).context("`--prometheus` cannot be used")?;
    }
    runtime.block_on(measure(args, &catalog, &servers))
}

async fn measure(args: Args, catalog: &Catalog, servers: &Servers) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let now: Now = Arc::new(move || clock.now());
    let servers = servers.connect(&now).context("a server of Prometheus cannot be used")?;
    // A call that fails is made again by the next look at the meter, and its outcome is read before.
    let client = connect(|config| config.default_retry = false).await?;
    let accepted_for = SignedDuration::from_secs(catalog.policies.accept_usage_for_seconds.into());
    let named: Vec<&str> = servers.keys().map(String::as_str).collect();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), servers = %named.join(", "), once = args.once, "starting the meter");
    let meters = Meters::new(client, servers, args.namespaces, accepted_for, now);
    if args.once {
        let is_complete = meters.once().await?;
        return Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(address) = args.metrics_addr {
        let metrics = MeterMetrics::new(meters.figures());
        let unready = meters.clone();
        let health = Health {
            metrics: Arc::new(move || text_of(metrics.clone())),
            stuck: Arc::new(|| None),
            unready: Arc::new(move || unready.unready()),
        };
        start_health(address, args.server_limits.limits(), Metrics::default(), health).await?;
    }
    let stop = stop_signal("the running calls")?;
    tokio::select! {
        () = meters.run() => {}
        () = stop => {}
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
