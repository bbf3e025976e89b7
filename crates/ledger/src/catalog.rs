//! The catalog: rates, plans, packs and policies. All numbers are data, and the laws are code.

use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::quantity::Quantity;

/// A catalog whose references are valid. The loader checks them; this crate does not check them again.
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
    /// The policies.
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

/// A plan that a Subscription can request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name that a Subscription requests.
    pub name: String,
    /// Display name.
    pub display_name: String,
    /// States if packs can be bought under it.
    pub pack_purchases: PackPurchases,
    /// Plan that follows when it lapses. It is offered monthly.
    pub lapses_to: Option<String>,
    /// Credits by which the balance can fall below zero until the credits count as exhausted (Law 29).
    pub overdraft: Credits,
    /// Credits and price of a month, if it is offered monthly.
    pub monthly: Option<Offer>,
    /// Credits and price of a year, if it is offered yearly.
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

/// States if packs can be bought under a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = crate::schema::without_description)
)]
pub enum PackPurchases {
    /// Packs can be bought.
    Allowed,
    /// Packs cannot be bought.
    Refused,
}

/// A pack of credits that can be bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Name that a CreditPack requests.
    pub name: String,
    /// Display name.
    pub display_name: String,
    /// Credits it gives.
    pub credits: Credits,
    /// Price; zero is free.
    pub price: Credits,
    /// Days of 24 hours after which its credits expire. Absent if they never expire.
    pub expires_after_days: Option<u32>,
}

/// Most credits that one report may cost, if the catalog has no lower limit (Law 2).
pub const MAX_REPORT_CREDITS: Credits = Credits::whole(1_000_000_000_000);

/// The policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// The limit of packs in a month.
    pub pack_limit: PackLimit,
    /// Seconds after an expiration in which earlier usage may still claim the expired credits.
    pub settlement_grace_seconds: u32,
    /// Seconds after its window's start in which a report is accepted.
    pub accept_usage_for_seconds: u32,
    /// Seconds after a report's arrival by which its window must end.
    pub accept_ahead_seconds: u32,
    /// The settlement of invoices.
    pub payments: PaymentPolicy,
    /// URL of the page on which an open invoice is paid, with `{invoice}` for its number. No law depends on it.
    pub checkout_url: Option<String>,
    /// Limits of usage reports.
    pub reports: ReportPolicy,
    /// Shares of a period's credits in percent that cause an Event. They are ascending, without repeats.
    pub alert_thresholds_percent: Vec<u32>,
    /// When gates stop an account.
    pub gate: GatePolicy,
}

/// When gates stop an account (Law 29).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatePolicy {
    /// Seconds after the exhaustion of the credits until a gate closes.
    pub grace_seconds: u32,
    /// Seconds for which proxies keep the answer of a gate. They count towards the worst overshoot only.
    pub cache_seconds: u32,
}

/// Limits of usage reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportPolicy {
    /// Most credits that one report may cost (Law 2).
    pub max_credits: Credits,
    /// Seconds for which a report is kept after its verdict.
    pub keep_for_seconds: u32,
}

/// The limit of packs that an account may buy in a month, counted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackLimit {
    /// The highest number.
    pub max: u32,
    /// The packs that count towards it.
    pub scope: PackLimitScope,
}

/// The packs that count towards the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackLimitScope {
    /// All packs together.
    AllPacks,
    /// Each pack of the catalog has its own count.
    PerPack,
}

/// The settlement of invoices.
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
    /// Each invoice is settled when it is issued (showback, chargeback).
    Internal,
    /// A payment agent reports each settlement. The invoice has no effect before.
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
            checkout_url: None,
            reports: ReportPolicy { max_credits: MAX_REPORT_CREDITS, keep_for_seconds: 604_800 },
            alert_thresholds_percent: vec![80, 100],
            gate: GatePolicy::default(),
        }
    }
}

impl Plan {
    /// Returns the credits and the price of `billing_period` of this plan, or `None` if it is not offered.
    #[must_use]
    pub const fn offer(&self, billing_period: BillingPeriod) -> Option<Offer> {
        match billing_period {
            BillingPeriod::Monthly => self.monthly,
            BillingPeriod::Yearly => self.yearly,
        }
    }
}

impl Catalog {
    /// Returns the plan called `name` with its rank. The lowest rank is 0.
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
