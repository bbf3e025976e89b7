//! What can go wrong with a private control plane.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Says why a control plane could not be started or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `build.sh` could not be run at all.
    #[error("could not run {path}")]
    RunBuild {
        /// The script.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// `build.sh` ended with an error; its own messages are on standard error.
    #[error("the control plane's programs could not be built ({status}); see the messages above")]
    BuildPrograms {
        /// How the script ended.
        status: ExitStatus,
    },
    /// The process that guards servers and folder could not be started or did not answer.
    #[error("the guard of the control plane failed at '{order}'")]
    AskGuard {
        /// What was asked of it.
        order: String,
        /// The cause.
        source: io::Error,
    },
    /// No free port could be asked of the operating system.
    #[error("could not find a free port")]
    FindPort(#[source] io::Error),
    /// A file of the run folder could not be written.
    #[error("could not write {path}")]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A server ended before it was ready.
    #[error("{server} ended before it was ready; the end of its log:\n{log}")]
    ServerEnded {
        /// The program.
        server: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// A server did not become ready in time.
    #[error("{server} was not ready after {seconds} s ({answer}); the end of its log:\n{log}")]
    ServerNotReady {
        /// The program.
        server: &'static str,
        /// The time limit, in seconds.
        seconds: u64,
        /// What it said last when it was asked.
        answer: String,
        /// The last lines of its log.
        log: String,
    },
    /// The user was not named when the control plane was built.
    #[error("user '{user}' is unknown; it must be named with `Builder::user` before the start")]
    UnknownUser {
        /// The name that was asked for.
        user: String,
    },
    /// kubectl could not be run at all.
    #[error("could not run kubectl")]
    RunKubectl(#[source] io::Error),
    /// kubectl ended with an error where success was needed.
    #[error("`kubectl {arguments}` failed: {stderr}")]
    Kubectl {
        /// The arguments, joined by spaces.
        arguments: String,
        /// What it said.
        stderr: String,
    },
    /// The runtime ended while the control plane was worked on.
    #[error("interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}
