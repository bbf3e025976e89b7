//! Scales: positions in a drawing for times and amounts, and round values for axes.

use std::fmt;

/// Most round values of an axis of amounts.
const MOST_TICKS: i128 = 5;

/// A position or a length in a drawing, in tenths of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub i64);

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, tenths) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(formatter, "{sign}{}", tenths / 10)?;
        if tenths % 10 == 0 { Ok(()) } else { write!(formatter, ".{}", tenths % 10) }
    }
}

/// A linear scale from values to positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    low: i128,
    high: i128,
    first: i64,
    last: i64,
}

impl Scale {
    /// Returns the scale that puts `low` at `first` and `high` at `last`, both in units of the drawing. An empty range
    /// is extended by one.
    pub(super) fn new((low, high): (i128, i128), (first, last): (i64, i64)) -> Self {
        Self { low, high: high.max(low.saturating_add(1)), first: first * 10, last: last * 10 }
    }

    /// Returns the position of a value. A value outside of the scale has the position of its nearer end.
    pub(super) fn place(self, value: i128) -> Place {
        let value = value.clamp(self.low, self.high);
        let (length, range) = (i128::from(self.last - self.first), self.high.saturating_sub(self.low));
        // Amounts have at most 10^27 units and lengths at most 10^5, so the product is exact.
        let offset = value.saturating_sub(self.low).saturating_mul(length).div_euclid(range);
        Place(self.first.saturating_add(i64::try_from(offset).unwrap_or_default()))
    }
}

/// Round values, evenly spaced, from at most `low` to at least `high`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticks(pub Vec<i128>);

impl Ticks {
    /// Returns between 2 and 7 values. Their distance is 1, 2 or 5 times a power of ten.
    pub(super) fn covering(low: i128, high: i128) -> Self {
        let range = high.saturating_sub(low).max(1);
        let mut step = 1_i128;
        let mut factors = [2, 5, 10].into_iter().cycle();
        let mut decade = 1_i128;
        while range.div_euclid(step) > MOST_TICKS {
            let factor = factors.next().unwrap_or(10);
            step = decade.saturating_mul(factor);
            if factor == 10 {
                decade = step;
            }
        }
        let first = low.div_euclid(step);
        let last = high.saturating_sub(1).div_euclid(step).saturating_add(1).max(first.saturating_add(1));
        Self((first..=last).map(|count| count.saturating_mul(step)).collect())
    }

    /// Returns the least and the largest value.
    pub(super) fn range(&self) -> (i128, i128) {
        let (first, last) = (self.0.first(), self.0.last());
        (first.copied().unwrap_or_default(), last.copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_at_most_one_decimal() {
        let shown = [0, 5, 10, 123, -7, -20].map(|tenths| Place(tenths).to_string());
        assert_eq!(shown, ["0", "0.5", "1", "12.3", "-0.7", "-2"]);
    }

    #[test]
    fn a_scale_maps_its_ends_and_what_is_between_and_clamps_the_rest() {
        let down = Scale::new((-100, 100), (200, 0));
        let places = [-100, 0, 50, 100, 500, -500].map(|value| down.place(value).0);
        assert_eq!(places, [2000, 1000, 500, 0, 0, 2000]);
        let empty = Scale::new((7, 7), (0, 10));
        assert_eq!((empty.place(7).0, empty.place(8).0), (0, 100));
        let largest = 1_000_000_000_000_000_000_000_000_000;
        let wide = Scale::new((-largest, largest), (0, 700));
        assert_eq!((wide.place(0).0, wide.place(largest).0), (3500, 7000));
    }

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        for (low, high, expected) in [
            (0, 0, vec![0, 1]),
            (0, 5, vec![0, 1, 2, 3, 4, 5]),
            (0, 1100, vec![0, 200, 400, 600, 800, 1000, 1200]),
            (0, 250, vec![0, 50, 100, 150, 200, 250]),
            (-30, 90, vec![-50, 0, 50, 100]),
            (-7, -3, vec![-7, -6, -5, -4, -3]),
            (999, 1001, vec![999, 1000, 1001]),
        ] {
            let ticks = Ticks::covering(low, high);
            assert_eq!(ticks.0, expected, "{low} to {high}");
        }
        for high in [1, 9, 17, 99, 12_345, 1_000_000_000_000_000_000_000_000_000] {
            for low in [0, -high, -high / 3] {
                let ticks = Ticks::covering(low, high);
                let (first, last) = ticks.range();
                assert!(first <= low && last >= high, "{low} to {high}: {ticks:?}");
                assert!((2..=8).contains(&ticks.0.len()), "{low} to {high}: {ticks:?}");
            }
        }
    }
}
