//! Operators as processes.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use tokio::task::{JoinHandle, spawn_blocking};

/// Starts the operator, prints its process ID, and prints a line when it has ended. Kills the operator when
/// its own standard input closes, so no operator outlives the campaign.
const GUARD: &str = r#"exec 3<&0
"$@" 3<&- & operator=$!
echo "$operator"
{ read -r _ <&3; kill -KILL "$operator" 2>/dev/null; } & reader=$!
wait "$operator" 2>/dev/null
kill -KILL "$reader" 2>/dev/null
echo ended"#;

/// A running operator.
pub struct Process {
    /// The process ID.
    pub number: u32,
    guard: Child,
    input: Option<ChildStdin>,
    end: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `flashgate-billing run` with `arguments`, and writes its log to `log`.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(kubeconfig: &Path, arguments: &[String], log: File) -> io::Result<Self> {
        let mut guard = Command::new("bash")
            .args(["-c", GUARD, "guard", env!("CARGO_BIN_EXE_flashgate-billing"), "run"])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let input = guard.stdin.take();
        let output = guard.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut lines = BufReader::new(output).lines();
        let number = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        let number = number.parse().map_err(io::Error::other)?;
        // The operator has ended, whether or not there is a next line.
        let end = spawn_blocking(move || drop(lines.next()));
        Ok(Self { number, guard, input, end: Some(end) })
    }

    /// Waits until the operator has ended.
    pub async fn ended(&mut self) {
        if let Some(end) = &mut self.end {
            // A reader that panics means the same.
            end.await.unwrap_or_default();
        }
        self.end = None;
    }
}

/// Kills the operator with this process ID.
pub fn kill(number: u32) {
    let killed = Command::new("kill").args(["-KILL", &number.to_string()]).stderr(Stdio::null()).status();
    if let Err(error) = killed {
        eprintln!("operator {number} cannot be killed: {error}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.guard.wait() {
            eprintln!("waiting for the guard of operator {} failed: {error}", self.number);
        }
    }
}
