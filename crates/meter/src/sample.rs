//! Samples of a counter, as exact decimals.

use jiff::Timestamp;
use rust_decimal::Decimal;

/// Largest count up to which a floating-point number holds every whole number: 2^53.
pub const EXACT_LIMIT: u64 = 1 << 53;

/// A sample of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Instant of the sample, in milliseconds as Prometheus stores it.
    pub time: Timestamp,
    /// Value of the counter: not negative.
    pub value: Decimal,
}

/// Why a value is not that of a counter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// It is not a number of at most 28 digits.
    #[error("'{0}' is not a number that a counter can have: it must be finite, with at most 28 digits")]
    NotANumber(String),
    /// It is below zero.
    #[error("'{0}' is negative: a counter is never negative")]
    Negative(String),
}

impl Sample {
    /// Reads a value as Prometheus writes it: the shortest decimal that gives the same floating-point number, possibly
    /// with an exponent.
    ///
    /// # Errors
    /// When the value is not a finite number, is negative, or has more than 28 digits.
    pub fn read(time: Timestamp, value: &str) -> Result<Self, SampleError> {
        let not_a_number = || SampleError::NotANumber(value.to_owned());
        let parsed = if value.contains(['e', 'E']) {
            Decimal::from_scientific(value)
        } else {
            Decimal::from_str_exact(value)
        };
        let parsed = parsed.map_err(|_| not_a_number())?.normalize();
        if parsed.is_sign_negative() && !parsed.is_zero() {
            return Err(SampleError::Negative(value.to_owned()));
        }
        Ok(Self { time, value: parsed })
    }

    /// Returns whether the counter is so large that a floating-point number no longer holds every whole number. Usage is
    /// then lost before it reaches Prometheus.
    #[must_use]
    pub fn is_inexact(&self) -> bool {
        self.value > Decimal::from(EXACT_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<String, SampleError> {
        Sample::read(Timestamp::UNIX_EPOCH, value).map(|sample| sample.value.to_string())
    }

    #[test]
    fn a_value_is_the_decimal_that_is_written() {
        for (written, value) in [
            ("0", "0"),
            ("-0", "0"),
            ("900", "900"),
            ("0.1", "0.1"),
            ("1e+06", "1000000"),
            ("1.2345e-05", "0.000012345"),
            ("9.007199254740993e+15", "9007199254740993"),
        ] {
            assert_eq!(read(written).as_deref(), Ok(value), "{written}");
        }
    }

    #[test]
    fn a_value_that_no_counter_has_is_refused() {
        for written in ["NaN", "+Inf", "-Inf", "", "1e40", "ten"] {
            assert_eq!(read(written), Err(SampleError::NotANumber(written.to_owned())));
        }
        assert_eq!(read("-1"), Err(SampleError::Negative("-1".to_owned())));
    }

    #[test]
    fn counters_above_2_to_the_power_of_53_are_inexact() {
        for (written, is_inexact) in [("9007199254740992", false), ("9007199254740994", true)] {
            let sample = Sample::read(Timestamp::UNIX_EPOCH, written).expect("a number");
            assert_eq!(sample.is_inexact(), is_inexact, "{written}");
        }
    }
}
