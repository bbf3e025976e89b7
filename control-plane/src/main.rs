//! `control-plane`: a private Kubernetes control plane for one command, or until Ctrl-C.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use flashgate_control_plane::ControlPlane;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;

/// Starts a private Kubernetes control plane (etcd and kube-apiserver), which ends with this command.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Runs a command against it and ends with the exit code of the command. KUBECONFIG and PATH are set, so
    /// that `kubectl` works.
    Run {
        #[command(flatten)]
        stated: Stated,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Prints the environment variables for a shell, and runs until Ctrl-C.
    Start {
        #[command(flatten)]
        stated: Stated,
    },
}

#[derive(Debug, Args)]
struct Stated {
    /// Users besides the administrator. Each has the file `$(dirname $KUBECONFIG)/NAME.kubeconfig`.
    #[arg(long = "user", value_name = "NAME")]
    users: Vec<String>,
    /// Controllers of kube-controller-manager to run, such as namespace-controller.
    #[arg(long = "controller", value_name = "NAME")]
    controllers: Vec<String>,
    /// Flags of kube-apiserver to add, such as --feature-gates=WatchList=false.
    #[arg(long = "apiserver-flag", value_name = "FLAG", allow_hyphen_values = true)]
    api_server_flags: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Subcommands::Run { stated, command } => run(&stated, &command).await,
        Subcommands::Start { stated } => stay(&stated).await,
    }
}

async fn run(stated: &Stated, command: &[OsString]) -> Result<ExitCode> {
    // Handle signals from here: the default action would end this process and the control plane before the
    // command.
    let mut signals = Signals::listen()?;
    let control_plane = start(stated).await?;
    let (program, arguments) = command.split_first().context("a command must be given after --")?;
    let child = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", control_plane.kubeconfig())
        .env("KUBECACHEDIR", control_plane.kubectl_cache())
        .env("PATH", path_with(control_plane.programs())?)
        .spawn()
        .with_context(|| format!("could not run {}", Path::new(program).display()))?;
    let status = wait_for(child, &mut signals).await?;
    control_plane.stop().await?;
    Ok(exit_code(status))
}

async fn stay(stated: &Stated) -> Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let control_plane = start(stated).await?;
    println!("export KUBECONFIG={}", control_plane.kubeconfig().display());
    println!("export KUBECACHEDIR={}", control_plane.kubectl_cache().display());
    println!("export PATH={}:$PATH", control_plane.programs().display());
    eprintln!("The control plane runs until Ctrl-C.");
    signals.next().await;
    control_plane.stop().await?;
    Ok(ExitCode::SUCCESS)
}

async fn start(stated: &Stated) -> Result<ControlPlane> {
    let controllers: Vec<&str> = stated.controllers.iter().map(String::as_str).collect();
    let mut builder = ControlPlane::builder().controllers(&controllers);
    for user in &stated.users {
        builder = builder.user(user, &[]);
    }
    for flag in &stated.api_server_flags {
        builder = builder.api_server_flag(flag);
    }
    Ok(builder.start().await?)
}

fn path_with(folder: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(PathBuf::from(folder)).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("the folder of the programs must not contain ':'")
}

/// The signals that end this process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Returns the name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "INT",
            _ = self.terminate.recv() => "TERM",
        }
    }
}

/// Waits for the command and forwards SIGTERM to it. A terminal sends SIGINT to both.
async fn wait_for(mut child: Child, signals: &mut Signals) -> Result<ExitStatus> {
    let process = child.id().to_string();
    let mut end = spawn_blocking(move || child.wait());
    loop {
        tokio::select! {
            status = &mut end => return Ok(status??),
            name = signals.next() => if name == "TERM" {
                Command::new("kill").args(["-TERM", &process]).status()?;
            },
        }
    }
}

/// Returns the exit code as a shell shows it: 128 plus the signal for a command that was killed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}
