//! The burn-down of a period: the balance over time, with the forecast, the renewal and the thresholds.

use flashgate_ledger::Credits;
use flashgate_ledger::period::utc_date;
use jiff::Timestamp;
use maud::{Markup, html};

use super::axes::{Drawing, PLOT_X, PLOT_Y, amount_axis, amounts, figure, time_axis, times};
use super::scale::{Scale, Ticks};
use crate::history::BalancePoint;
use crate::page::format;

/// The balance of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BurnDown {
    /// Start of the period.
    pub start: Timestamp,
    /// End of the period.
    pub end: Timestamp,
    /// The present time of the account.
    pub now: Timestamp,
    /// The known balances, oldest first. Each holds until the next one, and the last one until now.
    pub points: Vec<BalancePoint>,
    /// Time at which the balance reaches zero at the present rate. Absent if that is not known.
    pub exhaustion: Option<Timestamp>,
    /// Whether another period follows. If not, the plan ends with this one.
    pub renews: bool,
    /// Thresholds of consumption.
    pub thresholds: Vec<ThresholdLine>,
}

/// A threshold of consumption as a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThresholdLine {
    /// Consumed share of the period's credits in percent.
    pub percent: u32,
    /// Balance at which that share is consumed.
    pub balance: Credits,
}

/// The scales of a burn-down.
struct Plot {
    x: Scale,
    y: Scale,
}

/// Returns the chart of a period.
pub(crate) fn burn_down(data: &BurnDown) -> Markup {
    let ticks = ticks(data);
    let plot = Plot { x: times(data.start, data.end), y: amounts(&ticks) };
    let shapes = html! {
        (amount_axis(&ticks))
        (time_axis(data.start, data.end))
        @for threshold in &data.thresholds { (threshold_line(&plot, *threshold)) }
        (balance_line(data, &plot))
        (forecast_line(data, &plot))
        (end_marker(data))
    };
    figure(&Drawing {
        id: "burn-down",
        title: "Balance of this period",
        description: &description(data),
        shapes,
        legend: legend(data),
        table: table(data),
    })
}

/// Returns round amounts that cover every balance, every threshold and zero.
fn ticks(data: &BurnDown) -> Ticks {
    let balances = data.points.iter().map(|point| point.balance);
    let thresholds = data.thresholds.iter().map(|threshold| threshold.balance);
    let values = balances.chain(thresholds).map(Credits::nanos).chain([0]);
    let (low, high) =
        values.fold((0, 0), |(low, high): (i128, i128), value| (low.min(value), high.max(value)));
    Ticks::covering(low, if low == high { Credits::whole(1).nanos() } else { high })
}

/// Returns the balance as a line of steps, with the area between it and zero.
fn balance_line(data: &BurnDown, plot: &Plot) -> Markup {
    let Some((first, last)) = data.points.first().zip(data.points.last()) else { return html! {} };
    let x = |time: Timestamp| plot.x.place(time.as_second().into());
    let y = |balance: Credits| plot.y.place(balance.nanos());
    let steps = data.points.iter().map(|point| format!("H{}V{}", x(point.time), y(point.balance)));
    let now = x(data.now.min(data.end));
    let line = format!("M{} {}{}H{now}", x(first.time), y(first.balance), steps.collect::<String>());
    let area = format!("{line}V{zero}H{start}Z", zero = plot.y.place(0), start = x(first.time));
    html! {
        path class="area" d=(area) {}
        path class="line" fill="none" d=(line) {}
        circle class="now" cx=(now) cy=(y(last.balance)) r="4" {}
    }
}

/// Returns the time at which the balance reaches zero, and the present balance, if that time is to come.
fn forecast(data: &BurnDown) -> Option<(Timestamp, BalancePoint)> {
    let last = data.points.last().filter(|last| last.balance.is_positive() && data.now < data.end)?;
    Some((data.exhaustion.filter(|exhaustion| *exhaustion > data.now)?, *last))
}

/// Returns the forecast: a straight line to zero, or to the end of the period if that is earlier.
fn forecast_line(data: &BurnDown, plot: &Plot) -> Markup {
    let Some((exhaustion, last)) = forecast(data) else { return html! {} };
    let seconds =
        |from: Timestamp, to: Timestamp| i128::from(to.as_second().saturating_sub(from.as_second()));
    let until = exhaustion.min(data.end);
    let all = seconds(data.now, exhaustion).max(1);
    let left = seconds(until, exhaustion);
    // A balance has at most 10^27 units. Seconds are scaled down to parts of a thousand, so the product is exact.
    let share = left.saturating_mul(1_000).div_euclid(all);
    let rest = last.balance.nanos().saturating_mul(share).div_euclid(1_000);
    let x = |time: Timestamp| plot.x.place(time.as_second().into());
    html! {
        line class="forecast" stroke-dasharray="5 5" x1=(x(data.now)) y1=(plot.y.place(last.balance.nanos()))
            x2=(x(until)) y2=(plot.y.place(rest)) {}
    }
}

fn threshold_line(plot: &Plot, threshold: ThresholdLine) -> Markup {
    let y = plot.y.place(threshold.balance.nanos());
    html! {
        line class="threshold" stroke-dasharray="2 4" x1=(PLOT_X.0) x2=(PLOT_X.1) y1=(y) y2=(y) {}
        text class="threshold" x=(PLOT_X.0 + 6) y=(y) dy="-4" { (threshold.percent) " % used" }
    }
}

/// Returns the marker at the end of the period.
fn end_marker(data: &BurnDown) -> Markup {
    let x = PLOT_X.1;
    html! {
        line class="renewal" x1=(x) x2=(x) y1=(PLOT_Y.1) y2=(PLOT_Y.0) {}
        text class="renewal" x=(x) y="24" text-anchor="end" { (end_words(data)) " " (format::day_text(data.end)) }
    }
}

const fn end_words(data: &BurnDown) -> &'static str {
    if data.renews { "Renews" } else { "Ends" }
}

fn legend(data: &BurnDown) -> Markup {
    let sample = |class: &str, dashes: Option<&str>| {
        html! {
            svg class="sample" viewBox="0 0 24 8" width="24" height="8" aria-hidden="true" {
                line class=(class) stroke-dasharray=[dashes] x1="0" x2="24" y1="4" y2="4" {}
            }
        }
    };
    html! {
        ul class="legend" {
            li { (sample("line", None)) "Balance" }
            @if forecast(data).is_some() { li { (sample("forecast", Some("5 5"))) "Forecast" } }
            @if !data.thresholds.is_empty() { li { (sample("threshold", Some("2 4"))) "Alert thresholds" } }
        }
    }
}

/// Returns the chart in sentences.
fn description(data: &BurnDown) -> String {
    let period =
        format!("The period from {} to {}", format::day_text(data.start), format::day_text(data.end));
    let Some((first, last)) = data.points.first().zip(data.points.last()) else {
        return format!("{period} has no known balance.");
    };
    let forecast = forecast(data).map_or_else(String::new, |(exhaustion, _)| {
        let place = if exhaustion < data.end { "before" } else { "after" };
        let day = format::day_text(exhaustion);
        format!(" At the present rate it reaches zero on {day}, {place} the end of the period.")
    });
    format!(
        "{period}. The balance was {} credits on {}, and is {} credits on {}.{forecast}",
        format::credits(first.balance),
        format::day_text(first.time),
        format::credits(last.balance),
        format::day_text(data.now),
    )
}

/// Returns the last balance of each day, newest first.
fn table(data: &BurnDown) -> Markup {
    let mut days: Vec<BalancePoint> = Vec::new();
    for point in &data.points {
        match days.last_mut() {
            Some(last) if utc_date(last.time) == utc_date(point.time) => *last = *point,
            _ => days.push(*point),
        }
    }
    html! {
        table class="data" {
            caption { "Last balance of each day on which it changed" }
            thead { tr { th scope="col" { "Time" } th scope="col" class="number" { "Balance in credits" } } }
            tbody {
                @for point in days.iter().rev() {
                    tr {
                        th scope="row" { (format::time(point.time)) }
                        td class="number" { (format::credits(point.balance)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    fn amount(text: &str) -> Credits {
        text.parse().expect("amount")
    }

    fn data(points: &[(&str, &str)]) -> BurnDown {
        let point = |(at, balance): &(&str, &str)| BalancePoint { time: time(at), balance: amount(balance) };
        BurnDown {
            start: time("2026-02-01T00:00:00Z"),
            end: time("2026-03-01T00:00:00Z"),
            now: time("2026-02-15T00:00:00Z"),
            points: points.iter().map(point).collect(),
            exhaustion: None,
            renews: true,
            thresholds: Vec::new(),
        }
    }

    fn drawn(data: &BurnDown) -> String {
        burn_down(data).into_string()
    }

    /// Returns the value of an attribute of the first element with a class.
    fn attribute<'a>(markup: &'a str, class: &str, name: &str) -> &'a str {
        let at = markup.find(&format!("class=\"{class}\"")).expect(class);
        let rest = markup[at..].split_once(&format!("{name}=\"")).expect(name).1;
        rest.split_once('"').expect("end").0
    }

    #[test]
    fn the_balance_is_a_line_of_steps_up_to_now() {
        let markup = drawn(&data(&[("2026-02-01T00:00:00Z", "1000"), ("2026-02-08T00:00:00Z", "500")]));
        // 14 of 28 days are half of the plot from 84 to 704, and 500 of 1,000 credits half of that from 240 to 36.
        assert_eq!(attribute(&markup, "line", "d"), "M84 36H84V36H239V138H394");
        assert_eq!((attribute(&markup, "now", "cx"), attribute(&markup, "now", "cy")), ("394", "138"));
        assert!(markup.contains("Renews 1 Mar 2026"), "{markup}");
        assert!(!markup.contains("class=\"forecast\""));
    }

    #[test]
    fn a_forecast_ends_at_zero_or_at_the_end_of_the_period() {
        let points = [("2026-02-01T00:00:00Z", "1000")];
        let mut burning = BurnDown { exhaustion: Some(time("2026-02-22T00:00:00Z")), ..data(&points) };
        let markup = drawn(&burning);
        let place = |name| attribute(&markup, "forecast", name);
        assert_eq!([place("x1"), place("y1"), place("x2"), place("y2")], ["394", "36", "549", "240"]);
        assert!(markup.contains("it reaches zero on 22 Feb 2026, before the end of the period"), "{markup}");
        burning.exhaustion = Some(time("2026-03-15T00:00:00Z"));
        let markup = drawn(&burning);
        let place = |name| attribute(&markup, "forecast", name);
        assert_eq!([place("x2"), place("y2")], ["704", "138"], "half is left at the end");
        assert!(markup.contains("after the end of the period"), "{markup}");
        burning.exhaustion = Some(time("2026-02-10T00:00:00Z"));
        assert!(!drawn(&burning).contains("forecast"), "a time that has passed is no forecast");
    }

    #[test]
    fn thresholds_are_lines_at_their_balance() {
        let threshold = ThresholdLine { percent: 80, balance: amount("200") };
        let markup =
            drawn(&BurnDown { thresholds: vec![threshold], ..data(&[("2026-02-01T00:00:00Z", "1000")]) });
        assert_eq!(attribute(&markup, "threshold", "y1"), "199.2");
        assert!(markup.contains("80 % used"));
    }

    #[test]
    fn a_negative_balance_is_below_the_line_of_zero() {
        let points = [("2026-02-01T00:00:00Z", "100"), ("2026-02-08T00:00:00Z", "-100")];
        let markup = drawn(&data(&points));
        assert_eq!(attribute(&markup, "zero", "y1"), "138");
        assert!(attribute(&markup, "line", "d").ends_with("V240H394"), "{markup}");
        assert!(markup.contains("is -100 credits"));
    }

    #[test]
    fn an_empty_period_and_a_single_point_are_drawn_too() {
        let empty = drawn(&data(&[]));
        assert!(empty.contains("has no known balance"), "{empty}");
        assert!(!empty.contains("class=\"area\""));
        let single = drawn(&BurnDown { renews: false, ..data(&[("2026-02-15T00:00:00Z", "0")]) });
        assert!(single.contains("class=\"area\"") && single.contains("Ends 1 Mar 2026"), "{single}");
    }

    #[test]
    fn the_table_has_the_last_balance_of_each_day() {
        let points = [
            ("2026-02-01T00:00:00Z", "1100"),
            ("2026-02-01T10:00:00Z", "1090.5"),
            ("2026-02-03T10:00:00Z", "7"),
        ];
        let markup = drawn(&data(&points));
        let rows: Vec<&str> = markup.split("<td class=\"number\">").skip(1).collect();
        assert!(rows[0].starts_with("7<") && rows[1].starts_with("1,090.5<"), "{rows:?}");
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn no_attribute_breaks_the_policy_of_the_page() {
        let threshold = ThresholdLine { percent: 100, balance: Credits::ZERO };
        let full = BurnDown {
            exhaustion: Some(time("2026-02-22T00:00:00Z")),
            thresholds: vec![threshold],
            ..data(&[("2026-02-01T00:00:00Z", "1000")])
        };
        let markup = drawn(&full);
        assert!(!markup.contains("style") && !markup.contains("<script"), "{markup}");
        assert!(
            markup.contains("role=\"img\"")
                && markup.contains("aria-labelledby=\"burn-down-title burn-down-description\"")
        );
    }
}
