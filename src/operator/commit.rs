//! Fourth step: one PUT of the account's ledger, with the resource version that the decision was made on. The
//! ledger is the only record that billing relies on.

use std::sync::Arc;

use flashgate_api::{CreditLedger, CreditLedgerSpec};
use flashgate_cluster::{AccountKey, CallError, Cluster};
use flashgate_ledger::Credits;
use flashgate_ledger::entry::{Detail, Entry};
use flashgate_ledger::ledger::Ledger;
use flashgate_preview::convert::{self, Commit, Recording};
use kube::ResourceExt;

use crate::operator::stored_ledger::StoredLedger;
use crate::operator::view::View;

/// Replaces the ledger in `view` with `next`, or creates the account's first ledger.
///
/// # Guarantees
/// The write takes effect only if the ledger is still the one that was decided on.
///
/// # Errors
/// After any error the outcome is unknown: the ledger must be read again before the next decision.
pub async fn write_ledger(
    cluster: &impl Cluster,
    view: &View,
    next: Ledger,
    entries: &[Entry],
    writer: &str,
    recording: Option<&Recording>,
) -> Result<Arc<StoredLedger>, CallError> {
    let previous = view.ledger.as_deref();
    let stored = previous.map(|ledger| &ledger.spec);
    let commit = Commit { subscription: &view.key.to_string(), writer, recording };
    let spec = convert::ledger_to_wire(&next, stored, entries, commit);
    write(cluster, &view.key, previous.map(|previous| &**previous), spec, next, entries).await
}

/// Commits the stored ledger again, because an administrator accepted its content.
///
/// # Errors
/// As [`write_ledger`].
pub async fn write_accepted_ledger(
    cluster: &impl Cluster,
    key: &AccountKey,
    stored: &CreditLedger,
    next: Ledger,
    (shown_hash, writer, recording): (&str, &str, Option<&Recording>),
) -> Result<Arc<StoredLedger>, CallError> {
    let entry = Entry {
        time: next.clock_time,
        credits: Credits::ZERO,
        balance: next.balance().unwrap_or_default(),
        detail: Detail::Accepted { sequence: stored.spec.sequence },
    };
    let commit = Commit { subscription: &key.to_string(), writer, recording };
    let spec = convert::accepted_ledger_to_wire(&next, &stored.spec, &entry, shown_hash, commit);
    write(cluster, key, Some(stored), spec, next, &[entry]).await
}

async fn write(
    cluster: &impl Cluster,
    key: &AccountKey,
    previous: Option<&CreditLedger>,
    spec: CreditLedgerSpec,
    next: Ledger,
    entries: &[Entry],
) -> Result<Arc<StoredLedger>, CallError> {
    let mut ledger = CreditLedger::new(&key.name, spec);
    let written = match previous {
        None => {
            ledger.metadata.namespace = Some(key.namespace.clone());
            cluster.create_ledger(&ledger).await?
        }
        Some(previous) => {
            ledger.metadata = previous.metadata.clone();
            cluster.replace_ledger(&ledger).await?
        }
    };
    log_entries(key, &written, entries);
    Ok(Arc::new(StoredLedger::written(written, &ledger.spec, next)))
}

/// Logs each committed entry as one line of JSON, without billing details, which are personal data. Collected logs have
/// the full history of the account.
fn log_entries(key: &AccountKey, ledger: &CreditLedger, entries: &[Entry]) {
    let subscription = key.to_string();
    for entry in entries.iter().filter(|entry| entry.is_part_of_ledger()) {
        let mut line = convert::entry_to_json(&subscription, entry);
        if let Some(detail) = line["detail"].as_object_mut() {
            detail.remove("billingDetails");
        }
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
