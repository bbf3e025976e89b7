//! `run`: the operator.

mod backups;
mod definitions;
mod history;
mod leader_election;
mod limits;
pub(super) mod servers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use flashgate_cluster::Cluster;
use flashgate_cluster::clock::Clock;
use flashgate_cluster::kubernetes::Kubernetes;
use flashgate_ledger::catalog::Catalog;
#[cfg(feature = "failpoints")]
use flashgate_testing::failpoints::{Failing, Failpoint};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::catalog;
use crate::cli::cluster::connect;
use crate::cli::log::LogArgs;
use crate::cli::run::backups::Backups;
use crate::cli::run::history::HistoryArgs;
use crate::cli::run::leader_election::LeaderElection;
use crate::cli::run::limits::Limits;
use crate::cli::run::servers::{PaymentArgs, ServerLimits};
use crate::operator::account_metrics::AccountMetrics;
use crate::operator::election::leadership::Leadership;
use crate::operator::election::{Election, Settings, report_leadership};
use crate::operator::health::Health;
use crate::operator::reconcile::{CLOCK_TOLERANCE_SECONDS, Operator};
use crate::operator::watch::synced::Synced;
use crate::operator::work_queue::HEARTBEAT;
use crate::payments::Webhook;
use crate::payments::record::Recorder;
use crate::payments::secrets::Secrets;
#[cfg(feature = "otlp")]
use crate::telemetry::traces::Traces;
use crate::telemetry::{self, FurtherLayer, LogFilter};

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Catalog in YAML: plans, packs, rates and policies; the shipped catalog when absent
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Namespaces to bill; all when absent
    #[arg(long = "namespace", value_name = "NAMESPACE", num_args = 1..)]
    namespaces: Vec<String>,
    /// Address of /healthz, /readyz and /metrics, such as 127.0.0.1:8080; not served when absent. /healthz fails when
    /// nothing could be reconciled for two minutes, /readyz while lists are under way or commits hold
    #[arg(long, value_name = "ADDRESS")]
    metrics_addr: Option<SocketAddr>,
    /// Serves metrics of each account, about 15 series an account
    #[arg(long, requires = "metrics_addr")]
    account_metrics: bool,
    #[command(flatten)]
    payments: PaymentArgs,
    #[command(flatten)]
    server_limits: ServerLimits,
    #[command(flatten)]
    log: LogArgs,
    /// File with the log filter, instead of --log-filter; it is read again when it changes
    #[arg(long, value_name = "FILE")]
    log_filter_file: Option<PathBuf>,
    /// Seconds for which reports are kept after their verdict, instead of the catalog's reports.keepForSeconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=31_536_000))]
    reports_keep_for_seconds: Option<u32>,
    /// Namespaces whose Subscriptions may use a test clock; never in production
    #[arg(long, value_name = "NAMESPACE", num_args = 1..)]
    allow_test_clocks: Vec<String>,
    /// Pauses the operator: no writes. Use it during a restore
    #[arg(long, env = "FLASHGATE_BILLING_HOLD")]
    hold: bool,
    /// Collector to which spans are sent by OTLP over gRPC, as a URL; none when absent
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    #[command(flatten)]
    leader_election: LeaderElection,
    #[command(flatten)]
    backups: Backups,
    #[command(flatten)]
    history: HistoryArgs,
    /// Number of accounts that are reconciled concurrently
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Stops or dies at a moment of a call, for tests: CALL#NTH@MOMENT=ACTION
    #[cfg(feature = "failpoints")]
    #[arg(long = "failpoint", value_name = "FAILPOINT", hide = true)]
    failpoints: Vec<Failpoint>,
    #[command(flatten)]
    limits: Limits,
}

/// The input that is read and checked before the start.
struct Given {
    catalog: Catalog,
    webhook: Option<(SocketAddr, Secrets)>,
    election: Option<Settings>,
}

/// Runs the operator until it receives SIGTERM or SIGINT.
///
/// # Errors
/// When an option, the catalog or the secrets are wrong, an address cannot be listened on, or there is no cluster to
/// connect to.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // The tasks that follow the log filter and send spans need the runtime.
    let _within = runtime.enter();
    #[cfg(feature = "otlp")]
    let traces = args.otlp_endpoint.as_deref().map(Traces::to).transpose()?;
    #[cfg(feature = "otlp")]
    start_logging(&args, traces.as_ref().map(Traces::layer))?;
    #[cfg(not(feature = "otlp"))]
    start_logging(&args, None)?;
    let mut catalog = catalog::load_or_shipped(args.catalog.as_deref())?;
    if let Some(seconds) = args.reports_keep_for_seconds {
        catalog.policies.reports.keep_for_seconds = seconds;
    }
    let clock = Clock::system();
    let webhook = args.payments.webhook(&args.namespaces, &clock)?;
    let election = args.leader_election.settings(&host())?;
    let ended = runtime.block_on(operate(args, Given { catalog, webhook, election }, clock));
    #[cfg(feature = "otlp")]
    if let Some(Err(error)) = traces.map(Traces::end) {
        tracing::warn!(error = format!("{error:#}"), "traces are incomplete");
    }
    ended
}

fn start_logging(args: &Args, further: Option<FurtherLayer>) -> anyhow::Result<()> {
    let filter = match &args.log_filter_file {
        Some(file) => LogFilter::File(file.clone()),
        None => LogFilter::Fixed(args.log.filter.clone()),
    };
    let logged = telemetry::start(args.log.format, &filter, further)?;
    if let LogFilter::File(file) = filter {
        tokio::spawn(telemetry::follow(file, logged));
    }
    Ok(())
}

async fn operate(args: Args, given: Given, clock: Clock) -> anyhow::Result<ExitCode> {
    // If the client repeated a write, it could conflict with its own first attempt. The reconcile repeats
    // instead.
    let client = connect(|config| config.default_retry = false).await?;
    let client = args.limits.hold(client);
    let writer = writer();
    let cluster = Kubernetes::new(client.clone(), clock.clone(), args.namespaces.clone(), writer.clone());
    #[cfg(feature = "failpoints")]
    let cluster = Failing::new(cluster, args.failpoints.clone().into());
    serve(args, given, client, cluster, clock, writer).await
}

async fn serve<C: Cluster>(
    args: Args,
    given: Given,
    client: Client,
    cluster: C,
    clock: Clock,
    writer: String,
) -> anyhow::Result<ExitCode> {
    let Given { catalog, webhook, election } = given;
    let stop = stop_signal()?;
    let mut operator = Operator::new(cluster, catalog, clock, writer);
    operator.hold = args.hold;
    operator.test_clock_namespaces = args.allow_test_clocks.iter().cloned().collect();
    let history = args.history.record(
        &mut operator,
        #[cfg(feature = "failpoints")]
        args.failpoints.clone().into(),
    )?;
    let operator = Arc::new(operator);
    let webhook = match webhook {
        Some((address, secrets)) => {
            let recorder = Recorder::new(client.clone(), args.namespaces.clone());
            let (clock, metrics) = (operator.clock.clone(), operator.metrics.clone());
            let webhook = Webhook::new(recorder, secrets, clock, metrics);
            Some(servers::start_webhook(address, webhook, args.server_limits, stop.clone()).await?)
        }
        None => None,
    };
    args.backups.follow(client.clone(), &operator.metrics)?;
    let synced = Synced::default();
    let candidacy = Candidacy::start(election, client.clone(), &operator.clock);
    if let Some(address) = args.metrics_addr {
        let gauges = AccountMetrics {
            cache: Arc::clone(&operator.cache),
            leadership: candidacy.leadership.clone(),
            clock: operator.clock.clone(),
            shows_each_account: args.account_metrics,
        };
        let health = health_of(&operator, &synced, gauges);
        servers::start_health(address, args.server_limits.limits(), operator.metrics.clone(), health).await?;
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), hold = args.hold, "starting");
    tokio::spawn(definitions::log_missing_fields(client.clone()));
    tokio::spawn(report_leadership(candidacy.leadership.clone(), operator.metrics.clone()));
    if let Some(store) = history.clone() {
        tokio::spawn(args.history.prune_while_leading(
            store,
            operator.clock.clone(),
            candidacy.leadership.clone(),
        ));
    }
    let concurrency = usize::from(args.concurrency);
    let leadership = candidacy.leadership.clone();
    crate::operator::run(operator, client, args.namespaces, concurrency, synced, leadership, stop).await;
    candidacy.end().await?;
    if let Some(webhook) = webhook {
        webhook.await.context("the task of the payment webhook failed")?;
    }
    if let Some(store) = history {
        history::close(&store).await;
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The election that this operator takes part in, if leader election is enabled.
struct Candidacy {
    leadership: Leadership,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Candidacy {
    fn start(settings: Option<Settings>, client: Client, clock: &Clock) -> Self {
        let Some(settings) = settings else {
            return Self { leadership: Leadership::without_election(), running: None };
        };
        let Settings { namespace, name, identity, times } = &settings;
        tracing::info!(namespace, name, identity, ?times, "taking part in the leader election");
        let (election, leadership) = Election::new(client, clock.clone(), settings);
        let (resign, resigned) = oneshot::channel();
        Self { leadership, running: Some((resign, tokio::spawn(election.run(resigned)))) }
    }

    /// Releases the lease, so that a standby need not wait until it expires.
    async fn end(self) -> anyhow::Result<()> {
        let Some((resign, running)) = self.running else { return Ok(()) };
        drop(resign);
        running.await.context("the task of the leader election failed")
    }
}

fn health_of<C: Cluster>(operator: &Arc<Operator<C>>, synced: &Synced, gauges: AccountMetrics) -> Health {
    let (counted, operator, synced) = (operator.metrics.clone(), Arc::clone(operator), synced.clone());
    let unready = move || {
        let skew_seconds = operator.cluster.clock_skew_seconds().unwrap_or_default();
        if let Some(why) = synced.unready() {
            Some(why)
        } else if skew_seconds.abs() > CLOCK_TOLERANCE_SECONDS {
            Some(format!("commits hold: the local clock is {skew_seconds} seconds ahead of the API server's"))
        } else {
            None
        }
    };
    let metrics = move || counted.text(gauges.clone());
    Health { metrics: Arc::new(metrics), stuck: Arc::new(|| HEARTBEAT.stuck()), unready: Arc::new(unready) }
}

/// Returns a receiver that turns true on SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (send, stop) = watch::channel(false);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping after the running reconciles"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping after the running reconciles"),
        }
        if send.send(true).is_err() {
            tracing::debug!("already stopped");
        }
    });
    Ok(stop)
}

/// Returns the writer that ledgers and Events name: the program's version and the name of the machine or pod.
fn writer() -> String {
    let writer = format!("flashgate-billing/{} {}", env!("CARGO_PKG_VERSION"), host());
    writer.chars().take(128).collect()
}

/// Returns the name of the machine or pod.
fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().to_owned()
}
