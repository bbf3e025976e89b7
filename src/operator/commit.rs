//! Fourth step: one PUT of the account's ledger, bound to the version that was decided on. The only truth.

use std::sync::Arc;

use flashgate_ledger::entry::{Detail, Entry, FactKind};
use flashgate_ledger::ledger::Ledger;
use kube::ResourceExt;

use crate::api::CreditLedger;
use crate::operator::cluster::{AccountKey, CallError, Cluster};
use crate::operator::convert;
use crate::operator::observe::Seen;

/// Writes `next` in the place of the ledger that was seen, or as the account's first.
///
/// # Guarantees
/// The write takes effect only if the ledger is still the one that was decided on.
///
/// # Errors
/// The outcome is then unknown, whatever the error says: the ledger must be read again before anything is decided.
pub async fn write_ledger(
    cluster: &impl Cluster,
    seen: &Seen,
    next: &Ledger,
    entries: &[Entry],
    writer: &str,
) -> Result<Arc<CreditLedger>, CallError> {
    let AccountKey { namespace, name } = &seen.key;
    let previous = seen.ledger.as_deref();
    let spec = convert::ledger_to_wire(
        next,
        previous.map(|ledger| &ledger.spec),
        entries,
        &seen.key.to_string(),
        writer,
    );
    let mut ledger = CreditLedger::new(name, spec);
    let written = match previous {
        None => {
            ledger.metadata.namespace = Some(namespace.clone());
            cluster.create_ledger(&ledger).await?
        }
        Some(previous) => {
            ledger.metadata = previous.metadata.clone();
            ledger.metadata.managed_fields = None;
            cluster.replace_ledger(&ledger).await?
        }
    };
    log_entries(&seen.key, &written, entries);
    Ok(Arc::new(written))
}

/// Writes each committed entry as one line of JSON: the account's history for ever, for whoever collects logs.
fn log_entries(key: &AccountKey, ledger: &CreditLedger, entries: &[Entry]) {
    let subscription = key.to_string();
    for entry in entries.iter().filter(|entry| is_of_ledger(entry)) {
        let line = convert::entry_to_json(&subscription, entry);
        tracing::info!(
            target: "ledger",
            sequence = ledger.spec.sequence,
            hash = ledger.spec.hash,
            previous_hash = ledger.spec.previous_hash,
            uid = ledger.uid().unwrap_or_default(),
            entry = %line,
        );
    }
}

/// Returns whether an entry is part of the ledger: a refused report leaves no trace there.
fn is_of_ledger(entry: &Entry) -> bool {
    !matches!(&entry.detail, Detail::Refused { object, .. } if object.kind == FactKind::UsageReport)
}
