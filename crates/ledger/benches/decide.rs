//! Measures the cost of a charge. The group `charge` varies the numbers of due and pending reports; each line
//! should show the same cost for one report. The group `grants` varies the number of open grants.
//!
//! `cargo bench --package flashgate-ledger --bench decide`

use std::collections::BTreeSet;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flashgate_ledger::catalog::{BillingPeriod, Catalog, Offer, Pack, PackPurchases, Plan, Policies, Rate};
use flashgate_ledger::decide::{ReportVerdict, Verdict, decide};
use flashgate_ledger::facts::{
    Adjustment, Asked, Facts, PackOrder, Renewal, Report, Request, Subscription, UsageTotal,
};
use flashgate_ledger::ledger::{Ledger, UNACKNOWLEDGED_LIMIT};
use flashgate_ledger::period::{Window, seconds_after};
use jiff::Timestamp;

/// Reports that are due, and reports that wait for the end of their window.
const CASES: [(usize, usize); 7] =
    [(1, 0), (100, 0), (1_000, 0), (20_000, 0), (1, 20_000), (100, 20_000), (20_000, 20_000)];

/// Open grants, including the plan's. An order is refused if 56 are open (Law 26).
const GRANTS: [usize; 4] = [1, 4, 16, 56];

/// Days before [`now`] in which the account of the group `grants` got its grants.
const DAYS: i64 = 400;

const DAY: i64 = 24 * 60 * MINUTE;

/// Number of sources. They alternate, and the windows of each are consecutive.
const SOURCES: usize = 20;

const MINUTE: i64 = 60;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("time")
}

/// An instant after the windows of all due reports and before the end of all other windows.
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
            overdraft: flashgate_ledger::Credits::ZERO,
            lapses_to: None,
            monthly: Some(offer),
            yearly: None,
        }],
        packs: vec![Pack {
            name: "top-up".to_owned(),
            display_name: "Top-up".to_owned(),
            credits: "1000".parse().expect("credits"),
            price: "10".parse().expect("price"),
            expires_after_days: Some(800),
        }],
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

/// An account that exists from `arrival`, without other facts.
fn subscribed(arrival: Timestamp) -> Facts {
    let subscription = Subscription {
        uid: "5d1c".to_owned(),
        generation: 1,
        arrival,
        request: Request {
            plan: "scale".to_owned(),
            billing_period: BillingPeriod::Monthly,
            renewal: Renewal::Automatic,
        },
        start_time: None,
        alert_thresholds_percent: None,
        billing_details: None,
    };
    Facts {
        name: "acme".to_owned(),
        new_account_id: "1f3a9c2e".to_owned(),
        subscription: Some(subscription),
        asked: Asked::Only(BTreeSet::new()),
        ..Facts::default()
    }
}

/// Returns an account in its first period, with `due` due and `waiting` pending reports.
fn account(catalog: &Catalog, due: usize, waiting: usize) -> (Ledger, Facts) {
    let mut facts = subscribed(start());
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

/// Returns an account with `grants` open grants and one due report. Adjustments and packs alternate, evenly
/// over [`DAYS`]; each expires 800 days later.
fn account_with_grants(catalog: &Catalog, grants: usize) -> (Ledger, Facts) {
    let begin = seconds_after(now(), -DAYS * DAY);
    let mut facts = subscribed(begin);
    let orders = i64::try_from(grants - 1).expect("few");
    let mut ledger = decide(None, &facts, catalog, begin).expect("invariants").commit.expect("a ledger");
    for index in 0..orders {
        let arrival = seconds_after(begin, (index + 1) * (DAYS - 1) * DAY / orders);
        let (name, uid) = (format!("march-top-up-{index:02}"), format!("8b1c-{index:02}"));
        (facts.packs, facts.adjustments) = (Vec::new(), Vec::new());
        if index % 2 == 0 {
            facts.adjustments.push(Adjustment {
                name,
                uid,
                arrival,
                credits: "1000".parse().expect("credits"),
                reason: "goodwill".to_owned(),
                expiration_time: Some(seconds_after(arrival, 800 * DAY)),
            });
        } else {
            facts.packs.push(PackOrder { name, uid, arrival, pack: "top-up".to_owned() });
        }
        ledger =
            decide(Some(&*ledger), &facts, catalog, arrival).expect("invariants").commit.expect("a ledger");
    }
    let mut facts = subscribed(begin);
    let shortly_ago = seconds_after(now(), -MINUTE);
    if let Some(renewed) = decide(Some(&*ledger), &facts, catalog, shortly_ago).expect("invariants").commit {
        ledger = renewed;
    }
    assert_eq!(ledger.grants.len(), grants, "every order was granted");
    facts.reports.extend([report(0, shortly_ago)]);
    (*ledger, facts)
}

/// Returns the number of reports that one decision charges.
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

fn measure_grants(criterion: &mut Criterion) {
    let catalog = catalog();
    let mut group = criterion.benchmark_group("grants");
    for grants in GRANTS {
        let (ledger, facts) = account_with_grants(&catalog, grants);
        assert_eq!(charge(&catalog, &ledger, &facts), 1, "the report is charged");
        let case = BenchmarkId::from_parameter(grants);
        group.bench_function(case, |bencher| bencher.iter(|| charge(&catalog, &ledger, &facts)));
    }
    group.finish();
}

criterion_group!(benches, measure, measure_grants);
criterion_main!(benches);
