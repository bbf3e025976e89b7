//! Adjustments: credits given by hand (Law 25).

use crate::account::Account;
use crate::entry::{Detail, FactKind, ObjectName};
use crate::facts::Adjustment;
use crate::grant::{Expiration, Grant, GrantSource};
use crate::ledger::{AdjustmentRecord, LEDGER_BYTES_LIMIT, OPEN_GRANTS_FOR_ORDERS, Violation};
use crate::refusal::Refusal;

/// What a CreditAdjustment came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdjustmentOutcome {
    /// Its credits were granted.
    Granted(AdjustmentRecord),
    /// It was refused.
    Refused(Refusal),
}

impl Account<'_> {
    /// Gives the credits of an adjustment, once for each name.
    pub(crate) fn adjust(&mut self, adjustment: &Adjustment) -> Result<AdjustmentOutcome, Violation> {
        if let Some(known) = self.known_adjustment(adjustment) {
            return Ok(known);
        }
        if let Some(refusal) = self.refuses_adjustment(adjustment) {
            return self.refuse_adjustment(adjustment, refusal);
        }
        let record = AdjustmentRecord { credits: adjustment.credits, time: self.time };
        self.ledger.adjustments.insert(adjustment.name.clone(), record.clone());
        self.grant_adjustment(adjustment)?;
        Ok(AdjustmentOutcome::Granted(record))
    }

    /// Ends the wait of an adjustment for which no account began in time.
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

    /// Returns what an adjustment of that name came to before, if there was one.
    pub(crate) fn known_adjustment(&self, adjustment: &Adjustment) -> Option<AdjustmentOutcome> {
        let granted = self.ledger.adjustments.get(&adjustment.name);
        if let Some(record) = granted.filter(|record| record.credits == adjustment.credits) {
            return Some(AdjustmentOutcome::Granted(record.clone()));
        }
        let refused = self.ledger.refusal(FactKind::CreditAdjustment, &adjustment.name);
        refused.map(|record| AdjustmentOutcome::Refused(record.refusal.clone()))
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
        if let Some(expiration) = expiration_time.filter(|expiration| expiration <= arrival) {
            return Some(Refusal::already_expired(expiration, *arrival));
        }
        if let Some(refusal) = self.refuses_turnover(adjustment.credits) {
            return Some(refusal);
        }
        let open = self.ledger.grants.len();
        (self.ledger_bytes >= LEDGER_BYTES_LIMIT || open >= OPEN_GRANTS_FOR_ORDERS).then(|| {
            Refusal::ledger_full(&format!(
                "the account's ledger has no room for another adjustment ({open} grants are open)"
            ))
        })
    }

    fn grant_adjustment(&mut self, adjustment: &Adjustment) -> Result<(), Violation> {
        let grace_seconds = self.catalog.policies.settlement_grace_seconds;
        let expiration =
            adjustment.expiration_time.map(|time| Expiration { time, grace_seconds, passed: false });
        let grant = Grant {
            source: GrantSource::Adjustment { name: adjustment.name.clone() },
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
