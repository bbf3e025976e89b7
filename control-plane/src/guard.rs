//! The guard process, which outlives its owner and owns the servers and the folder of one control plane.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guard.sh");

/// Lines of a log that an error shows. The cause is at the end of the log.
const LOG_LINES: usize = 15;

/// Holds the pipe to the guard. When the pipe closes, the guard ends the servers.
#[derive(Debug)]
pub(crate) struct Guard {
    folder: PathBuf,
    pipes: Mutex<Pipes>,
}

#[derive(Debug)]
struct Pipes {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Guard {
    /// Starts the guard, which makes the run folder.
    pub(crate) fn start() -> Result<Self, Error> {
        let failed = |source| Error::AskGuard { order: "make a folder".to_owned(), source };
        let mut process = Command::new("bash")
            .arg(SCRIPT)
            // It has its own process group, so that Ctrl-C in a terminal ends only the owner. The guard then
            // sees the closed pipe.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let no_pipe = || failed(io::Error::other("no pipe"));
        let orders = process.stdin.take().ok_or_else(no_pipe)?;
        let answers = process.stdout.take().ok_or_else(no_pipe)?;
        let mut pipes = Pipes { process, orders: Some(orders), answers: BufReader::new(answers) };
        let folder = PathBuf::from(pipes.answer().map_err(failed)?);
        Ok(Self { folder, pipes: Mutex::new(pipes) })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a server with this command line. It runs until it is killed or the guard ends.
    pub(crate) fn start_server(&self, server: &str, command: &[String]) -> Result<(), Error> {
        self.write_file(&format!("{server}.command"), &(command.join("\n") + "\n"))?;
        self.order("start", server).map(drop)
    }

    /// Kills a server (SIGKILL) and waits until it has ended.
    pub(crate) fn kill_server(&self, server: &str) -> Result<(), Error> {
        self.order("kill", server).map(drop)
    }

    pub(crate) fn is_alive(&self, server: &str) -> Result<bool, Error> {
        Ok(self.order("alive", server)? == "yes")
    }

    /// Returns the last lines of a server's log.
    pub(crate) fn log_end(&self, server: &str) -> String {
        let log = fs::read(self.folder.join(format!("{server}.log"))).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Writes a file into the run folder, which only this user can enter.
    pub(crate) fn write_file(&self, name: &str, content: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        match fs::write(&path, content) {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::WriteFile { path, source }),
        }
    }

    /// Ends the servers, removes the folder, and returns when both are done.
    pub(crate) fn stop(&self) -> Result<(), Error> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        drop(pipes.orders.take());
        pipes.process.wait().map_err(|source| Error::AskGuard { order: "stop".to_owned(), source }).map(drop)
    }

    fn order(&self, verb: &str, server: &str) -> Result<String, Error> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let order = format!("{verb} {server}");
        pipes.ask(&order).map_err(|source| Error::AskGuard { order, source })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // There is no caller to report an error to. The guard also cleans up when its input ends.
        self.stop().unwrap_or_default();
    }
}

impl Pipes {
    fn ask(&mut self, order: &str) -> io::Result<String> {
        let orders = self.orders.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(orders, "{order}")?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
