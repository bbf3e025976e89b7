//! Thresholds: the used share of a period's credits, and its alerts (Law 23).

use crate::account::Account;
use crate::catalog::Policies;
use crate::credits::{AmountOverflow, Credits};
use crate::entry::Detail;
use crate::ledger::{Ledger, Violation};
use crate::rating::ratio;
use crate::statement::Book;

/// 100 % in hundredths of a percent, to which a share is rounded.
const HUNDREDTHS_OF_ALL: u128 = 10_000;

/// Largest displayed share, in hundredths of a percent: 999999 % (Law 23).
const MOST_HUNDREDTHS: u128 = 99_999_900;

/// A hundredth, in the units of 10^-9 that [`Credits`] counts.
const NANOS_OF_A_HUNDREDTH: u128 = 10_000_000;

/// Returns true if `book` has used at least `percent` % of the credits received. If it received none, the share
/// is 100 %.
fn has_used(book: &Book, percent: u32) -> Result<bool, Violation> {
    let available = book.available()?;
    if !available.is_positive() {
        return Ok(percent <= 100);
    }
    let used = book.consumed.nanos().saturating_mul(100);
    Ok(used >= available.nanos().saturating_mul(i128::from(percent)))
}

/// Returns the alert thresholds of an account in percent: its `own`, or those of the catalog (Law 23).
#[must_use]
pub fn thresholds<'a>(own: Option<&'a [u32]>, policies: &'a Policies) -> &'a [u32] {
    own.unwrap_or(&policies.alert_thresholds_percent)
}

/// The use of a period's credits, compared with the lowest alert threshold (Law 23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThresholdState {
    /// Used share in percent. Absent while there is no period.
    pub used_percent: Option<Credits>,
    /// The lowest threshold, if there is one.
    pub first_percent: Option<u32>,
    /// True if that threshold is reached.
    pub is_reached: bool,
}

impl Ledger {
    /// Returns the use of the current period's credits, compared with the lowest of `thresholds` (Law 23).
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn threshold_state(&self, thresholds: &[u32]) -> Result<ThresholdState, Violation> {
        let first_percent = thresholds.iter().copied().min();
        Ok(ThresholdState {
            used_percent: self.used_percent()?,
            first_percent,
            is_reached: first_percent.map_or(Ok(false), |first| self.has_reached(first))?,
        })
    }

    /// Returns the used share of the current period's credits in percent, rounded half-even to at most two
    /// fractional digits, and at most 999999. Returns `None` while there is no period.
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn used_percent(&self) -> Result<Option<Credits>, Violation> {
        let Some(statement) = self.statements.current() else { return Ok(None) };
        let (available, consumed) = (statement.book.available()?, statement.book.consumed);
        if !available.is_positive() {
            return Ok(Some(Credits::from_nanos(100_000_000_000)?));
        }
        let (consumed, available) = (consumed.nanos().unsigned_abs(), available.nanos().unsigned_abs());
        // A share that overflows is above the limit.
        let share = ratio(consumed, HUNDREDTHS_OF_ALL, available).unwrap_or(MOST_HUNDREDTHS);
        let hundredths = share.min(MOST_HUNDREDTHS);
        let nanos = hundredths.saturating_mul(NANOS_OF_A_HUNDREDTH);
        Ok(Some(Credits::from_nanos(i128::try_from(nanos).map_err(|_| AmountOverflow)?)?))
    }

    /// Returns true if the used share of the current period is at least `percent` %.
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn has_reached(&self, percent: u32) -> Result<bool, Violation> {
        self.statements.current().map_or(Ok(false), |statement| has_used(&statement.book, percent))
    }
}

impl Account<'_> {
    /// Returns the thresholds of this account.
    fn thresholds(&self) -> &[u32] {
        let own = self.subscription.and_then(|subscription| subscription.alert_thresholds_percent.as_deref());
        thresholds(own, &self.catalog.policies)
    }

    /// Adds an entry for each threshold that the last charge reached.
    pub(crate) fn cross_thresholds(&mut self) -> Result<(), Violation> {
        self.forget_thresholds();
        let mut crossed = Vec::new();
        for &percent in self.thresholds() {
            if !self.ledger.crossed_thresholds_percent.contains(&percent)
                && self.ledger.has_reached(percent)?
            {
                crossed.push(percent);
            }
        }
        crossed.sort_unstable();
        crossed.dedup();
        for percent in crossed {
            self.ledger.crossed_thresholds_percent.push(percent);
            self.record(Credits::ZERO, Detail::Threshold { percent })?;
        }
        self.ledger.crossed_thresholds_percent.sort_unstable();
        Ok(())
    }

    /// Drops crossed thresholds that the spec no longer has, so that repeated edits do not add up. While the
    /// Subscription is deleted, its last thresholds stay.
    fn forget_thresholds(&mut self) {
        if self.subscription.is_some() {
            let mut crossed = std::mem::take(&mut self.ledger.crossed_thresholds_percent);
            crossed.retain(|percent| self.thresholds().contains(percent));
            self.ledger.crossed_thresholds_percent = crossed;
        }
    }

    /// Resets each threshold that is above the share again.
    pub(crate) fn rearm_thresholds(&mut self) -> Result<(), Violation> {
        let mut still = Vec::new();
        for &percent in &self.ledger.crossed_thresholds_percent {
            if self.ledger.has_reached(percent)? {
                still.push(percent);
            }
        }
        self.ledger.crossed_thresholds_percent = still;
        Ok(())
    }
}
