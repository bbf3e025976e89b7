//! `preview`: the consequences of manifests for the accounts of a cluster, before they are applied.

mod catalog;
mod files;
mod live;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::{AutoStream, ColorChoice};
use anyhow::Context as _;
use clap::ValueEnum;
use flashgate_cluster::clock::Clock;

use crate::admission::Admission;
use crate::cli::cluster::{Cluster, ClusterArgs};
use crate::cli::terminal;
use crate::grid::Layout;
use crate::preview::output::{exit_code, to_json};
use crate::preview::{AccountPreview, Conditions, changes, markdown, preview, table};
use crate::simulate::SimulateError;
use crate::simulate::manifest::{Manifest, manifests};

/// Options of `preview`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing is refused; 1 an object would be refused; 2 a file, the catalog or the cluster \
                  cannot be read. Nothing is ever written.",
    after_long_help = "The objects of the cluster are read, the files are added in memory as `kubectl apply` would add \
                       them, and the operator's own code decides. So the answer is what would happen now. Later usage is \
                       unknown: later events are those that happen if nothing else changes.\n\n\
                       It needs the rights to get subscriptions and creditledgers, and to get and list creditpacks, \
                       usagereports, payments and creditadjustments.\n\n\
                       Exit codes: 0 nothing is refused; 1 an object would be refused; 2 a file, the catalog or the \
                       cluster cannot be read. Nothing is ever written."
)]
pub struct Args {
    /// Manifests in YAML or JSON, or folders with such files; `-` reads standard input. Objects of other kinds are left out
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE", num_args = 1..)]
    files: Vec<PathBuf>,
    /// Also reads the folders in folders
    #[arg(short = 'R', long)]
    recursive: bool,
    /// The manifests that the files replace, such as those of the target branch: an object that only they have counts as
    /// deleted
    #[arg(long, value_name = "FILE", num_args = 1..)]
    diff: Vec<PathBuf>,
    /// Catalog file; default: the `ConfigMap` with the label `billing.flashgate.dev/catalog`, and without one the built-in
    /// catalog
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Namespaces in which the operator allows test clocks
    #[arg(long, value_name = "NAMESPACE", num_args = 1..)]
    allow_test_clocks: Vec<String>,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Tables for people.
    Table,
    /// JSON for programs.
    Json,
    /// A comment of a pull request.
    Markdown,
}

/// Prints the consequences. The exit code is 1 if an object would be refused, and otherwise 0.
///
/// # Errors
/// When a file, the catalog or the cluster cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(answer(args))?;
    for note in &answer.notes {
        anstream::eprintln!("note: {note}");
    }
    let code = exit_code(&answer.accounts);
    match print(args.output, &answer) {
        // The reader has closed the pipe.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("the output cannot be written")
        }
        _ => Ok(ExitCode::from(code)),
    }
}

/// The consequences for all accounts of the files.
struct Answer {
    accounts: Vec<AccountPreview>,
    /// The catalog, in words.
    catalog: String,
    /// Remarks on the input.
    notes: Vec<String>,
}

async fn answer(args: &Args) -> anyhow::Result<Answer> {
    let after = files::read(&args.files, args.recursive)?;
    let before = files::read(&args.diff, args.recursive)?;
    let Cluster { client, namespace } = args.cluster.connect_to_read().await?;
    let (mut after, before) = (documents(&after), documents(&before));
    let mut notes = octal_notes(&mut after);
    let (changes, others) = changes(before, after, &namespace)?;
    if others > 0 {
        notes.push(format!("{others} objects of other kinds are left out"));
    }
    let chosen = catalog::choose(args.catalog.as_deref(), &client).await?;
    let admission = Arc::new(Admission::new()?);
    let mut accounts = Vec::new();
    for changes in &changes {
        let live = live::read(&client, changes).await?;
        let conditions = Conditions {
            catalog: &chosen.catalog,
            admission: &admission,
            wall_time: Clock::system().now(),
            allows_test_clock: args.allow_test_clocks.contains(&changes.namespace),
        };
        accounts.push(preview(&live, changes, conditions)?);
    }
    Ok(Answer { accounts, catalog: chosen.name, notes })
}

type Documents = Vec<Result<Manifest, SimulateError>>;

fn documents(files: &[files::File]) -> Documents {
    files.iter().flat_map(|(file, text)| manifests(file, text)).collect()
}

/// Takes the warnings about values whose meaning may surprise.
fn octal_notes(documents: &mut Documents) -> Vec<String> {
    let read = documents.iter_mut().filter_map(|manifest| manifest.as_mut().ok());
    read.flat_map(|manifest| {
        let file = Arc::clone(&manifest.place.file);
        std::mem::take(&mut manifest.notes).into_iter().map(move |note| format!("{file}:{note}"))
    })
    .collect()
}

fn print(form: Form, answer: &Answer) -> io::Result<()> {
    let Answer { accounts, catalog, notes } = answer;
    let stdout = io::stdout();
    let is_styled = AutoStream::choice(&stdout) != ColorChoice::Never;
    let text = match form {
        Form::Json => format!("{:#}\n", to_json(accounts, catalog, notes)),
        Form::Markdown => markdown::render(accounts, catalog, notes),
        Form::Table => table::render(accounts, catalog, Layout { width: terminal::width(), is_styled }),
    };
    let mut stdout = stdout.lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
