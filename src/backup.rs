//! Backups: ledgers, Subscriptions and orders with their statuses, in one file, and back into a cluster.
//!
//! A backup is a file of one JSON object per line, in the order of [`resources`], and a last line that seals it. Usage reports
//! are not part of it: what was charged is in the ledgers.

pub mod archive;
pub mod beat;
pub mod export;
pub mod restore;

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription};
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::ApiResource;

/// Name under which a restore writes; the API server keeps it in `managedFields`.
pub const FIELD_MANAGER: &str = "flashgate-billing-restore";

/// Kind of the ledgers.
pub const LEDGER: &str = "CreditLedger";

/// Kind of the accounts.
pub const SUBSCRIPTION: &str = "Subscription";

/// Returns the resources of a backup in the order in which they are exported.
///
/// Ledgers come last, so that no ledger is older than a status in the same file: a status shows what is committed.
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
