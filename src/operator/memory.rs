//! What is remembered of an account between reconciles.

use std::collections::HashSet;
use std::time::Duration;

/// Least time between two writes of one Subscription's status while more is to come.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What is remembered of an account between reconciles; losing it costs reads, never meaning.
#[derive(Default)]
pub struct Memory {
    /// Of which epoch of the server's data it is; it says nothing of another.
    pub epoch: u64,
    /// Whether the outcome of a commit is unknown: the ledger is then read before anything is decided.
    pub is_in_doubt: bool,
    /// Charged reports whose receipt is confirmed.
    pub acknowledged: HashSet<(String, String)>,
    /// What was said last of a test clock that is ignored.
    pub ignored_clock: Option<String>,
    /// When the Subscription's status was written last, by the clock's uptime.
    pub status_written: Option<Duration>,
}

impl Memory {
    /// Returns whether it says anything that a new one does not.
    #[must_use]
    pub fn is_worth_keeping(&self, uptime: Duration) -> bool {
        self.is_in_doubt
            || !self.acknowledged.is_empty()
            || self.ignored_clock.is_some()
            || self.status_written.is_some_and(|written| uptime.saturating_sub(written) < STATUS_INTERVAL)
    }
}
