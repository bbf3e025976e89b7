//! An account during a decision: the steps that all laws share.

use jiff::Timestamp;

use crate::bounds::{ORDER_BYTES, REMEMBERED_MESSAGE};
use crate::catalog::{Catalog, PaymentMode};
use crate::credits::Credits;
use crate::entry::{Detail, Entry, FactKind, InvoiceLine, ObjectName, PlanPeriod};
use crate::facts::Subscription;
use crate::grant::{Expiration, Grant, GrantSource, SETTLEMENT_CLOSES_AFTER_SECONDS};
use crate::invoice::{
    Attempts, INVOICES_KEPT, INVOICES_KEPT_MONTHS, Invoice, InvoiceState, Purpose, VOID_INVOICES_KEPT,
    VoidCause,
};
use crate::ledger::{Ledger, PeriodState, REFUSALS_KEPT, RefusalRecord, Terms, Violation};
use crate::period::{Anchor, Window, months_begun, seconds_after};
use crate::purchase::Purchase;
use crate::refusal::Refusal;
use crate::statement::{Book, BookLine, Statement};

/// An account at an instant, with its entries so far.
pub(crate) struct Account<'a> {
    /// The ledger, with all steps so far.
    pub(crate) ledger: Ledger,
    /// The catalog.
    pub(crate) catalog: &'a Catalog,
    /// The Subscription, if it exists.
    pub(crate) subscription: Option<&'a Subscription>,
    /// Instant at which the next step takes effect.
    pub(crate) time: Timestamp,
    /// Balance at that instant.
    pub(crate) balance: Credits,
    /// The entries, in order.
    pub(crate) entries: Vec<Entry>,
    /// Gaps of a source that were closed (Law 9).
    pub(crate) closed_gaps: Vec<(String, Window)>,
    /// The packs seen so far that are pending until the first period, or until the Subscription exists again.
    pub(crate) waiting_orders: usize,
    /// True if the start of the account takes effect now (Law 17).
    pub(crate) starting: bool,
}

/// An invoice that was just issued.
#[derive(Clone, Copy)]
pub(crate) struct IssuedInvoice {
    pub(crate) number: u32,
    pub(crate) is_settled: bool,
    pub(crate) due_time: Option<Timestamp>,
}

impl<'a> Account<'a> {
    /// Returns the account of `ledger` at the time of its last decision.
    pub(crate) fn resume(
        ledger: Ledger,
        catalog: &'a Catalog,
        subscription: Option<&'a Subscription>,
    ) -> Result<Self, Violation> {
        let (time, balance) = (ledger.clock_time, ledger.balance()?);
        Ok(Self {
            ledger,
            catalog,
            subscription,
            time,
            balance,
            entries: Vec::new(),
            closed_gaps: Vec::new(),
            waiting_orders: 0,
            starting: false,
        })
    }

    /// Returns true if the Subscription of the last decision exists. Nothing is invoiced while it is deleted
    /// (Law 19).
    pub(crate) fn is_attended(&self) -> bool {
        self.subscription.is_some_and(|subscription| subscription.uid == self.ledger.subscription.uid)
    }

    /// Adds an entry that changes the balance by `credits`.
    pub(crate) fn record(&mut self, credits: Credits, detail: Detail) -> Result<(), Violation> {
        self.balance = self.balance.checked_add(credits)?;
        if !credits.is_zero() {
            self.ledger.last_balance_change_time = Some(self.time);
        }
        let entry = Entry { time: self.time, credits, balance: self.balance, detail };
        if !entry.detail.amount().is_zero() {
            self.ledger.months.book(&entry)?;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Grants credits. They repay debt first (Law 6).
    pub(crate) fn credit(
        &mut self,
        mut grant: Grant,
        detail: impl FnOnce(&Grant, Credits) -> Detail,
    ) -> Result<(), Violation> {
        let credits = grant.credits;
        let debt_repaid = credits.min(self.ledger.debt);
        grant.remaining = credits.checked_sub(debt_repaid)?;
        self.ledger.debt = self.ledger.debt.checked_sub(debt_repaid)?;
        let (total, line) = match grant.source {
            GrantSource::Plan { .. } => (&mut self.ledger.totals.granted, BookLine::Granted),
            GrantSource::Adjustment { .. } => (&mut self.ledger.totals.adjusted, BookLine::Adjusted),
            GrantSource::Pack { .. } => (&mut self.ledger.totals.purchased, BookLine::Purchased),
        };
        *total = total.checked_add(credits)?;
        self.ledger.statements.book_now(line, credits)?;
        self.record(credits, detail(&grant, debt_repaid))?;
        if grant.remaining.is_positive() {
            self.ledger.grants.push(grant);
            self.ledger.grants.sort_by(Grant::burn_order);
        }
        self.rearm_thresholds()
    }

    /// Books the rest of a grant as expired (Law 4). Late usage may still claim it (Law 7).
    pub(crate) fn expire(&mut self, source: &GrantSource) -> Result<(), Violation> {
        let Some(grant) = self.ledger.grants.iter_mut().find(|grant| grant.source == *source) else {
            return Err(Violation::absent(format!("grant {source}")));
        };
        let Some(expiration) = grant.expiration.as_mut().filter(|expiration| !expiration.passed) else {
            return Ok(());
        };
        expiration.passed = true;
        let (amount, time, grant) = (grant.remaining, expiration.time, grant.source.to_string());
        self.book_expired(time, amount)?;
        self.record(amount.negated(), Detail::Expired { amount, grant })
    }

    /// Books `amount`, which may be negative, as expired at `time`.
    pub(crate) fn book_expired(&mut self, time: Timestamp, amount: Credits) -> Result<(), Violation> {
        self.ledger.totals.expired = self.ledger.totals.expired.checked_add(amount)?;
        self.ledger.statements.book_at(time, BookLine::Expired, amount)?;
        Ok(())
    }

    /// Closes the settlement of a grant: its rest is lost (Law 7).
    pub(crate) fn close_settlement(&mut self, source: &GrantSource) -> Result<(), Violation> {
        let Some(index) = self.ledger.grants.iter().position(|grant| grant.source == *source) else {
            return Err(Violation::absent(format!("grant {source}")));
        };
        let grant = self.ledger.grants.remove(index);
        self.record(
            Credits::ZERO,
            Detail::SettlementClosed { amount: grant.remaining, grant: grant.source.to_string() },
        )
    }

    /// Keeps a refusal by the name of the object, and adds it to the history.
    pub(crate) fn refuse(
        &mut self,
        kind: FactKind,
        name: &str,
        stated: Option<&str>,
        refusal: Refusal,
    ) -> Result<(), Violation> {
        let object = ObjectName { kind, name: name.to_owned() };
        self.record(Credits::ZERO, Detail::Refused { object, refusal: refusal.clone() })?;
        let refusals = &mut self.ledger.refusals;
        refusals.push(RefusalRecord {
            kind,
            name: name.to_owned(),
            stated: stated.map(str::to_owned),
            refusal: refusal.cut_to(REMEMBERED_MESSAGE),
        });
        // Each kind has its own limit, so that refused Payments do not remove the refusal of a pack (Law 15).
        if refusals.iter().filter(|record| record.kind == kind).count() > REFUSALS_KEPT
            && let Some(oldest) = refusals.iter().position(|record| record.kind == kind)
        {
            refusals.remove(oldest);
        }
        Ok(())
    }

    /// Issues an invoice over `price`. It issues none if the price is zero (Law 18).
    pub(crate) fn issue_invoice(
        &mut self,
        purpose: Purpose,
        price: Credits,
    ) -> Result<Option<IssuedInvoice>, Violation> {
        if price.is_zero() {
            return Ok(None);
        }
        let payments = self.catalog.policies.payments;
        let due_time = match payments.mode {
            PaymentMode::Internal => None,
            PaymentMode::External => Some(seconds_after(self.time, i64::from(payments.due_within_seconds))),
        };
        let number = self.ledger.next_invoice;
        self.ledger.next_invoice = number.saturating_add(1);
        let object = match &purpose {
            Purpose::Pack { name } => Some(ObjectName { kind: FactKind::CreditPack, name: name.clone() }),
            Purpose::Change { .. } | Purpose::Renewal { .. } => None,
        };
        let invoice = Invoice {
            number,
            time: self.time,
            purpose,
            amount: price,
            currency: self.catalog.currency.clone(),
            state: InvoiceState::Open,
            due_time,
            grant: None,
            payments: Vec::new(),
            attempts: Attempts::default(),
        };
        let subscription = self.subscription;
        let detail = Detail::Invoiced {
            amount: price,
            currency: invoice.currency.clone(),
            invoice: self.ledger.invoice_name(number),
            reason: invoice.reason(),
            object,
            due_time,
            lines: self.invoice_lines(&invoice),
            billing_details: subscription.and_then(|subscription| subscription.billing_details.clone()),
        };
        self.record(Credits::ZERO, detail)?;
        self.ledger.invoices.push(invoice);
        self.forget_void_invoices();
        self.ledger.forget_surplus_invoices();
        let is_settled = due_time.is_none();
        if is_settled {
            self.settle_invoice(number, None)?;
        }
        Ok(Some(IssuedInvoice { number, is_settled, due_time }))
    }

    /// Returns the items of `invoice`: a pack, or one period of a plan.
    fn invoice_lines(&self, invoice: &Invoice) -> Vec<InvoiceLine> {
        let amount = invoice.amount;
        let of_plan = |terms: &Terms| InvoiceLine {
            plan: Some(terms.plan.clone()),
            billing_period: Some(terms.billing_period),
            pack: None,
            credits: terms.credits,
            amount,
        };
        let of_pack = |purchase: &Purchase| InvoiceLine {
            plan: None,
            billing_period: None,
            pack: Some(purchase.pack.clone()),
            credits: purchase.credits,
            amount,
        };
        let line = match &invoice.purpose {
            Purpose::Change { terms, .. } => Some(of_plan(terms)),
            Purpose::Renewal { .. } => self.ledger.terms.as_ref().map(of_plan),
            Purpose::Pack { name } => self.ledger.purchases.record(name).map(of_pack),
        };
        line.into_iter().collect()
    }

    /// Marks an open invoice as paid.
    pub(crate) fn settle_invoice(
        &mut self,
        number: u32,
        payment: Option<ObjectName>,
    ) -> Result<(), Violation> {
        self.change_invoice(number, InvoiceState::Settled, |invoice, name| Detail::Settled {
            amount: invoice.amount,
            currency: invoice.currency.clone(),
            invoice: name,
            state: invoice.state,
            object: payment,
        })
    }

    /// Marks an open invoice as no longer owed.
    pub(crate) fn void_invoice(
        &mut self,
        number: u32,
        cause: VoidCause,
        payment: Option<ObjectName>,
    ) -> Result<(), Violation> {
        self.change_invoice(number, InvoiceState::Void, |invoice, name| Detail::Voided {
            amount: invoice.amount,
            currency: invoice.currency.clone(),
            invoice: name,
            cause,
            object: payment,
        })
    }

    /// Changes the state of an invoice, and adds an entry.
    pub(crate) fn change_invoice(
        &mut self,
        number: u32,
        state: InvoiceState,
        detail: impl FnOnce(&Invoice, String) -> Detail,
    ) -> Result<(), Violation> {
        let name = self.ledger.invoice_name(number);
        let Some(invoice) = self.invoice_mut(number) else {
            return Err(Violation::absent(format!("invoice {name}")));
        };
        invoice.state = state;
        let detail = detail(invoice, name);
        self.record(Credits::ZERO, detail)
    }

    pub(crate) fn invoice_mut(&mut self, number: u32) -> Option<&mut Invoice> {
        self.ledger.invoices.iter_mut().find(|invoice| invoice.number == number)
    }

    /// Returns the open plan invoice, if there is one. There is at most one.
    pub(crate) fn open_plan_invoice(&self) -> Option<&Invoice> {
        self.ledger.invoices.iter().find(|invoice| invoice.is_open_plan_invoice())
    }

    /// Voids the open plan invoice, because another one replaces it.
    pub(crate) fn void_open_plan_invoice(&mut self, cause: VoidCause) -> Result<(), Violation> {
        match self.open_plan_invoice().map(|invoice| invoice.number) {
            Some(number) => self.void_invoice(number, cause, None),
            None => Ok(()),
        }
    }

    /// Ends the current period at `self.time`, or at its planned end if that is earlier. If a free period ends
    /// early, the rest of its credits expires (Law 12).
    pub(crate) fn end_period(&mut self) -> Result<(), Violation> {
        let Some(window) = self.ledger.period.window.take() else { return Ok(()) };
        self.ledger.period.payment_due_time = None;
        let end_time = window.end_time.min(self.time);
        let is_free = self.ledger.terms.as_ref().is_some_and(|terms| terms.price.is_zero());
        if is_free && end_time < window.end_time {
            let source = GrantSource::Plan { period_number: self.ledger.period.number };
            if let Some(grant) = self.ledger.grants.iter_mut().find(|grant| grant.source == source)
                && let Some(expiration) = &mut grant.expiration
            {
                expiration.time = end_time;
                self.expire(&source)?;
            }
            self.ledger.grants.sort_by(Grant::burn_order);
        }
        self.end_statement(end_time);
        Ok(())
    }

    /// Ends the statement of the current period at `end_time`. Later amounts are booked in the next period (Law
    /// 22).
    pub(crate) fn end_statement(&mut self, end_time: Timestamp) {
        if self.ledger.statements.current().is_none() {
            return;
        }
        let grace = i64::from(self.catalog.policies.settlement_grace_seconds);
        let final_time = seconds_after(end_time, grace.saturating_add(SETTLEMENT_CLOSES_AFTER_SECONDS));
        self.ledger.statements.end(end_time, final_time);
        self.ledger.usage.clear();
    }

    /// Begins the period at `anchor` under `terms`, after `skipped` periods that were never granted (Law 17).
    pub(crate) fn begin_period(
        &mut self,
        terms: Terms,
        anchor: Anchor,
        skipped: u32,
    ) -> Result<(), Violation> {
        let number = self.ledger.period.number.saturating_add(1).saturating_add(skipped);
        let window =
            Window { start_time: anchor.start_time(), end_time: anchor.end_time(terms.billing_period) };
        self.ledger.statements.begin(Statement {
            period_number: number,
            start_time: window.start_time,
            end_time: window.end_time,
            plan: terms.plan.clone(),
            billing_period: terms.billing_period,
            final_time: None,
            is_final: false,
            book: Book::default(),
        })?;
        self.ledger.terms = Some(terms);
        self.ledger.anchor = Some(anchor);
        self.ledger.period = PeriodState { number, window: Some(window), payment_due_time: None };
        self.forget_what_is_old();
        self.rearm_thresholds()
    }

    /// Grants the credits of the current period (Law 4). `invoice` paid for them.
    pub(crate) fn grant_period(&mut self, invoice: Option<u32>) -> Result<(), Violation> {
        self.ledger.period.payment_due_time = None;
        let period_number = self.ledger.period.number;
        let source = GrantSource::Plan { period_number };
        if let Some(invoice) = invoice.and_then(|number| self.invoice_mut(number)) {
            invoice.grant = Some(source.clone());
        }
        let (Some(terms), Some(window)) = (&self.ledger.terms, self.ledger.period.window) else {
            return Err(Violation::absent("the period that was paid"));
        };
        let (credits, plan) = (terms.credits, PlanPeriod::of(terms));
        if credits.is_zero() {
            return Ok(());
        }
        let grace_seconds = self.catalog.policies.settlement_grace_seconds;
        let expiration = Expiration { time: window.end_time, grace_seconds, passed: false };
        let grant = Grant {
            source,
            credits,
            remaining: credits,
            effective_time: self.time,
            expiration: Some(expiration),
        };
        self.credit(grant, |grant, debt_repaid| Detail::Granted {
            amount: grant.credits,
            grant: grant.source.to_string(),
            plan,
            period_number,
            expiration_time: expiration.time,
            debt_repaid,
        })
    }

    /// Returns true if the account has had no plan and can still get its first one. Packs are then pending (Law
    /// 14).
    pub(crate) fn first_period_may_come(&self) -> bool {
        self.ledger.period.number == 0
            && (self.open_plan_invoice().is_some()
                || self.ledger.request.as_ref().is_none_or(|decided| decided.state.waits()))
    }

    /// Drops the oldest void invoices above the limit.
    fn forget_void_invoices(&mut self) {
        let is_void = |invoice: &Invoice| invoice.state == InvoiceState::Void;
        let count = self.ledger.invoices.iter().filter(|invoice| is_void(invoice)).count();
        let mut surplus = count.saturating_sub(VOID_INVOICES_KEPT);
        self.ledger.invoices.retain(|invoice| {
            let drops = surplus > 0 && is_void(invoice);
            surplus = surplus.saturating_sub(usize::from(drops));
            !drops
        });
    }

    /// Drops old invoices. It keeps those that await a payment or the return of money, and those whose credits
    /// are not used up, because they can be refunded.
    fn forget_old_invoices(&mut self) {
        let time = self.time;
        let Ledger { invoices, grants, .. } = &mut self.ledger;
        let is_left =
            |invoice: &Invoice| grants.iter().any(|grant| invoice.grant.as_ref() == Some(&grant.source));
        let mut surplus = invoices.len().saturating_sub(INVOICES_KEPT);
        invoices.retain(|invoice| {
            let is_old = surplus > 0 && months_begun(invoice.time, time) >= INVOICES_KEPT_MONTHS;
            surplus = surplus.saturating_sub(1);
            let is_due = matches!(invoice.state, InvoiceState::Open | InvoiceState::RefundDue);
            !is_old || is_due || is_left(invoice)
        });
    }

    /// Drops records that no law needs any more, so that the ledger stays small.
    fn forget_what_is_old(&mut self) {
        let accept_for_seconds = self.catalog.policies.accept_usage_for_seconds;
        self.ledger.coverage.forget_before(self.time, accept_for_seconds);
        self.forget_old_orders();
        self.forget_old_invoices();
    }

    /// Keeps only the names of old orders and adjustments (Laws 15, 26).
    fn forget_old_orders(&mut self) {
        self.ledger.purchases.forget_before(self.time);
        self.ledger.forget_adjustments_before(self.time);
    }

    /// Makes room for another order if the ledger has none, without waiting for the next period.
    pub(crate) fn make_room_for_orders(&mut self) {
        if self.ledger.order_bytes() >= ORDER_BYTES {
            self.forget_old_orders();
        }
    }
}

impl PlanPeriod {
    /// Returns the plan and billing period of `terms`.
    #[must_use]
    pub fn of(terms: &Terms) -> Self {
        Self { plan: terms.plan.clone(), billing_period: terms.billing_period }
    }
}
