//! Windows of time and their buckets.

use flashgate_ledger::Credits;
use flashgate_ledger::period::seconds_after;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::StatsPoint;
use crate::history::{CreditSum, Grouping, UsageQuery, UsageSum};
use crate::number::Number;
use crate::refused::Refused;

/// Most buckets of a series.
pub const MOST_BUCKETS: i64 = 1_000;

/// A window of time up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum Window {
    /// 24 hours.
    #[serde(rename = "24h")]
    Hours24,
    /// 7 days.
    #[serde(rename = "7d")]
    Days7,
    /// 30 days.
    #[serde(rename = "30d")]
    Days30,
    /// 90 days.
    #[serde(rename = "90d")]
    Days90,
    /// 180 days.
    #[serde(rename = "180d")]
    Days180,
    /// 365 days.
    #[serde(rename = "365d")]
    Days365,
}

/// The words of windows.
pub const WINDOWS: [(&str, Window); 6] = [
    ("24h", Window::Hours24),
    ("7d", Window::Days7),
    ("30d", Window::Days30),
    ("90d", Window::Days90),
    ("180d", Window::Days180),
    ("365d", Window::Days365),
];

/// Seconds of an hour.
const HOUR: i64 = 3_600;

/// Seconds of a day.
const DAY: i64 = 24 * HOUR;

impl Window {
    /// Returns its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Hours24 => DAY,
            Self::Days7 => 7 * DAY,
            Self::Days30 => 30 * DAY,
            Self::Days90 => 90 * DAY,
            Self::Days180 => 180 * DAY,
            Self::Days365 => 365 * DAY,
        }
    }

    /// Returns the length of its buckets, unless the query says otherwise: 24 to 365 buckets.
    #[must_use]
    pub const fn bucket_size(self) -> BucketSize {
        match self {
            Self::Hours24 | Self::Days7 => BucketSize::Hours1,
            Self::Days30 => BucketSize::Hours6,
            Self::Days90 => BucketSize::Hours12,
            Self::Days180 | Self::Days365 => BucketSize::Days1,
        }
    }
}

/// Length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum BucketSize {
    /// 5 minutes.
    #[serde(rename = "5m")]
    Minutes5,
    /// 10 minutes.
    #[serde(rename = "10m")]
    Minutes10,
    /// 1 hour.
    #[serde(rename = "1h")]
    Hours1,
    /// 6 hours.
    #[serde(rename = "6h")]
    Hours6,
    /// 12 hours.
    #[serde(rename = "12h")]
    Hours12,
    /// 1 day.
    #[serde(rename = "1d")]
    Days1,
}

/// The words of lengths.
pub const BUCKET_SIZES: [(&str, BucketSize); 6] = [
    ("5m", BucketSize::Minutes5),
    ("10m", BucketSize::Minutes10),
    ("1h", BucketSize::Hours1),
    ("6h", BucketSize::Hours6),
    ("12h", BucketSize::Hours12),
    ("1d", BucketSize::Days1),
];

impl BucketSize {
    /// Returns the length in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minutes5 => 300,
            Self::Minutes10 => 600,
            Self::Hours1 => HOUR,
            Self::Hours6 => 6 * HOUR,
            Self::Hours12 => 12 * HOUR,
            Self::Days1 => DAY,
        }
    }
}

/// A window that ends now, and its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Start of the window.
    pub start: Timestamp,
    /// End of the window.
    pub end: Timestamp,
    /// Length of a bucket.
    pub size: BucketSize,
    /// Number of buckets.
    pub count: usize,
}

impl Span {
    /// Returns the buckets of a window that ends at `now`.
    ///
    /// # Errors
    /// When there are too many.
    pub fn of(now: Timestamp, window: Window, size: BucketSize) -> Result<Self, Refused> {
        let count = window.seconds() / size.seconds();
        if count > MOST_BUCKETS {
            let required =
                format!("longer: the window has {count} buckets, and at most {MOST_BUCKETS} are allowed");
            return Err(Refused::parameter("timeBucketSize", &required));
        }
        let start = seconds_after(now, -window.seconds());
        Ok(Self { start, end: now, size, count: usize::try_from(count).unwrap_or_default() })
    }

    /// Returns the query of its consumption.
    #[must_use]
    pub fn query(&self, labels: Vec<(String, String)>, group_by: Option<Grouping>) -> UsageQuery {
        UsageQuery {
            start: self.start,
            bucket_seconds: self.size.seconds(),
            buckets: self.count,
            labels,
            group_by,
        }
    }

    /// Returns a point for each bucket.
    #[must_use]
    pub fn series(&self, usage: &[UsageSum], credits: &[CreditSum]) -> Vec<StatsPoint> {
        let mut figures = vec![CreditFigures::default(); self.count];
        for sum in usage {
            if let Some(bucket) = figures.get_mut(sum.bucket) {
                bucket.add_usage(sum);
            }
        }
        for sum in credits {
            if let Some(bucket) = figures.get_mut(sum.bucket) {
                bucket.add_credits(sum);
            }
        }
        let start = |index: i64| {
            seconds_after(self.start, index.saturating_mul(self.size.seconds())).as_millisecond()
        };
        (0..).zip(figures).map(|(index, figures)| (start(index), figures).into()).collect()
    }
}

/// Credits that were consumed and that arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditFigures {
    /// Credits consumed by everything but storage.
    #[schema(value_type = f64)]
    pub credits_ai: Number,
    /// Credits consumed by storage egress.
    #[schema(value_type = f64)]
    pub credits_storage: Number,
    /// Credits consumed.
    #[schema(value_type = f64)]
    pub credits_total: Number,
    /// Credits from packs.
    #[schema(value_type = f64)]
    pub credits_purchased: Number,
    /// Credits from plans and adjustments.
    #[schema(value_type = f64)]
    pub credits_granted: Number,
}

impl CreditFigures {
    /// Adds consumption.
    pub fn add_usage(&mut self, sum: &UsageSum) {
        let kind = if sum.is_storage { &mut self.credits_storage } else { &mut self.credits_ai };
        add(kind, sum.credits);
        add(&mut self.credits_total, sum.credits);
    }

    /// Adds credits that arrived.
    pub fn add_credits(&mut self, sum: &CreditSum) {
        let kind = if sum.is_purchase { &mut self.credits_purchased } else { &mut self.credits_granted };
        add(kind, sum.credits);
    }
}

/// Adds an amount. The sums of a ledger stay within the exact range (Law 10), and these are parts of them.
fn add(sum: &mut Number, amount: Credits) {
    sum.0 = sum.0.checked_add(amount).unwrap_or(sum.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_has_a_default_with_few_buckets_and_too_many_are_refused() {
        let now = "2026-03-02T12:30:00Z".parse().expect("time");
        let count = |window: Window, size| Span::of(now, window, size).map(|span| span.count).ok();
        let defaults = WINDOWS.map(|(_, window)| count(window, window.bucket_size()));
        assert_eq!(defaults, [24, 168, 120, 180, 180, 365].map(Some));
        assert_eq!(count(Window::Hours24, BucketSize::Minutes5), Some(288));
        assert_eq!(count(Window::Days7, BucketSize::Minutes10), None, "1,008 buckets");
        assert_eq!(count(Window::Days365, BucketSize::Hours12), Some(730));
    }

    #[test]
    fn a_window_ends_now() {
        let now = "2026-03-02T12:30:00Z".parse().expect("time");
        let span = Span::of(now, Window::Days7, BucketSize::Hours1).expect("span");
        assert_eq!((span.start.to_string(), span.end), ("2026-02-23T12:30:00Z".to_owned(), now));
        assert_eq!(span.query(Vec::new(), None).end_second(), now.as_second());
    }

    #[test]
    fn words_of_windows_and_sizes_are_those_of_their_json() {
        for (word, window) in WINDOWS {
            assert_eq!(serde_json::to_value(window).expect("JSON"), word);
        }
        for (word, size) in BUCKET_SIZES {
            assert_eq!(serde_json::to_value(size).expect("JSON"), word);
        }
    }
}
