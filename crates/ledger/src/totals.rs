//! Totals: the sums of an account by kind of entry (Law 21).

use serde::{Deserialize, Serialize};

use crate::credits::{AmountOverflow, Credits, is_zero};
use crate::entry::Entry;

/// Sums over entries: since the start of an account, or of a calendar month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Totals {
    /// Plan credits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub granted: Credits,
    /// Pack credits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub purchased: Credits,
    /// Credits of adjustments.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub adjusted: Credits,
    /// Credits consumed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub consumed: Credits,
    /// Credits that expired, without those that late usage claimed. The sum of a month is negative if late usage
    /// claimed more than expired in it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub expired: Credits,
    /// Credits taken back with a refund.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refunded: Credits,
}

impl Totals {
    /// Adds the effect of an entry: its kind, the amount that its detail states, and the change of the balance.
    /// Credits that were settling when a charge or a refund took them had been counted as expired, so that sum
    /// falls (Law 7). An entry of any other kind has no effect.
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn add(&mut self, kind: &str, amount: Credits, credits: Credits) -> Result<(), AmountOverflow> {
        match kind {
            "Granted" => self.granted = self.granted.checked_add(amount)?,
            "Purchased" => self.purchased = self.purchased.checked_add(amount)?,
            "Adjusted" => self.adjusted = self.adjusted.checked_add(amount)?,
            "Expired" => self.expired = self.expired.checked_add(amount)?,
            "Charged" | "Refunded" => {
                let sum = if kind == "Charged" { &mut self.consumed } else { &mut self.refunded };
                *sum = sum.checked_add(amount)?;
                // The balance changed by less than the amount if a part of it was settling.
                self.expired = self.expired.checked_sub(amount.checked_add(credits)?)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the effect of `entry`, as [`add`](Self::add) does.
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn add_entry(&mut self, entry: &Entry) -> Result<(), AmountOverflow> {
        self.add(entry.detail.kind(), entry.detail.amount(), entry.credits)
    }

    /// Returns the balance that results from these sums (Law 21).
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn balance(&self) -> Result<Credits, AmountOverflow> {
        let credited = Credits::sum([self.granted, self.purchased, self.adjusted])?;
        credited.checked_sub(Credits::sum([self.consumed, self.expired, self.refunded])?)
    }
}
