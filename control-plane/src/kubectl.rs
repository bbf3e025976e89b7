//! kubectl, as a function.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::error::Error;

/// Says how a kubectl command ended. A refusal is a value here: tests want to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Whether it ended with exit code 0.
    pub success: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained about; messages of the API server are here.
    pub stderr: String,
    arguments: String,
}

impl Output {
    /// Returns what was printed.
    ///
    /// # Errors
    /// The command failed; the error shows it with its complaint.
    pub fn succeeded(self) -> Result<String, Error> {
        if self.success {
            Ok(self.stdout)
        } else {
            Err(Error::Kubectl { arguments: self.arguments, stderr: self.stderr.trim_end().to_owned() })
        }
    }
}

/// Runs kubectl with this kubeconfig and waits for its end.
pub(crate) fn run(
    program: &Path,
    kubeconfig: &Path,
    cache: &Path,
    arguments: &[String],
    stdin: Option<&str>,
) -> Result<Output, Error> {
    let mut process = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        // The usual cache is keyed by host and port, which another control plane may have had before.
        .env("KUBECACHEDIR", cache)
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::RunKubectl)?;
    let input = process.stdin.take().zip(stdin);
    // Written beside the reading: with both in turn, a full pipe each way would be a deadlock.
    let output = thread::scope(|scope| {
        scope.spawn(|| input.map(|(mut pipe, text)| pipe.write_all(text.as_bytes())));
        process.wait_with_output()
    })
    .map_err(Error::RunKubectl)?;
    Ok(Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        arguments: arguments.join(" "),
    })
}
