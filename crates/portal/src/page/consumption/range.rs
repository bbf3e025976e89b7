//! The range of time of a page, and the property by which consumption is shown.

use flashgate_ledger::period::{DAY_SECONDS, seconds_after, utc_date};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::calls::stats::buckets::{WINDOWS, Window};
use crate::history::{Grouping, UsageQuery};
use crate::parameters::{choice, range_of};
use crate::refused::{ErrorCode, Refused};

/// Seconds of an hour.
const HOUR_SECONDS: i64 = 3_600;

/// Most days of a range.
const MOST_DAYS: i64 = 366;

/// Longest range in days that is shown by the hour.
const HOURLY_DAYS: i64 = 2;

/// The window that is shown unless the query says otherwise.
const DEFAULT_WINDOW: Window = Window::Days30;

/// Parameters of the page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConsumptionParameters {
    /// Time up to now, such as `30d`.
    window: Option<String>,
    /// First day.
    from: Option<String>,
    /// Last day.
    to: Option<String>,
    /// Property by which consumption is shown.
    by: Option<String>,
    /// `html` or `csv`.
    format: Option<String>,
}

/// A property by which consumption is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Storage and AI over time.
    Time,
    /// The rate: node type and operation.
    Rate,
    /// The value of a label.
    Label(&'static str),
}

/// The properties, with their words in the URL and on the page.
pub(super) const PROPERTIES: [(&str, &str, By); 7] = [
    ("day", "Time", By::Time),
    ("rate", "Rate", By::Rate),
    ("repo", "Repository", By::Label("repo")),
    ("model", "Model", By::Label("model")),
    ("provider", "Provider", By::Label("provider")),
    ("bucket", "Bucket", By::Label("bucket")),
    ("workspace", "Workspace", By::Label("workspace")),
];

/// The query of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The range of time.
    pub range: Range,
    /// The property.
    pub by: By,
    /// Whether the table is sent as a file.
    pub is_csv: bool,
}

/// A range of time in buckets of equal length, which begin at whole hours or days (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The window up to now, unless the range is of two days.
    pub window: Option<Window>,
    /// Start of the first bucket.
    pub start: Timestamp,
    /// Length of a bucket in seconds.
    pub bucket_seconds: i64,
    /// Number of buckets.
    pub buckets: usize,
}

impl ConsumptionParameters {
    /// Returns the query at the present time of the account.
    ///
    /// # Errors
    /// When a parameter is none of the accepted values.
    pub(super) fn view(&self, now: Timestamp) -> Result<View, Refused> {
        let Self { window, from, to, by, format } = self;
        let properties = PROPERTIES.map(|(word, _, by)| (word, by));
        let (first, last) = range_of(("from", from.as_ref()), ("to", to.as_ref()))?;
        let range = if first.is_some() || last.is_some() {
            Range::of_days(first, last, now)?
        } else {
            Range::of_window(choice("window", window.as_ref(), &WINDOWS, Some(DEFAULT_WINDOW))?, now)
        };
        Ok(View {
            range,
            by: choice("by", by.as_ref(), &properties, Some(By::Time))?,
            is_csv: choice("format", format.as_ref(), &[("html", false), ("csv", true)], Some(false))?,
        })
    }
}

impl Range {
    /// Returns the range of a window whose last bucket contains `now`.
    fn of_window(window: Window, now: Timestamp) -> Self {
        let bucket_seconds = if window == Window::Hours24 { HOUR_SECONDS } else { DAY_SECONDS };
        let end = next(now, bucket_seconds);
        let buckets = usize::try_from(window.seconds() / bucket_seconds).unwrap_or_default();
        Self { window: Some(window), start: seconds_after(end, -window.seconds()), bucket_seconds, buckets }
    }

    /// Returns the range from the day of `first` to the day of `last`, both included. Without a last day it ends today,
    /// and without a first day it has 30 days.
    fn of_days(first: Option<Timestamp>, last: Option<Timestamp>, now: Timestamp) -> Result<Self, Refused> {
        let end = next(last.unwrap_or(now), DAY_SECONDS);
        let start = match first {
            Some(first) => seconds_after(next(first, DAY_SECONDS), -DAY_SECONDS),
            None => seconds_after(end, -30 * DAY_SECONDS),
        };
        let days = end.as_second().saturating_sub(start.as_second()) / DAY_SECONDS;
        if days > MOST_DAYS {
            let message = format!(
                "the range from `from` to `to` has {days} days: choose at most {MOST_DAYS}, for example two ranges"
            );
            return Err(Refused::new(ErrorCode::InvalidDate, message));
        }
        if days < 1 {
            return Err(Refused::new(ErrorCode::InvalidDate, "`from` must be today or earlier"));
        }
        let bucket_seconds = if days <= HOURLY_DAYS { HOUR_SECONDS } else { DAY_SECONDS };
        let buckets = usize::try_from(days * DAY_SECONDS / bucket_seconds).unwrap_or_default();
        Ok(Self { window: None, start, bucket_seconds, buckets })
    }

    /// Returns the query of its consumption.
    pub(super) const fn query(&self, group_by: Option<Grouping>) -> UsageQuery {
        UsageQuery {
            start: self.start,
            bucket_seconds: self.bucket_seconds,
            buckets: self.buckets,
            labels: Vec::new(),
            group_by,
        }
    }

    /// Returns the start of a bucket.
    pub(super) fn bucket_start(&self, index: usize) -> Timestamp {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        seconds_after(self.start, index.saturating_mul(self.bucket_seconds))
    }

    /// Returns the length of a bucket.
    pub(super) const fn bucket_length(&self) -> SignedDuration {
        SignedDuration::from_secs(self.bucket_seconds)
    }

    /// Returns the first and the last day.
    pub(super) fn days(&self) -> (Date, Date) {
        let end = self.bucket_start(self.buckets);
        (utc_date(self.start), utc_date(seconds_after(end, -1)))
    }

    /// Returns whether it is shown by the hour.
    pub(super) const fn is_hourly(&self) -> bool {
        self.bucket_seconds < DAY_SECONDS
    }
}

/// Returns the first instant after `time` that is a whole multiple of `seconds` since 1970.
fn next(time: Timestamp, seconds: i64) -> Timestamp {
    let begun = time.as_second().div_euclid(seconds).saturating_add(1);
    Timestamp::from_second(begun.saturating_mul(seconds)).unwrap_or(Timestamp::MAX)
}

/// Returns the word of a window in the URL.
pub(super) fn word_of(window: Window) -> &'static str {
    WINDOWS.iter().find(|(_, known)| *known == window).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-02-10T12:30:00Z";

    fn view(pairs: &[(&str, &str)]) -> Result<View, Refused> {
        let of =
            |name: &str| pairs.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
        let parameters = ConsumptionParameters {
            window: of("window"),
            from: of("from"),
            to: of("to"),
            by: of("by"),
            format: of("format"),
        };
        parameters.view(NOW.parse().expect("time"))
    }

    fn shown(pairs: &[(&str, &str)]) -> (String, i64, usize) {
        let range = view(pairs).expect("view").range;
        (range.start.to_string(), range.bucket_seconds, range.buckets)
    }

    #[test]
    fn a_window_has_whole_hours_or_days_up_to_now() {
        assert_eq!(shown(&[]), ("2026-01-12T00:00:00Z".to_owned(), 86_400, 30));
        assert_eq!(shown(&[("window", "24h")]), ("2026-02-09T13:00:00Z".to_owned(), 3_600, 24));
        assert_eq!(shown(&[("window", "365d")]).2, 365);
        assert_eq!(shown(&[("window", ""), ("from", ""), ("to", "")]), shown(&[("window", "30d")]));
    }

    #[test]
    fn a_range_of_days_includes_both_and_is_shown_by_the_hour_if_it_is_short() {
        let days = |from, to| shown(&[("from", from), ("to", to)]);
        assert_eq!(days("2026-01-01", "2026-01-31"), ("2026-01-01T00:00:00Z".to_owned(), 86_400, 31));
        assert_eq!(days("2026-01-01", "2026-01-01"), ("2026-01-01T00:00:00Z".to_owned(), 3_600, 24));
        assert_eq!(days("2026-02-08", ""), ("2026-02-08T00:00:00Z".to_owned(), 86_400, 3));
        let within_days = days("2026-02-08T10:30:00Z", "2026-02-10T00:30:00Z");
        assert_eq!(within_days, days("2026-02-08", "2026-02-10"), "days are shown whole");
        assert_eq!(days("", "2026-01-31"), ("2026-01-02T00:00:00Z".to_owned(), 86_400, 30));
        let range =
            view(&[("from", "2026-01-01"), ("to", "2026-01-31"), ("window", "7d")]).expect("view").range;
        assert_eq!(
            (range.window, range.days().0.to_string(), range.days().1.to_string()),
            (None, "2026-01-01".to_owned(), "2026-01-31".to_owned())
        );
    }

    #[test]
    fn other_values_are_refused_with_what_is_allowed() {
        for (name, value, expected) in [
            ("window", "8d", "`window` must be one of 24h, 7d, 30d, 90d, 180d, 365d"),
            ("by", "host", "`by` must be one of day, rate, repo, model, provider, bucket, workspace"),
            ("format", "xml", "`format` must be one of html, csv"),
            (
                "from",
                "yesterday",
                "`from` must be a date or a time such as '2026-01-31' or '2026-01-31T10:00:00Z'",
            ),
            ("from", "2026-02-11", "`from` must be today or earlier"),
            (
                "from",
                "2020-01-01",
                "the range from `from` to `to` has 2233 days: choose at most 366, for example two ranges",
            ),
        ] {
            let refused = view(&[(name, value)]).expect_err(value);
            assert_eq!(refused.message, expected);
            assert_eq!(refused.code.status(), 400);
        }
        let refused = view(&[("from", "2026-02-03"), ("to", "2026-02-01")]).expect_err("range");
        assert_eq!(refused.message, "`from` must be at or before `to`");
    }
}
