//! A day of samples in a real Prometheus: what is charged equals the generator's own count.

use std::collections::BTreeMap;

use flashgate_testing::random::Random;
use flashgate_testing::values::HOUR;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::json;

use super::{Samples, charged_reports, close_windows, create_meter, quantities, spec};
use crate::cluster_account::{LONG_AGO, now};
use crate::suite::billed::billed;
use crate::suite::prometheus::Prometheus;

/// The tenants, each with [`SERIES`] series.
const TENANTS: [&str; 5] = ["acme", "beta", "gamma", "delta", "epsilon"];
const SERIES: usize = 40;

/// Resets of all series in the day.
const RESETS: usize = 30;

/// Minutes of a day, with a scrape each.
const MINUTES: usize = 24 * 60;

/// A day of samples, and the usage that they show by tenant.
struct Day {
    samples: Samples,
    counted: BTreeMap<String, Decimal>,
    resets: usize,
}

/// Generates the samples of a day that starts at a second.
fn day(start: i64) -> Day {
    let mut random = Random::of(20_260_301);
    let mut day = Day { samples: Samples::default(), counted: BTreeMap::new(), resets: 0 };
    for (tenant, number) in TENANTS.iter().flat_map(|tenant| (0..SERIES).map(move |pod| (tenant, pod))) {
        let series = format!("tokens_total{{org=\"{tenant}\",pod=\"{tenant}-{number}\"}}");
        let exists = random.percent(70);
        let first = if exists { 0 } else { random.index(MINUTES - 60) };
        let mut value = if exists { random.below(1_000_000) } else { 900 };
        if exists {
            // Its usage before the day belongs to no window.
            day.samples.add(&series, value, time(start, -1));
        } else {
            // The first scrape finds usage of the time before it.
            *day.counted.entry((*tenant).to_owned()).or_default() += Decimal::from(value);
            day.samples.add(&series, value, time(start, first));
        }
        let mut unseen = 0;
        for minute in first + 1..MINUTES {
            let counted = day.counted.entry((*tenant).to_owned()).or_default();
            // A higher value after a reset would look like no reset.
            if day.resets < RESETS && value > 10_000 && random.chance(1) {
                // Prometheus never sees usage between the last scrape and the end of the process.
                *counted -= Decimal::from(unseen);
                (value, unseen, day.resets) = (0, 0, day.resets + 1);
            }
            let usage = random.below(2_000);
            (value, unseen) = (value + usage, unseen + usage);
            *counted += Decimal::from(usage);
            if random.percent(99) || minute + 1 == MINUTES {
                day.samples.add(&series, value, time(start, minute));
                unseen = 0;
            }
        }
    }
    day
}

fn time(start: i64, minute: impl TryInto<i64>) -> Timestamp {
    let minute = minute.try_into().unwrap_or_default();
    Timestamp::from_second(start + 60 * minute + 30).expect("time")
}

#[tokio::test]
async fn a_day_of_200_series_with_resets_is_charged_to_the_unit() {
    let world = &billed().await.world;
    let namespace = world.namespace("meter-day").await;
    for tenant in TENANTS {
        namespace
            .account(tenant)
            .subscribe(flashgate_testing::catalog::monthly("starter"), Some(LONG_AGO))
            .await;
    }
    let start = (now() - 26 * HOUR) / HOUR * HOUR;
    let day = day(start);
    assert_eq!(day.resets, RESETS);
    let folder = tempfile::tempdir().expect("folder");
    let prometheus = Prometheus::of_samples(folder.path(), &day.samples.text, &[]).await;
    let start_time = Timestamp::from_second(start).expect("time").to_string();
    let limits = json!({"startTime": start_time, "newSeriesLimit": 10_000_000});
    let with_limits =
        spec(|spec| spec.as_object_mut().expect("spec").extend(limits.as_object().expect("limits").clone()));
    create_meter(&namespace, "tokens", with_limits).await.expect("created");

    // Two processes at once, and one more that finds nothing to do.
    let url = prometheus.url();
    tokio::join!(close_windows(world, &url, &["meter-day"]), close_windows(world, &url, &["meter-day"]));
    close_windows(world, &url, &["meter-day"]).await;

    let reports = charged_reports(&namespace, "tokens").await;
    assert_eq!(quantities(&reports), day.counted);
    assert_eq!(reports.len(), TENANTS.len() * 24, "one report for each tenant and hour");

    print_estimates(&prometheus, &day.counted, start + 24 * HOUR);
}

/// Prints what `increase()` estimates of the same samples, for the whole day and as the sum of its hours.
fn print_estimates(prometheus: &Prometheus, counted: &BTreeMap<String, Decimal>, end: i64) {
    let of_day = prometheus.query(&format!("sum by (org) (increase(tokens_total[1d] @ {end}))"));
    let hours = format!("sum by (org) (sum_over_time(increase(tokens_total[1h])[23h30m:1h] @ {end}))");
    let of_hours = prometheus.query(&hours);
    println!("| tenant | counted and charged | `increase()` of the day | of each hour |\n|---|---|---|---|");
    for (tenant, counted) in counted {
        let exact: f64 = counted.to_string().parse().expect("a value");
        let estimates = [&of_day, &of_hours].map(|found| {
            let found = found.iter().find(|found| found["metric"]["org"] == *tenant).expect("tenant");
            let value: f64 =
                found["value"][1].as_str().and_then(|value| value.parse().ok()).expect("a value");
            assert!((value - exact).abs() > 0.5, "increase() is an estimate");
            format!("{value:.0} ({:+.0})", value - exact)
        });
        println!("| {tenant} | {counted} | {} |", estimates.join(" | "));
    }
}
