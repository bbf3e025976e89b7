//! Errors of a private control plane.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// The reason why a control plane could not be started or called.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `build.sh` could not be run.
    #[error("could not run {path}")]
    RunBuild {
        /// The script.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// `build.sh` ended with an error. Its messages are on standard error.
    #[error("the control plane's programs could not be built ({status}); see the messages above")]
    BuildPrograms {
        /// Exit status of the script.
        status: ExitStatus,
    },
    /// The guard process, which owns the servers and the folder, could not be started or did not answer.
    #[error("the guard of the control plane failed at '{order}'")]
    AskGuard {
        /// The command to the guard.
        order: String,
        /// The cause.
        source: io::Error,
    },
    /// The operating system returned no free port.
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
        /// Its last answer.
        answer: String,
        /// The last lines of its log.
        log: String,
    },
    /// The configuration of the control plane does not have the user.
    #[error("user '{user}' is unknown; it must be named with `Builder::user` before the start")]
    UnknownUser {
        /// The requested name.
        user: String,
    },
    /// kubectl could not be run.
    #[error("could not run kubectl")]
    RunKubectl(#[source] io::Error),
    /// kubectl ended with an error, and the caller needed success.
    #[error("`kubectl {arguments}` failed: {stderr}")]
    Kubectl {
        /// The arguments, joined by spaces.
        arguments: String,
        /// Its standard error.
        stderr: String,
    },
    /// The runtime ended during a call.
    #[error("interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}
