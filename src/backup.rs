//! Backups: writes ledgers, Subscriptions and orders with their statuses to a file, and restores them to a
//! cluster.
//!
//! A backup is a file with one JSON object per line, in the order of [`resources`]. The last line is a seal
//! with a hash. Usage reports are not part of it, because the ledgers record the charges.

pub mod archive;
pub mod beat;
pub mod export;
pub mod restore;

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription};
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::ApiResource;

/// Field manager of a restore, which the API server records in `managedFields`.
pub const FIELD_MANAGER: &str = "flashgate-billing-restore";

/// Kind of the ledgers.
pub const LEDGER: &str = "CreditLedger";

/// Kind of the accounts.
pub const SUBSCRIPTION: &str = "Subscription";

/// Returns the resources of a backup in the order in which they are exported.
///
/// Ledgers come last, so that no ledger is older than a status in the same file. A status only shows commits.
#[must_use]
pub fn resources() -> [ApiResource; 5] {
    [
        ApiResource::erase::<Subscription>(&()),
        ApiResource::erase::<CreditPack>(&()),
        ApiResource::erase::<Payment>(&()),
        ApiResource::erase::<CreditAdjustment>(&()),
        ApiResource::erase::<CreditLedger>(&()),
    ]
}

/// Returns the objects of a resource in a namespace, or in all.
fn objects(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}
