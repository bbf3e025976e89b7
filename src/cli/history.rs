//! `history`: checks, copies and exports the history of all accounts.

mod compare;
pub mod url;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use flashgate_history::copy::copy;
use flashgate_history::export::{self, Format};
use flashgate_history::{Filter, HistoryUrl, Store};
use jiff::Timestamp;
use jiff::civil::Date;

use self::compare::compare_with_cluster;

/// The commands for histories.
#[derive(Debug, clap::Subcommand)]
pub enum HistoryCommand {
    /// Checks hashes, sums and gaps of every account, and compares the last entry with the cluster
    Verify(VerifyArgs),
    /// Copies one store to another. It can be interrupted and repeated
    Copy(CopyArgs),
    /// Writes entries or charges to stdout
    Export(ExportArgs),
}

/// The store that a command reads.
#[derive(Debug, clap::Args)]
struct From {
    /// Store of the history: sqlite:PATH, or the URL of a PostgreSQL database
    #[arg(long = "history", env = "FLASHGATE_HISTORY", hide_env_values = true, value_name = "URL", value_parser = url::Parser)]
    history: HistoryUrl,
}

impl From {
    fn open(&self) -> anyhow::Result<Store> {
        open(&self.history)
    }
}

/// Options of `history verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    from: From,
    /// Namespaces of the cluster to compare with; all when absent
    #[arg(long = "namespace", value_name = "NAMESPACE", num_args = 1..)]
    namespaces: Vec<String>,
}

/// Options of `history copy`.
#[derive(Debug, clap::Args)]
pub struct CopyArgs {
    /// Store to copy from
    #[arg(value_parser = url::Parser)]
    from: HistoryUrl,
    /// Store to copy to; its tables are created
    #[arg(value_parser = url::Parser)]
    to: HistoryUrl,
}

/// Options of `history export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    from: From,
    /// Format: focus has a row for each charge, the others one for each entry
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// First instant of the rows, as a date or a time in UTC
    #[arg(id = "first", long = "from", value_name = "TIME", value_parser = instant)]
    first: Option<Timestamp>,
    /// First instant after the rows, as a date or a time in UTC
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<Timestamp>,
    /// Only this Subscription
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = subscription)]
    account: Option<(String, String)>,
    /// Version of FOCUS
    #[arg(long, value_enum, default_value_t)]
    focus_version: FocusVersion,
}

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ExportFormat {
    /// FinOps Open Cost and Usage Specification, as CSV
    Focus,
    /// Entries as CSV
    Csv,
    /// Entries as one JSON object a line
    Jsonl,
    /// Entries as Apache Parquet
    Parquet,
}

/// The version of FOCUS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum FocusVersion {
    /// FOCUS 1.0
    #[default]
    #[value(name = "1.0")]
    V1_0,
    /// FOCUS 1.2
    #[value(name = "1.2")]
    V1_2,
}

/// Runs a command.
///
/// # Errors
/// A message for the user.
pub fn run(command: &HistoryCommand) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match command {
            HistoryCommand::Verify(args) => verify(args).await,
            HistoryCommand::Copy(args) => copy_store(args).await,
            HistoryCommand::Export(args) => export_rows(args).await,
        }
    })
}

async fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let store = args.from.open()?;
    let found = compare_with_cluster(&store, &args.namespaces).await?;
    for finding in &found.findings {
        anstream::println!("{finding}");
    }
    let counts = format!("{} accounts, {} entries", found.accounts, found.entries);
    // Programs read the last line.
    if found.findings.is_empty() {
        anstream::println!("{counts}: no gap");
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!("{counts}: {} findings", found.findings.len());
    Ok(ExitCode::FAILURE)
}

async fn copy_store(args: &CopyArgs) -> anyhow::Result<ExitCode> {
    let (from, to) = (open(&args.from)?, open(&args.to)?);
    to.migrate().await.with_context(|| format!("the tables of {} cannot be created", args.to))?;
    let progress = Progress::new();
    let report = copy(&from, &to, &mut |entries| progress.show(entries, "entries")).await;
    let report = report.with_context(|| format!("{} cannot be copied to {}", args.from, args.to))?;
    progress.end();
    for problem in &report.problems {
        anstream::println!("{problem}");
    }
    anstream::println!("{} accounts, {} entries copied to {}", report.accounts, report.entries, args.to);
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn export_rows(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let format = match (args.format, args.focus_version) {
        (ExportFormat::Focus, FocusVersion::V1_0) => Format::Focus(export::FocusVersion::V1_0),
        (ExportFormat::Focus, FocusVersion::V1_2) => Format::Focus(export::FocusVersion::V1_2),
        (ExportFormat::Csv, _) => Format::Csv,
        (ExportFormat::Jsonl, _) => Format::JsonLines,
        (ExportFormat::Parquet, _) => Format::Parquet,
    };
    if args.format == ExportFormat::Parquet && io::stdout().is_terminal() {
        bail!("Parquet is not text: redirect stdout to a file");
    }
    let store = args.from.open()?;
    let filter = Filter { from: args.first, to: args.to, subscription: args.account.clone() };
    let unusable = || format!("{} cannot be exported", args.from.history);
    // Nothing is printed about a store that does not answer.
    store.id().await.with_context(unusable)?;
    let progress = Progress::new();
    let mut output = io::BufWriter::new(io::stdout());
    let rows =
        export::write(&store, format, &filter, &mut output, &mut |rows| progress.show(rows, "rows")).await;
    let rows = rows.with_context(unusable)?;
    output.flush()?;
    progress.end();
    anstream::eprintln!("{rows} rows of {}", args.from.history);
    Ok(ExitCode::SUCCESS)
}

/// The progress of a command, which a terminal on stderr shows.
struct Progress {
    is_shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal() }
    }

    fn show(&self, count: u64, what: &str) {
        if self.is_shown {
            anstream::eprint!("\r{count} {what}");
        }
    }

    /// Ends the line.
    fn end(&self) {
        if self.is_shown {
            anstream::eprintln!();
        }
    }
}

fn open(url: &HistoryUrl) -> anyhow::Result<Store> {
    Store::open(url)?.context("there is no history to read: give --history sqlite:PATH or postgres://…")
}

/// Parses a date, which is its first instant in UTC, or a time.
fn instant(text: &str) -> Result<Timestamp, String> {
    let date = || Some(text.parse::<Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    text.parse().ok().or_else(date).ok_or_else(|| {
        format!("'{text}' must be a date such as '2026-03-01' or a time such as '2026-03-01T10:00:00Z'")
    })
}

fn subscription(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('/').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
    let (namespace, name) =
        parts.ok_or_else(|| format!("'{text}' must be NAMESPACE/NAME, such as 'team-a/acme'"))?;
    Ok((namespace.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_first_instant_in_utc() {
        let time = |text: &str| instant(text).map(|time| time.to_string());
        assert_eq!(time("2026-03-01").as_deref(), Ok("2026-03-01T00:00:00Z"));
        assert_eq!(time("2026-03-01T10:00:00Z").as_deref(), Ok("2026-03-01T10:00:00Z"));
        assert!(time("March").is_err_and(|error| error.contains("must be a date such as")));
    }

    #[test]
    fn an_account_has_a_namespace_and_a_name() {
        assert_eq!(subscription("team-a/acme"), Ok(("team-a".to_owned(), "acme".to_owned())));
        assert!(subscription("acme").is_err() && subscription("/acme").is_err());
    }
}
