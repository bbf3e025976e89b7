//! Meters with a server and a cluster in memory: whatever fails, the usage that is charged equals the increments of the
//! samples.

mod cluster;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use flashgate_api::usage_meter::NEW_SERIES;
use flashgate_api::{AccountKey, UsageMeter, UsageMeterStatus};
use flashgate_meter::account::Account;
use flashgate_meter::meter::{Looked, Meter};
use flashgate_meter::terms::Terms;
use flashgate_testing::random::Random;
use futures::executor::block_on;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::json;

use crate::cluster::SimulatedCluster;
use crate::server::{SimulatedSeries, SimulatedServer};

/// Number of random lives.
const SEEDS: u64 = 1_000;

/// Start of each life.
const START: &str = "2026-03-01T00:00:00Z";

/// Time within which reports are accepted.
const ACCEPTED_FOR: SignedDuration = SignedDuration::from_hours(35 * 24);

const HOUR: i64 = 3_600;

fn start() -> Timestamp {
    START.parse().expect("time")
}

fn at(second: i64) -> Timestamp {
    start() + SignedDuration::from_secs(second)
}

fn key(name: &str) -> AccountKey {
    AccountKey { namespace: "team-a".to_owned(), name: name.to_owned() }
}

fn meter(change: impl FnOnce(&mut serde_json::Value)) -> UsageMeter {
    let mut object = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageMeter",
        "metadata": {"name": "tokens", "namespace": "team-a", "uid": "u-1", "generation": 1, "creationTimestamp": START},
        "spec": {
            "counter": "tokens_total", "account": {"label": "org"}, "labels": {"model": "model"},
            "usage": {"nodeType": {"value": "Public"}, "operation": {"value": "TokensOut"}},
        },
    });
    change(&mut object);
    serde_json::from_value(object).expect("meter")
}

fn accounts(names: &[&str]) -> BTreeMap<AccountKey, Account> {
    let account = || Account { start: start() - SignedDuration::from_hours(24), ..Account::default() };
    names.iter().map(|name| (key(name), account())).collect()
}

/// A world with one kind of meter, of which several processes may run.
struct World {
    cluster: Arc<SimulatedCluster>,
    server: Arc<SimulatedServer>,
    object: UsageMeter,
    accounts: BTreeMap<AccountKey, Account>,
}

type Process = Meter<SimulatedCluster, SimulatedServer>;

impl World {
    fn new(object: UsageMeter, names: &[&str], series: Vec<SimulatedSeries>) -> Self {
        let (cluster, server) = (Arc::default(), Arc::new(SimulatedServer::new(series)));
        Self { cluster, server, object, accounts: accounts(names) }
    }

    fn process(&self) -> Process {
        let terms = Terms::of(&self.object).expect("terms");
        let (cluster, server) = (Arc::clone(&self.cluster), Arc::clone(&self.server));
        Meter::new(self.object.clone(), terms, cluster, server, ACCEPTED_FOR)
    }

    fn look(&self, process: &mut Process, now: Timestamp) -> Looked {
        self.server.set_now(now);
        self.cluster.set_now(now);
        let looked = block_on(process.look(&self.accounts, now));
        self.cluster.judge();
        looked
    }

    /// Looks every hour from one second to another.
    fn look_hourly(&self, process: &mut Process, from: i64, until: i64) -> Looked {
        let mut looked = None;
        for second in (from..=until).step_by(3_600) {
            looked = Some(self.look(process, at(second)));
        }
        looked.expect("a look")
    }

    fn charged(&self, name: &str) -> Decimal {
        self.cluster.charged(&key(name))
    }
}

fn stalled(status: &UsageMeterStatus) -> (&str, &str) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == "Stalled").expect("Stalled");
    let reason = if condition.status == "True" { condition.reason.as_str() } else { "" };
    (reason, condition.message.as_str())
}

/// Returns a series with a sample each ten minutes from one second to another, and this usage at each.
fn steady(labels: &[(&str, &str)], from: i64, until: i64, usage: i64) -> SimulatedSeries {
    let mut series = SimulatedSeries::new(labels);
    for (number, second) in (from..=until).step_by(600).enumerate() {
        let count = i64::try_from(number).expect("a count") + 1;
        series.add(at(second), Decimal::from(usage * count), at(second));
    }
    series
}

/// A random series, with the usage that its samples show since the start.
fn random_series(random: &mut Random, org: &str, pod: usize, until: i64) -> SimulatedSeries {
    let model = random.pick(&["small", "large"]);
    let mut series = SimulatedSeries::new(&[("org", org), ("pod", &format!("pod-{pod}")), ("model", model)]);
    let interval = random.pick(&[60, 300, 900]);
    let mut second = if random.percent(50) { -2 * HOUR } else { random.between(0, until) };
    let end = if random.percent(60) { until } else { random.between(second, until.max(second)) };
    let (mut value, mut readable) = (Decimal::from(random.below(5_000)), i64::MIN);
    while second <= end {
        if random.chance(20) {
            value = Decimal::from(random.below(50));
        } else {
            value += Decimal::new(random.between(0, 9_999), 1);
        }
        // Samples of one series become readable in the order of their times.
        let late = if second > 0 && random.chance(15) { random.between(0, 10 * HOUR) } else { 0 };
        readable = readable.max(second + late);
        if !random.chance(30) {
            series.add(at(second), value, at(readable));
        }
        second += if random.chance(8) { random.between(interval, 30 * HOUR) } else { interval };
    }
    series
}

#[test]
fn what_is_charged_equals_the_increments_of_the_samples_in_1000_lives_with_faults() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed, 1);
        let names = ["acme", "beta"];
        // A series can be late by ten hours, and its reading is kept for a day. The rest lets all be reported.
        let until = random.between(24 * HOUR, 72 * HOUR);
        let end = until + 14 * HOUR;
        let mut series = Vec::new();
        for name in names {
            let count = random.index(5) + 1;
            series.extend((0..count).map(|pod| random_series(&mut random, name, pod, until)));
        }
        let expected: Vec<Decimal> = names.map(|name| truth(&series, name)).to_vec();
        let length = random.pick(&["15m", "1h", "6h"]);
        let object = meter(|object| {
            object["spec"]["window"] = json!({"length": length});
            object["spec"]["newSeriesLimit"] = json!(1_000_000_000);
        });
        let world = World::new(object, &names, series);
        let mut processes = [world.process(), world.process()];
        let mut second = 60;
        let mut down_until = 0;
        while second < end {
            let is_calm = second > until + 11 * HOUR;
            world.cluster.set_faults(if is_calm { 0 } else { 60 }, random.below(u64::MAX));
            if !is_calm && random.chance(30) {
                // The server or all meters are away, for up to a day.
                down_until = second + random.between(0, 24 * HOUR);
            }
            world.server.set_down(!is_calm && second < down_until && random.percent(50));
            if is_calm || second >= down_until || random.percent(50) {
                let process = random.index(2);
                world.look(&mut processes[process], at(second));
                if random.chance(50) {
                    processes[process] = world.process();
                }
                if random.chance(200) {
                    world.cluster.sweep();
                }
            }
            for (name, expected) in names.iter().zip(&expected) {
                let paid = world.charged(name);
                assert!(
                    paid <= *expected,
                    "seed {seed}: {name} paid {paid} of {expected} at {second}: {:#?}",
                    world.cluster.names()
                );
            }
            second += random.between(60, 100 * 60);
        }
        world.cluster.set_faults(0, 0);
        world.server.set_down(false);
        let mut last = world.process();
        let looked = world.look(&mut last, at(end));
        assert!(looked.is_complete, "seed {seed}: {:?}", looked.status);
        for (name, expected) in names.iter().zip(&expected) {
            assert_eq!(world.charged(name), *expected, "seed {seed}: {name}");
        }
    }
}

/// Returns what the samples of an account show since the start.
fn truth(series: &[SimulatedSeries], name: &str) -> Decimal {
    let own = series.iter().filter(|series| series.labels["org"] == name);
    own.map(|series| series.increments_since(start())).sum()
}

#[test]
fn existing_series_begin_at_their_last_sample_and_new_ones_at_zero() {
    let series = vec![
        steady(&[("org", "acme"), ("pod", "old")], -3 * HOUR, 5 * HOUR, 10),
        steady(&[("org", "acme"), ("pod", "new")], 1_200, 5 * HOUR, 7),
    ];
    let expected = truth(&series, "acme");
    // 30 intervals of the old one, and 29 samples of the new one with its first value.
    assert_eq!(expected, Decimal::from(30 * 10 + 29 * 7));
    let world = World::new(meter(|_| ()), &["acme"], series);
    let looked = world.look_hourly(&mut world.process(), 300, 7 * HOUR);
    assert_eq!(stalled(&looked.status).0, "", "{:?}", looked.status);
    assert_eq!(world.charged("acme"), expected);
    assert_eq!((looked.status.accounts, looked.status.series), (Some(1), Some(2)));
    let names = world.cluster.names();
    assert_eq!(names[0], "tokens.acme.20260301000000");
    assert_eq!(names[1], "tokens.acme.20260301010000");
}

#[test]
fn usage_of_an_unknown_account_is_shown_and_charged_nowhere() {
    let series = vec![
        steady(&[("org", "acme")], 0, 5 * HOUR, 10),
        steady(&[("org", "stranger")], 0, 5 * HOUR, 3),
        steady(&[], 0, 5 * HOUR, 1),
    ];
    let world = World::new(meter(|_| ()), &["acme"], series);
    let looked = world.look_hourly(&mut world.process(), 300, 7 * HOUR);
    let (reason, message) = stalled(&looked.status);
    assert_eq!(reason, "UnknownAccount");
    assert!(message.contains("'stranger' (90)") && message.contains("'(no label)' (30)"), "{message}");
    let unmatched: Vec<_> = looked.status.unmatched.iter().map(|usage| usage.value.as_str()).collect();
    assert_eq!(unmatched, ["stranger", "(no label)"]);
    assert_eq!(world.charged("acme"), truth(&[steady(&[("org", "acme")], 0, 5 * HOUR, 10)], "acme"));
}

#[test]
fn relabelled_series_wait_for_a_decision_and_other_accounts_do_not() {
    for (decision, further) in [("from-zero", 4 * HOUR / 600 * 2_000_000), ("from-first-sample", 0)] {
        let mut renamed = SimulatedSeries::new(&[("org", "acme"), ("job", "renamed")]);
        for second in (3 * HOUR + 600..=5 * HOUR).step_by(600) {
            renamed.add(at(second), Decimal::from(48_000_000 + second), at(second));
        }
        let series = vec![
            steady(&[("org", "acme"), ("job", "old")], -HOUR, 3 * HOUR, 10),
            renamed,
            steady(&[("org", "beta")], -HOUR, 5 * HOUR, 10),
        ];
        let increments = truth(&series[..1], "acme") + Decimal::from(2 * HOUR - 600);
        let mut world = World::new(meter(|_| ()), &["acme", "beta"], series);
        let mut process = world.process();
        let looked = world.look_hourly(&mut process, 300, 7 * HOUR);
        let (reason, message) = stalled(&looked.status);
        assert_eq!(reason, "SeriesReplaced", "{message}");
        assert!(message.contains("48012400") || message.contains("1 new series"), "{message}");
        assert_eq!((looked.held, world.charged("beta")), (1, Decimal::from(30 * 10)));
        let window = message.split(&format!("{NEW_SERIES}=")).nth(1).expect("a command");
        let window = window.split('=').next().expect("a window").to_owned();
        assert_eq!(window, "team-a/acme/20260301030000");
        world.object.metadata.annotations =
            Some(BTreeMap::from([(NEW_SERIES.to_owned(), format!("{window}={decision}"))]));
        let terms = Terms::of(&world.object).expect("terms");
        process.change(world.object.clone(), terms, Arc::clone(&world.server));
        let looked = world.look_hourly(&mut process, 8 * HOUR, 9 * HOUR);
        assert_eq!(stalled(&looked.status).0, "");
        let first = Decimal::from(48_000_000 + 3 * HOUR + 600);
        let expected = increments + if further == 0 { Decimal::ZERO } else { first };
        assert_eq!(world.charged("acme"), expected, "{decision}");
    }
}

#[test]
fn a_server_that_forgot_the_last_reading_is_reported_and_the_difference_charged() {
    let series = vec![steady(&[("org", "acme")], -HOUR, 20 * HOUR, 10)];
    let expected = truth(&series, "acme");
    let world = World::new(meter(|_| ()), &["acme"], series);
    let mut process = world.process();
    world.look_hourly(&mut process, 300, 3 * HOUR);
    world.server.forget_before(at(10 * HOUR));
    let looked = world.look(&mut process, at(10 * HOUR + 900));
    assert_eq!(stalled(&looked.status).0, "HistoryTooShort");
    let looked = world.look_hourly(&mut process, 11 * HOUR, 22 * HOUR);
    assert_eq!(stalled(&looked.status).0, "");
    assert_eq!(world.charged("acme"), expected);
}

#[test]
fn a_server_that_does_not_answer_or_refuses_is_reported_and_nothing_is_lost() {
    let series = vec![steady(&[("org", "acme")], -HOUR, 5 * HOUR, 10)];
    let expected = truth(&series, "acme");
    let world = World::new(meter(|_| ()), &["acme"], series);
    let mut process = world.process();
    world.server.set_down(true);
    let looked = world.look_hourly(&mut process, 300, 3 * HOUR);
    assert_eq!((stalled(&looked.status).0, looked.is_complete), ("SourceUnreachable", false));
    world.server.set_down(false);
    world.server.set_refusing(true);
    let looked = world.look_hourly(&mut process, 4 * HOUR, 6 * HOUR);
    assert_eq!((stalled(&looked.status).0, looked.is_complete), ("QueryFailed", false));
    world.server.set_refusing(false);
    let looked = world.look(&mut process, at(8 * HOUR));
    assert_eq!((stalled(&looked.status).0, looked.is_complete), ("", true));
    assert_eq!(world.charged("acme"), expected);
}

#[test]
fn clocks_that_differ_are_reported_and_windows_wait_for_the_earlier_one() {
    for ahead in [-HOUR, HOUR] {
        let series = vec![steady(&[("org", "acme")], -HOUR, 5 * HOUR, 10)];
        let expected = truth(&series, "acme");
        let world = World::new(meter(|_| ()), &["acme"], series);
        let mut process = world.process();
        world.server.set_ahead(ahead);
        let looked = world.look_hourly(&mut process, 300, 7 * HOUR);
        let (reason, message) = stalled(&looked.status);
        assert_eq!(reason, "ClockDiffers");
        assert!(message.contains(if ahead > 0 { "ahead of" } else { "behind" }), "{message}");
        assert_eq!(world.charged("acme"), expected, "{ahead}");
    }
}

#[test]
fn a_counter_that_disappears_is_reported_first_as_a_hint_and_after_a_day_as_a_reason_to_act() {
    let series = vec![steady(&[("org", "acme")], 0, 5 * HOUR, 10)];
    let world = World::new(meter(|_| ()), &["acme"], series);
    let mut process = world.process();
    let message = |looked: &Looked| looked.status.conditions[0].message.clone();
    let looked = world.look_hourly(&mut process, 300, 5 * HOUR);
    assert_eq!(
        (stalled(&looked.status).0, message(&looked).as_str()),
        ("", "Every window that is due is reported")
    );
    let looked = world.look_hourly(&mut process, 6 * HOUR, 13 * HOUR);
    assert_eq!(stalled(&looked.status).0, "");
    assert!(message(&looked).contains("No series of tokens_total{} has a sample in the last 6 hours"));
    let looked = world.look_hourly(&mut process, 14 * HOUR, 60 * HOUR);
    let (reason, message) = stalled(&looked.status);
    assert_eq!(reason, "CounterMissing", "{message}");
    assert!(message.contains("correct `spec.counter`"), "{message}");
}

#[test]
fn an_account_without_usage_gets_no_report_for_a_month_and_then_one_of_quantity_0() {
    let world = World::new(meter(|_| ()), &["acme"], vec![]);
    let mut process = world.process();
    let looked = world.look_hourly(&mut process, 300, 29 * 24 * HOUR);
    assert_eq!((world.cluster.names().len(), looked.status.accounts), (0, Some(0)));
    world.look_hourly(&mut process, 29 * 24 * HOUR, 31 * 24 * HOUR);
    assert_eq!(world.cluster.names(), ["tokens.acme.20260301000000"]);
}

#[test]
fn a_deleted_last_report_is_not_charged_again_and_the_meter_goes_on_from_the_ledger() {
    let series = vec![steady(&[("org", "acme")], -HOUR, 9 * HOUR, 10)];
    let expected = truth(&series, "acme");
    let world = World::new(meter(|_| ()), &["acme"], series);
    world.look_hourly(&mut world.process(), 300, 3 * HOUR + 300);
    let last = world.cluster.names().pop().expect("a report");
    world.cluster.delete(&last);
    let mut process = world.process();
    // Its window is reported again and refused, the verdict is read, and the next window is not due yet.
    for second in [320, 330, 340] {
        world.look(&mut process, at(3 * HOUR + second));
    }
    let looked = world.look_hourly(&mut process, 5 * HOUR, 11 * HOUR);
    assert_eq!(world.charged("acme"), expected, "{:?}", looked.status);
    assert!(looked.is_complete, "{:?}", looked.status);
}

#[test]
fn a_changed_selection_counts_from_the_change() {
    let series = vec![
        steady(&[("org", "acme"), ("type", "in")], -HOUR, 9 * HOUR, 10),
        steady(&[("org", "acme"), ("type", "out")], -HOUR, 9 * HOUR, 1),
    ];
    let world =
        World::new(meter(|object| object["spec"]["selector"] = json!("{type=\"in\"}")), &["acme"], series);
    let mut process = world.process();
    world.look_hourly(&mut process, 300, 4 * HOUR);
    let hours_before = world.charged("acme") / Decimal::from(60);
    let changed = meter(|object| object["spec"]["selector"] = json!("{type=\"out\"}"));
    let terms = Terms::of(&changed).expect("terms");
    process.change(changed, terms, Arc::clone(&world.server));
    world.look_hourly(&mut process, 5 * HOUR, 11 * HOUR);
    let total = hours_before * Decimal::from(60) + (Decimal::from(9) - hours_before) * Decimal::from(6);
    assert_eq!(world.charged("acme"), total);
}
