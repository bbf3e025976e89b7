//! Bars of consumption by time, stacked by group.

use flashgate_ledger::Credits;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::axes::{Drawing, PLOT_X, amount_axis, amounts, figure, time_axis};
use super::scale::{Place, Scale, Ticks};
use crate::page::format;

/// Groups that have a colour of their own. The style sheet has one more, for all other groups.
pub(crate) const COLOURS: usize = 6;

/// Consumption over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bars {
    /// Name of the chart.
    pub title: String,
    /// Names of the groups, at most [`COLOURS`] and one for the rest.
    pub groups: Vec<String>,
    /// The bars in ascending order, including empty ones.
    pub stacks: Vec<Bar>,
    /// Length of time of a bar.
    pub length: SignedDuration,
}

/// The consumption in one bucket of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    /// Start of the bucket.
    pub start: Timestamp,
    /// Credits of each group.
    pub values: Vec<Credits>,
}

impl Bar {
    /// Returns the credits of all groups.
    pub(crate) fn total(&self) -> Credits {
        Credits::sum(self.values.iter().copied()).unwrap_or_default()
    }
}

impl Bars {
    /// Returns the name of a bar's time: an hour or a day.
    pub(crate) fn name_of(&self, bar: &Bar) -> String {
        let is_day = self.length >= SignedDuration::from_hours(24);
        if is_day { format::day_text(bar.start) } else { format::time_text(bar.start) }
    }
}

/// Returns the chart of consumption over time.
pub(crate) fn bars(data: &Bars) -> Markup {
    let most = data.stacks.iter().map(|bar| bar.total().nanos()).max().unwrap_or_default();
    let ticks = Ticks::covering(0, if most == 0 { Credits::whole(1).nanos() } else { most });
    let scale = amounts(&ticks);
    let ends = data.stacks.first().zip(data.stacks.last());
    let shapes = html! {
        (amount_axis(&ticks))
        @if let Some((first, last)) = ends {
            (time_axis(first.start, last.start.saturating_add(data.length).unwrap_or(last.start)))
        }
        @for (index, bar) in data.stacks.iter().enumerate() {
            @if bar.total().is_positive() { (stack(data, index, bar, scale)) }
        }
    };
    figure(&Drawing {
        id: "consumption-chart",
        title: &data.title,
        description: &description(data),
        shapes,
        legend: legend(&data.groups),
        table: table(data),
    })
}

/// Returns the rectangles of a bar, the first group at the bottom, with their sum as a tooltip.
fn stack(data: &Bars, index: usize, bar: &Bar, scale: Scale) -> Markup {
    let left = edge(data, index);
    // A gap between bars, unless they are too narrow for it.
    let width = (edge(data, index + 1) - left) * 4 / 5;
    let tooltip = format!("{}: {} credits", data.name_of(bar), format::credits(bar.total()));
    let mut below = 0_i128;
    let rectangles: Vec<(usize, i64, i64)> = bar
        .values
        .iter()
        .enumerate()
        .map(|(group, credits)| {
            let bottom = scale.place(below).0;
            below = below.saturating_add(credits.nanos());
            (group, scale.place(below).0, bottom)
        })
        .filter(|(_, top, bottom)| bottom > top)
        .collect();
    html! {
        g {
            title { (tooltip) }
            @for (group, top, bottom) in rectangles {
                rect class=(colour(group)) x=(Place(left)) width=(Place(width.max(5))) y=(Place(top)) height=(Place(bottom - top)) {}
            }
        }
    }
}

/// Returns the left edge of a bar in tenths of a unit.
fn edge(data: &Bars, index: usize) -> i64 {
    let count = i64::try_from(data.stacks.len()).unwrap_or(i64::MAX).max(1);
    let index = i64::try_from(index).unwrap_or(i64::MAX).min(count);
    PLOT_X.0 * 10 + (PLOT_X.1 - PLOT_X.0) * 10 * index / count
}

/// Returns the class of a group's colour.
fn colour(group: usize) -> String {
    format!("series-{}", group.min(COLOURS) + 1)
}

fn legend(groups: &[String]) -> Markup {
    html! {
        ul class="legend" {
            @for (index, group) in groups.iter().enumerate() {
                li {
                    svg class="sample" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" {
                        rect class=(colour(index)) width="12" height="12" rx="2" {}
                    }
                    (group)
                }
            }
        }
    }
}

/// Returns the chart in sentences.
fn description(data: &Bars) -> String {
    let total = Credits::sum(data.stacks.iter().map(Bar::total)).unwrap_or_default();
    let Some(largest) =
        data.stacks.iter().max_by_key(|bar| bar.total()).filter(|bar| bar.total().is_positive())
    else {
        return "No consumption.".to_owned();
    };
    format!(
        "{} credits in all. The largest bar has {} credits: {}.",
        format::credits(total),
        format::credits(largest.total()),
        data.name_of(largest),
    )
}

/// Returns the bars that are not empty, newest first.
fn table(data: &Bars) -> Markup {
    html! {
        table class="data" {
            caption { "Credits by time. Times without consumption are left out." }
            thead {
                tr {
                    th scope="col" { "From" }
                    @for group in &data.groups { th scope="col" class="number" { (group) } }
                    th scope="col" class="number" { "Total" }
                }
            }
            tbody {
                @for bar in data.stacks.iter().rev().filter(|bar| bar.total().is_positive()) {
                    tr {
                        th scope="row" { (data.name_of(bar)) }
                        @for value in &bar.values { td class="number" { (format::credits(*value)) } }
                        td class="number" { (format::credits(bar.total())) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(bars: &[[&str; 2]]) -> Bars {
        let start: Timestamp = "2026-02-01T00:00:00Z".parse().expect("time");
        let bar = |(index, values): (i64, &[&str; 2])| Bar {
            start: start.saturating_add(SignedDuration::from_hours(24 * index)).expect("time"),
            values: values.map(|text| text.parse().expect("amount")).to_vec(),
        };
        Bars {
            title: "Consumption by day".to_owned(),
            groups: vec!["Storage".to_owned(), "AI & <more>".to_owned()],
            stacks: (0..).zip(bars).map(bar).collect(),
            length: SignedDuration::from_hours(24),
        }
    }

    #[test]
    fn groups_are_stacked_and_empty_bars_are_left_out() {
        let markup = bars(&data(&[["100", "50"], ["0", "0"], ["0", "200"]])).into_string();
        let rectangles: Vec<&str> = markup.split("<rect class=\"series-").skip(1).collect();
        // The plot is 620 units wide and 204 high, and its largest value is 200. Two rectangles are in the legend.
        let expected = [
            "1\" x=\"84\" width=\"165.2\" y=\"138\" height=\"102\"",
            "2\" x=\"84\" width=\"165.2\" y=\"87\" height=\"51\"",
            "2\" x=\"497.3\" width=\"165.3\" y=\"36\" height=\"204\"",
        ];
        assert_eq!(rectangles.len(), 5, "{markup}");
        for (found, expected) in rectangles.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
        assert!(markup.contains("<title>1 Feb 2026: 150 credits</title>"));
        assert!(markup.contains("350 credits in all. The largest bar has 200 credits: 3 Feb 2026."));
    }

    #[test]
    fn names_of_groups_are_escaped_and_no_attribute_breaks_the_policy() {
        let markup = bars(&data(&[["1", "2"]])).into_string();
        assert!(markup.contains("AI &amp; &lt;more&gt;") && !markup.contains("<more>"));
        assert!(!markup.contains("style="));
    }

    #[test]
    fn charts_without_bars_or_consumption_are_drawn() {
        for empty in [data(&[]), data(&[["0", "0"]])] {
            let markup = bars(&empty).into_string();
            assert!(markup.contains("No consumption."), "{markup}");
        }
    }

    #[test]
    fn bars_of_a_year_stay_visible_and_within_the_plot() {
        let year = vec![["0.5", "1"]; 366];
        let markup = bars(&data(&year)).into_string();
        let last = markup.split("<g><title>").last().expect("bar");
        let x = last.split_once(" x=\"").expect("place").1.split_once('"').expect("end").0;
        let x: f64 = x.parse().expect("number");
        assert!(x > 700.0 && x < 704.0, "{x}");
    }
}
