//! The most extreme actions of users, administrators and payment agents that admission accepts.

use flashgate_api as api;
use flashgate_billing::catalog::shipped;
use flashgate_ledger::catalog::{BillingPeriod, Catalog, Offer, PackPurchases, PaymentMode, Plan, Rate};
use flashgate_ledger::facts::{
    Adjustment, PackOrder, Payment, PaymentState, Renewal, Report, Request, Subscription, UsageTotal,
};
use flashgate_ledger::invoice::Invoice;
use flashgate_ledger::period::{Window, seconds_after};
use flashgate_ledger::{Credits, Quantity};
use flashgate_testing::Random;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bounds::run::Run;

/// Maximum number of actions in a run.
pub const MAX_ACTIONS: i64 = 10;

fn credits(text: &str) -> Credits {
    text.parse().expect("an amount")
}

/// Returns a name of `length` characters that begins with `kind` and ends with `index`.
fn long_name(kind: &str, index: usize, length: usize) -> String {
    let index = index.to_string();
    format!("{kind}{}{index}", "x".repeat(length.saturating_sub(kind.len() + index.len())))
}

/// Returns a random number of objects: usually few, sometimes hundreds.
fn random_count(run: &mut Run<'_>) -> i64 {
    run.random.pick(&[1, 1, 2, 5, 20, 20, 60, 300])
}

/// Returns a catalog: the shipped one, or one of the largest that are valid.
pub fn catalog(random: &mut Random) -> Catalog {
    let mut catalog = shipped();
    let edition = random.index(1_000);
    if random.chance(400) {
        catalog.rates = rates(random, edition);
    }
    if random.chance(400) {
        let offer = |amount: &str, price: usize| Offer {
            credits: credits(amount),
            price: credits(&price.to_string()),
        };
        let amount = random.pick(&["0", "0.000000001", "10", "1000000000000"]);
        let plans = random.pick(&[3, 80, 256]);
        catalog.plans = (0..plans)
            .map(|index| Plan {
                name: long_name("p", index, 63),
                display_name: "plan".to_owned(),
                pack_purchases: PackPurchases::Allowed,
                overdraft: Credits::ZERO,
                lapses_to: (index > 0).then(|| long_name("p", 0, 63)),
                monthly: Some(offer(amount, index)),
                yearly: Some(offer(amount, index * 10)),
            })
            .collect();
    }
    if random.chance(300) {
        let packs = (0..253).map(|index| {
            let mut pack = catalog.packs[0].clone();
            pack.name = long_name("p", index, 63);
            pack.price = Credits::ZERO;
            pack
        });
        let packs: Vec<_> = packs.collect();
        catalog.packs.extend(packs);
    }
    let policies = &mut catalog.policies;
    policies.pack_limit.max = random.pick(&[3, 1_000, 1_000]);
    policies.settlement_grace_seconds = random.pick(&[0, 7_200, 10_000_000]);
    policies.accept_usage_for_seconds = random.pick(&[60, 3_024_000, 100_000_000]);
    policies.payments.mode = random.pick(&[PaymentMode::Internal, PaymentMode::External]);
    policies.payments.due_within_seconds = random.pick(&[60, 259_200, 2_419_199]);
    catalog
}

/// Returns the rates of one edition of a catalog. Each edition has its own names.
fn rates(random: &mut Random, edition: usize) -> Vec<Rate> {
    let credits = credits(random.pick(&["0", "0.000000001", "1", "1000000000000"]));
    let count = random.pick(&[1, 256]);
    let rate = |index| Rate {
        node_type: long_name("N", edition, 63),
        operation: long_name("O", index, 63),
        unit: "1P".parse().expect("a unit"),
        credits,
    };
    (0..count).map(rate).collect()
}

fn parsed<T: DeserializeOwned>(spec: Value) -> T {
    serde_json::from_value(spec).expect("a spec")
}

pub fn subscription_spec() -> api::SubscriptionSpec {
    parsed(json!({ "plan": "starter" }))
}

pub fn report_spec() -> api::UsageReportSpec {
    let window = json!({ "startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00Z" });
    let usage = json!([{ "nodeType": "Public", "operation": "TokensOut", "quantity": "1" }]);
    parsed(json!({ "subscriptionRef": { "name": "acme" }, "source": "gw", "window": window, "usage": usage }))
}

pub fn pack_spec() -> api::CreditPackSpec {
    parsed(json!({ "subscriptionRef": { "name": "acme" }, "pack": "plus-100" }))
}

pub fn payment_spec() -> api::PaymentSpec {
    parsed(json!({
        "subscriptionRef": { "name": "acme" }, "invoice": "acme-1f3a9c2e-0001", "state": "Settled", "amount": "1",
        "currency": "USD",
    }))
}

pub fn adjustment_spec() -> api::CreditAdjustmentSpec {
    parsed(json!({ "subscriptionRef": { "name": "acme" }, "credits": "1", "reason": "outage" }))
}

/// Creates the Subscription.
pub fn subscribe(run: &mut Run<'_>) {
    run.objects += 1;
    let request = Request {
        plan: any_plan(run),
        billing_period: run.random.pick(&[BillingPeriod::Monthly, BillingPeriod::Yearly]),
        renewal: Renewal::Automatic,
    };
    run.facts.subscription = Some(Subscription {
        uid: format!("subscription-{}", run.objects),
        generation: 1,
        arrival: run.now,
        request,
        start_time: None,
        alert_thresholds_percent: None,
        billing_details: None,
    });
}

fn any_plan(run: &mut Run<'_>) -> String {
    let index = run.random.index(run.catalog.plans.len() + 1);
    run.catalog.plans.get(index).map_or_else(|| "none".to_owned(), |plan| plan.name.clone())
}

/// Performs a random action.
pub fn act(run: &mut Run<'_>) -> Result<(), String> {
    match run.random.index(14) {
        0 | 1 => report_large_usage(run),
        2 | 3 => report_many(run),
        4 => edit(run, |run, subscription| {
            let first = u32::try_from(run.random.below(900)).unwrap_or(1) + 1;
            subscription.alert_thresholds_percent = Some((first..first + 10).collect());
        }),
        5 | 6 => return upgrade_repeatedly(run),
        7 => order_many(run),
        8 | 9 => adjust_many(run),
        10 | 11 => report_payments(run),
        12 => run.catalog = catalog(&mut run.random),
        _ => match run.random.index(3) {
            0 if run.facts.subscription.is_some() => run.facts.subscription = None,
            0 | 1 => run.confirms_receipts = !run.confirms_receipts,
            _ => edit(run, |run, subscription| {
                subscription.request.renewal = run.random.pick(&[Renewal::None, Renewal::Automatic]);
            }),
        },
    }
    if run.facts.subscription.is_none() && run.random.chance(500) {
        subscribe(run);
    }
    Ok(())
}

fn edit(run: &mut Run<'_>, edit: impl FnOnce(&mut Run<'_>, &mut Subscription)) {
    if let Some(mut subscription) = run.facts.subscription.take() {
        edit(run, &mut subscription);
        subscription.generation += 1;
        run.facts.subscription = Some(subscription);
    }
}

/// Requests one plan after another, in ascending order.
fn upgrade_repeatedly(run: &mut Run<'_>) -> Result<(), String> {
    let plans: Vec<String> = run.catalog.plans.iter().map(|plan| plan.name.clone()).collect();
    let from = run.random.index(plans.len());
    let steps = run.random.pick(&[1, 2, 4, 80]);
    for plan in plans.into_iter().skip(from).take(steps) {
        edit(run, |run, subscription| {
            subscription.request.plan = plan;
            subscription.request.billing_period =
                run.random.pick(&[BillingPeriod::Monthly, BillingPeriod::Yearly]);
        });
        run.settle()?;
    }
    Ok(())
}

fn add_report(run: &mut Run<'_>, source: &str, window: Window, usage: Vec<UsageTotal>) {
    run.objects += 1;
    let name = long_name("r", run.objects, 253);
    let (uid, arrival) = (format!("uid-{}", run.objects), run.now);
    let source = source.to_owned();
    run.facts.reports.insert(Report { name, uid, arrival, source, window, usage });
}

/// Reports as much as a report can hold: 1,000 lines of 10^15 of one rate, or one line for each rate.
fn report_large_usage(run: &mut Run<'_>) {
    for _ in 0..run.random.between(1, 6) {
        let most = Quantity::sum((0..1_000).map(|_| Quantity::LINE_LIMIT)).unwrap_or(Quantity::LINE_LIMIT);
        let quantity = run.random.pick(&[most, Quantity::LINE_LIMIT, Quantity::ZERO]);
        let count = run.random.pick(&[1, 256]);
        let total = |(first_line, rate): (usize, &Rate)| UsageTotal {
            node_type: rate.node_type.clone(),
            operation: rate.operation.clone(),
            quantity,
            first_line,
        };
        let usage = run.catalog.rates.iter().take(count).enumerate().map(total).collect();
        let end_time = seconds_after(run.now, -run.random.between(0, 3_000_000));
        let window = Window { start_time: seconds_after(end_time, -run.random.between(1, 3_600)), end_time };
        let source = long_name("s", run.random.index(2_000), 63);
        add_report(run, &source, window, usage);
    }
}

/// Reports many short windows with gaps, from one source or from many.
fn report_many(run: &mut Run<'_>) {
    let Some(rate) = run.catalog.rates.first().cloned() else { return };
    let is_one = run.random.chance(500);
    let begin = seconds_after(run.now, -run.random.between(20_000, 2_000_000));
    for index in 0..random_count(run) {
        let usage = vec![UsageTotal {
            node_type: rate.node_type.clone(),
            operation: rate.operation.clone(),
            quantity: Quantity::LINE_LIMIT,
            first_line: 0,
        }];
        let start_time = seconds_after(begin, index * 60);
        let window = Window { start_time, end_time: seconds_after(start_time, 30) };
        let source = long_name("s", if is_one { 0 } else { run.random.index(5_000) }, 63);
        add_report(run, &source, window, usage);
    }
}

fn order_many(run: &mut Run<'_>) {
    for _ in 0..random_count(run) {
        run.objects += 1;
        let index = run.random.index(run.catalog.packs.len() + 1);
        let pack =
            run.catalog.packs.get(index).map_or_else(|| long_name("n", 0, 63), |pack| pack.name.clone());
        let name = long_name("o", run.objects, 253);
        let uid = format!("uid-{}", run.objects);
        run.facts.packs.push(PackOrder { name, uid, arrival: run.now, pack });
    }
}

fn adjust_many(run: &mut Run<'_>) {
    let amount = run.random.pick(&["0.000000001", "1", "999999999999999.999999999"]);
    let expires = run.random.pick(&[None, Some(3_600), Some(-1), Some(90_000)]);
    for _ in 0..random_count(run) {
        run.objects += 1;
        run.facts.adjustments.push(Adjustment {
            name: long_name("a", run.objects, 253),
            uid: format!("uid-{}", run.objects),
            arrival: run.now,
            credits: credits(amount),
            reason: "outage".to_owned(),
            expiration_time: expires.map(|seconds| seconds_after(run.now, seconds)),
        });
    }
}

/// Reports payments of the latest invoices, and of an invoice that does not exist.
fn report_payments(run: &mut Run<'_>) {
    let invoices: Vec<(String, Invoice)> = run
        .ledger
        .iter()
        .flat_map(|ledger| {
            ledger.invoices.iter().rev().take(200).map(move |invoice| (ledger, invoice.clone()))
        })
        .map(|(ledger, invoice)| (ledger.invoice_name(invoice.number), invoice))
        .collect();
    let states = [
        PaymentState::Settled,
        PaymentState::Settled,
        PaymentState::Failed,
        PaymentState::Failed,
        PaymentState::Cancelled,
        PaymentState::Refunded,
    ];
    let state = run.random.pick(&states);
    for _ in 0..random_count(run) {
        run.objects += 1;
        let known = invoices.get(run.random.index(invoices.len() + 1));
        let invoice = known.map_or_else(|| long_name("i", 0, 300), |(name, _)| name.clone());
        run.facts.payments.push(Payment {
            name: long_name("y", run.objects, 253),
            uid: format!("uid-{}", run.objects),
            arrival: run.now,
            invoice,
            state,
            amount: known.map_or(credits("1"), |(_, invoice)| invoice.amount),
            currency: "USD".to_owned(),
        });
    }
}
