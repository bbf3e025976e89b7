//! The terms of a plan at the time when a period was decided (Law 20).

use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::catalog::{BillingPeriod, PackPurchases};
use crate::facts::Request;

/// Terms of a period. An edit of the catalog does not change them (Law 20).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Terms {
    /// Name of the plan.
    pub plan: String,
    /// Length of its periods.
    pub billing_period: BillingPeriod,
    /// Credits of a period.
    pub credits: Credits,
    /// Price of a period.
    pub price: Credits,
    /// Rank of the plan when these terms were decided. The lowest rank is 0. Version 0.1.0 compares it; later
    /// versions compare the ranks of the current catalog.
    pub rank: u32,
    /// Plan that follows when it lapses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lapses_to: Option<String>,
    /// States if packs can be bought.
    pub pack_purchases: PackPurchases,
    /// Credits by which the balance can fall below zero until the credits count as exhausted (Law 29).
    #[serde(default, skip_serializing_if = "crate::credits::is_zero")]
    pub overdraft: Credits,
}

impl Terms {
    /// Returns true if these are the terms of the plan and billing period of `request`.
    #[must_use]
    pub fn are_of(&self, request: &Request) -> bool {
        self.plan == request.plan && self.billing_period == request.billing_period
    }
}
