//! kubectl, as a function.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::error::Error;

/// The result of a kubectl command. An error of the API server is a value, because tests compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// True if the exit code was 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error, with the messages of the API server.
    pub stderr: String,
    arguments: String,
}

impl Output {
    /// Returns the standard output.
    ///
    /// # Errors
    /// Returns an error with the standard error if the command failed.
    pub fn succeeded(self) -> Result<String, Error> {
        if self.success {
            Ok(self.stdout)
        } else {
            Err(Error::Kubectl { arguments: self.arguments, stderr: self.stderr.trim_end().to_owned() })
        }
    }
}

/// Runs kubectl with this kubeconfig and waits until it ends.
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
        // The default cache has a key of host and port, which an earlier control plane may have used.
        .env("KUBECACHEDIR", cache)
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::RunKubectl)?;
    let input = process.stdin.take().zip(stdin);
    // Writes while it reads: one after the other, two full pipes would be a deadlock.
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
