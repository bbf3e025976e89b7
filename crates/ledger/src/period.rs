//! Periods: half-open windows counted in calendar months from an anchor (Law 3).

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::catalog::BillingPeriod;

/// Seconds of a day. Days are in UTC and have no leap seconds.
pub const DAY_SECONDS: i64 = 86_400;

/// Returns the instant `seconds` after `time`, clamped to the range of [`Timestamp`].
#[must_use]
pub fn seconds_after(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(time.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX)
}

/// Returns the whole seconds from `start` to `end`, negative when `end` is earlier.
#[must_use]
pub fn seconds_between(start: Timestamp, end: Timestamp) -> i64 {
    end.as_second().saturating_sub(start.as_second())
}

/// Returns `anchor` + `months` calendar months in UTC, the day clamped to the month's length (Law 3).
///
/// ```
/// use flashgate_ledger::period::months_after;
/// let anchor: jiff::Timestamp = "2026-01-31T10:00:00Z".parse()?;
/// assert_eq!(months_after(anchor, 1).to_string(), "2026-02-28T10:00:00Z");
/// assert_eq!(months_after(anchor, 2).to_string(), "2026-03-31T10:00:00Z");
/// # Ok::<(), jiff::Error>(())
/// ```
#[must_use]
pub fn months_after(anchor: Timestamp, months: u32) -> Timestamp {
    let span: Span = i64::from(months).min(96_000).months();
    anchor.to_zoned(TimeZone::UTC).checked_add(span).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

/// Returns the number of month boundaries after `anchor` that are at or before `at`. It is 0 before the first
/// boundary.
///
/// An instant before the anchor belongs to month 0.
#[must_use]
pub fn months_begun(anchor: Timestamp, at: Timestamp) -> u32 {
    let (from, to) = (utc_date(anchor), utc_date(at));
    let years = i64::from(to.year()).saturating_sub(i64::from(from.year()));
    let months = years
        .saturating_mul(12)
        .saturating_add(i64::from(to.month()))
        .saturating_sub(i64::from(from.month()));
    let whole = u32::try_from(months).unwrap_or(0);
    if months_after(anchor, whole) > at { whole.saturating_sub(1) } else { whole }
}

/// Returns the UTC day that contains `time`.
#[must_use]
pub fn utc_date(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

/// The origin of the periods of a plan, and the number of months since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Instant from which boundaries are computed. It does not change while periods renew.
    pub time: Timestamp,
    /// Months from the anchor to the start of the current period.
    pub months: u32,
}

impl Anchor {
    /// Returns an anchor whose first period starts at `time`.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self { time, months: 0 }
    }

    /// Returns the start of the current period.
    #[must_use]
    pub fn start_time(self) -> Timestamp {
        months_after(self.time, self.months)
    }

    /// Returns the end of the current period if it has the length of `billing_period`.
    #[must_use]
    pub fn end_time(self, billing_period: BillingPeriod) -> Timestamp {
        self.after(billing_period).start_time()
    }

    /// Returns the anchor moved to the period that follows one of `billing_period`.
    #[must_use]
    pub const fn after(self, billing_period: BillingPeriod) -> Self {
        Self { time: self.time, months: self.months.saturating_add(billing_period.months()) }
    }

    /// Returns the anchor at the period that contains `at`, and the number of periods before it.
    #[must_use]
    pub fn containing(time: Timestamp, billing_period: BillingPeriod, at: Timestamp) -> (Self, u32) {
        let skipped = months_begun(time, at).checked_div(billing_period.months()).unwrap_or(0);
        (Self { time, months: skipped.saturating_mul(billing_period.months()) }, skipped)
    }
}

/// A half-open window `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(description = "A window of time.", deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// First instant of the window.
    pub start_time: Timestamp,
    /// First instant after the window.
    pub end_time: Timestamp,
}

impl Window {
    /// Returns true if the two windows share an instant.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start_time < other.end_time && other.start_time < self.end_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    #[test]
    fn boundaries_are_computed_from_the_anchor_and_clamp_to_the_month() {
        let anchor = Anchor::at(time("2026-01-31T10:00:00Z"));
        let starts: Vec<String> =
            (0..5).map(|months| Anchor { months, ..anchor }.start_time().to_string()).collect();
        let expected =
            ["01-31", "02-28", "03-31", "04-30", "05-31"].map(|day| format!("2026-{day}T10:00:00Z"));
        assert_eq!(starts, expected);
    }

    #[test]
    fn a_leap_day_anchor_comes_back_in_leap_years() {
        let anchor = Anchor::at(time("2024-02-29T00:00:00Z"));
        assert_eq!(anchor.end_time(BillingPeriod::Yearly), time("2025-02-28T00:00:00Z"));
        assert_eq!(Anchor { months: 48, ..anchor }.start_time(), time("2028-02-29T00:00:00Z"));
    }

    #[test]
    fn the_instant_of_a_boundary_belongs_to_the_next_month() {
        let anchor = time("2026-01-31T10:00:00Z");
        assert_eq!(months_begun(anchor, time("2026-02-28T09:59:59Z")), 0);
        assert_eq!(months_begun(anchor, time("2026-02-28T10:00:00Z")), 1);
        assert_eq!(months_begun(anchor, time("2026-03-31T09:59:59Z")), 1);
        assert_eq!(months_begun(anchor, time("2025-03-31T09:59:59Z")), 0);
    }

    #[test]
    fn the_period_that_contains_an_instant_counts_those_before_it() {
        let start = time("2024-01-15T00:00:00Z");
        let (anchor, skipped) =
            Anchor::containing(start, BillingPeriod::Yearly, time("2026-02-01T00:00:00Z"));
        assert_eq!((anchor.months, skipped), (24, 2));
    }
}
