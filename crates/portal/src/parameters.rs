//! Parameters of a query: numbers, dates and words, with errors that name the required value.

use std::str::FromStr;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::refused::{ErrorCode, Refused};

/// Returns the parameters of a query.
///
/// # Errors
/// When the query is malformed, or has a parameter twice.
pub fn parsed<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refused> {
    query.map(|Query(parameters)| parameters).map_err(|rejection| {
        let message = format!("the query is malformed: {}", rejection.body_text());
        Refused::new(ErrorCode::InvalidParameter, message)
    })
}

/// Returns the parameter without an empty text, which clients send for a value that is not set.
#[must_use]
pub fn given(parameter: Option<&String>) -> Option<&str> {
    parameter.map(String::as_str).filter(|text| !text.is_empty())
}

/// Returns a whole number from `least` to `most`, or `default` if the parameter is absent.
///
/// # Errors
/// When it is not such a number.
pub fn whole<N: FromStr + PartialOrd + std::fmt::Display + Copy>(
    name: &str,
    parameter: Option<&String>,
    (least, most): (N, N),
    default: N,
) -> Result<N, Refused> {
    let Some(text) = given(parameter) else { return Ok(default) };
    let number = text.parse::<N>().ok().filter(|number| *number >= least && *number <= most);
    number.ok_or_else(|| Refused::parameter(name, &format!("a whole number from {least} to {most}")))
}

/// Returns the choice that a word names, or `default` if the parameter is absent.
///
/// # Errors
/// When no choice has that word, or the parameter is absent and there is no default.
pub fn choice<T: Copy>(
    name: &str,
    parameter: Option<&String>,
    choices: &[(&str, T)],
    default: Option<T>,
) -> Result<T, Refused> {
    let words = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let refused = || Refused::parameter(name, &format!("one of {}", words()));
    match given(parameter) {
        None => default.ok_or_else(refused),
        Some(text) => choices.iter().find(|(word, _)| *word == text).map(|(_, it)| *it).ok_or_else(refused),
    }
}

/// Returns the first and the last instant of a range. A date without a time is the whole day (UTC).
///
/// # Errors
/// When a text is not a date or a time, or the range ends before it starts.
pub fn range(
    start: Option<&String>,
    end: Option<&String>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Refused> {
    range_of(("startDate", start), ("endDate", end))
}

/// Returns the first and the last instant of a range, whose parameters have these names. A date without a time is the
/// whole day (UTC).
///
/// # Errors
/// When a text is not a date or a time, or the range ends before it starts.
pub fn range_of(
    (start_name, start): (&str, Option<&String>),
    (end_name, end): (&str, Option<&String>),
) -> Result<(Option<Timestamp>, Option<Timestamp>), Refused> {
    let start = given(start).map(|text| instant(start_name, text, false)).transpose()?;
    let end = given(end).map(|text| instant(end_name, text, true)).transpose()?;
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        let message = format!("`{start_name}` must be at or before `{end_name}`");
        return Err(Refused::new(ErrorCode::InvalidDate, message));
    }
    Ok((start, end))
}

/// Returns the instant that a text states. For a date it is the start of the day, or the end if `is_end`.
fn instant(name: &str, text: &str, is_end: bool) -> Result<Timestamp, Refused> {
    let refused = || {
        let message =
            format!("`{name}` must be a date or a time such as '2026-01-31' or '2026-01-31T10:00:00Z'");
        Refused::new(ErrorCode::InvalidDate, message)
    };
    let utc = |local: DateTime| local.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    if text.len() == "2026-01-31".len() {
        let day: Date = text.parse().map_err(|_| refused())?;
        let start = utc(DateTime::from_parts(day, Time::midnight())).map_err(|_| refused())?;
        let last = SignedDuration::new(86_399, 999_999_999);
        return if is_end { start.checked_add(last).map_err(|_| refused()) } else { Ok(start) };
    }
    // A '+' that is not encoded arrives as a space.
    let text = text.replace(' ', "+");
    let zoned = text.parse::<Timestamp>();
    zoned.or_else(|_| text.parse::<DateTime>().and_then(utc)).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "parameters are optional")]
    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_date_is_the_whole_day_and_a_time_is_an_instant() {
        let shown = |start: &str, end: &str| {
            let (start, end) = range(text(start).as_ref(), text(end).as_ref()).expect("range");
            (start.map(|time| time.to_string()), end.map(|time| time.to_string()))
        };
        assert_eq!(
            shown("2026-03-01", "2026-03-01"),
            (text("2026-03-01T00:00:00Z"), text("2026-03-01T23:59:59.999999999Z"))
        );
        assert_eq!(shown("2026-03-01T10:00:00.000Z", ""), (text("2026-03-01T10:00:00Z"), None));
        assert_eq!(shown("2026-03-01T12:00:00 02:00", "").0, text("2026-03-01T10:00:00Z"));
        assert_eq!(shown("", "2026-03-01T10:00:00").1, text("2026-03-01T10:00:00Z"));
    }

    #[test]
    fn other_texts_and_ranges_that_end_before_they_start_are_refused() {
        for bad in
            ["yesterday", "2026-02-30", "2026-3-1", "01/03/2026", "1767225600", "2026-03-01T25:00:00Z", "-"]
        {
            let refused = range(text(bad).as_ref(), None).expect_err(bad);
            assert_eq!(refused.code, ErrorCode::InvalidDate, "{bad}");
            assert!(refused.message.starts_with("`startDate` must be"), "{refused}");
        }
        let refused = range(text("2026-03-02").as_ref(), text("2026-03-01").as_ref()).expect_err("range");
        assert_eq!(refused.code, ErrorCode::InvalidDate);
    }

    #[test]
    fn numbers_and_words_outside_of_their_range_are_refused() {
        let number = |value: &str| whole("page", text(value).as_ref(), (1_u32, 10), 3);
        assert_eq!((number(""), number("1"), number("10")), (Ok(3), Ok(1), Ok(10)));
        for bad in ["0", "11", "-1", "1.5", "one", "99999999999999999999"] {
            assert_eq!(number(bad).expect_err(bad).message, "`page` must be a whole number from 1 to 10");
        }
        let choices = [("in", 1), ("out", 2)];
        let word = |value: &str, default| choice("direction", text(value).as_ref(), &choices, default);
        assert_eq!((word("out", None), word("", Some(7))), (Ok(2), Ok(7)));
        for bad in ["In", "both", ""] {
            assert_eq!(word(bad, None).expect_err(bad).message, "`direction` must be one of in, out");
        }
    }
}
