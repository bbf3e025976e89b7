//! The increments of a series since its last reading.

use rust_decimal::Decimal;

use crate::readings::Reading;
use crate::sample::Sample;

/// The point from which a series is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The reading at which the window before ended.
    Reading(Reading),
    /// Zero: the series began in this window.
    Zero,
    /// Its first sample: earlier usage belongs to no window.
    FirstSample,
}

/// The increments of a series in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Sum of the increments, in the unit of the counter.
    pub increment: Decimal,
    /// Number of times that the counter fell, because its process started again.
    pub resets: usize,
    /// The newest sample, if there is one after the baseline.
    pub newest: Option<Sample>,
}

/// The sum of a series exceeds 28 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the increments of a series add up to more than 28 digits")]
pub struct CountOverflow;

/// Adds up the increments of samples in the order of their times. A value that is lower than the one before it is a
/// reset: the counter began again from zero. Samples that are not newer than the baseline change nothing.
///
/// # Errors
/// When the sum exceeds 28 digits.
pub fn count(baseline: Baseline, samples: &[Sample]) -> Result<Count, CountOverflow> {
    let (mut before, mut last_time) = match baseline {
        Baseline::Reading(reading) => (Some(reading.value), Some(reading.time)),
        Baseline::Zero => (Some(Decimal::ZERO), None),
        Baseline::FirstSample => (None, None),
    };
    let mut counted = Count::default();
    for sample in samples {
        if last_time.is_some_and(|last| sample.time <= last) {
            continue;
        }
        let increment = match before {
            Some(before) if sample.value >= before => {
                sample.value.checked_sub(before).ok_or(CountOverflow)?
            }
            Some(_) => {
                counted.resets = counted.resets.saturating_add(1);
                sample.value
            }
            None => Decimal::ZERO,
        };
        counted.increment = counted.increment.checked_add(increment).ok_or(CountOverflow)?;
        (before, last_time, counted.newest) = (Some(sample.value), Some(sample.time), Some(*sample));
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    fn samples(values: &[(i64, i64)]) -> Vec<Sample> {
        values.iter().map(|(second, value)| Sample { time: at(*second), value: (*value).into() }).collect()
    }

    fn reading(second: i64, value: i64) -> Baseline {
        Baseline::Reading(Reading { time: at(second), value: value.into(), remainder: Decimal::ZERO })
    }

    #[test]
    fn increments_add_up_from_the_reading_over_every_reset() {
        for (baseline, values, increment, resets) in [
            (reading(10, 100), &[(20, 150), (30, 150)][..], 50, 0),
            // The process started again before the first sample of the window.
            (reading(10, 1_000), &[(20, 3), (30, 2_000)], 2_000, 1),
            (reading(10, 5), &[(20, 7), (30, 2), (40, 4), (50, 1)], 7, 2),
            (reading(10, 100), &[], 0, 0),
            // A sample that is not newer than the reading is counted already.
            (reading(10, 100), &[(5, 90), (10, 100), (15, 101)], 1, 0),
            (Baseline::Zero, &[(20, 900), (30, 950)], 950, 0),
            (Baseline::Zero, &[(20, 900), (30, 50)], 950, 1),
            (Baseline::FirstSample, &[(20, 900), (30, 950)], 50, 0),
            (Baseline::FirstSample, &[(20, 900)], 0, 0),
        ] {
            let counted = count(baseline, &samples(values)).expect("a count");
            assert_eq!((counted.increment, counted.resets), (increment.into(), resets), "{values:?}");
            let newest = samples(values).last().copied();
            assert_eq!(counted.newest, newest, "{values:?}");
        }
    }

    #[test]
    fn a_sum_of_more_than_28_digits_is_an_error() {
        let largest =
            [Sample { time: at(1), value: Decimal::MAX }, Sample { time: at(2), value: Decimal::ONE }];
        assert_eq!(count(Baseline::Zero, &largest), Err(CountOverflow));
    }
}
