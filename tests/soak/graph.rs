//! The graph of a soak test: memory above throughput, on the same time axis.

use std::fmt::Write as _;

use crate::soak::sample::{Sample, Samples};

/// Width of each chart, in SVG units.
const WIDTH: u64 = 720;
/// Height of each chart.
const HEIGHT: u64 = 160;
/// Space for the axis labels.
const LEFT: u64 = 60;
/// Space for the title of each chart.
const TOP: u64 = 40;
/// Distance between the tops of two charts.
const PITCH: u64 = TOP + HEIGHT + 30;

/// Number of measurements in the mean throughput: one minute.
const SPAN: usize = 12;

const STYLE: &str = "text { font: 12px sans-serif; fill: #24292f } .title { font-weight: bold } \
    .axis { stroke: #8c959f } .grid { stroke: #d0d7de } .restart { stroke: #f0b0b0 } polyline { fill: none; \
    stroke-width: 1.5 } .one { stroke: #0969da } .two { stroke: #bf8700 } @media (prefers-color-scheme: dark) { text { \
    fill: #e6edf3 } .grid { stroke: #30363d } .restart { stroke: #6e3030 } .one { stroke: #58a6ff } .two { stroke: \
    #e3b341 } }";

/// Draws the graph.
pub fn of(samples: &Samples) -> String {
    let all = samples.all();
    let height = 2 * PITCH + 10;
    let width = LEFT + WIDTH + 20;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"Memory and throughput of the soak\"><style>{STYLE}</style>\n"
    );
    let memory = |which: usize| {
        move |samples: &[Sample]| samples.last().map_or(0, |sample| sample.memory_kib[which] / 1_024)
    };
    let (first, second) = (points(&all, memory(0)), points(&all, memory(1)));
    draw(&mut svg, &all, 0, "Resident memory of each operator, MiB; a stroke is a restart", &[first, second]);
    let throughput = points(&all, |samples| {
        let (Some(begin), Some(end)) = (samples.first(), samples.last()) else { return 0 };
        let seconds = i64::try_from(end.seconds - begin.seconds).unwrap_or(0).max(1);
        u64::try_from((end.charged - begin.charged) / seconds).unwrap_or(0)
    });
    draw(&mut svg, &all, 1, "Reports charged in a second, mean of a minute", &[throughput]);
    svg.push_str("</svg>\n");
    svg
}

/// Returns one point for each time, computed from the measurements of the preceding minute.
fn points(all: &[Sample], value: impl Fn(&[Sample]) -> u64) -> Vec<(u64, u64)> {
    let value_at = |index: usize| (all[index].seconds, value(&all[index.saturating_sub(SPAN)..=index]));
    (0..all.len()).map(value_at).collect()
}

fn draw(svg: &mut String, all: &[Sample], row: u64, title: &str, lines: &[Vec<(u64, u64)>]) {
    let (top, bottom) = (row * PITCH + TOP, row * PITCH + TOP + HEIGHT);
    let last = all.last().map_or(1, |sample| sample.seconds.max(1));
    let highest = lines.iter().flatten().map(|(_, value)| *value).max().unwrap_or(1);
    let step = (highest / 4 + 1).next_multiple_of(5);
    let x = |seconds: u64| LEFT + seconds * WIDTH / last;
    let y = |value: u64| bottom - value * HEIGHT / (4 * step);
    // Writing to a String cannot fail.
    let _ = writeln!(svg, "<text class=\"title\" x=\"{LEFT}\" y=\"{}\">{title}</text>", top - 12);
    for mark in 0..=4 {
        let (value, height) = (mark * step, y(mark * step));
        let class = if mark == 0 { "axis" } else { "grid" };
        let _ = writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{height}\" y2=\"{height}\"/><text x=\"{}\" y=\"{}\" \
             text-anchor=\"end\">{value}</text>",
            LEFT + WIDTH,
            LEFT - 6,
            height + 4,
        );
    }
    for minutes in (0..=last / 60).step_by(5) {
        let (across, below) = (x(minutes * 60), bottom + 16);
        let _ =
            writeln!(svg, "<text x=\"{across}\" y=\"{below}\" text-anchor=\"middle\">{minutes} min</text>");
    }
    for pair in all.windows(2).filter(|pair| pair[1].restarts > pair[0].restarts) {
        let across = x(pair[1].seconds);
        let _ = writeln!(
            svg,
            "<line class=\"restart\" x1=\"{across}\" x2=\"{across}\" y1=\"{top}\" y2=\"{bottom}\"/>"
        );
    }
    for (line, class) in lines.iter().zip(["one", "two"]) {
        let points = line.iter().map(|(seconds, value)| format!("{},{}", x(*seconds), y(*value)));
        let points: Vec<String> = points.collect();
        let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
    }
}
