//! What a charge costs, by how many reports are due with it and how many wait beside it. The cost of one is to be the same
//! in all lines: it follows what is due.
//!
//! `cargo bench --package flashgate-ledger`

use std::collections::BTreeSet;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flashgate_ledger::catalog::{BillingPeriod, Catalog, Offer, PackPurchases, Plan, Policies, Rate};
use flashgate_ledger::decide::{ReportVerdict, Verdict, decide};
use flashgate_ledger::facts::{Asked, Facts, Renewal, Report, Request, Subscription, UsageTotal};
use flashgate_ledger::ledger::{Ledger, UNACKNOWLEDGED_LIMIT};
use flashgate_ledger::period::{Window, seconds_after};
use jiff::Timestamp;

/// Reports that are due, and reports that wait for the end of their window.
const CASES: [(usize, usize); 7] =
    [(1, 0), (100, 0), (1_000, 0), (20_000, 0), (1, 20_000), (100, 20_000), (20_000, 20_000)];

/// Sources that take turns, each with windows that follow one another.
const SOURCES: usize = 20;

const MINUTE: i64 = 60;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("time")
}

/// Late enough for all that is due, early enough for all that waits.
fn now() -> Timestamp {
    seconds_after(start(), 20 * 24 * 60 * MINUTE)
}

fn catalog() -> Catalog {
    let offer = Offer { credits: "89000".parse().expect("credits"), price: "1000".parse().expect("price") };
    Catalog {
        currency: "USD".to_owned(),
        rates: vec![Rate {
            node_type: "Public".to_owned(),
            operation: "StorageEgress".to_owned(),
            unit: "1G".parse().expect("unit"),
            credits: "10".parse().expect("credits"),
        }],
        plans: vec![Plan {
            name: "scale".to_owned(),
            display_name: "Scale".to_owned(),
            pack_purchases: PackPurchases::Allowed,
            lapses_to: None,
            monthly: Some(offer),
            yearly: None,
        }],
        packs: Vec::new(),
        policies: Policies::default(),
    }
}

/// A report of the `index`th window, counted from `from`.
fn report(index: usize, from: Timestamp) -> Report {
    let minutes = i64::try_from(index / SOURCES).expect("few");
    let start_time = seconds_after(from, minutes * MINUTE);
    let window = Window { start_time, end_time: seconds_after(start_time, MINUTE) };
    let quantity = "100M".parse().expect("quantity");
    Report {
        name: format!("gateway-{from}-{index:05}"),
        uid: format!("1f3a9c2e-8d5b-4f7a-9c3e-{from}-{index:05}"),
        arrival: window.end_time.min(now()),
        source: format!("gateway-{}", index % SOURCES),
        window,
        usage: vec![UsageTotal {
            node_type: "Public".to_owned(),
            operation: "StorageEgress".to_owned(),
            quantity,
            first_line: 0,
        }],
    }
}

/// An account in its first period, about which `due` and `waiting` reports are stated.
fn account(catalog: &Catalog, due: usize, waiting: usize) -> (Ledger, Facts) {
    let subscription = Subscription {
        uid: "5d1c".to_owned(),
        generation: 1,
        arrival: start(),
        request: Request {
            plan: "scale".to_owned(),
            billing_period: BillingPeriod::Monthly,
            renewal: Renewal::Automatic,
        },
        start_time: None,
        alert_thresholds_percent: None,
    };
    let mut facts = Facts {
        name: "acme".to_owned(),
        new_account_id: "1f3a9c2e".to_owned(),
        subscription: Some(subscription),
        asked: Asked::Only(BTreeSet::new()),
        ..Facts::default()
    };
    let begun = decide(None, &facts, catalog, start()).expect("invariants").commit.expect("a ledger");
    let shortly_ago = seconds_after(now(), -(i64::try_from(due / SOURCES).expect("few") + 1) * MINUTE);
    facts.reports.extend((0..due).map(|index| report(index, shortly_ago)));
    facts.reports.extend((0..waiting).map(|index| {
        let mut waits = report(index, now());
        waits.window.end_time = seconds_after(now(), MINUTE + i64::try_from(index).expect("few") % 3_000);
        waits
    }));
    (*begun, facts)
}

/// Returns how many reports one decision charges.
fn charge(catalog: &Catalog, ledger: &Ledger, facts: &Facts) -> usize {
    let decision = decide(Some(ledger), facts, catalog, now()).expect("invariants");
    let is_charged = |verdict: &&Verdict<ReportVerdict>| matches!(verdict.verdict, ReportVerdict::Charged(_));
    decision.reports.iter().filter(is_charged).count()
}

fn measure(criterion: &mut Criterion) {
    let catalog = catalog();
    let mut group = criterion.benchmark_group("charge");
    for (due, waiting) in CASES {
        let (ledger, facts) = account(&catalog, due, waiting);
        let charged = due.min(UNACKNOWLEDGED_LIMIT);
        assert_eq!(charge(&catalog, &ledger, &facts), charged, "one commit charges what it has room for");
        group.throughput(Throughput::Elements(charged.try_into().expect("few")));
        let case = BenchmarkId::new(format!("{due} due"), format!("{waiting} waiting"));
        group.bench_function(case, |bencher| bencher.iter(|| charge(&catalog, &ledger, &facts)));
    }
    group.finish();
}

criterion_group!(benches, measure);
criterion_main!(benches);
