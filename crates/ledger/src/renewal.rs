//! Boundaries: one grant a period, dated at the boundary, whatever was missed (Laws 11, 19, 20).

use crate::Credits;
use crate::account::Account;
use crate::entry::{Detail, LapseCause, PlanPeriod};
use crate::facts::{Renewal, Request};
use crate::invoice::{Purpose, VoidCause};
use crate::ledger::{RequestState, Terms, Violation};
use crate::period::Anchor;
use crate::plan_change::terms_of;

/// What follows a period.
enum Next {
    /// Another period, under these terms; `state` is what came of the request.
    Renews(Terms, RequestState),
    /// The plan lapses.
    Lapses(LapseCause),
}

impl Account<'_> {
    /// Passes the end of the current period, which is now.
    pub(crate) fn cross_boundary(&mut self, request: &Request) -> Result<(), Violation> {
        let (Some(anchor), Some(terms)) = (self.ledger.anchor, &self.ledger.terms) else { return Ok(()) };
        let anchor = anchor.after(terms.billing_period);
        self.follow_period(request, anchor)
    }

    /// Takes up an account whose Subscription was deleted and created again (Law 19).
    pub(crate) fn resume_subscription(&mut self, request: &Request) -> Result<(), Violation> {
        if self.ledger.period.window.is_none_or(|window| self.time < window.end_time) {
            return Ok(());
        }
        // What follows has its own due time: nothing was invoiced while the Subscription was away.
        self.ledger.period.payment_due_time = None;
        if self.is_remembered(request) && !self.ledger.lapsed {
            return self.lapse(request, LapseCause::PaymentOverdue);
        }
        self.follow_period(request, Anchor::at(self.time))
    }

    /// Begins what follows the period that ended: the next one at `anchor`, or a lapse.
    fn follow_period(&mut self, request: &Request, anchor: Anchor) -> Result<(), Violation> {
        let Some(from) = self.ledger.terms.clone() else { return Ok(()) };
        match self.what_follows(request, &from) {
            Next::Lapses(cause) => self.lapse(request, cause),
            Next::Renews(terms, state) => {
                let due_time = self.ledger.period.payment_due_time;
                self.void_open_plan_invoice(VoidCause::Superseded)?;
                self.end_period()?;
                self.ledger.pending_change = None;
                self.ledger.lapsed = self.ledger.lapsed && state != RequestState::Decided;
                self.remember(request, state);
                self.renew_into(&from, terms, anchor)?;
                if let (Some(earlier), Some(due)) = (due_time, &mut self.ledger.period.payment_due_time) {
                    *due = earlier.min(*due);
                }
                Ok(())
            }
        }
    }

    fn renew_into(&mut self, from: &Terms, terms: Terms, anchor: Anchor) -> Result<(), Violation> {
        let (from, to, price) = (PlanPeriod::of(from), PlanPeriod::of(&terms), terms.price);
        self.begin_period(terms, anchor, 0)?;
        let period_number = self.ledger.period.number;
        if let Some(period) = self.ledger.period.window {
            self.record(Credits::ZERO, Detail::Renewed { plan: to.clone(), period_number, period })?;
        }
        if from != to {
            self.record(Credits::ZERO, Detail::PlanChanged { from: Some(from), to, period_number })?;
        }
        self.bill_period(price)
    }

    /// Invoices the period that has begun; its credits come with the settlement (Law 18).
    pub(crate) fn bill_period(&mut self, price: Credits) -> Result<(), Violation> {
        let period_number = self.ledger.period.number;
        let invoice = self.issue_invoice(Purpose::Renewal { period_number }, price)?;
        match invoice {
            Some(invoice) if !invoice.is_settled => {
                self.ledger.period.payment_due_time = invoice.due_time;
                Ok(())
            }
            invoice => self.grant_period(invoice.map(|invoice| invoice.number)),
        }
    }

    /// Decides what follows a period under the terms `from` (Laws 11, 13, 16, 20).
    fn what_follows(&self, request: &Request, from: &Terms) -> Next {
        let remembered = self.ledger.request.as_ref().filter(|_| self.is_remembered(request));
        let renews_by_itself = self.ledger.lapsed
            && (remembered.is_some() || (request.renewal == Renewal::None && !from.are_of(request)));
        if renews_by_itself {
            let state = remembered.map_or(RequestState::Lapsed, |decided| decided.state);
            return self.what_is_in_force_renews(from, state);
        }
        if request.renewal == Renewal::None {
            return Next::Lapses(LapseCause::RenewalNone);
        }
        if let Some(remembered) = remembered {
            return self.what_is_in_force_renews(from, remembered.state);
        }
        match terms_of(self.catalog, &request.plan, request.billing_period) {
            Ok(terms) => Next::Renews(terms, RequestState::Decided),
            Err(unknown) => self.what_is_in_force_renews(from, unknown),
        }
    }

    /// Returns whether `request` is the one that lapsed or whose invoice became void (Laws 16, 18).
    fn is_remembered(&self, request: &Request) -> bool {
        let decided = self.ledger.request.as_ref();
        decided.is_some_and(|decided| decided.state.is_remembered() && decided.request == *request)
    }

    fn what_is_in_force_renews(&self, from: &Terms, state: RequestState) -> Next {
        terms_of(self.catalog, &from.plan, from.billing_period)
            .map_or(Next::Lapses(LapseCause::PlanNotFound), |terms| Next::Renews(terms, state))
    }
}
