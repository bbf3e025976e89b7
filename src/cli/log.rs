//! The options of the log that all long-running commands have.

use crate::telemetry::{self, LogFilter, LogFormat};

/// Options of the log.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// Format of the log lines
    #[arg(long = "log-format", value_enum, default_value_t)]
    pub format: LogFormat,
    /// Log filter, such as info,kube=debug
    #[arg(long = "log-filter", env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    pub filter: String,
}

impl LogArgs {
    /// Starts to log.
    ///
    /// # Errors
    /// When the filter is wrong.
    pub fn start(&self) -> anyhow::Result<()> {
        telemetry::start(self.format, &LogFilter::Fixed(self.filter.clone()), None)?;
        Ok(())
    }
}
