//! Payments: reports of a payment agent about invoices, each applied once (Law 18).

use crate::Credits;
use crate::account::Account;
use crate::bounds::REFUNDS_DUE_LIMIT;
use crate::entry::{Detail, FactKind, ObjectName};
use crate::facts::{Payment, PaymentState};
use crate::grant::{Expiration, Grant};
use crate::invoice::{Invoice, InvoiceState, Purpose, VoidCause};
use crate::ledger::{Ledger, RequestState, Violation};
use crate::purchase::PurchaseState;
use crate::refusal::{Refusal, RefusalReason};
use crate::statement::BookLine;

/// The outcome of a Payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// It was applied to its invoice.
    Applied,
    /// It was applied to a void invoice. It gave nothing, and the money must be returned.
    RefundDue,
    /// It gave nothing, and the money was returned.
    Returned,
    /// It was refused.
    Refused(Refusal),
}

impl Invoice {
    /// Returns the current outcome of a Payment of `state` that was applied to this invoice.
    #[must_use]
    pub const fn outcome_of(&self, state: PaymentState) -> PaymentOutcome {
        match (state, self.state) {
            (PaymentState::Settled, InvoiceState::RefundDue) => PaymentOutcome::RefundDue,
            (PaymentState::Settled, InvoiceState::Refunded) if self.grant.is_none() => {
                PaymentOutcome::Returned
            }
            _ => PaymentOutcome::Applied,
        }
    }

    /// Keeps the name of a Payment that is applied to it, so that the Payment gets the same verdict again if
    /// its status is lost.
    fn keep_payment(&mut self, Payment { name, arrival, state, .. }: &Payment) {
        match state {
            PaymentState::Settled | PaymentState::Refunded => {
                self.payments.retain(|known| known != name);
                self.payments.push(name.clone());
            }
            PaymentState::Failed | PaymentState::Cancelled => self.attempts.add(name, *arrival),
        }
    }

    /// Returns true if a Payment with the same name and the same state was applied to this invoice before. A
    /// name can be used again with another state. Each state follows a certain one, so the state of the invoice
    /// shows if `payment` was applied.
    fn was_told(&self, payment: &Payment) -> bool {
        let Payment { name, arrival, state, amount, currency, .. } = payment;
        let moved_money = self.payments.iter().any(|known| known == name);
        let was_attempt = moved_money || self.attempts.include(name, *arrival);
        let was_told = match state {
            PaymentState::Settled => {
                moved_money && !matches!(self.state, InvoiceState::Open | InvoiceState::Void)
            }
            PaymentState::Refunded => moved_money && self.state == InvoiceState::Refunded,
            PaymentState::Failed => was_attempt,
            PaymentState::Cancelled => was_attempt && !self.ends_with_a_cancellation(),
        };
        was_told && self.amount == *amount && self.currency == *currency
    }

    /// Returns true if a cancellation voids it. A renewal can be paid until its due time, so its cancellation
    /// does not.
    const fn ends_with_a_cancellation(&self) -> bool {
        matches!(self.state, InvoiceState::Open) && !matches!(self.purpose, Purpose::Renewal { .. })
    }
}

impl Payment {
    /// Returns its content in one line.
    fn stated(&self) -> String {
        let Self { invoice, state, amount, currency, .. } = self;
        format!("{invoice} {} {amount} {currency}", state.as_str())
    }
}

impl Ledger {
    /// Returns the current outcome of an earlier Payment with the same name and content, if there was one.
    #[must_use]
    pub fn known_payment(&self, payment: &Payment) -> Option<PaymentOutcome> {
        let stated = payment.stated();
        let refused = self.refusals.iter().find(|record| {
            let says_the_same = record.stated.as_ref().is_none_or(|before| *before == stated);
            record.kind == FactKind::Payment && record.name == payment.name && says_the_same
        });
        if let Some(record) = refused {
            return Some(PaymentOutcome::Refused(record.refusal.clone()));
        }
        let invoice = self.invoice(&payment.invoice)?;
        invoice.was_told(payment).then(|| invoice.outcome_of(payment.state))
    }
}

impl Account<'_> {
    /// Applies a Payment (Law 18). One that was applied before gets the same verdict again. One with the same
    /// name and another content is decided on its own: the state of the invoice ensures that it is settled
    /// once.
    pub(crate) fn pay(&mut self, payment: &Payment) -> Result<PaymentOutcome, Violation> {
        if let Some(known) = self.ledger.known_payment(payment) {
            return Ok(known);
        }
        let invoice = match self.judge_payment(payment) {
            Ok(invoice) => invoice,
            Err(refusal) => {
                let stated = payment.stated();
                self.refuse(FactKind::Payment, &payment.name, Some(&stated), refusal.clone())?;
                return Ok(PaymentOutcome::Refused(refusal));
            }
        };
        if let Some(invoice) = self.invoice_mut(invoice.number) {
            invoice.keep_payment(payment);
        }
        self.ledger.forget_surplus_attempts();
        let object = ObjectName { kind: FactKind::Payment, name: payment.name.clone() };
        match payment.state {
            PaymentState::Settled => self.settle(&invoice, object)?,
            PaymentState::Failed => {}
            PaymentState::Cancelled => self.cancel(&invoice, object)?,
            PaymentState::Refunded => self.refund(&invoice, object)?,
        }
        let applied = self.ledger.invoice(&payment.invoice);
        Ok(applied.map_or(PaymentOutcome::Applied, |applied| applied.outcome_of(payment.state)))
    }

    fn judge_payment(&self, payment: &Payment) -> Result<Invoice, Refusal> {
        let Some(invoice) = self.ledger.invoice(&payment.invoice) else {
            let open = self.ledger.invoices.iter().filter(|invoice| invoice.state == InvoiceState::Open);
            let open: Vec<String> = open.map(|invoice| self.ledger.invoice_name(invoice.number)).collect();
            return Err(Refusal::unknown_invoice(&payment.invoice, &open));
        };
        if invoice.amount != payment.amount || invoice.currency != payment.currency {
            return Err(Refusal::wrong_amount(&payment.invoice, invoice.amount, &invoice.currency));
        }
        let is_paid =
            matches!(invoice.state, InvoiceState::Settled | InvoiceState::RefundDue | InvoiceState::Refunded);
        let can_be_refunded = matches!(invoice.state, InvoiceState::Settled | InvoiceState::RefundDue);
        match payment.state {
            PaymentState::Settled | PaymentState::Failed | PaymentState::Cancelled if is_paid => {
                Err(Refusal::already_settled(&payment.invoice))
            }
            PaymentState::Settled
                if invoice.state == InvoiceState::Void && self.ledger.has_many_refunds_due() =>
            {
                Err(Refusal::too_many_refunds(&payment.invoice, REFUNDS_DUE_LIMIT))
            }
            PaymentState::Refunded if !can_be_refunded => {
                Err(Refusal::not_settled(&payment.invoice, invoice.state.as_str()))
            }
            _ => Ok(invoice.clone()),
        }
    }

    fn settle(&mut self, invoice: &Invoice, object: ObjectName) -> Result<(), Violation> {
        if invoice.state == InvoiceState::Void {
            return self.change_invoice(invoice.number, InvoiceState::RefundDue, |invoice, name| {
                Detail::Settled {
                    amount: invoice.amount,
                    currency: invoice.currency.clone(),
                    invoice: name,
                    state: invoice.state,
                    object: Some(object),
                }
            });
        }
        self.settle_invoice(invoice.number, Some(object))?;
        match &invoice.purpose {
            Purpose::Change { terms, .. } => self.begin_changed_period(terms.clone(), Some(invoice.number)),
            Purpose::Renewal { .. } => self.grant_period(Some(invoice.number)),
            Purpose::Pack { name } => self.grant_pack(name),
        }
    }

    /// Ends the order or request of an invoice that will not be paid.
    fn cancel(&mut self, invoice: &Invoice, object: ObjectName) -> Result<(), Violation> {
        if !invoice.ends_with_a_cancellation() {
            return Ok(());
        }
        self.give_up(invoice, VoidCause::PaymentCancelled, Some(object))
    }

    /// Expires an invoice that was not paid by its due time, which is now.
    pub(crate) fn run_out(&mut self, number: u32) -> Result<(), Violation> {
        match self.invoice_mut(number).cloned() {
            Some(invoice) if invoice.state == InvoiceState::Open => {
                self.give_up(&invoice, VoidCause::PaymentExpired, None)
            }
            _ => Ok(()),
        }
    }

    fn give_up(
        &mut self,
        invoice: &Invoice,
        cause: VoidCause,
        payment: Option<ObjectName>,
    ) -> Result<(), Violation> {
        self.void_invoice(invoice.number, cause, payment)?;
        let reason = match cause {
            VoidCause::PaymentExpired => RefusalReason::PaymentExpired,
            VoidCause::PaymentCancelled | VoidCause::Superseded => RefusalReason::PaymentCancelled,
        };
        if let Purpose::Pack { name } = &invoice.purpose {
            if let Some(purchase) = self.purchase_mut(name) {
                purchase.state = PurchaseState::Refused { reason };
            }
        } else if let Some(decided) = &mut self.ledger.request
            && decided.state == RequestState::Decided
        {
            decided.state = RequestState::Voided;
        }
        Ok(())
    }

    /// Takes back the rest of the grant that the invoice paid for, including credits that are settling. The
    /// plan stays.
    fn refund(&mut self, invoice: &Invoice, object: ObjectName) -> Result<(), Violation> {
        if let Some(invoice) = self.invoice_mut(invoice.number) {
            invoice.state = InvoiceState::Refunded;
        }
        if let Purpose::Pack { name } = &invoice.purpose
            && let Some(purchase) = self.purchase_mut(name)
            && let PurchaseState::Granted { time } = purchase.state
        {
            purchase.state = PurchaseState::Refunded { grant_time: time };
        }
        let time = self.time;
        // A settlement that is over can still be open, but only for pending reports.
        let is_closed =
            |expiration: Expiration| expiration.passed && expiration.settlement_end_time() <= time;
        let index = invoice.grant.as_ref().and_then(|source| {
            let is_left = |grant: &Grant| grant.source == *source && !grant.expiration.is_some_and(is_closed);
            self.ledger.grants.iter().position(is_left)
        });
        let grant = index.map(|index| self.ledger.grants.remove(index));
        let amount = grant.as_ref().map_or(Credits::ZERO, |grant| grant.remaining);
        let leaves_balance =
            grant.as_ref().filter(|grant| grant.is_current()).map_or(Credits::ZERO, |_| amount);
        if let Some(Grant { expiration: Some(expiration), .. }) = grant
            && expiration.passed
        {
            self.book_expired(expiration.time, amount.negated())?;
        }
        self.ledger.totals.refunded = self.ledger.totals.refunded.checked_add(amount)?;
        self.ledger.statements.book_now(BookLine::Refunded, amount)?;
        let detail = Detail::Refunded {
            amount,
            grant: invoice.grant.as_ref().map(ToString::to_string),
            invoice: self.ledger.invoice_name(invoice.number),
            object,
        };
        self.record(leaves_balance.negated(), detail)?;
        self.rearm_thresholds()
    }
}
