//! Figures of a gate, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The result of a decision, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionResult {
    /// The account is open.
    Allowed,
    /// The account is closed.
    Spent,
    /// No account is known, and such requests are let through.
    UnknownAllowed,
    /// No account is known, and such requests are refused.
    UnknownDenied,
    /// The state is stale, and requests are let through.
    StaleAllowed,
    /// The state is stale, and requests are refused.
    StaleDenied,
}

impl DecisionResult {
    /// Every result.
    pub const ALL: [Self; 6] = [
        Self::Allowed,
        Self::Spent,
        Self::UnknownAllowed,
        Self::UnknownDenied,
        Self::StaleAllowed,
        Self::StaleDenied,
    ];

    /// Returns the value of the metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Spent => "spent",
            Self::UnknownAllowed => "unknown_allowed",
            Self::UnknownDenied => "unknown_denied",
            Self::StaleAllowed => "stale_allowed",
            Self::StaleDenied => "stale_denied",
        }
    }
}

/// Counts decisions by their result.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; DecisionResult::ALL.len()]);

impl Counters {
    pub fn count(&self, result: DecisionResult) {
        self.0[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn counted(&self) -> [u64; DecisionResult::ALL.len()] {
        DecisionResult::ALL.map(|result| self.0[result as usize].load(Ordering::Relaxed))
    }
}

/// The figures of a gate at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub(crate) decisions: [u64; DecisionResult::ALL.len()],
    /// Accounts in memory.
    pub accounts: usize,
    /// Those that are closed.
    pub accounts_closed: usize,
    /// True if the state is stale, or not complete yet.
    pub is_stale: bool,
    /// Time since the last contact with the API server, or since the start. With several watches, the longest.
    pub contact_age: Duration,
    /// True if requests are let through while the state is stale.
    pub fails_open_when_stale: bool,
    /// True if requests without a known account are let through.
    pub fails_open_when_unknown: bool,
}

impl Figures {
    /// Returns the number of decisions with this result since the start.
    #[must_use]
    pub const fn decisions(&self, result: DecisionResult) -> u64 {
        self.decisions[result as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_is_counted_on_its_own() {
        let counters = Counters::default();
        for (index, result) in DecisionResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, index, "{}", result.as_str());
            (0..=index).for_each(|_| counters.count(result));
        }
        assert_eq!(counters.counted(), [1, 2, 3, 4, 5, 6]);
    }
}
