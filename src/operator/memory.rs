//! State of an account that is kept in memory between reconciles.

use std::collections::HashSet;
use std::time::Duration;

use flashgate_preview::convert::Recording;

use crate::operator::stored_ledger::StoredLedger;

/// Minimum time between two writes of a Subscription's status while more changes are pending.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// State of an account that is kept in memory between reconciles. If it is lost, the operator only reads more.
#[derive(Default)]
pub struct Memory {
    /// Epoch of the server's data that it belongs to. In another epoch it is not valid.
    pub epoch: u64,
    /// Whether the outcome of a commit is unknown. The ledger must then be read before the next decision.
    pub is_in_doubt: bool,
    /// Charged reports whose receipt is confirmed.
    pub acknowledged: HashSet<(String, String)>,
    /// The last version of the ledger whose entries this process recorded in the history store.
    pub recorded: Option<RecordedLedger>,
    /// Message of the last Event about a test clock that is ignored.
    pub ignored_clock: Option<String>,
    /// When the Subscription's status was written last, by the clock's uptime.
    pub status_written: Option<Duration>,
}

/// A version of a ledger whose entries are all recorded in the history store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedLedger {
    /// Hash of the ledger.
    pub hash: String,
    /// Id of the store.
    pub store: String,
}

impl Memory {
    /// Returns the recording of the entries of `stored`: all are recorded if this process recorded that version, else
    /// those that the ledger says.
    #[must_use]
    pub fn recording_of(&self, stored: Option<&StoredLedger>) -> Recording {
        let Some(stored) = stored else { return Recording { store: None, sequence: 0 } };
        match self.recorded.as_ref().filter(|recorded| recorded.hash == stored.spec.hash) {
            Some(recorded) => {
                Recording { store: Some(recorded.store.clone()), sequence: stored.spec.sequence }
            }
            None => Recording {
                store: stored.spec.history_store.clone(),
                sequence: stored.spec.recorded_sequence.unwrap_or_default().min(stored.spec.sequence),
            },
        }
    }

    /// Returns whether it differs from a new memory.
    #[must_use]
    pub fn is_worth_keeping(&self, uptime: Duration) -> bool {
        self.is_in_doubt
            || !self.acknowledged.is_empty()
            || self.recorded.is_some()
            || self.ignored_clock.is_some()
            || self.status_written.is_some_and(|written| uptime.saturating_sub(written) < STATUS_INTERVAL)
    }
}
