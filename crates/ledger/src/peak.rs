//! The peak of a day: its highest rate of consumption, and the longest time until usage was charged (Law 29).

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::credits::Credits;
use crate::period::{Window, seconds_between, utc_date};

/// The most extreme charges of one day (UTC). Charges that cost nothing do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DailyPeak {
    /// The day of the charges.
    pub day: Date,
    /// Credits of the charge with the highest rate of consumption.
    pub credits: Credits,
    /// Seconds of the window of that charge.
    pub seconds: u64,
    /// Seconds of the longest window.
    pub longest_window_seconds: u64,
    /// Most seconds from the end of a window to the decision that charged it. Unlike amounts, they grow with downtime:
    /// until the decision, no gate knows of the usage.
    pub longest_delay_seconds: u64,
}

impl DailyPeak {
    /// Returns the peak of a single charge at `time`, which was decided `delay_seconds` after the end of its window.
    #[must_use]
    pub fn of_charge(window: Window, time: Timestamp, credits: Credits, delay_seconds: i64) -> Self {
        let seconds = |count: i64| count.max(0).unsigned_abs();
        let window_seconds = seconds(seconds_between(window.start_time, window.end_time));
        Self {
            day: utc_date(time),
            credits,
            seconds: window_seconds,
            longest_window_seconds: window_seconds,
            longest_delay_seconds: seconds(delay_seconds),
        }
    }

    /// Returns the peak of the charges of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let highest = if self.is_exceeded_by(&other) { other } else { self };
        Self {
            day: self.day,
            credits: highest.credits,
            seconds: highest.seconds,
            longest_window_seconds: self.longest_window_seconds.max(other.longest_window_seconds),
            longest_delay_seconds: self.longest_delay_seconds.max(other.longest_delay_seconds),
        }
    }

    /// Returns true if the highest rate of consumption of `other` is above that of this one.
    fn is_exceeded_by(&self, other: &Self) -> bool {
        // A report costs at most 10^21 nanos, and a window has less than 10^12 seconds: neither product saturates.
        let product = |credits: Credits, seconds: u64| credits.nanos().saturating_mul(seconds.into());
        product(other.credits, self.seconds) > product(self.credits, other.seconds)
    }
}
