//! Figures of all meters of a process, for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use flashgate_api::AccountKey;

/// Figures of one meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterFigures {
    /// Accounts that have series.
    pub accounts: i64,
    /// Series.
    pub series: i64,
    /// Seconds since the end of the oldest window that is due and not reported.
    pub lag_seconds: i64,
    /// Values of the account's label that name no Subscription.
    pub unmatched: i64,
    /// Accounts whose windows cannot be closed.
    pub held: i64,
    /// Reports that were rejected.
    pub rejected: i64,
    /// Reports that this process created.
    pub created: u64,
    /// Reason for which somebody must act, if there is one.
    pub stalled: Option<String>,
}

/// Figures of all meters.
#[derive(Debug, Default)]
pub struct Figures {
    meters: Mutex<BTreeMap<AccountKey, MeterFigures>>,
}

impl Figures {
    /// Stores the figures of a meter, by its namespace and name.
    pub fn set(&self, meter: AccountKey, figures: MeterFigures) {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).insert(meter, figures);
    }

    /// Removes the figures of a meter that no longer exists.
    pub fn remove(&self, meter: &AccountKey) {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).remove(meter);
    }

    /// Returns the figures of all meters.
    #[must_use]
    pub fn all(&self) -> BTreeMap<AccountKey, MeterFigures> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
