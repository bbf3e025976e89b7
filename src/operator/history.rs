//! Fifth step, with a history store: records the entries of the ledger. Receipts of charges come after it, so that the
//! labels of a report can be read until its usage is recorded.

use std::sync::Arc;

use flashgate_api::UsageReport;
use flashgate_api::event::Event;
use flashgate_api::reason::Reason;
use flashgate_cluster::{AccountKey, CallError, Cluster, found};
use flashgate_history::{AccountId, Batch, RecordError, Recorded, Recorder};
use flashgate_ledger::decide::{Decision, ReportVerdict};
use flashgate_ledger::ledger::{Charge, Ledger};
use flashgate_preview::convert::{
    self, ConvertError, LabelGroups, Recording, label_groups, unrecorded_charges, usage_of,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::operator::memory::{Memory, RecordedLedger};
use crate::operator::project::AccountEvent;
use crate::operator::publish::publish_events;
use crate::operator::reconcile::{Operator, ReconcileError};
use crate::operator::stored_ledger::StoredLedger;
use crate::operator::view::View;

/// A history store, as a reconcile uses it.
pub trait History: Send + Sync {
    /// Records the entries of one account that are not recorded yet. Recording them again changes nothing.
    fn record(&self, batch: Batch) -> BoxFuture<'_, Result<Recorded, RecordError>>;
}

impl History for Recorder {
    fn record(&self, batch: Batch) -> BoxFuture<'_, Result<Recorded, RecordError>> {
        Recorder::record(self, batch).boxed()
    }
}

/// Why the entries of a ledger could not be recorded. The next reconcile tries again.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The store refused them, or its reply is unknown.
    #[error(transparent)]
    Store(#[from] RecordError),
    /// A report could not be read for its labels.
    #[error("a report could not be read for its labels")]
    Labels(#[source] CallError),
    /// The ledger's entries are not valid.
    #[error("the entries of the ledger are not valid")]
    Entries(#[from] ConvertError),
}

impl HistoryError {
    /// Returns its name in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Store(RecordError::Conflict { .. }) => "Conflict",
            Self::Store(RecordError::Unavailable(_)) => "Unavailable",
            Self::Store(RecordError::Refused(_) | RecordError::Invalid { .. }) => "Refused",
            Self::Labels(_) => "Labels",
            Self::Entries(_) => "Entries",
        }
    }
}

impl<C: Cluster> Operator<C> {
    /// Records entries in `history` from now on.
    pub fn record_in(&mut self, history: Arc<dyn History>) {
        self.cache.keep_labels();
        self.history = Some(history);
    }

    /// Records the entries of the ledger in the history store, unless this process recorded that version before.
    pub(super) async fn record(
        &self,
        view: &View,
        ledger: Option<&Ledger>,
        memory: &mut Memory,
    ) -> Result<(), ReconcileError> {
        let (Some(history), Some(stored), Some(ledger)) = (&self.history, view.ledger.as_deref(), ledger)
        else {
            return Ok(());
        };
        let is_recorded = |recorded: &RecordedLedger| recorded.hash == stored.spec.hash;
        if memory.recorded.as_ref().is_some_and(is_recorded) {
            return Ok(());
        }
        let recording = memory.recording_of(Some(stored));
        let recorded = record_entries(&**history, &self.cluster, view, (stored, ledger), &recording).await;
        self.metrics.count_recording(
            recorded.as_ref().map(|recorded| recorded.gap.is_some()).map_err(HistoryError::name),
        );
        let event = event_about(&recording, recorded.as_ref());
        publish_events(&self.publisher(), view, event.into_iter().collect()).await;
        let recorded = recorded.map_err(|source| ReconcileError::Record {
            account: view.key.clone(),
            source: Box::new(source),
        })?;
        memory.recorded = Some(RecordedLedger { hash: stored.spec.hash.clone(), store: recorded.store });
        Ok(())
    }
}

/// Drops the verdicts on charged reports, because their receipts must wait for the history store.
pub(super) fn withhold_charges(decision: &mut Decision) {
    decision.reports.retain(|verdict| !matches!(verdict.verdict, ReportVerdict::Charged(_)));
    decision.waits_for_receipts = false;
}

/// Returns the Event about a recording that left a gap or failed for a reason that a retry does not remove.
fn event_about(recording: &Recording, recorded: Result<&Recorded, &HistoryError>) -> Option<AccountEvent> {
    match recorded {
        Ok(Recorded { gap: Some(gap), .. }) => {
            let message = format!(
                "entries {} to {} of this account are not in the history: the ledger no longer had them when the \
                 history store could record again",
                gap.first, gap.last
            );
            Some(Event::warning(None, Reason::HistoryGap, message))
        }
        Ok(recorded) if recording.store.as_ref().is_some_and(|store| *store != recorded.store) => {
            let message = format!(
                "the history store is another than before (its id is now {}), so it can lack earlier entries of this \
                 account: copy them from the old store with `flashgate-billing history copy`",
                recorded.store
            );
            Some(Event::warning(None, Reason::HistoryGap, message))
        }
        Err(HistoryError::Store(error @ RecordError::Conflict { .. })) => {
            Some(Event::warning(None, Reason::HistoryConflict, error.to_string()))
        }
        Ok(_) | Err(_) => None,
    }
}

/// Records the entries of `ledger`, which `stored` holds, with the usage of its charges.
///
/// # Errors
/// When the store or the API server cannot be reached, or when the store has other entries with these numbers.
pub async fn record_entries(
    history: &dyn History,
    cluster: &impl Cluster,
    view: &View,
    (stored, ledger): (&StoredLedger, &Ledger),
    recording: &Recording,
) -> Result<Recorded, HistoryError> {
    let AccountKey { namespace, name } = view.key.clone();
    let account = AccountId { namespace, name, account: stored.spec.account.clone() };
    let mut batch = convert::batch_of(account, &stored.spec)?;
    for unrecorded in unrecorded_charges(&batch, ledger, recording.sequence)? {
        let groups = labels_of(cluster, view, &unrecorded.charge).await.map_err(HistoryError::Labels)?;
        batch.usage.extend(usage_of(&unrecorded, groups.as_deref()));
    }
    Ok(history.record(batch).await?)
}

/// Returns the labels of the report of `charge`: from the cache, else from the API server. Returns `None` if the
/// report is gone.
async fn labels_of(
    cluster: &impl Cluster,
    view: &View,
    charge: &Charge,
) -> Result<Option<Arc<LabelGroups>>, CallError> {
    let pending = view.reports.get(&charge.name).filter(|pending| pending.version.uid == charge.uid);
    if let Some(groups) = pending.and_then(|pending| pending.labels.clone()) {
        return Ok(Some(groups));
    }
    let report = found(cluster.fetch::<UsageReport>(&view.key.namespace, &charge.name).await)?;
    let report = report.filter(|report| report.metadata.uid.as_deref() == Some(&charge.uid));
    // The report was parsed before it was charged.
    Ok(report.and_then(|report| label_groups(&report).ok()).map(Arc::new))
}
