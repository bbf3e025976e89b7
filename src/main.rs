//! Parses the command line and runs the command.

use std::process::ExitCode;

use clap::Parser as _;
use flashgate_billing::cli::{CommandLine, execute};

fn main() -> ExitCode {
    match execute(CommandLine::parse()) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("flashgate-billing: {error:#}");
            ExitCode::from(2)
        }
    }
}
