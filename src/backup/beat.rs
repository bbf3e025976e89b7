//! The time of the last successful backup. Each backup records it in a Lease, and the operator exports it as a
//! metric.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::Metrics;

/// Time between two reads of the Lease.
const READ_INTERVAL: Duration = Duration::from_secs(30);

/// Time limit of a read, so that one without reply does not block the next.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// Records in the Lease called `name` that a backup to the file called `file` finished at `end_time`.
///
/// # Errors
/// When the Lease cannot be read or written.
pub async fn record(
    leases: &Api<Lease>,
    name: &str,
    file: &str,
    end_time: Timestamp,
) -> Result<(), kube::Error> {
    let spec = LeaseSpec {
        holder_identity: Some(file.to_owned()),
        renew_time: Some(MicroTime(end_time)),
        ..LeaseSpec::default()
    };
    let params = PostParams::default();
    if let Some(mut lease) = leases.get_opt(name).await? {
        lease.spec = Some(spec);
        leases.replace(name, &params, &lease).await?;
    } else {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        leases.create(&params, &Lease { metadata, spec: Some(spec) }).await?;
    }
    Ok(())
}

/// Copies the time of the last successful backup from the Lease called `name` to `metrics`. Never returns.
pub async fn follow(leases: Api<Lease>, name: String, metrics: Metrics) {
    let mut reads = interval(READ_INTERVAL);
    reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        reads.tick().await;
        match tokio::time::timeout(READ_LIMIT, leases.get_opt(&name)).await {
            Ok(Ok(lease)) => metrics.show_backup(lease.as_ref().and_then(backup_time)),
            Ok(Err(error)) => {
                tracing::warn!(lease = name, %error, "the time of the last backup cannot be read");
            }
            Err(_) => tracing::warn!(lease = name, "the time of the last backup cannot be read: no reply"),
        }
    }
}

fn backup_time(lease: &Lease) -> Option<Timestamp> {
    Some(lease.spec.as_ref()?.renew_time.as_ref()?.0)
}
