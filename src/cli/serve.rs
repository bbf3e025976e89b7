//! `serve`: the HTTP API and the billing page for customers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use flashgate_cluster::clock::Clock;
use flashgate_history::{HistoryUrl, Store};
use flashgate_ledger::catalog::Catalog;
use flashgate_portal::history::History;
use flashgate_portal::history::store::StoreHistory;
use flashgate_portal::{Portal, REQUESTS_PER_SECOND, Settings, Writes, connect, router};

use crate::catalog;
use crate::cli::log::LogArgs;
use crate::cli::run::servers::{ServerLimits, listen};
use crate::cli::stop_signal::stop_signal;
use crate::metrics::Metrics;
use crate::server::tls::Tls;
use crate::server::{Limits, Server};

/// Time limit to handle a request: a second more than the limit of the API itself, which answers with an error.
const HANDLING: Duration = Duration::from_secs(31);

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address of the API and the page, such as 127.0.0.1:8082
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Base URL that clients and browsers use, with `https://` or `http://`; the address when absent
    #[arg(long, value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// Catalog of the operator in YAML; the shipped catalog when absent
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Store of the history that the operator records: none, sqlite:PATH, or the URL of a PostgreSQL database
    #[arg(
        long,
        env = "FLASHGATE_HISTORY",
        hide_env_values = true,
        value_name = "URL",
        default_value = "none"
    )]
    #[arg(value_parser = crate::cli::history::url::Parser)]
    history: HistoryUrl,
    /// Namespaces in which the list of accounts looks for callers that may not list all
    #[arg(long, value_name = "NAMESPACE", num_args = 1..)]
    namespaces: Vec<String>,
    /// The way in which changes are made
    #[arg(long, value_enum, default_value_t)]
    writes: WriteMode,
    /// Requests that each token may make in a second; 0 is no limit
    #[arg(long, value_name = "COUNT", default_value_t = REQUESTS_PER_SECOND)]
    requests_per_second: u32,
    /// Certificate chain in PEM, for TLS; it is read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    server_limits: ServerLimits,
    #[command(flatten)]
    log: LogArgs,
}

/// The way in which changes are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum WriteMode {
    /// Objects are created and patched with the caller's token
    #[default]
    Api,
    /// Nothing is written: answers and pages have the object to apply
    Manifests,
}

impl From<WriteMode> for Writes {
    fn from(mode: WriteMode) -> Self {
        match mode {
            WriteMode::Api => Self::Api,
            WriteMode::Manifests => Self::Manifests,
        }
    }
}

/// Serves the API and the page until the process receives SIGTERM or SIGINT.
///
/// # Errors
/// When an option, the catalog or the certificate is wrong, the address cannot be listened on, or there is no cluster to
/// connect to.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    args.log.start()?;
    let catalog = catalog::load_or_shipped(args.catalog.as_deref())?;
    let tls = match args.tls_cert.clone().zip(args.tls_key.clone()) {
        Some((certificate, key)) => Some(Tls::open(certificate, key).context("`--tls-cert` cannot be used")?),
        None => None,
    };
    runtime.block_on(serve(args, catalog, tls))
}

async fn serve(args: Args, catalog: Catalog, tls: Option<Arc<Tls>>) -> anyhow::Result<ExitCode> {
    let kubernetes = connect().await?;
    let listener = listen("--listen", args.listen).await?;
    let address = listener.local_addr()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let settings = Settings {
        catalog,
        public_url_is_known: args.public_url.is_some(),
        public_url: args.public_url.unwrap_or_else(|| format!("{scheme}://{address}")),
        namespaces: args.namespaces,
        writes: args.writes.into(),
        requests_per_second: args.requests_per_second,
    };
    let store = Store::open(&args.history).context("`--history` cannot be used")?;
    let history = store.map(|store| -> Arc<dyn History> { Arc::new(StoreHistory::new(store)) });
    let portal = Portal::new(settings, kubernetes, history, Clock::system());
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).follow());
    }
    let (version, history) = (env!("CARGO_PKG_VERSION"), &args.history);
    tracing::info!(version, %address, tls = tls.is_some(), %history, "serving the HTTP API and the billing page");
    let limits = Limits { handling: HANDLING, ..args.server_limits.limits() };
    let stop = stop_signal("the running requests")?;
    Server::new("portal", limits, Metrics::default())
        .with_tls(tls)
        .serve(listener, router(portal), stop)
        .await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Parses a URL to which the path of an account is added.
fn public_url(text: &str) -> anyhow::Result<String> {
    let url: http::Uri = text.parse()?;
    let is_web = matches!(url.scheme_str(), Some("http" | "https")) && url.authority().is_some();
    if !is_web || url.query().is_some() || text.contains('#') {
        bail!("it must be a URL such as https://billing.example.com, without a query");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_absolute_and_has_no_slash_at_its_end() {
        for (text, url) in [
            ("https://billing.example.com", "https://billing.example.com"),
            ("https://billing.example.com/base/", "https://billing.example.com/base"),
            ("http://127.0.0.1:8082/", "http://127.0.0.1:8082"),
        ] {
            assert_eq!(public_url(text).expect(text), url);
        }
        for text in
            ["", "billing.example.com", "/base", "ftp://x", "https://x/?a=1", "https://x/#a", "javascript:x"]
        {
            assert!(public_url(text).is_err(), "{text}");
        }
    }
}
