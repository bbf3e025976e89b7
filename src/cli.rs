//! The command line, one file per command.

pub mod backup;
pub mod catalog;
mod cluster;
pub mod gate;
pub mod history;
mod log;
pub mod meter;
pub mod preview;
pub mod run;
pub mod serve;
pub mod simulate;
mod stop_signal;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Bills usage in credits on Kubernetes: exact, once, and explained.
#[derive(Debug, Parser)]
#[command(name = "flashgate-billing", version, arg_required_else_help = true)]
pub struct CommandLine {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the operator
    Run(Box<run::Args>),
    /// Serves the HTTP API and the billing page for customers
    Serve(Box<serve::Args>),
    /// Turns counters of Prometheus into UsageReports, as UsageMeters specify
    Meter(Box<meter::Args>),
    /// Tells proxies whether an account may spend
    Gate(Box<gate::Args>),
    /// Backs up ledgers, Subscriptions and orders with their statuses to a file
    Backup(backup::BackupArgs),
    /// Restores the objects of a backup in a cluster, ledgers first
    Restore(backup::RestoreArgs),
    /// Checks, copies and exports the history of all accounts
    #[command(subcommand)]
    History(history::HistoryCommand),
    /// Simulates manifests on a virtual clock, without a cluster
    Simulate(simulate::Args),
    /// Shows the consequences of manifests for the accounts of a cluster, before they are applied
    Preview(preview::Args),
    /// Prints the custom resource definitions
    Crds,
    /// Checks a catalog, or prints its JSON Schema
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

/// The commands for catalogs.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Checks a catalog file and reports every mistake with its line
    Check {
        /// The catalog, in YAML
        file: PathBuf,
    },
    /// Prints the JSON Schema of catalog files, for editors
    Schema,
}

/// Runs the command of the command line.
///
/// # Errors
/// A message for the user.
pub fn execute(command_line: CommandLine) -> anyhow::Result<ExitCode> {
    match command_line.command {
        Command::Run(args) => run::run(*args),
        Command::Serve(args) => serve::run(*args),
        Command::Meter(args) => meter::run(*args),
        Command::Gate(args) => gate::run(*args),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::History(command) => history::run(&command),
        Command::Simulate(args) => Ok(simulate::run(&args)),
        Command::Preview(args) => preview::run(&args),
        Command::Crds => {
            anstream::print!("{}", flashgate_api::definitions::all_yaml()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Catalog(CatalogCommand::Check { file }) => {
            anstream::println!("{}", catalog::check(&file)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Catalog(CatalogCommand::Schema) => {
            anstream::print!("{}", catalog::schema());
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn options_of_a_command_do_not_contradict_each_other() {
        CommandLine::command().debug_assert();
    }
}
