//! The figures over the buckets of a series.

use flashgate_ledger::Credits;
use serde::Serialize;
use utoipa::ToSchema;

use crate::number::Number;

/// Units of 10^-9 in one whole.
const NANOS: f64 = 1e9;

/// Figures over the values of a series. All are zero if it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Sum, with all digits.
    #[schema(value_type = f64)]
    pub total: Number,
    /// Mean.
    pub avg: f64,
    /// Standard deviation over all values.
    pub std_dev: f64,
    /// Least value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Value that 10 % of the values do not exceed; between two values it is interpolated.
    pub p10: f64,
    /// Median.
    pub p50: f64,
    /// Value that 90 % of the values do not exceed; between two values it is interpolated.
    pub p90: f64,
}

impl Summary {
    /// Returns the figures over `values`.
    #[must_use]
    pub fn of(values: impl Iterator<Item = Credits>) -> Self {
        let values: Vec<Credits> = values.collect();
        let total = Credits::sum(values.iter().copied()).unwrap_or_default();
        let mut sorted: Vec<f64> = values.iter().copied().map(float).collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (sorted.first().copied(), sorted.last().copied()) else {
            return Self::default();
        };
        #[expect(clippy::cast_precision_loss, reason = "a series has at most 1,000 values")]
        let count = sorted.len() as f64;
        let avg = float(total) / count;
        let variance = sorted.iter().map(|value| (value - avg).powi(2)).sum::<f64>() / count;
        Self {
            total: total.into(),
            avg,
            std_dev: variance.sqrt(),
            min,
            max,
            p10: percentile(&sorted, 0.1),
            p50: percentile(&sorted, 0.5),
            p90: percentile(&sorted, 0.9),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "statistics are not amounts")]
fn float(amount: Credits) -> f64 {
    amount.nanos() as f64 / NANOS
}

/// Returns the value at `share` of sorted values, interpolated between its neighbours.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a series has at most 1,000 values, and the share is from 0 to 1"
)]
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let lower = place.floor();
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or_default();
    at(lower) + (at(place.ceil()) - at(lower)) * (place - lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Summary {
        Summary::of(values.iter().map(|text| text.parse().expect("amount")))
    }

    #[test]
    fn the_figures_of_a_known_series() {
        let summary = of(&["2", "4", "4", "4", "5", "5", "7", "9"]);
        assert_eq!(summary.total.0.to_string(), "40");
        let shown =
            [summary.avg, summary.std_dev, summary.min, summary.max, summary.p10, summary.p50, summary.p90];
        let expected = [5.0, 2.0, 2.0, 9.0, 3.4, 4.5, 7.6];
        for (shown, expected) in shown.into_iter().zip(expected) {
            assert!((shown - expected).abs() < 1e-9, "{summary:?}");
        }
    }

    #[test]
    fn an_empty_series_has_zeros_and_one_value_is_every_figure() {
        assert_eq!(of(&[]), Summary::default());
        let one = of(&["2.5"]);
        assert!(
            [one.avg, one.min, one.max, one.p10, one.p50, one.p90]
                .iter()
                .all(|figure| (figure - 2.5).abs() < 1e-12)
        );
        assert!(one.std_dev.abs() < 1e-12);
    }

    #[test]
    fn the_total_is_exact() {
        assert_eq!(of(&["0.1"; 10]).total.0.to_string(), "1");
    }
}
