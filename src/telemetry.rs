//! Logs, as text or as JSON. The log filter can be changed while the program runs.

#[cfg(feature = "otlp")]
pub mod traces;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{MissedTickBehavior, interval};
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Interval at which a file with a filter is read. A read is cheap, and a mounted file takes longer to change.
const READ_INTERVAL: Duration = Duration::from_secs(2);

/// The subscriber with the log filter.
pub type Logged = Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// A further destination of spans and log lines.
pub type FurtherLayer = Box<dyn Layer<Logged> + Send + Sync>;

/// Format of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text each.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// Log filter, as in `RUST_LOG`, such as `info,kube=debug`.
#[derive(Clone, Debug)]
pub enum LogFilter {
    /// A fixed filter.
    Fixed(String),
    /// The content of a file, which is read again when it changes.
    File(PathBuf),
}

/// Starts logging to standard error, and to further layers. If the filter is in a file, [`follow`] applies its
/// changes.
///
/// # Errors
/// When the filter cannot be read or understood, or logging was started before.
pub fn start(
    format: LogFormat,
    filter: &LogFilter,
    further: Option<FurtherLayer>,
) -> anyhow::Result<Handle<EnvFilter, Registry>> {
    let filter = match filter {
        LogFilter::Fixed(filter) => parse(filter).context("`--log-filter` cannot be understood"),
        LogFilter::File(file) => {
            read(file).and_then(|filter| parse(&filter)).context("`--log-filter-file` cannot be used")
        }
    };
    let (filter, handle) = reload::Layer::new(filter?);
    let mut lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Colours are only for a terminal, where `NO_COLOR` is already respected.
    if !std::io::stderr().is_terminal() {
        lines.set_ansi(false);
    }
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let layers: Vec<FurtherLayer> = std::iter::once(lines).chain(further).collect();
    tracing_subscriber::registry().with(filter).with(layers).try_init()?;
    Ok(handle)
}

/// Applies the log filter in `file` whenever it changes. An invalid filter is ignored. Never returns.
pub async fn follow(file: PathBuf, filter: Handle<EnvFilter, Registry>) {
    let mut reads = interval(READ_INTERVAL);
    reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        reads.tick().await;
        // A file that is being replaced may be missing for a moment.
        let Ok(text) = read(&file) else { continue };
        if known.as_ref() == Some(&text) {
            continue;
        }
        // Logging was started with the first one.
        if known.is_some() {
            match parse(&text).and_then(|parsed| Ok(filter.reload(parsed)?)) {
                Ok(()) => tracing::info!(filter = text, "what is logged has changed"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "what is logged stays"),
            }
        }
        known = Some(text);
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("'{}' cannot be read", file.display()))?;
    Ok(text.trim().to_owned())
}

fn parse(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(filter)
        .with_context(|| format!("'{filter}' must be a filter such as 'info,kube=debug'"))
}
