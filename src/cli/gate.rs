//! `gate`: tells proxies whether an account may spend.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use flashgate_gate::configuration::{Configuration, Policies, Policy};
use flashgate_gate::gate::Gate;
use flashgate_gate::lookup::Lookup;
use futures::FutureExt as _;
use jiff::SignedDuration;
use tokio::net::TcpListener;

use crate::cli::cluster::connect;
use crate::cli::log::LogArgs;
use crate::cli::run::servers::{listen, start_health};
use crate::cli::stop_signal::stop_signal;
use crate::metrics::gate::GateMetrics;
use crate::metrics::{Metrics, text_of};
use crate::operator::health::Health;
use crate::server::{Limits, Server};

/// Default for the largest number of connections. A proxy opens one for each request that is being checked.
const CONNECTIONS: u16 = 4_096;

/// Time limit for a connection without a request. Proxies keep idle connections for up to an hour, and a connection that
/// the gate closes while a request arrives fails that request. The number of connections is bounded all the same.
const IDLE: Duration = Duration::from_mins(65);

/// Options of `gate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address of the checks over HTTP, such as 127.0.0.1:8090
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address of Envoy's external authorization over gRPC, such as 127.0.0.1:8091; not served when absent
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<SocketAddr>,
    /// Address of /healthz, /readyz and /metrics, such as 127.0.0.1:8083; not served when absent
    #[arg(long, value_name = "ADDRESS")]
    metrics_addr: Option<SocketAddr>,
    #[command(flatten)]
    lookup: LookupArgs,
    /// Answer to requests that name no known account: allow or deny
    #[arg(long, value_name = "POLICY", default_value_t = Policy::Deny)]
    unknown: Policy,
    /// Time without contact with the API server after which the state is stale, such as 60s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    stale_after: Duration,
    /// Answer to requests while the state is stale: allow or deny
    #[arg(long, value_name = "POLICY", default_value_t = Policy::Deny)]
    stale: Policy,
    /// Address of the page on which customers can buy credits, for the answers to their requests
    #[arg(long, value_name = "URL")]
    billing_page: Option<String>,
    /// Namespaces whose Subscriptions are read; all when absent
    #[arg(long = "namespace", value_name = "NAMESPACE", num_args = 1..)]
    namespaces: Vec<String>,
    /// Maximum number of connections to each server. A new one closes the connection that is idle the longest
    #[arg(long, value_name = "COUNT", default_value_t = CONNECTIONS)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=32_767))]
    max_connections: u16,
    #[command(flatten)]
    log: LogArgs,
}

/// The part of a request that names its account. Only one may be given.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct LookupArgs {
    /// Header that names the account as namespace/name
    #[arg(long, value_name = "NAME", default_value = "x-flashgate-account")]
    header: String,
    /// Template of namespace/name over headers and the path, such as '{header:x-team}/{path:2}'
    #[arg(long, value_name = "TEMPLATE")]
    account: Option<String>,
    /// Header with an API key. Labels of Subscriptions have the hashes of their keys, see docs/reference/gate.md
    #[arg(long, value_name = "NAME")]
    api_key_header: Option<String>,
}

impl LookupArgs {
    fn lookup(&self) -> anyhow::Result<Lookup> {
        if let Some(template) = &self.account {
            return Lookup::template(template).context("`--account` cannot be used");
        }
        match &self.api_key_header {
            Some(header) => Lookup::api_key(header).context("`--api-key-header` cannot be used"),
            None => Lookup::header(&self.header).context("`--header` cannot be used"),
        }
    }
}

/// Answers checks until the process receives SIGTERM or SIGINT.
///
/// # Errors
/// When an option is wrong, an address cannot be listened on, or there is no cluster to connect to.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    args.log.start()?;
    runtime.block_on(answer(args))
}

async fn answer(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration {
        lookup: args.lookup.lookup()?,
        policies: Policies { unknown: args.unknown, stale: args.stale },
        stale_after: args.stale_after,
        billing_page: args.billing_page,
        namespaces: args.namespaces,
    };
    // A watch that fails is begun again by the gate, with its own pauses.
    let client = connect(|config| config.default_retry = false).await?;
    let gate = Gate::new(client, configuration)?;
    let limits = Limits {
        connections: args.max_connections.into(),
        connections_per_address: args.max_connections.into(),
        head: IDLE,
        idle: IDLE,
        ..Limits::default()
    };
    let checks = listen("--listen", args.listen).await?;
    let grpc = match args.grpc_listen {
        Some(address) => Some(listen("--grpc-listen", address).await?),
        None => None,
    };
    if let Some(address) = args.metrics_addr {
        start_health(address, limits, Metrics::default(), health_of(&gate)).await?;
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %checks.local_addr()?,
        grpc = grpc.as_ref().map(TcpListener::local_addr).transpose()?.map(tracing::field::display),
        unknown = %args.unknown,
        stale = %args.stale,
        "starting the gate"
    );
    let stop = stop_signal("the running checks")?.shared();
    let over_http =
        Server::new("gate", limits, Metrics::default()).serve(checks, gate.router(), stop.clone());
    let over_grpc = async {
        match grpc {
            Some(listener) => gate.serve_grpc(listener, stop).await,
            None => Ok(()),
        }
    };
    tokio::select! {
        () = gate.run() => {}
        ((), served) = async { tokio::join!(over_http, over_grpc) } => served.context("checks over gRPC are no longer served")?,
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Returns the health and the metrics of a gate.
fn health_of(gate: &Gate) -> Health {
    let (metrics, unready) = (GateMetrics::new(gate.clone()), gate.clone());
    Health {
        metrics: Arc::new(move || text_of(metrics.clone())),
        stuck: Arc::new(|| None),
        unready: Arc::new(move || {
            (!unready.is_listed()).then(|| "the first list of Subscriptions is not complete".to_owned())
        }),
    }
}

/// Parses a time such as `60s` or `2m`.
fn time(text: &str) -> anyhow::Result<Duration> {
    let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    time.with_context(|| format!("'{text}' is no time: use a number with a unit, such as 60s or 2m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(time("60s").ok(), Some(Duration::from_mins(1)));
        assert_eq!(time("1m 30s").ok(), Some(Duration::from_secs(90)));
        for odd in ["", "60", "-1s", "soon"] {
            let error = time(odd).expect_err("error").to_string();
            assert_eq!(error, format!("'{odd}' is no time: use a number with a unit, such as 60s or 2m"));
        }
    }
}
