//! Lapses: the end of a plan that is not renewed (Law 16).

use crate::Credits;
use crate::account::Account;
use crate::catalog::{BillingPeriod, Catalog};
use crate::entry::{Detail, LapseCause, PlanPeriod};
use crate::facts::{Renewal, Request};
use crate::invoice::VoidCause;
use crate::ledger::{RequestState, Terms, Violation};
use crate::period::Anchor;
use crate::plan_change::terms_of;

impl Terms {
    /// Returns the terms of the plan that follows a lapse, as the catalog sells it now. Returns `None` if the
    /// terms name no plan, or one that the catalog no longer has.
    pub(crate) fn lapse_to(&self, catalog: &Catalog) -> Option<Self> {
        terms_of(catalog, self.lapses_to.as_deref()?, BillingPeriod::Monthly).ok()
    }
}

impl Account<'_> {
    /// Ends a plan whose period was not paid by its due time, which is now. The last request before it lapses.
    /// A request of this instant takes effect after it (Law 0).
    pub(crate) fn lapse_unpaid(&mut self) -> Result<(), Violation> {
        match self.ledger.request.clone() {
            Some(decided) => self.lapse(&decided.request, LapseCause::PaymentOverdue),
            None => Ok(()),
        }
    }

    /// Ends the plan in force now. A period of the plan that follows begins, with a new anchor.
    pub(crate) fn lapse(&mut self, request: &Request, cause: LapseCause) -> Result<(), Violation> {
        let Some(from) = self.ledger.terms.clone() else {
            return Err(Violation::absent("the plan that lapses"));
        };
        let voided = match cause {
            LapseCause::PaymentOverdue => VoidCause::PaymentExpired,
            LapseCause::RenewalNone | LapseCause::PlanNotFound => VoidCause::Superseded,
        };
        self.void_open_plan_invoice(voided)?;
        self.end_period()?;
        self.ledger.pending_change = None;
        let to = from.lapse_to(self.catalog);
        // A request for the plan that the account lapsed into, with renewal, is already fulfilled.
        let is_asked_for =
            request.renewal == Renewal::Automatic && to.as_ref().is_some_and(|to| to.are_of(request));
        self.ledger.lapsed = !is_asked_for;
        self.remember(request, if is_asked_for { RequestState::Decided } else { RequestState::Lapsed });
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
