//! Parses the place of a history on the command line.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use flashgate_history::HistoryUrl;

/// The parser of the place of a history. Its error does not repeat the text, which can have a password.
#[derive(Clone, Copy, Debug)]
pub struct Parser;

impl TypedValueParser for Parser {
    type Value = HistoryUrl;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<HistoryUrl, Error> {
        let parsed = value.to_string_lossy().parse::<HistoryUrl>();
        parsed.map_err(|error| {
            let argument = arg.map(ToString::to_string).unwrap_or_default();
            let message = format!("invalid value for '{argument}': {error}\n");
            Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::CommandLine;

    #[test]
    fn an_error_about_a_url_does_not_repeat_its_password() {
        let url = "postgres://billing:secret@db:port/history";
        for command in [
            ["flashgate-billing", "run", "--history", url].as_slice(),
            &["flashgate-billing", "serve", "--listen", "127.0.0.1:0", "--history", url],
            &["flashgate-billing", "history", "verify", "--history", url],
            &["flashgate-billing", "history", "export", "--format", "csv", "--history", url],
            &["flashgate-billing", "history", "copy", url, "sqlite:/history.db"],
            &["flashgate-billing", "history", "copy", "sqlite:/history.db", url],
        ] {
            let error = CommandLine::try_parse_from(command).expect_err("malformed").to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(error.contains("the URL of PostgreSQL is malformed"), "{error}");
        }
    }
}
