//! `backup` and `restore`: writes ledgers, Subscriptions and orders to a file, and restores them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flashgate_cluster::clock::Clock;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};

use crate::backup::archive::{Archive, Writer, prune};
use crate::backup::export::export;
use crate::backup::restore::Restore;
use crate::backup::{LEDGER, beat};
use crate::cli::cluster::connect;

/// Time limit of one call. Without it a backup could hang unnoticed.
const CALL_LIMIT: Duration = Duration::from_mins(1);

/// Exit code of a restore that was not started.
const REFUSED: u8 = 1;

/// Options of `backup`.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// Folder of the backups; each is a file of its own, named by its time
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
    /// Namespaces to back up; all when absent
    #[arg(long = "namespace", value_name = "NAMESPACE", num_args = 1..)]
    namespaces: Vec<String>,
    /// Number of backups to keep in the folder, with this one; older ones are deleted
    #[arg(long, value_name = "COUNT", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    keep: u16,
    /// Lease that records the time of the backup, from which `run --backup-lease` shows its age
    #[arg(long, value_name = "NAME", requires = "lease_namespace")]
    lease: Option<String>,
    /// Namespace of that Lease
    #[arg(long, value_name = "NAMESPACE", requires = "lease")]
    lease_namespace: Option<String>,
}

/// Options of `restore`.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// File that `backup` wrote
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Namespaces to restore; all of the backup when absent
    #[arg(long = "namespace", value_name = "NAMESPACE", num_args = 1..)]
    namespaces: Vec<String>,
    /// Checks the backup and the cluster, and writes nothing
    #[arg(long)]
    dry_run: bool,
}

/// Takes a backup.
///
/// # Errors
/// When the cluster cannot be read or the file cannot be written.
pub fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()?.block_on(take(args))
}

async fn take(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let (client, clock) = (connect_for_backups().await?, Clock::system());
    let mut writer = Writer::create(&args.output, clock.now())?;
    export(&client, &args.namespaces, &mut writer).await?;
    let (path, seal) = writer.finish(clock.now())?;
    anstream::println!("{}", path.display());
    for (kind, count) in &seal.objects {
        anstream::println!("{kind}: {count}");
    }
    let deleted = prune(&args.output, usize::from(args.keep))?;
    if deleted > 0 {
        anstream::println!("older backups deleted: {deleted}");
    }
    if let Some((name, namespace)) = args.lease.as_ref().zip(args.lease_namespace.as_ref()) {
        let leases: Api<Lease> = Api::namespaced(client, namespace);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let recorded = beat::record(&leases, name, &file, seal.end_time).await;
        recorded.with_context(|| {
            format!("the backup is complete, but Lease {namespace}/{name} does not say so: FlashgateBackupTooOld may fire")
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Restores a backup. If there are obstacles, prints them and writes nothing.
///
/// # Errors
/// When the backup or the cluster cannot be read, or an object cannot be written.
pub fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()?.block_on(run_restore(args))
}

async fn run_restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let archive = Archive::open(&args.input)?;
    let ledgers = archive.seal.objects.get(LEDGER).copied().unwrap_or_default();
    ensure!(
        ledgers > 0,
        "{} has no CreditLedger, so every account would start from zero: use a backup with ledgers",
        args.input.display()
    );
    anstream::println!("backup of {}, CreditLedgers: {ledgers}", archive.seal.end_time);
    let restore = Restore::new(connect_for_backups().await?, &archive, &args.namespaces);
    let obstacles = restore.obstacles().await?;
    if !obstacles.is_empty() {
        for obstacle in &obstacles {
            anstream::eprintln!("{obstacle}");
        }
        anstream::eprintln!("nothing was restored: {} obstacles", obstacles.len());
        return Ok(ExitCode::from(REFUSED));
    }
    if args.dry_run {
        anstream::println!("no obstacles; nothing was written");
        return Ok(ExitCode::SUCCESS);
    }
    for (kind, restored) in restore.run().await? {
        anstream::println!("{kind}: {} created, {} already there", restored.created, restored.kept);
    }
    Ok(ExitCode::SUCCESS)
}

/// Connects to the cluster, with a time limit for each read.
async fn connect_for_backups() -> anyhow::Result<Client> {
    connect(|config| config.read_timeout = Some(CALL_LIMIT)).await
}
