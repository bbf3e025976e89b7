//! The end of the next window of an account.

use jiff::{SignedDuration, Timestamp};

/// Part of the forecast time to exhaustion after which the next window ends.
const PART_OF_FORECAST: i32 = 10;

/// Lengths of the windows of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Length while the account has enough credits.
    pub length: SignedDuration,
    /// Length when the credits are nearly exhausted; not above `length`.
    pub shortest: SignedDuration,
}

/// The state of an account on which its next window depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Start of the window.
    pub start: Timestamp,
    /// Forecast time at which the credits are exhausted, if there is a forecast.
    pub exhaustion: Option<Timestamp>,
    /// End of the current period, if the account has one. Its credits pay only for usage until then.
    pub period_end: Option<Timestamp>,
    /// Present time of the account.
    pub now: Timestamp,
}

/// Returns the end of the window. The window is `length` long, and shorter as the forecast exhaustion comes closer: it
/// then ends after a tenth of the time that is left, but not before `shortest`. It never extends beyond the end of the
/// period, unless it starts there or later.
#[must_use]
pub fn end(lengths: Lengths, outlook: Outlook) -> Timestamp {
    let Lengths { length, shortest } = lengths;
    let wanted = outlook.exhaustion.map_or(length, |exhaustion| {
        let left = exhaustion.duration_since(outlook.now).max(SignedDuration::ZERO);
        // Windows begin and end at whole seconds.
        SignedDuration::from_secs((left / PART_OF_FORECAST).as_secs()).clamp(shortest.min(length), length)
    });
    let end = outlook.start.saturating_add(wanted).unwrap_or(Timestamp::MAX);
    outlook
        .period_end
        .filter(|period_end| *period_end > outlook.start)
        .map_or(end, |period_end| end.min(period_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    fn end_with(exhaustion: Option<&str>, period_end: Option<&str>) -> String {
        let lengths =
            Lengths { length: SignedDuration::from_hours(1), shortest: SignedDuration::from_mins(1) };
        let outlook = Outlook {
            start: at("2026-03-01T10:00:00Z"),
            exhaustion: exhaustion.map(at),
            period_end: period_end.map(at),
            now: at("2026-03-01T10:00:00Z"),
        };
        end(lengths, outlook).to_string()
    }

    #[test]
    fn windows_become_shorter_as_the_exhaustion_comes_closer() {
        for (exhaustion, expected) in [
            (None, "2026-03-01T11:00:00Z"),
            (Some("2026-03-09T10:00:00Z"), "2026-03-01T11:00:00Z"),
            (Some("2026-03-01T15:00:00Z"), "2026-03-01T10:30:00Z"),
            (Some("2026-03-01T10:20:00Z"), "2026-03-01T10:02:00Z"),
            (Some("2026-03-01T10:20:07.5Z"), "2026-03-01T10:02:00Z"),
            (Some("2026-03-01T10:01:00Z"), "2026-03-01T10:01:00Z"),
            (Some("2026-03-01T09:00:00Z"), "2026-03-01T10:01:00Z"),
        ] {
            assert_eq!(end_with(exhaustion, None), expected, "{exhaustion:?}");
        }
    }

    #[test]
    fn a_window_ends_with_the_period_whose_credits_pay_for_it() {
        for (period_end, expected) in [
            ("2026-03-01T10:15:00Z", "2026-03-01T10:15:00Z"),
            ("2026-03-01T12:00:00Z", "2026-03-01T11:00:00Z"),
            // The next period has begun, and the status does not show it yet.
            ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"),
        ] {
            assert_eq!(end_with(None, Some(period_end)), expected, "{period_end}");
        }
    }
}
