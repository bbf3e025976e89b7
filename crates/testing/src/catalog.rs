//! The shipped catalog as values, without the parser; a test of the operator compares it with `shipped.yaml`.

use flashgate_ledger::catalog::{
    BillingPeriod, Catalog, GatePolicy, Offer, Pack, PackPurchases, PaymentMode, Plan, Policies, Rate,
};
use flashgate_ledger::facts::{Renewal, Request};

use crate::values::credits;

fn offer(amount: &str, price: &str) -> Offer {
    Offer { credits: credits(amount), price: credits(price) }
}

fn plan(name: &str, display_name: &str, monthly: Offer, yearly: Option<Offer>) -> Plan {
    let is_paid = yearly.is_some();
    Plan {
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        pack_purchases: if is_paid { PackPurchases::Allowed } else { PackPurchases::Refused },
        lapses_to: is_paid.then(|| "organization-free".to_owned()),
        overdraft: flashgate_ledger::Credits::ZERO,
        monthly: Some(monthly),
        yearly,
    }
}

fn pack(name: &str, display_name: &str, amount: &str, price: &str) -> Pack {
    Pack {
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        credits: credits(amount),
        price: credits(price),
        expires_after_days: None,
    }
}

fn rate(node_type: &str, operation: &str, unit: &str, amount: &str) -> Rate {
    Rate {
        node_type: node_type.to_owned(),
        operation: operation.to_owned(),
        unit: unit.parse().expect("unit"),
        credits: credits(amount),
    }
}

/// Returns the shipped catalog.
pub fn shipped() -> Catalog {
    Catalog {
        currency: "USD".to_owned(),
        rates: vec![
            rate("Public", "StorageEgress", "1G", "10"),
            rate("Public", "TokensOut", "1", "0.001"),
            rate("Private", "StorageEgress", "1G", "1"),
            rate("Private", "TokensOut", "1", "0.00005"),
        ],
        plans: vec![
            plan("individual", "Individual", offer("10", "0"), None),
            plan("organization-free", "Organization Free", offer("40", "0"), None),
            plan("starter", "Starter", offer("1100", "100"), Some(offer("15000", "1000"))),
            plan("growth", "Growth", offer("9500", "300"), Some(offer("130000", "3000"))),
            plan("scale", "Scale", offer("89000", "1000"), Some(offer("1125000", "10000"))),
        ],
        packs: vec![
            pack("plus-100", "+100 credits", "100", "20"),
            pack("plus-500", "+500 credits", "500", "50"),
            pack("plus-1000", "+1,000 credits", "1000", "100"),
        ],
        policies: Policies::default(),
    }
}

/// Returns the shipped catalog with payments by a payment agent.
pub fn external() -> Catalog {
    let mut catalog = shipped();
    catalog.policies.payments.mode = PaymentMode::External;
    catalog
}

/// Number of [`editions`].
pub const EDITIONS: usize = 6;

/// Returns the editions of the catalog that random scripts switch between. The first is in force at the start
/// (Law 20).
pub fn editions(mode: PaymentMode) -> [Catalog; EDITIONS] {
    let mut shipped = shipped();
    shipped.policies.payments.mode = mode;
    let mut week = shipped.packs[0].clone();
    "plus-week".clone_into(&mut week.name);
    week.expires_after_days = Some(7);
    shipped.packs.push(week);
    let edited = |edit: fn(&mut Catalog)| {
        let mut edition = shipped.clone();
        edit(&mut edition);
        edition
    };
    [
        shipped.clone(),
        edited(|dearer| {
            for offer in
                dearer.plans.iter_mut().flat_map(|plan| [&mut plan.monthly, &mut plan.yearly]).flatten()
            {
                offer.price = offer.price.checked_add(offer.price).expect("price");
                offer.credits = offer.credits.checked_add(credits("1")).expect("credits");
            }
            for rate in &mut dearer.rates {
                rate.credits = rate.credits.checked_add(rate.credits).expect("rate");
            }
            for pack in &mut dearer.packs {
                pack.credits = pack.credits.checked_add(credits("7")).expect("credits");
                pack.expires_after_days = Some(40);
            }
            dearer.policies.pack_limit.max = 5;
            dearer.plans[2].overdraft = credits("30");
            dearer.policies.gate = GatePolicy { grace_seconds: 1_800, cache_seconds: 30 };
        }),
        edited(|fewer| {
            fewer.plans.retain(|plan| plan.name != "starter");
            fewer.packs.retain(|pack| pack.name != "plus-500");
            fewer.rates.retain(|rate| rate.node_type != "Private");
            fewer.policies.pack_limit.max = 1;
        }),
        edited(|more| {
            let mut platinum = more.plans[2].clone();
            "platinum".clone_into(&mut platinum.name);
            platinum.yearly = None;
            more.plans.push(platinum);
            more.plans[3].yearly = None;
            more.plans[4].lapses_to = None;
        }),
        edited(|reordered| {
            reordered.plans.swap(2, 3);
            reordered.plans[0].pack_purchases = PackPurchases::Allowed;
            reordered.plans[4].pack_purchases = PackPurchases::Refused;
            reordered.plans[3].lapses_to = Some("individual".to_owned());
        }),
        edited(|fewest| fewest.plans.truncate(1)),
    ]
}

/// Returns the request for `plan` by the month with automatic renewal.
pub fn monthly(plan: &str) -> Request {
    Request { plan: plan.to_owned(), billing_period: BillingPeriod::Monthly, renewal: Renewal::Automatic }
}

/// Returns the request for `plan` by the year with automatic renewal.
pub fn yearly(plan: &str) -> Request {
    Request { billing_period: BillingPeriod::Yearly, ..monthly(plan) }
}

/// Returns the request for `plan` by the month without renewal.
pub fn without_renewal(plan: &str) -> Request {
    Request { renewal: Renewal::None, ..monthly(plan) }
}
