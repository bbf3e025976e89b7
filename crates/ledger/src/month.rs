//! Months: the sums of the last calendar months, in UTC (Law 28).

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::credits::{AmountOverflow, Credits};
use crate::entry::Entry;
use crate::period::utc_date;
use crate::totals::Totals;

/// Calendar months that a ledger keeps, including the current one.
pub const MONTHS_KEPT: usize = 24;

/// The sums of one calendar month in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Month {
    /// First day of the month.
    pub first_day: Date,
    /// Sums of the entries whose time is in the month.
    pub sums: Totals,
    /// Balance after the last of them.
    pub closing: Credits,
}

/// The months in which credits moved, oldest first. A month without such an entry has no record: nothing was added
/// to its sums, and it closes with the balance of the month before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Months(Vec<Month>);

impl Months {
    /// Returns the records, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Month> + ExactSizeIterator {
        self.0.iter()
    }

    /// Books an entry in the month of its time. Entries come in the order of their times. Drops the months before
    /// the last [`MONTHS_KEPT`].
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub(crate) fn book(&mut self, entry: &Entry) -> Result<(), AmountOverflow> {
        let first_day = utc_date(entry.time).first_of_month();
        if self.0.last().is_none_or(|last| last.first_day < first_day) {
            self.0.retain(|month| months_between(month.first_day, first_day) < MONTHS_KEPT);
            self.0.push(Month { first_day, sums: Totals::default(), closing: entry.balance });
        }
        let Some(current) = self.0.last_mut() else { return Ok(()) };
        current.sums.add_entry(entry)?;
        current.closing = entry.balance;
        Ok(())
    }
}

impl From<Vec<Month>> for Months {
    fn from(months: Vec<Month>) -> Self {
        Self(months)
    }
}

/// Returns the calendar months from the month of `earlier` to the month of `later`.
fn months_between(earlier: Date, later: Date) -> usize {
    let years = i32::from(later.year()).saturating_sub(i32::from(earlier.year()));
    let months = i32::from(later.month()).saturating_sub(i32::from(earlier.month()));
    usize::try_from(years.saturating_mul(12).saturating_add(months)).unwrap_or(0)
}
