//! Times that users state, in every form that the API server accepts: RFC 3339 as Go's standard library parses
//! it.
//!
//! The operator must parse every time that the API server stores, so both follow the same rules: `T` and `Z`
//! are capitals, the fraction of a second may have any number of digits, and there are no leap seconds.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::de::{self, Deserialize, Deserializer};

/// The required form of a time, for messages.
pub const FORM: &str = "a time in whole seconds from 2000 to 2100, such as '2026-01-31T10:00:00Z'";

/// Returns the instant that `text` states, or `None` if the API server rejects the text.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once('T')?;
    let date = fields::<3>(date, '-', [4, 2, 2])?;
    let (time, rest) = rest.split_at_checked("10:00:00".len())?;
    let time = fields::<3>(time, ':', [2, 2, 2])?;
    let (fraction, offset) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("0", rest),
    };
    let nanosecond: i32 =
        if fraction.is_empty() { None } else { format!("{fraction:0<9}").get(..9)?.parse().ok() }?;
    let [year, month, day] = date;
    let [hour, minute, second] = time.map(|number| i8::try_from(number).ok());
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let time = Time::new(hour?, minute?, second?, nanosecond).ok()?;
    let local = DateTime::from_parts(date, time).to_zoned(TimeZone::UTC).ok()?.timestamp();
    local.checked_sub(offset_of(offset)?).ok()
}

/// Returns the offset from UTC that a text such as `Z` or `+02:00` states.
fn offset_of(text: &str) -> Option<SignedDuration> {
    if text == "Z" {
        return Some(SignedDuration::ZERO);
    }
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let [hours, minutes] = fields::<2>(text.get(1..)?, ':', [2, 2])?;
    let is_in_range = hours <= 24 && minutes <= 60;
    is_in_range.then(|| SignedDuration::from_mins(sign * (i64::from(hours) * 60 + i64::from(minutes))))
}

/// Returns `COUNT` numbers; `digits` is the length of each.
fn fields<const COUNT: usize>(text: &str, separator: char, digits: [usize; COUNT]) -> Option<[i16; COUNT]> {
    let mut numbers = [0; COUNT];
    let mut parts = text.split(separator);
    for (number, length) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == length)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

/// Deserializes a time that a user stated.
///
/// # Errors
/// Returns an error if the text is not a time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| de::Error::custom(format!("'{text}' is no time; must be {FORM}")))
}

/// Deserializes a time that a user may leave out.
///
/// # Errors
/// Returns an error if the text is not a time.
pub fn deserialize_optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| {
        parse(&text).ok_or_else(|| de::Error::custom(format!("'{text}' is no time; must be {FORM}")))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_the_api_server_accepts_is_a_time() {
        let expected = "2026-01-31T10:00:00Z".parse::<Timestamp>().ok();
        for text in [
            "2026-01-31T10:00:00Z",
            "2026-01-31T10:00:00.000Z",
            "2026-01-31T10:00:00,0Z",
            "2026-01-31T10:00:00.000000000001Z",
            "2026-01-31T12:00:00+02:00",
            "2026-01-30T10:00:00-24:00",
            "2026-01-31T11:00:00+00:60",
            "2026-01-31T10:00:00-00:00",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_the_api_server_rejects_is_not_a_time() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T10:00:00",
            "2026-01-31t10:00:00Z",
            "2026-01-31T10:00:00z",
            "2026-01-31 10:00:00Z",
            "2026-02-30T10:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-12-31T23:59:60Z",
            "2026-01-31T10:00:00.Z",
            "2026-01-31T10:00:00+25:00",
            "2026-01-31T10:00:00+0200",
            "2026-01-31T10:00:00Z[UTC]",
            "+2026-01-31T10:00:00Z",
            "2026-01-31T10:0é:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
