//! Lapses: what follows a plan that is not renewed (Law 16).

use crate::Credits;
use crate::account::Account;
use crate::catalog::{BillingPeriod, Catalog};
use crate::entry::{Detail, LapseCause, PlanPeriod};
use crate::facts::Request;
use crate::invoice::VoidCause;
use crate::ledger::{RequestState, Terms, Violation};
use crate::period::Anchor;
use crate::plan_change::terms_of;

impl Terms {
    /// Returns the terms of what the plan lapses to, as the catalog sells it now; nothing where it names no plan, or
    /// one that is gone.
    pub(crate) fn lapse_to(&self, catalog: &Catalog) -> Option<Self> {
        terms_of(catalog, self.lapses_to.as_deref()?, BillingPeriod::Monthly).ok()
    }
}

impl Account<'_> {
    /// Ends the plan in force now; a new period of what it lapses to begins, with a new anchor.
    pub(crate) fn lapse(&mut self, request: &Request, cause: LapseCause) -> Result<(), Violation> {
        let Some(from) = self.ledger.terms.clone() else { return Ok(()) };
        let voided = match cause {
            LapseCause::PaymentOverdue => VoidCause::PaymentExpired,
            LapseCause::RenewalNone | LapseCause::PlanNotFound => VoidCause::Superseded,
        };
        self.void_open_plan_invoice(voided)?;
        self.end_period()?;
        self.ledger.pending_change = None;
        self.ledger.lapsed = true;
        self.remember(request, RequestState::Lapsed);
        let to = from.lapse_to(self.catalog);
        let detail =
            Detail::Lapsed { from: PlanPeriod::of(&from), to: to.as_ref().map(PlanPeriod::of), cause };
        self.record(Credits::ZERO, detail)?;
        let Some(to) = to else {
            self.ledger.terms = None;
            self.ledger.anchor = None;
            return Ok(());
        };
        let price = to.price;
        self.begin_period(to, Anchor::at(self.time), 0)?;
        self.bill_period(price)
    }
}
