//! Requests of a Subscription: start, upgrade, downgrade and reactivation (Laws 12, 13, 16, 17, 20).

use crate::account::Account;
use crate::catalog::{BillingPeriod, Catalog};
use crate::entry::{Detail, PlanPeriod};
use crate::facts::{Renewal, Request};
use crate::invoice::{ChangeReason, Purpose, VoidCause};
use crate::ledger::{DecidedRequest, PendingChange, RequestState, Terms, Violation};
use crate::period::Anchor;

/// Returns the terms of the catalog for the requested plan, or the reason why there are none (Law 20).
pub(crate) fn terms_of(
    catalog: &Catalog,
    plan: &str,
    billing_period: BillingPeriod,
) -> Result<Terms, RequestState> {
    let (rank, plan) = catalog.plan(plan).ok_or(RequestState::PlanNotFound)?;
    let offer = plan.offer(billing_period).ok_or(RequestState::BillingPeriodNotOffered)?;
    Ok(Terms {
        plan: plan.name.clone(),
        billing_period,
        credits: offer.credits,
        price: offer.price,
        rank,
        lapses_to: plan.lapses_to.clone(),
        pack_purchases: plan.pack_purchases,
        overdraft: plan.overdraft,
    })
}

impl Terms {
    /// Returns true if the change from these terms to `asked` is an upgrade: the same plan from Monthly to
    /// Yearly, or a plan that comes after this one in `catalog` (Law 12). If the catalog no longer has this
    /// plan, the price per month decides (Law 20).
    #[must_use]
    pub fn is_upgrade_to(&self, asked: &Self, catalog: &Catalog) -> bool {
        if self.plan == asked.plan {
            return self.billing_period < asked.billing_period;
        }
        match (catalog.plan(&self.plan), catalog.plan(&asked.plan)) {
            (Some((rank, _)), Some((asked_rank, _))) => rank < asked_rank,
            _ => self.costs_less_a_month_than(asked),
        }
    }

    /// Returns true if a month costs less than under `other`. A month of a yearly plan is a twelfth of its
    /// price.
    fn costs_less_a_month_than(&self, other: &Self) -> bool {
        let share = |price: &Self, months: BillingPeriod| {
            price.price.nanos().saturating_mul(i128::from(months.months()))
        };
        share(self, other.billing_period) < share(other, self.billing_period)
    }
}

impl Account<'_> {
    /// Follows the request of the Subscription, if it is new.
    pub(crate) fn follow_request(&mut self, request: &Request) -> Result<(), Violation> {
        if let Some(decided) = &mut self.ledger.request
            && decided.request.plan == request.plan
            && decided.request.billing_period == request.billing_period
        {
            // In a lapsed account, `renewal: None` cancels the request that followed the lapse (Law 16).
            let is_remembered = decided.state.is_remembered() || self.ledger.lapsed;
            let is_repeated = decided.request.renewal == request.renewal || !is_remembered;
            if is_repeated && !decided.state.waits() {
                decided.request.renewal = request.renewal;
                return Ok(());
            }
        }
        let previous = self.ledger.request.as_ref().map(|decided| decided.state);
        let was_remembered = previous.is_some_and(RequestState::is_remembered) || self.ledger.lapsed;
        let asks_for_what_is_in_force = self.ledger.terms.as_ref().is_some_and(|terms| terms.are_of(request));
        if was_remembered && request.renewal == Renewal::None && !asks_for_what_is_in_force {
            let remembered = previous.filter(|state| state.is_remembered()).unwrap_or(RequestState::Lapsed);
            self.withdraw_request()?;
            self.remember(request, remembered);
            return Ok(());
        }
        match terms_of(self.catalog, &request.plan, request.billing_period) {
            Err(unknown) => {
                if previous != Some(unknown) {
                    self.withdraw_request()?;
                }
                self.remember(request, unknown);
                self.renew_invoice_again()
            }
            Ok(terms) => {
                self.withdraw_request()?;
                self.remember(request, RequestState::Decided);
                self.act_on(terms)
            }
        }
    }

    /// Fulfils the request: immediately, with its payment, or at the end of the period.
    fn act_on(&mut self, asked: Terms) -> Result<(), Violation> {
        let Some(in_force) = &self.ledger.terms else {
            let reason =
                if self.ledger.period.number == 0 { ChangeReason::Start } else { ChangeReason::Reactivation };
            return self.change_plan(reason, asked);
        };
        if in_force.plan == asked.plan && in_force.billing_period == asked.billing_period {
            self.ledger.lapsed = false;
            return self.renew_invoice_again();
        }
        if self.ledger.lapsed {
            return self.change_plan(ChangeReason::Reactivation, asked);
        }
        if in_force.is_upgrade_to(&asked, self.catalog) {
            return self.change_plan(ChangeReason::Upgrade, asked);
        }
        self.ledger.pending_change = self.ledger.period.window.map(|window| PendingChange {
            plan: asked.plan,
            billing_period: asked.billing_period,
            effective_time: window.end_time,
        });
        self.renew_invoice_again()
    }

    /// Begins a period under `terms` now, or with its payment if payments are external (Laws 12, 18). If the
    /// ledger has no room, the request stays pending (Law 26).
    fn change_plan(&mut self, reason: ChangeReason, terms: Terms) -> Result<(), Violation> {
        if self.has_no_room_for(&terms) {
            if let Some(decided) = &mut self.ledger.request {
                decided.state = RequestState::LedgerFull;
            }
            return self.renew_invoice_again();
        }
        self.void_open_plan_invoice(VoidCause::Superseded)?;
        let price = terms.price;
        let invoice = self.issue_invoice(Purpose::Change { reason, terms: terms.clone() }, price)?;
        if invoice.is_some_and(|invoice| !invoice.is_settled) {
            return Ok(());
        }
        self.begin_changed_period(terms, invoice.map(|invoice| invoice.number))
    }

    /// Cuts the current period short and begins one under `terms` that counts from now (Law 12).
    pub(crate) fn begin_changed_period(
        &mut self,
        terms: Terms,
        invoice: Option<u32>,
    ) -> Result<(), Violation> {
        let (anchor, skipped) = self.first_anchor(&terms);
        self.end_period()?;
        let from = self.ledger.terms.as_ref().map(PlanPeriod::of);
        let to = PlanPeriod::of(&terms);
        self.ledger.lapsed = false;
        self.ledger.pending_change = None;
        let was_in_use = self.ledger.period.number > 0;
        self.begin_period(terms, anchor, skipped)?;
        if was_in_use && from.as_ref() != Some(&to) {
            let period_number = self.ledger.period.number;
            self.record(crate::Credits::ZERO, Detail::PlanChanged { from, to, period_number })?;
        }
        self.grant_period(invoice)
    }

    /// Returns the instant from which the periods of a plan that begins now are counted: the start of the
    /// account for a first period without a payment, else now (Laws 17, 18).
    fn first_anchor(&self, terms: &Terms) -> (Anchor, u32) {
        let is_start = self.starting && self.ledger.period.number == 0;
        if is_start {
            Anchor::containing(self.ledger.start_time, terms.billing_period, self.time)
        } else {
            (Anchor::at(self.time), 0)
        }
    }

    /// Cancels the effects of the last request: a pending change, and the invoice of a change.
    fn withdraw_request(&mut self) -> Result<(), Violation> {
        self.ledger.pending_change = None;
        let open =
            self.open_plan_invoice().filter(|invoice| matches!(invoice.purpose, Purpose::Change { .. }));
        match open.map(|invoice| invoice.number) {
            Some(number) => self.void_invoice(number, VoidCause::Superseded, None),
            None => Ok(()),
        }
    }

    /// Issues the invoice of the renewal again, if a cancelled upgrade had voided it and the period is not
    /// paid.
    fn renew_invoice_again(&mut self) -> Result<(), Violation> {
        let (Some(due_time), Some(terms)) = (self.ledger.period.payment_due_time, &self.ledger.terms) else {
            return Ok(());
        };
        if self.open_plan_invoice().is_some() {
            return Ok(());
        }
        let (price, period_number) = (terms.price, self.ledger.period.number);
        let issued = self.issue_invoice(Purpose::Renewal { period_number }, price)?;
        match issued {
            Some(issued) if !issued.is_settled => {
                if let Some(invoice) = self.invoice_mut(issued.number) {
                    invoice.due_time = Some(due_time);
                }
                Ok(())
            }
            issued => self.grant_period(issued.map(|issued| issued.number)),
        }
    }

    /// Stores a request as the last one.
    pub(crate) fn remember(&mut self, request: &Request, state: RequestState) {
        self.ledger.request = Some(DecidedRequest { request: request.clone(), state });
    }
}
