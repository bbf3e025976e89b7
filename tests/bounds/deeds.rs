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

use crate::bounds::life::Life;

/// Most deeds of a life.
pub const DEEDS: i64 = 10;

fn credits(text: &str) -> Credits {
    text.parse().expect("an amount")
}

/// Some name of `length` characters that begins with `kind` and ends with `index`.
fn long_name(kind: &str, index: usize, length: usize) -> String {
    let index = index.to_string();
    format!("{kind}{}{index}", "x".repeat(length.saturating_sub(kind.len() + index.len())))
}

/// How many objects of a kind come at once: few mostly, now and then hundreds.
fn many(life: &mut Life<'_>) -> i64 {
    life.random.pick(&[1, 1, 2, 5, 20, 20, 60, 300])
}

/// A catalog, as small as the shipped one or as large as one may be.
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

/// Rates of one edition of a catalog, with names of their own.
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
pub fn subscribe(life: &mut Life<'_>) {
    life.objects += 1;
    let request = Request {
        plan: any_plan(life),
        billing_period: life.random.pick(&[BillingPeriod::Monthly, BillingPeriod::Yearly]),
        renewal: Renewal::Automatic,
    };
    life.facts.subscription = Some(Subscription {
        uid: format!("subscription-{}", life.objects),
        generation: 1,
        arrival: life.now,
        request,
        start_time: None,
        alert_thresholds_percent: None,
    });
}

fn any_plan(life: &mut Life<'_>) -> String {
    let index = life.random.index(life.catalog.plans.len() + 1);
    life.catalog.plans.get(index).map_or_else(|| "none".to_owned(), |plan| plan.name.clone())
}

/// Does something extreme.
pub fn deed(life: &mut Life<'_>) -> Result<(), String> {
    match life.random.index(14) {
        0 | 1 => report_the_most(life),
        2 | 3 => report_many(life),
        4 => edit(life, |life, subscription| {
            let first = u32::try_from(life.random.below(900)).unwrap_or(1) + 1;
            subscription.alert_thresholds_percent = Some((first..first + 10).collect());
        }),
        5 | 6 => return climb(life),
        7 => order_many(life),
        8 | 9 => adjust_many(life),
        10 | 11 => pay_many(life),
        12 => life.catalog = catalog(&mut life.random),
        _ => match life.random.index(3) {
            0 if life.facts.subscription.is_some() => life.facts.subscription = None,
            0 | 1 => life.acknowledges = !life.acknowledges,
            _ => edit(life, |life, subscription| {
                subscription.request.renewal = life.random.pick(&[Renewal::None, Renewal::Automatic]);
            }),
        },
    }
    if life.facts.subscription.is_none() && life.random.chance(500) {
        subscribe(life);
    }
    Ok(())
}

fn edit(life: &mut Life<'_>, edit: impl FnOnce(&mut Life<'_>, &mut Subscription)) {
    if let Some(mut subscription) = life.facts.subscription.take() {
        edit(life, &mut subscription);
        subscription.generation += 1;
        life.facts.subscription = Some(subscription);
    }
}

/// Asks for one plan after the other, upwards.
fn climb(life: &mut Life<'_>) -> Result<(), String> {
    let plans: Vec<String> = life.catalog.plans.iter().map(|plan| plan.name.clone()).collect();
    let from = life.random.index(plans.len());
    let steps = life.random.pick(&[1, 2, 4, 80]);
    for plan in plans.into_iter().skip(from).take(steps) {
        edit(life, |life, subscription| {
            subscription.request.plan = plan;
            subscription.request.billing_period =
                life.random.pick(&[BillingPeriod::Monthly, BillingPeriod::Yearly]);
        });
        life.settle()?;
    }
    Ok(())
}

fn state_report(life: &mut Life<'_>, source: &str, window: Window, usage: Vec<UsageTotal>) {
    life.objects += 1;
    let name = long_name("r", life.objects, 253);
    let (uid, arrival) = (format!("uid-{}", life.objects), life.now);
    let source = source.to_owned();
    life.facts.reports.insert(Report { name, uid, arrival, source, window, usage });
}

/// Reports as much as a report can hold: 1,000 lines of 10^15 of one rate, or lines of every rate.
fn report_the_most(life: &mut Life<'_>) {
    for _ in 0..life.random.between(1, 6) {
        let most = Quantity::sum((0..1_000).map(|_| Quantity::LINE_LIMIT)).unwrap_or(Quantity::LINE_LIMIT);
        let quantity = life.random.pick(&[most, Quantity::LINE_LIMIT, Quantity::ZERO]);
        let count = life.random.pick(&[1, 256]);
        let total = |(first_line, rate): (usize, &Rate)| UsageTotal {
            node_type: rate.node_type.clone(),
            operation: rate.operation.clone(),
            quantity,
            first_line,
        };
        let usage = life.catalog.rates.iter().take(count).enumerate().map(total).collect();
        let end_time = seconds_after(life.now, -life.random.between(0, 3_000_000));
        let window = Window { start_time: seconds_after(end_time, -life.random.between(1, 3_600)), end_time };
        let source = long_name("s", life.random.index(2_000), 63);
        state_report(life, &source, window, usage);
    }
}

/// Reports many short windows with gaps, of one source or of as many.
fn report_many(life: &mut Life<'_>) {
    let Some(rate) = life.catalog.rates.first().cloned() else { return };
    let is_one = life.random.chance(500);
    let begin = seconds_after(life.now, -life.random.between(20_000, 2_000_000));
    for index in 0..many(life) {
        let usage = vec![UsageTotal {
            node_type: rate.node_type.clone(),
            operation: rate.operation.clone(),
            quantity: Quantity::LINE_LIMIT,
            first_line: 0,
        }];
        let start_time = seconds_after(begin, index * 60);
        let window = Window { start_time, end_time: seconds_after(start_time, 30) };
        let source = long_name("s", if is_one { 0 } else { life.random.index(5_000) }, 63);
        state_report(life, &source, window, usage);
    }
}

fn order_many(life: &mut Life<'_>) {
    for _ in 0..many(life) {
        life.objects += 1;
        let index = life.random.index(life.catalog.packs.len() + 1);
        let pack =
            life.catalog.packs.get(index).map_or_else(|| long_name("n", 0, 63), |pack| pack.name.clone());
        let name = long_name("o", life.objects, 253);
        let uid = format!("uid-{}", life.objects);
        life.facts.packs.push(PackOrder { name, uid, arrival: life.now, pack });
    }
}

fn adjust_many(life: &mut Life<'_>) {
    let amount = life.random.pick(&["0.000000001", "1", "999999999999999.999999999"]);
    let expires = life.random.pick(&[None, Some(3_600), Some(-1), Some(90_000)]);
    for _ in 0..many(life) {
        life.objects += 1;
        life.facts.adjustments.push(Adjustment {
            name: long_name("a", life.objects, 253),
            uid: format!("uid-{}", life.objects),
            arrival: life.now,
            credits: credits(amount),
            reason: "outage".to_owned(),
            expiration_time: expires.map(|seconds| seconds_after(life.now, seconds)),
        });
    }
}

/// Reports payments of the last invoices, and of none.
fn pay_many(life: &mut Life<'_>) {
    let invoices: Vec<(String, Invoice)> = life
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
    let state = life.random.pick(&states);
    for _ in 0..many(life) {
        life.objects += 1;
        let known = invoices.get(life.random.index(invoices.len() + 1));
        let invoice = known.map_or_else(|| long_name("i", 0, 300), |(name, _)| name.clone());
        life.facts.payments.push(Payment {
            name: long_name("y", life.objects, 253),
            uid: format!("uid-{}", life.objects),
            arrival: life.now,
            invoice,
            state,
            amount: known.map_or(credits("1"), |(_, invoice)| invoice.amount),
            currency: "USD".to_owned(),
        });
    }
}
