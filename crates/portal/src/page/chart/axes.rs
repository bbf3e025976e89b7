//! The parts that both charts have: the frame, the axes, and the table.

use flashgate_ledger::Credits;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::scale::{Scale, Ticks};
use crate::page::format;
use crate::page::layout::table_region;

/// Width of a drawing in its units.
pub(super) const WIDTH: i64 = 720;

/// Height of a drawing in its units.
pub(super) const HEIGHT: i64 = 280;

/// Left and right end of the plot.
pub(super) const PLOT_X: (i64, i64) = (84, 704);

/// Lower and upper end of the plot.
pub(super) const PLOT_Y: (i64, i64) = (240, 36);

/// Units of 10^-9 in one credit.
const NANOS: u128 = 1_000_000_000;

/// Seconds of an hour.
const HOUR: i64 = 3_600;

/// Seconds of a day.
const DAY: i64 = 24 * HOUR;

/// Distances of labels on an axis of time, in seconds.
const DISTANCES: [i64; 10] =
    [HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 5 * DAY, 15 * DAY, 30 * DAY, 60 * DAY];

/// Least distance of a label from the right end of the plot, so that the drawing does not cut it off.
const LABEL_MARGIN: i64 = 22;

/// Most labels on an axis of time.
const MOST_LABELS: i64 = 8;

/// A drawing with its names: `id` is unique on the page.
pub(super) struct Drawing<'a> {
    /// Identifier, such as `burn-down`.
    pub id: &'a str,
    /// Name of the chart.
    pub title: &'a str,
    /// The chart in sentences.
    pub description: &'a str,
    /// The shapes.
    pub shapes: Markup,
    /// The explanation of colours and lines.
    pub legend: Markup,
    /// The same figures as a table with a caption.
    pub table: Markup,
}

/// Returns a drawing with its legend and its table.
pub(super) fn figure(drawing: &Drawing<'_>) -> Markup {
    let Drawing { id, title, description, shapes, legend, table } = drawing;
    let (title_id, description_id) = (format!("{id}-title"), format!("{id}-description"));
    html! {
        figure class="chart" data-testid=(id) {
            svg role="img" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) aria-labelledby=(format!("{title_id} {description_id}")) {
                title id=(title_id) { (title) }
                desc id=(description_id) { (description) }
                (shapes)
            }
            (legend)
            details {
                summary { "Show the figures as a table" }
                (table_region(title, table))
            }
        }
    }
}

/// Returns the scale of amounts that `ticks` cover.
pub(super) fn amounts(ticks: &Ticks) -> Scale {
    Scale::new(ticks.range(), PLOT_Y)
}

/// Returns the scale of times.
pub(super) fn times(start: Timestamp, end: Timestamp) -> Scale {
    Scale::new((i128::from(start.as_second()), i128::from(end.as_second())), PLOT_X)
}

/// Returns the lines and labels of amounts.
pub(super) fn amount_axis(ticks: &Ticks) -> Markup {
    let (scale, unit) = (amounts(ticks), Unit::of(ticks));
    html! {
        g class="axis" {
            @for tick in &ticks.0 {
                @let y = scale.place(*tick);
                line class=(if *tick == 0 { "zero" } else { "grid" }) x1=(PLOT_X.0) x2=(PLOT_X.1) y1=(y) y2=(y) {}
                text x=(PLOT_X.0 - 8) y=(y) dy="4" text-anchor="end" { (unit.label(*tick)) }
            }
        }
    }
}

/// The unit of all labels of an axis: `8,000` and `10k` do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    divisor: i128,
    name: &'static str,
}

impl Unit {
    /// Returns the unit in which the largest value of an axis has few digits.
    fn of(ticks: &Ticks) -> Self {
        let (first, last) = ticks.range();
        let (divisor, name) = match first.unsigned_abs().max(last.unsigned_abs()) / NANOS {
            0..10_000 => (1, ""),
            10_000..1_000_000 => (1_000, "k"),
            _ => (1_000_000, "M"),
        };
        Self { divisor, name }
    }

    /// Returns a round amount of nanos as credits, such as `0`, `800`, `20k` or `1.5M`.
    fn label(self, nanos: i128) -> String {
        let scaled = Credits::from_nanos(nanos / self.divisor).map(format::credits).unwrap_or_default();
        if nanos == 0 { scaled } else { format!("{scaled}{}", self.name) }
    }
}

/// Returns the labels of times, at whole hours or days (UTC).
pub(super) fn time_axis(start: Timestamp, end: Timestamp) -> Markup {
    let scale = times(start, end);
    let length = end.as_second().saturating_sub(start.as_second());
    let is_few = |distance: &i64| length / distance <= MOST_LABELS;
    let distance = DISTANCES.into_iter().find(is_few).unwrap_or(length / MOST_LABELS).max(1);
    let first = start.as_second().div_euclid(distance).saturating_add(1).saturating_mul(distance);
    let step = usize::try_from(distance).unwrap_or(usize::MAX);
    let pattern = if distance < DAY { "%H:%M" } else { "%-d %b" };
    html! {
        g class="axis" {
            @for (index, second) in (first..=end.as_second()).step_by(step).enumerate() {
                @let x = scale.place(second.into());
                line class="tick" x1=(x) x2=(x) y1=(PLOT_Y.0) y2=(PLOT_Y.0 + 5) {}
                @if x.0 < (PLOT_X.1 - LABEL_MARGIN) * 10 {
                    text class=(if index % 2 == 0 { "label" } else { "label minor" }) x=(x) y=(PLOT_Y.0 + 22) text-anchor="middle" {
                        (text_of(second, pattern))
                    }
                }
            }
        }
    }
}

fn text_of(second: i64, pattern: &str) -> String {
    let zoned = Timestamp::from_second(second).map(|time| time.to_zoned(TimeZone::UTC));
    zoned.map(|zoned| zoned.strftime(pattern).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(start: &str, end: &str) -> Vec<String> {
        let time = |text: &str| text.parse().expect("time");
        let markup = time_axis(time(start), time(end)).into_string();
        let texts = markup.split("text-anchor=\"middle\">").skip(1);
        texts.filter_map(|text| Some(text.split_once('<')?.0.to_owned())).collect()
    }

    #[test]
    fn all_amounts_of_an_axis_have_short_labels_in_one_unit() {
        for (amounts, expected) in [
            (["0", "0.2"], ["0", "0.2"]),
            (["-2000", "8000"], ["-2,000", "8,000"]),
            (["2000", "10000"], ["2k", "10k"]),
            (["-10000", "0"], ["-10k", "0"]),
            (["50000", "250000"], ["50k", "250k"]),
            (["500000", "1500000"], ["0.5M", "1.5M"]),
            (["0", "1000000000000"], ["0", "1,000,000M"]),
        ] {
            let ticks = Ticks(amounts.map(|text| text.parse::<Credits>().expect("amount").nanos()).to_vec());
            let unit = Unit::of(&ticks);
            let labels: Vec<String> = ticks.0.iter().map(|tick| unit.label(*tick)).collect();
            assert_eq!(labels, expected);
        }
    }

    #[test]
    fn times_have_a_few_labels_at_whole_hours_or_days() {
        assert_eq!(
            labels("2026-02-10T00:00:00Z", "2026-02-11T00:00:00Z"),
            ["03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]
        );
        assert_eq!(
            labels("2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z"),
            ["1 Feb", "6 Feb", "11 Feb", "16 Feb", "21 Feb", "26 Feb"]
        );
        for (start, end) in [
            ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
            ("2026-01-31T10:00:00Z", "2026-01-31T10:00:05Z"),
            ("2026-01-31T10:00:00Z", "2027-01-31T10:00:00Z"),
            ("2000-01-31T10:00:00Z", "2100-01-31T10:00:00Z"),
        ] {
            let labels = labels(start, end);
            assert!(labels.len() <= 9, "{start} to {end}: {labels:?}");
        }
    }
}
