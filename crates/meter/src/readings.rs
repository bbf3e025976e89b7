//! The readings at which a window ended. They travel in the report of the window, and the next window starts from them.
//!
//! The text has an item for each series, separated by `;`: 128 bits of the hash of its labels in hexadecimal digits, the
//! milliseconds from the sample to the end of the window, the value, and the remainder if there is one, separated by
//! blanks. An example is `9f86d081884c7d659a2feaa0c55ad015 14000 1250`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

/// Most bytes of the text of all readings.
pub const READINGS_BYTES: usize = 64 * 1_024;

/// Time without a sample after which the reading of a series is dropped. If the series returns, its last sample is
/// looked up.
pub const SILENCE: SignedDuration = SignedDuration::from_hours(24);

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 32;

/// Identity of a series: 128 bits of the SHA-256 of its labels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(u128);

/// The point up to which a series is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Instant of the sample.
    pub time: Timestamp,
    /// Value of the sample.
    pub value: Decimal,
    /// Usage that is counted and not reported, because a line has at most 9 fractional digits: below 10^-9.
    pub remainder: Decimal,
}

/// The readings of the series of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings(pub BTreeMap<SeriesId, Reading>);

/// The readings need more bytes than a report may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the readings of {series} series need {bytes} bytes, and a report has room for {READINGS_BYTES}: divide the \
     account's series between several meters by their `selector`"
)]
pub struct TooManySeries {
    /// Number of series.
    pub series: usize,
    /// Bytes that they need.
    pub bytes: usize,
}

/// A text has not the form of readings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a reading: it must be an id of 32 hexadecimal digits, milliseconds, a value and a remainder"
)]
pub struct ParseReadingError(String);

impl SeriesId {
    /// Returns the identity of a series with these labels, in whatever order.
    #[must_use]
    pub fn of<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let labels: BTreeMap<&str, &str> = labels.into_iter().collect();
        let mut hash = Sha256::new();
        for text in labels.iter().flat_map(|(name, value)| [*name, *value]) {
            // The length keeps `a`, `bc` and `ab`, `c` apart.
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let first = digest.first_chunk().copied().unwrap_or_default();
        Self(u128::from_be_bytes(first))
    }
}

impl fmt::Display for SeriesId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for SeriesId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Readings {
    /// Returns the text of the readings at the end of a window.
    ///
    /// # Errors
    /// When the text would have more than [`READINGS_BYTES`].
    pub fn to_text(&self, window_end: Timestamp) -> Result<String, TooManySeries> {
        let items: Vec<String> = self.0.iter().map(|(id, reading)| item(*id, reading, window_end)).collect();
        let text = items.join(";");
        if text.len() > READINGS_BYTES {
            return Err(TooManySeries { series: self.0.len(), bytes: text.len() });
        }
        Ok(text)
    }

    /// Reads the text of a report whose window ended at `window_end`.
    ///
    /// # Errors
    /// When an item has not the form of a reading.
    pub fn from_text(text: &str, window_end: Timestamp) -> Result<Self, ParseReadingError> {
        let items = text.split(';').filter(|item| !item.is_empty());
        let parsed =
            items.map(|item| parse(item, window_end).ok_or_else(|| ParseReadingError(item.to_owned())));
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// Drops the readings of series that were silent for [`SILENCE`] when the window ended.
    pub fn drop_silent(&mut self, window_end: Timestamp) {
        self.0.retain(|_, reading| window_end.duration_since(reading.time) < SILENCE);
    }
}

fn item(id: SeriesId, reading: &Reading, window_end: Timestamp) -> String {
    let age = window_end.as_millisecond().saturating_sub(reading.time.as_millisecond());
    let value = reading.value.normalize();
    if reading.remainder.is_zero() {
        format!("{id} {age} {value}")
    } else {
        format!("{id} {age} {value} {}", reading.remainder.normalize())
    }
}

fn parse(item: &str, window_end: Timestamp) -> Option<(SeriesId, Reading)> {
    let mut parts = item.split(' ');
    let (id, age, value) = (parts.next()?, parts.next()?, parts.next()?);
    let remainder = parts.next();
    if parts.next().is_some() || id.len() != ID_DIGITS || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let age: i64 = age.parse().ok()?;
    let time = Timestamp::from_millisecond(window_end.as_millisecond().checked_sub(age)?).ok()?;
    let value = Decimal::from_str_exact(value).ok()?;
    let remainder = remainder.map_or(Some(Decimal::ZERO), |text| Decimal::from_str_exact(text).ok())?;
    Some((SeriesId(u128::from_str_radix(id, 16).ok()?), Reading { time, value, remainder }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    fn reading(time: &str, value: &str, remainder: &str) -> Reading {
        let decimal = |text: &str| Decimal::from_str_exact(text).expect("decimal");
        Reading { time: at(time), value: decimal(value), remainder: decimal(remainder) }
    }

    #[test]
    fn an_identity_depends_on_every_label_and_not_on_their_order() {
        let id = SeriesId::of([("model", "small"), ("org", "acme")]);
        assert_eq!(id, SeriesId::of([("org", "acme"), ("model", "small")]));
        for other in [
            vec![("model", "small"), ("org", "acm")],
            vec![("model", "small")],
            vec![("models", "mall"), ("org", "acme")],
            vec![("model", "small"), ("org", "acme"), ("pod", "")],
        ] {
            assert_ne!(id, SeriesId::of(other.iter().copied()), "{other:?}");
        }
    }

    #[test]
    fn readings_return_from_their_text() {
        let end = at("2026-03-01T10:00:00Z");
        let readings = Readings(BTreeMap::from([
            (SeriesId(1), reading("2026-03-01T09:59:46Z", "1250", "0")),
            (SeriesId(u128::MAX), reading("2026-02-28T11:00:00.123Z", "0.1", "0.0000000005")),
        ]));
        let text = readings.to_text(end).expect("a text");
        let expected = "00000000000000000000000000000001 14000 1250;\
                        ffffffffffffffffffffffffffffffff 82799877 0.1 0.0000000005";
        assert_eq!(text, expected);
        assert_eq!(Readings::from_text(&text, end), Ok(readings));
        assert_eq!(Readings::from_text("", end), Ok(Readings::default()));
    }

    #[test]
    fn a_text_of_another_form_is_refused_with_the_item() {
        let id = "0".repeat(32);
        for item in [
            "1 2 3".to_owned(),
            format!("{id} 1"),
            format!("{id} x 1"),
            format!("{id} 1 x"),
            format!("{id} 1 1 x"),
            format!("{id} 1 1 0.5 0"),
            format!("{id} 9999999999999999999 1"),
            format!("+{} 1 1", "0".repeat(31)),
        ] {
            let text = format!("{id} 1 1;{item}");
            assert_eq!(Readings::from_text(&text, at("2026-03-01T10:00:00Z")), Err(ParseReadingError(item)));
        }
    }

    #[test]
    fn more_series_than_a_report_has_room_for_are_refused() {
        let end = at("2026-03-01T10:00:00Z");
        let of = |count: u128| {
            let reading = reading("2026-03-01T09:59:46Z", "1000000000", "0");
            Readings((0..count).map(|id| (SeriesId(id), reading)).collect()).to_text(end)
        };
        assert!(of(1_300).is_ok());
        let refused = of(2_000).expect_err("too many");
        assert_eq!(refused.series, 2_000);
    }

    #[test]
    fn a_series_that_was_silent_for_a_day_is_dropped() {
        let end = at("2026-03-02T10:00:00Z");
        let mut readings = Readings(BTreeMap::from([
            (SeriesId(1), reading("2026-03-01T10:00:00Z", "1", "0")),
            (SeriesId(2), reading("2026-03-01T10:00:01Z", "1", "0")),
        ]));
        readings.drop_silent(end);
        assert_eq!(readings.0.keys().collect::<Vec<_>>(), [&SeriesId(2)]);
    }
}
