//! Options that show the age of backups.

use std::path::Path;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};

use super::leader_election::{NAMESPACE_FILE, name, namespace_of_pod};
use crate::backup::beat;
use crate::metrics::Metrics;

/// Options that show the age of backups.
#[derive(Debug, clap::Args)]
pub struct Backups {
    /// Lease in which `flashgate-billing backup` records its time; the metrics show it
    #[arg(id = "backup_lease", long = "backup-lease", value_name = "NAME", value_parser = name)]
    lease: Option<String>,
    /// Namespace of that Lease; the pod's own when absent
    #[arg(id = "backup_lease_namespace", long = "backup-lease-namespace", value_name = "NAMESPACE", requires = "backup_lease", value_parser = name)]
    lease_namespace: Option<String>,
    /// Maximum age of the last successful backup, in seconds. Beyond it the alert `FlashgateBackupTooOld` fires
    #[arg(
        id = "backup_max_age_seconds",
        long = "backup-max-age-seconds",
        value_name = "SECONDS",
        requires = "backup_lease",
        default_value_t = 93_600
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(60..=31_536_000))]
    max_age_seconds: u32,
}

impl Backups {
    /// Starts to export the age of backups in `metrics`, if the option is set.
    ///
    /// # Errors
    /// When the namespace of the Lease is not known.
    pub fn follow(&self, client: Client, metrics: &Metrics) -> anyhow::Result<()> {
        let Some(lease) = self.lease.clone() else { return Ok(()) };
        let namespace = match &self.lease_namespace {
            Some(namespace) => namespace.clone(),
            None => namespace_of_pod("--backup-lease-namespace", Path::new(NAMESPACE_FILE))?,
        };
        metrics.follow_backups(self.max_age_seconds);
        let leases: Api<Lease> = Api::namespaced(client, &namespace);
        tokio::spawn(beat::follow(leases, lease, metrics.clone()));
        Ok(())
    }
}
