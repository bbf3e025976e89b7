//! The usage of all windows equals the increments of the counters, with restarts and late samples.

use std::collections::BTreeMap;

use flashgate_meter::count::{Baseline, count};
use flashgate_meter::lines::{Group, lines, share};
use flashgate_meter::readings::{Reading, Readings, SeriesId};
use flashgate_meter::sample::Sample;
use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;

/// Seconds between two windows of a test.
const WINDOW: i64 = 600;

/// A scrape of a series.
#[derive(Clone, Debug)]
struct Scrape {
    /// Seconds since the scrape before.
    after: i64,
    /// Usage since then, in thousandths.
    usage: i64,
    /// Whether the process started again first. Usage before the restart that was not scraped is lost to Prometheus.
    restarts: bool,
    /// Seconds after which the sample can be read. Samples of a series become readable in their order.
    late: i64,
}

/// A sample, and the second from which it can be read.
struct Readable {
    sample: Sample,
    from: i64,
}

/// A life of a series: its samples, and the usage that they show.
fn life(scrapes: &[Scrape]) -> (Vec<Readable>, Decimal) {
    let (mut second, mut value, mut shown, mut readable_from) = (0, Decimal::ZERO, Decimal::ZERO, 0);
    let mut samples = Vec::new();
    for scrape in scrapes {
        second += scrape.after;
        let usage = Decimal::new(scrape.usage, 3);
        value = if scrape.restarts { usage } else { value + usage };
        // After a restart that left no lower value behind, the difference to the old value is all that can be seen.
        let before = samples.last().map_or(Decimal::ZERO, |last: &Readable| last.sample.value);
        shown += if value >= before { value - before } else { value };
        readable_from = readable_from.max(second + scrape.late);
        let time = Timestamp::from_second(second).expect("time");
        samples.push(Readable { sample: Sample { time, value }, from: readable_from });
    }
    (samples, shown)
}

/// Closes the window that ends at a second, from the text of the last report to that of the next.
fn close(
    series: &[Vec<Readable>],
    end: i64,
    before: (&str, Timestamp),
    multiplier: Decimal,
) -> (String, Decimal) {
    let mut readings = Readings::from_text(before.0, before.1).expect("readings");
    let mut usage = Vec::new();
    for (number, samples) in series.iter().enumerate() {
        let id = SeriesId::of([("series", number.to_string().as_str())]);
        let last = readings.0.get(&id).copied();
        let read: Vec<Sample> = samples
            .iter()
            .filter(|sample| sample.from <= end + 60 && sample.sample.time.as_second() <= end)
            .map(|sample| sample.sample)
            .collect();
        let counted = count(last.map_or(Baseline::Zero, Baseline::Reading), &read).expect("a count");
        let Some(newest) = counted.newest else { continue };
        let kept = last.map(|last| last.remainder).unwrap_or_default();
        let share = share(counted.increment, multiplier, kept).expect("a share");
        readings.0.insert(id, Reading { time: newest.time, value: newest.value, remainder: share.remainder });
        let labels = BTreeMap::from([("half".to_owned(), (number % 2).to_string())]);
        let group = Group { node_type: "Public".to_owned(), operation: "TokensOut".to_owned(), labels };
        usage.push((group, share.quantity));
    }
    let quantity = lines(usage).expect("lines").iter().map(|line| line.quantity).sum();
    let end = Timestamp::from_second(end).expect("time");
    (readings.to_text(end).expect("a text"), quantity)
}

fn scrapes() -> impl Strategy<Value = Vec<Scrape>> {
    let scrape =
        (1..120_i64, 0..5_000_i64, prop::bool::weighted(0.1), prop_oneof![4 => Just(0), 1 => 0..2_000_i64]);
    let scrape = scrape.prop_map(|(after, usage, restarts, late)| Scrape { after, usage, restarts, late });
    prop::collection::vec(scrape, 0..60)
}

proptest! {
    #[test]
    fn windows_report_what_the_samples_show(
        lives in prop::collection::vec(scrapes(), 1..6),
        multiplier in prop_oneof![Just(Decimal::ONE), Just(Decimal::new(1, 9)), Just(Decimal::new(1_024, 0))],
    ) {
        let (series, shown): (Vec<_>, Vec<_>) = lives.iter().map(|scrapes| life(scrapes)).unzip();
        let (mut text, mut before, mut reported) = (String::new(), Timestamp::UNIX_EPOCH, Decimal::ZERO);
        for end in (WINDOW..20 * WINDOW).step_by(600) {
            let (next, quantity) = close(&series, end, (&text, before), multiplier);
            // A repeated tick, a restart and a second meter reach the same report.
            prop_assert_eq!(&close(&series, end, (&text, before), multiplier), &(next.clone(), quantity));
            (text, before) = (next, Timestamp::from_second(end).expect("time"));
            reported += quantity;
        }
        let readings = Readings::from_text(&text, before).expect("readings");
        let remainders: Decimal = readings.0.values().map(|reading| reading.remainder).sum();
        let counted: Decimal = shown.iter().map(|shown| shown * multiplier).sum();
        prop_assert_eq!(reported + remainders, counted);
    }
}
