//! The words and ids of the published API for plans, billing periods and rates of the catalog.

use flashgate_ledger::catalog::{BillingPeriod, Catalog, Offer, PackPurchases, Plan, Rate};
use flashgate_ledger::rating;
use flashgate_ledger::{Credits, Quantity};
use serde::Serialize;
use utoipa::ToSchema;

/// Operation whose unit is the byte.
pub const STORAGE_EGRESS: &str = "StorageEgress";

/// Operation whose unit is the token.
pub const TOKENS_OUT: &str = "TokensOut";

/// Length of a billing period, in the words of the published API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PeriodType {
    /// One month.
    Monthly,
    /// Twelve months.
    Yearly,
}

impl From<BillingPeriod> for PeriodType {
    fn from(billing_period: BillingPeriod) -> Self {
        match billing_period {
            BillingPeriod::Monthly => Self::Monthly,
            BillingPeriod::Yearly => Self::Yearly,
        }
    }
}

/// The lengths of billing periods.
pub const BILLING_PERIODS: [BillingPeriod; 2] = [BillingPeriod::Monthly, BillingPeriod::Yearly];

/// Returns the id of a plan's billing period, such as `starter-monthly`.
#[must_use]
pub fn period_id(plan: &str, billing_period: BillingPeriod) -> String {
    format!("{plan}-{}", billing_period.as_str().to_lowercase())
}

/// Returns the plan and billing period with this id that the catalog offers.
#[must_use]
pub fn offered<'a>(catalog: &'a Catalog, id: &str) -> Option<(&'a Plan, BillingPeriod, Offer)> {
    let (plan, period) = id.rsplit_once('-')?;
    let named = |billing_period: &BillingPeriod| billing_period.as_str().to_lowercase() == period;
    let billing_period = BILLING_PERIODS.into_iter().find(named)?;
    let (_, plan) = catalog.plan(plan)?;
    Some((plan, billing_period, plan.offer(billing_period)?))
}

/// Returns the display name of a plan, or its name if the catalog no longer has it.
#[must_use]
pub fn plan_name(catalog: &Catalog, plan: &str) -> String {
    catalog.plan(plan).map_or_else(|| plan.to_owned(), |(_, plan)| plan.display_name.clone())
}

/// Returns the display name of a pack, or its name if the catalog no longer has it.
#[must_use]
pub fn pack_name(catalog: &Catalog, pack: &str) -> String {
    catalog.pack(pack).map_or_else(|| pack.to_owned(), |pack| pack.display_name.clone())
}

/// Returns a description of a plan in one sentence. It is empty if the catalog no longer has the plan.
#[must_use]
pub fn plan_description(catalog: &Catalog, plan: &str) -> String {
    catalog.plan(plan).map(|(_, plan)| describe(plan)).unwrap_or_default()
}

fn describe(plan: &Plan) -> String {
    let offer = |billing_period: BillingPeriod, unit: &str| {
        plan.offer(billing_period).map(|offer| format!("{} credits a {unit}", offer.credits))
    };
    let offers = [offer(BillingPeriod::Monthly, "month"), offer(BillingPeriod::Yearly, "year")];
    let offers: Vec<String> = offers.into_iter().flatten().collect();
    let packs = match plan.pack_purchases {
        PackPurchases::Allowed => "; packs can be bought",
        PackPurchases::Refused => "",
    };
    format!("{}{packs}", offers.join(" or "))
}

/// A rate in the words of the published API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateWords {
    /// Identifier.
    pub id: String,
    /// Type of the node, such as `Public Node`.
    pub node: String,
    /// Code of it, such as `PUBLIC_NODE`.
    pub node_code: String,
    /// Concept, such as `Per GB Egress`.
    pub concept: String,
    /// Code of it, such as `PER_GB_EGRESS`.
    pub concept_code: String,
    /// Unit, such as `GB`. Absent for an operation that the published API does not have.
    pub unit: Option<&'static str>,
    /// Number of base units in that unit.
    base_units: u64,
}

impl RateWords {
    /// Returns the words for an operation on a node type.
    #[must_use]
    pub fn of(node_type: &str, operation: &str) -> Self {
        let (concept, concept_code, unit, base_units) = match operation {
            STORAGE_EGRESS => {
                ("Per GB Egress".to_owned(), "PER_GB_EGRESS".to_owned(), Some("GB"), 1_000_000_000)
            }
            TOKENS_OUT => {
                ("Per 1M LLM Tokens".to_owned(), "PER_1M_TOKENS".to_owned(), Some("1M tokens"), 1_000_000)
            }
            other => {
                (format!("Per Unit {}", spaced(other)), format!("PER_UNIT_{}", upper_snake(other)), None, 1)
            }
        };
        let id = format!("{}-{}", upper_snake(node_type), upper_snake(operation));
        Self {
            id: id.to_lowercase().replace('_', "-"),
            node: format!("{} Node", spaced(node_type)),
            node_code: format!("{}_NODE", upper_snake(node_type)),
            concept,
            concept_code,
            unit,
            base_units,
        }
    }

    /// Returns the credits for one unit at a rate of the catalog. It is absent if they exceed the exact range.
    #[must_use]
    pub fn rate(&self, rate: &Rate) -> Option<Credits> {
        let quantity: Quantity = self.base_units.to_string().parse().ok()?;
        rating::rate(quantity, rate).ok()
    }
}

/// Returns a name such as `StorageEgress` as separate words.
#[must_use]
pub fn spaced(name: &str) -> String {
    let mut words = String::with_capacity(name.len());
    for (index, letter) in name.char_indices() {
        if index > 0
            && letter.is_ascii_uppercase()
            && !words.ends_with(|last: char| last.is_ascii_uppercase())
        {
            words.push(' ');
        }
        words.push(letter);
    }
    words
}

/// Returns a name such as `StorageEgress` as `STORAGE_EGRESS`.
fn upper_snake(name: &str) -> String {
    spaced(name).to_uppercase().replace(' ', "_")
}

#[cfg(test)]
mod tests {
    use flashgate_testing::catalog::shipped;

    use super::*;

    #[test]
    fn every_offer_of_the_catalog_has_an_id_that_leads_back_to_it() {
        let catalog = shipped();
        let mut ids = Vec::new();
        for plan in &catalog.plans {
            for billing_period in BILLING_PERIODS {
                let id = period_id(&plan.name, billing_period);
                let found =
                    offered(&catalog, &id).map(|(plan, period, offer)| (plan.name.as_str(), period, offer));
                let expected =
                    plan.offer(billing_period).map(|offer| (plan.name.as_str(), billing_period, offer));
                assert_eq!(found, expected, "{id}");
                ids.extend(expected.map(|_| id));
            }
        }
        assert_eq!(ids.len(), 8, "{ids:?}");
        for id in ["", "-", "starter", "starter-", "starter-weekly", "none-monthly", "starter-Monthly"] {
            assert_eq!(offered(&catalog, id).map(|(plan, ..)| &plan.name), None, "{id}");
        }
    }

    #[test]
    fn the_shipped_rates_have_the_published_words_and_numbers() {
        let catalog = shipped();
        for (node_type, operation, words, rate) in [
            (
                "Public",
                "StorageEgress",
                ["Public Node", "PUBLIC_NODE", "Per GB Egress", "PER_GB_EGRESS"],
                "10",
            ),
            (
                "Private",
                "StorageEgress",
                ["Private Node", "PRIVATE_NODE", "Per GB Egress", "PER_GB_EGRESS"],
                "1",
            ),
            (
                "Public",
                "TokensOut",
                ["Public Node", "PUBLIC_NODE", "Per 1M LLM Tokens", "PER_1M_TOKENS"],
                "1000",
            ),
            (
                "Private",
                "TokensOut",
                ["Private Node", "PRIVATE_NODE", "Per 1M LLM Tokens", "PER_1M_TOKENS"],
                "50",
            ),
        ] {
            let found = RateWords::of(node_type, operation);
            let shown = [&found.node, &found.node_code, &found.concept, &found.concept_code];
            assert_eq!(shown, words);
            let credits = found.rate(catalog.rate(node_type, operation).expect("rate")).expect("credits");
            assert_eq!(credits.to_string(), rate, "{node_type} {operation}");
        }
    }

    #[test]
    fn another_operation_is_named_after_itself_and_has_no_unit() {
        let words = RateWords::of("EdgeGPU", "GpuSeconds");
        assert_eq!(words.id, "edge-gpu-gpu-seconds");
        assert_eq!((words.node.as_str(), words.node_code.as_str()), ("Edge GPU Node", "EDGE_GPU_NODE"));
        assert_eq!(words.concept, "Per Unit Gpu Seconds");
        assert_eq!((words.concept_code.as_str(), words.unit), ("PER_UNIT_GPU_SECONDS", None));
    }

    #[test]
    fn a_plan_is_described_by_its_credits() {
        let catalog = shipped();
        for (plan, expected) in [
            ("individual", "10 credits a month"),
            ("starter", "1100 credits a month or 15000 credits a year; packs can be bought"),
            ("none", ""),
        ] {
            assert_eq!(plan_description(&catalog, plan), expected);
        }
    }
}
