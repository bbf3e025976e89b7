//! Boundaries: one grant for each period, dated at the boundary, even after downtime (Laws 11, 19, 20).

use crate::Credits;
use crate::account::Account;
use crate::catalog::Catalog;
use crate::entry::{Detail, LapseCause, PlanPeriod};
use crate::facts::{Renewal, Request};
use crate::invoice::{Purpose, VoidCause};
use crate::ledger::{Ledger, RequestState, Terms, Violation};
use crate::period::Anchor;
use crate::plan_change::terms_of;

/// The outcome of the end of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Following {
    /// Another period.
    Renews {
        /// Its terms.
        terms: Terms,
        /// The outcome of the request.
        state: RequestState,
    },
    /// The plan lapses.
    Lapses {
        /// Terms of the plan that follows. Absent if there is none.
        to: Option<Terms>,
        /// Reason for the lapse.
        cause: LapseCause,
    },
}

impl Following {
    /// Returns the terms of the next period, if there is one.
    #[must_use]
    pub const fn terms(&self) -> Option<&Terms> {
        match self {
            Self::Renews { terms, .. } => Some(terms),
            Self::Lapses { to, .. } => to.as_ref(),
        }
    }
}

impl Ledger {
    /// Returns the outcome of the end of the period in force, if `request` is the request at that time. Returns
    /// `None` while no plan is in force (Laws 11, 13, 16, 20).
    #[must_use]
    pub fn following(&self, request: &Request, catalog: &Catalog) -> Option<Following> {
        let in_force = self.terms.as_ref()?;
        let lapses = |cause| Following::Lapses { to: in_force.lapse_to(catalog), cause };
        let goes_on = |state| {
            terms_of(catalog, &in_force.plan, in_force.billing_period)
                .map_or_else(|_| lapses(LapseCause::PlanNotFound), |terms| Following::Renews { terms, state })
        };
        let remembered = self.remembered(request);
        let renews_by_itself = self.lapsed
            && (remembered.is_some() || (request.renewal == Renewal::None && !in_force.are_of(request)));
        if renews_by_itself {
            return Some(goes_on(remembered.unwrap_or(RequestState::Lapsed)));
        }
        if request.renewal == Renewal::None {
            return Some(lapses(LapseCause::RenewalNone));
        }
        if let Some(state) = remembered {
            return Some(goes_on(state));
        }
        Some(match terms_of(catalog, &request.plan, request.billing_period) {
            Ok(terms) => Following::Renews { terms, state: RequestState::Decided },
            Err(unknown) => goes_on(unknown),
        })
    }

    /// Returns the stored outcome of `request`, if it lapsed or its invoice became void (Laws 16, 18).
    fn remembered(&self, request: &Request) -> Option<RequestState> {
        let decided = self.request.as_ref()?;
        (decided.state.is_remembered() && decided.request == *request).then_some(decided.state)
    }
}

impl Account<'_> {
    /// Ends the current period, whose end is now.
    pub(crate) fn cross_boundary(&mut self, request: &Request) -> Result<(), Violation> {
        let (Some(anchor), Some(terms)) = (self.ledger.anchor, &self.ledger.terms) else {
            return Err(Violation::absent("the plan of the period that ends"));
        };
        let anchor = anchor.after(terms.billing_period);
        self.follow_period(request, anchor)
    }

    /// Resumes an account whose Subscription was deleted and created again (Law 19).
    pub(crate) fn resume_subscription(&mut self, request: &Request) -> Result<(), Violation> {
        if self.ledger.period.window.is_none_or(|window| self.time < window.end_time) {
            return Ok(());
        }
        // The next period has its own due time, because nothing was invoiced while the Subscription was
        // deleted.
        self.ledger.period.payment_due_time = None;
        if self.ledger.remembered(request).is_some() && !self.ledger.lapsed {
            return self.lapse(request, LapseCause::PaymentOverdue);
        }
        self.follow_period(request, Anchor::at(self.time))
    }

    /// Begins the next period at `anchor`, or lapses.
    fn follow_period(&mut self, request: &Request, anchor: Anchor) -> Result<(), Violation> {
        let Some(from) = self.ledger.terms.clone() else {
            return Err(Violation::absent("the plan of the period that ended"));
        };
        match self.ledger.following(request, self.catalog) {
            None => Ok(()),
            Some(Following::Lapses { cause, .. }) => self.lapse(request, cause),
            Some(Following::Renews { terms, state }) => {
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

    /// Issues the invoice of the period that has begun. Its credits are granted with the settlement (Law 18).
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
}
