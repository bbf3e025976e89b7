//! `flashgate-billing simulate`: simulates manifests on a virtual clock, without a cluster.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use flashgate_ledger::catalog::Catalog;
use jiff::Timestamp;

use crate::catalog::{self, CatalogError};
use crate::cli::terminal;
use crate::grid::Layout;
use crate::simulate::manifest::manifests;
use crate::simulate::step::parse_time;
use crate::simulate::table;
use crate::simulate::{Outcome, SimulateError, TimeRange, play};
use crate::text_file::{self, TextFileError};

/// Exit code when the manifests cannot be simulated.
const EXIT_REFUSED: u8 = 2;

/// Options of `simulate`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the simulation ran, also when a billing rule refused an object; 2 a manifest, the \
                  catalog or an argument is not valid, and only the error is printed.",
    after_long_help = "Documents are applied in the given order, at the time of their annotation \
                       `billing.flashgate.dev/at`. Without one, a document is applied at the time of the document \
                       before, and the first at the time of `--from`. Applying an object again updates it; the \
                       annotation `billing.flashgate.dev/delete: \"true\"` deletes it. Renewals, expirations and \
                       lapses happen in between, as with a running operator.\n\n\
                       Exit codes: 0 the simulation ran, also when a billing rule refused an object; 2 a manifest, \
                       the catalog or an argument is not valid, and only the error is printed."
)]
pub struct Args {
    /// Manifests in YAML or JSON; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Time of the documents before the first that states one in its annotation `billing.flashgate.dev/at`
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,

    /// Time at which the simulation ends; default: the time of the last document
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,

    /// Catalog file; default: the built-in catalog
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,

    /// Adds each account's statement, with the running balance, to the table; json and yaml always have its entries
    #[arg(long)]
    events: bool,

    /// Format of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

/// Format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Tables for people.
    Table,
    /// Objects and entries as YAML.
    Yaml,
    /// Objects and entries as JSON.
    Json,
}

/// The reason why nothing was simulated or printed.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot read {file}: {source}", file = path.display())]
    Read { path: PathBuf, source: TextFileError },
    #[error("{0} holds no object; must hold at least one, such as a Subscription")]
    Empty(String),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    #[error("cannot write the output: {0}")]
    Write(#[from] io::Error),
    #[error("cannot write the output as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot write the output as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
}

/// Runs the manifests and prints the result; the exit code is 0, or 2 with the reason on standard error.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match play_and_print(args) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = anstream::stderr();
            let _ = writeln!(stderr, "error: {}", with_causes(&error));
            ExitCode::from(EXIT_REFUSED)
        }
    }
}

fn play_and_print(args: &Args) -> Result<(), RunError> {
    let catalog = catalog::load_or_shipped(args.catalog.as_deref())?;
    let outcome = play_files(args, &catalog)?;
    let mut stderr = anstream::stderr();
    for note in &outcome.notes {
        writeln!(stderr, "note: {note}")?;
    }
    print(args, &outcome)
}

fn play_files(args: &Args, catalog: &Catalog) -> Result<Outcome, RunError> {
    let read = |path: &PathBuf| match text_file::read(path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(source) => Err(RunError::Read { path: path.clone(), source }),
    };
    let files = args.files.iter().map(read).collect::<Result<Vec<_>, RunError>>()?;
    let mut documents = files.iter().flat_map(|(file, text)| manifests(file, text)).peekable();
    if documents.peek().is_none() {
        let names: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
        return Err(RunError::Empty(names.join(", ")));
    }
    Ok(play(documents, catalog, TimeRange { from: args.from, until: args.until })?)
}

fn print(args: &Args, outcome: &Outcome) -> Result<(), RunError> {
    let stdout = io::stdout();
    let is_styled = AutoStream::choice(&stdout) != ColorChoice::Never;
    let mut stdout = io::BufWriter::new(stdout.lock());
    match args.output {
        Form::Json => {
            serde_json::to_writer_pretty(&mut stdout, outcome)?;
            writeln!(stdout)?;
        }
        Form::Yaml => serde_yaml::to_writer(&mut stdout, outcome)?,
        Form::Table => {
            let layout = Layout { width: terminal::width(), is_styled };
            stdout.write_all(table::render(outcome, args.events, layout).as_bytes())?;
        }
    }
    Ok(stdout.flush()?)
}

/// Parses the value of `--from` and of `--until`.
fn time(text: &str) -> Result<Timestamp, String> {
    parse_time("it", &text.into())
}

fn is_broken_pipe(error: &RunError) -> bool {
    match error {
        RunError::Write(error) => error.kind() == io::ErrorKind::BrokenPipe,
        RunError::Json(error) => error.io_error_kind() == Some(io::ErrorKind::BrokenPipe),
        RunError::Yaml(error) => error.to_string().contains("Broken pipe"),
        RunError::Read { .. } | RunError::Empty(_) | RunError::Catalog(_) | RunError::Simulate(_) => false,
    }
}

/// Returns an error with the causes that its own message does not include.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}
