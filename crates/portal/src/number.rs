//! Amounts and times in answers: JSON numbers with all digits, and ISO times with milliseconds.

use flashgate_ledger::Credits;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer, ser};
use serde_json::value::RawValue;

/// An amount as a JSON number. It has all its digits, and clients with floating-point numbers round it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub Credits);

impl From<Credits> for Number {
    fn from(amount: Credits) -> Self {
        Self(amount)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

/// A time such as `2026-01-31T10:00:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

/// Writes times with milliseconds.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&PRINTER.timestamp_to_string(&self.0))
    }
}

/// The field `success` of an answer, which is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Success;

impl Serialize for Success {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_number_with_all_its_digits() {
        for text in ["0", "1100", "-30.5", "0.000000001", "999999999999999999.123456789"] {
            let amount = Number(text.parse().expect("amount"));
            assert_eq!(serde_json::to_string(&amount).expect("JSON"), text);
        }
    }

    #[test]
    fn a_time_has_milliseconds_and_ends_with_z() {
        for (time, expected) in [
            ("2026-01-31T10:00:00Z", "\"2026-01-31T10:00:00.000Z\""),
            ("2026-01-31T12:00:00.1239+02:00", "\"2026-01-31T10:00:00.123Z\""),
        ] {
            let time = Time(time.parse().expect("time"));
            assert_eq!(serde_json::to_string(&time).expect("JSON"), expected);
        }
    }
}
