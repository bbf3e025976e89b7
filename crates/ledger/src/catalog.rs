//! The catalog: rates, plans, packs and policies. All numbers are data; the laws are code.

use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::quantity::Quantity;

/// A catalog whose references are known to hold; loaders build it, nothing here checks it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// Currency of all prices, such as `USD`.
    pub currency: String,
    /// Rates, one for each (node type, operation) pair.
    pub rates: Vec<Rate>,
    /// Plans in rank order, lowest first.
    pub plans: Vec<Plan>,
    /// Packs.
    pub packs: Vec<Pack>,
    /// Rules with a number.
    pub policies: Policies,
}

/// Credits for `unit` of one operation on one node type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Node type, such as `Public`.
    pub node_type: String,
    /// Operation, such as `StorageEgress`.
    pub operation: String,
    /// Quantity that costs `credits`; above zero.
    pub unit: Quantity,
    /// Credits per `unit`; zero or more.
    pub credits: Credits,
}

/// A plan an organization subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name that a Subscription asks for.
    pub name: String,
    /// Name that people read.
    pub display_name: String,
    /// Whether packs may be bought under it.
    pub pack_purchases: PackPurchases,
    /// Plan that follows when it lapses; offered monthly.
    pub lapses_to: Option<String>,
    /// Credits and price of a month, if it is offered.
    pub monthly: Option<Offer>,
    /// Credits and price of a year, if it is offered.
    pub yearly: Option<Offer>,
}

/// Credits and price of one period of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Credits of the whole period.
    pub credits: Credits,
    /// Price of the whole period; zero is free.
    pub price: Credits,
}

/// Whether packs may be bought under a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = crate::schema::without_description)
)]
pub enum PackPurchases {
    /// They may.
    Allowed,
    /// They may not.
    Refused,
}

/// A top-up that can be bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Name that a CreditPack asks for.
    pub name: String,
    /// Name that people read.
    pub display_name: String,
    /// Credits it gives.
    pub credits: Credits,
    /// Price; zero is free.
    pub price: Credits,
    /// Days of 24 hours after which its credits expire; never, when absent.
    pub expires_after_days: Option<u32>,
}

/// Most credits that one report may cost, unless the catalog says less (Law 2).
pub const MAX_REPORT_CREDITS: Credits = Credits::whole(1_000_000_000_000);

/// Rules with a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// How many packs a month.
    pub pack_limit: PackLimit,
    /// Seconds after an expiration in which usage from before it may still claim what expired.
    pub settlement_grace_seconds: u32,
    /// Seconds after its window's start in which a report is accepted.
    pub accept_usage_for_seconds: u32,
    /// Seconds after a report's arrival by which its window must end.
    pub accept_ahead_seconds: u32,
    /// How invoices are settled.
    pub payments: PaymentPolicy,
    /// Limits of usage reports.
    pub reports: ReportPolicy,
    /// Shares of a period's credits, in percent, that give an event; ascending, without repeats.
    pub alert_thresholds_percent: Vec<u32>,
}

/// Limits of usage reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportPolicy {
    /// Most credits that one report may cost (Law 2).
    pub max_credits: Credits,
    /// Seconds for which a report is kept after its verdict.
    pub keep_for_seconds: u32,
}

/// How many packs an account may buy in a month of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackLimit {
    /// The most.
    pub max: u32,
    /// Over what it counts.
    pub scope: PackLimitScope,
}

/// Over what the pack limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackLimitScope {
    /// All packs together.
    AllPacks,
    /// Each pack by itself.
    PerPack,
}

/// How invoices are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentPolicy {
    /// The mode of settlement.
    pub mode: PaymentMode,
    /// Seconds after which an open invoice is overdue; above zero.
    pub due_within_seconds: u32,
}

/// The mode in which invoices are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentMode {
    /// Each is settled as it is issued (showback, chargeback).
    Internal,
    /// A payment agent reports each settlement; until then its effect waits.
    External,
}

/// Length of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = crate::schema::without_description)
)]
pub enum BillingPeriod {
    /// One month.
    #[default]
    Monthly,
    /// Twelve months.
    Yearly,
}

impl BillingPeriod {
    /// Returns the length in calendar months.
    #[must_use]
    pub const fn months(self) -> u32 {
        match self {
            Self::Monthly => 1,
            Self::Yearly => 12,
        }
    }

    /// Returns the name that a Subscription uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monthly => "Monthly",
            Self::Yearly => "Yearly",
        }
    }
}

impl Default for Policies {
    /// Returns the defaults that a catalog file may leave out.
    fn default() -> Self {
        Self {
            pack_limit: PackLimit { max: 3, scope: PackLimitScope::AllPacks },
            settlement_grace_seconds: 7_200,
            accept_usage_for_seconds: 3_024_000,
            accept_ahead_seconds: 86_400,
            payments: PaymentPolicy { mode: PaymentMode::Internal, due_within_seconds: 259_200 },
            reports: ReportPolicy { max_credits: MAX_REPORT_CREDITS, keep_for_seconds: 604_800 },
            alert_thresholds_percent: vec![80, 100],
        }
    }
}

impl Plan {
    /// Returns what `billing_period` of this plan gives and costs, or nothing where it is not offered.
    #[must_use]
    pub const fn offer(&self, billing_period: BillingPeriod) -> Option<Offer> {
        match billing_period {
            BillingPeriod::Monthly => self.monthly,
            BillingPeriod::Yearly => self.yearly,
        }
    }
}

impl Catalog {
    /// Returns the plan called `name` with its rank, the lowest being 0.
    #[must_use]
    pub fn plan(&self, name: &str) -> Option<(u32, &Plan)> {
        (0..).zip(&self.plans).find(|(_, plan)| plan.name == name)
    }

    /// Returns the pack called `name`.
    #[must_use]
    pub fn pack(&self, name: &str) -> Option<&Pack> {
        self.packs.iter().find(|pack| pack.name == name)
    }

    /// Returns the rate of an operation on a node type.
    #[must_use]
    pub fn rate(&self, node_type: &str, operation: &str) -> Option<&Rate> {
        self.rates.iter().find(|rate| rate.node_type == node_type && rate.operation == operation)
    }
}
