//! The terms of a plan, as they were when a period was decided (Law 20).

use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::catalog::{BillingPeriod, PackPurchases};
use crate::facts::Request;

/// Terms under which a period runs; a catalog edit does not touch them (Law 20).
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
    /// Rank of the plan when these terms were decided, the lowest being 0. Version 0.1.0 compares it; ranks are compared
    /// in today's catalog since.
    pub rank: u32,
    /// Plan that follows when it lapses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lapses_to: Option<String>,
    /// Whether packs may be bought.
    pub pack_purchases: PackPurchases,
}

impl Terms {
    /// Returns whether these are the terms of the plan and billing period that `request` asks for.
    #[must_use]
    pub fn are_of(&self, request: &Request) -> bool {
        self.plan == request.plan && self.billing_period == request.billing_period
    }
}
