//! Adjustments: credits that an administrator gives (Law 25).

use jiff::Timestamp;

use crate::account::Account;
use crate::entry::{Detail, FactKind, ObjectName};
use crate::facts::Adjustment;
use crate::grant::{Expiration, Grant, GrantSource};
use crate::ledger::{AdjustmentRecord, Ledger, Violation};
use crate::period::months_begun;
use crate::purchase::{OrderName, PURCHASES_KEPT_MONTHS};
use crate::refusal::Refusal;

/// The outcome of a CreditAdjustment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdjustmentOutcome {
    /// Its credits were granted.
    Granted(AdjustmentRecord),
    /// Its credits were granted so long ago that only its name is known.
    GrantedLongAgo,
    /// It was refused.
    Refused(Refusal),
}

impl Ledger {
    /// Keeps only the names of adjustments that are older than the kept months (Law 26).
    pub(crate) fn forget_adjustments_before(&mut self, at: Timestamp) {
        let names = &mut self.adjustment_names;
        self.adjustments.retain(|name, record| {
            let is_old = months_begun(record.time, at) >= PURCHASES_KEPT_MONTHS;
            if is_old {
                names.push(record.order_name(name));
            }
            !is_old
        });
    }
}

impl AdjustmentRecord {
    /// Returns the record of its `name` that is kept permanently.
    #[must_use]
    pub fn order_name(&self, name: &str) -> OrderName {
        OrderName::of(name, &self.credits.to_string())
    }
}

impl Account<'_> {
    /// Grants the credits of an adjustment, once for each name.
    pub(crate) fn adjust(&mut self, adjustment: &Adjustment) -> Result<AdjustmentOutcome, Violation> {
        if let Some(known) = self.known_adjustment(adjustment) {
            return Ok(known);
        }
        self.make_room_for_orders();
        if let Some(refusal) = self.refuses_adjustment(adjustment) {
            return self.refuse_adjustment(adjustment, refusal);
        }
        let record = AdjustmentRecord { credits: adjustment.credits, time: self.time };
        self.ledger.adjustments.insert(adjustment.name.clone(), record.clone());
        self.grant_adjustment(adjustment)?;
        Ok(AdjustmentOutcome::Granted(record))
    }

    /// Refuses an adjustment for which no account began in time.
    pub(crate) fn run_out_adjustment(
        &mut self,
        adjustment: &Adjustment,
        refusal: Refusal,
    ) -> Result<AdjustmentOutcome, Violation> {
        match self.known_adjustment(adjustment) {
            Some(known) => Ok(known),
            None => self.refuse_adjustment(adjustment, refusal),
        }
    }

    /// Returns the outcome of an earlier adjustment of that name, if there was one.
    pub(crate) fn known_adjustment(&self, adjustment: &Adjustment) -> Option<AdjustmentOutcome> {
        let granted = self.ledger.adjustments.get(&adjustment.name);
        if let Some(record) = granted.filter(|record| record.credits == adjustment.credits) {
            return Some(AdjustmentOutcome::Granted(record.clone()));
        }
        if let Some(refused) = self.ledger.refusal(FactKind::CreditAdjustment, &adjustment.name) {
            return Some(AdjustmentOutcome::Refused(refused.refusal.clone()));
        }
        let name = OrderName::of(&adjustment.name, &adjustment.credits.to_string());
        self.ledger.adjustment_names.contains(&name).then_some(AdjustmentOutcome::GrantedLongAgo)
    }

    fn refuse_adjustment(
        &mut self,
        adjustment: &Adjustment,
        refusal: Refusal,
    ) -> Result<AdjustmentOutcome, Violation> {
        self.refuse(FactKind::CreditAdjustment, &adjustment.name, None, refusal.clone())?;
        Ok(AdjustmentOutcome::Refused(refusal))
    }

    fn refuses_adjustment(&self, adjustment: &Adjustment) -> Option<Refusal> {
        let Adjustment { name, arrival, expiration_time, .. } = adjustment;
        if let Some(record) = self.ledger.adjustments.get(name) {
            return Some(Refusal::name_already_used(
                name,
                &format!("used for {} credits before", record.credits),
            ));
        }
        let hashed = OrderName::of(name, "").name;
        if self.ledger.adjustment_names.iter().any(|old| old.name == hashed) {
            return Some(Refusal::name_already_used(name, "used for other credits long ago"));
        }
        if let Some(expiration) = expiration_time.filter(|expiration| expiration <= arrival) {
            return Some(Refusal::already_expired(expiration, *arrival));
        }
        self.refuses_credits(adjustment.credits).or_else(|| self.refuses_another_order())
    }

    fn grant_adjustment(&mut self, adjustment: &Adjustment) -> Result<(), Violation> {
        let grace_seconds = self.catalog.policies.settlement_grace_seconds;
        let expiration =
            adjustment.expiration_time.map(|time| Expiration { time, grace_seconds, passed: false });
        let grant = Grant {
            source: GrantSource::Adjustment { name: adjustment.name.as_str().into() },
            credits: adjustment.credits,
            remaining: adjustment.credits,
            effective_time: self.time,
            expiration,
        };
        self.credit(grant, |grant, debt_repaid| Detail::Adjusted {
            amount: grant.credits,
            grant: grant.source.to_string(),
            object: ObjectName { kind: FactKind::CreditAdjustment, name: adjustment.name.clone() },
            reason: adjustment.reason.clone(),
            expiration_time: adjustment.expiration_time,
            debt_repaid,
        })
    }
}
