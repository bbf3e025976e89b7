//! Bounds: the most that a ledger may hold, so that it can always be stored and a charge always fits (Laws 10 and 26).
//!
//! A stored ledger has room for about 1.5 MB. Each part of it has its own share. When a tenant or an administrator
//! fills one share, more objects of that kind are refused; usage, renewals and settlements keep their room.

use crate::credits::{AmountOverflow, Credits};
use crate::invoice::{Invoice, InvoiceState, Purpose};
use crate::ledger::{Charge, Ledger, RatedUsage, UNACKNOWLEDGED_LIMIT};
use crate::purchase::{ORDER_NAME_BYTES, Purchase, PurchaseState};
use crate::quantity::Quantity;

/// Grants that may be open when a plan's is to be added; renewals and settlements add theirs all the same.
pub const OPEN_GRANTS_LIMIT: usize = 64;

/// Open grants, and orders that may still become some, above which orders and adjustments are refused.
pub const OPEN_GRANTS_FOR_ORDERS: usize = 56;

/// Bytes that the records and names of orders and adjustments take before more are refused.
pub const ORDER_BYTES: usize = 192 * 1_024;

/// Invoices that are kept beyond those that money or credits may still move for.
pub const INVOICES_LIMIT: usize = 256;

/// Bytes that invoices take before the oldest of those are forgotten that nothing can move for any more.
pub const INVOICE_BYTES: usize = 160 * 1_024;

/// Void invoices that were paid and whose money is to be returned; beyond, such a payment is refused.
pub const REFUNDS_DUE_LIMIT: usize = 64;

/// Bytes that the names of failed attempts take before those of the oldest invoices are forgotten.
pub const ATTEMPT_BYTES: usize = 64 * 1_024;

/// Bytes that charges with an outstanding receipt may take. At this limit further reports wait.
pub const RECEIPT_BYTES: usize = 96 * 1_024;

/// Rates for which a period's usage is kept. Beyond that, rates that the catalog no longer has are summed up as one.
pub const USAGE_LINES: usize = 256;

/// Node type of the summed usage of rates that the catalog no longer has.
pub const FORMER_NODE_TYPE: &str = "Former";

/// Operation of the same usage.
pub const FORMER_OPERATION: &str = "FormerRates";

/// Characters of a refusal's message that a ledger remembers.
pub const REMEMBERED_MESSAGE: usize = 1_000;

impl Charge {
    /// Returns about how many bytes it takes in a stored ledger.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lines = self
            .lines
            .iter()
            .map(|line| 160_usize.saturating_add(line.node_type.len()).saturating_add(line.operation.len()));
        self.name.len().saturating_add(self.uid.len()).saturating_add(180).saturating_add(lines.sum())
    }
}

/// Returns whether `charges`, whose receipts are outstanding, leave no room for another.
#[must_use]
pub fn receipts_are_full<'a>(charges: impl IntoIterator<Item = &'a Charge>) -> bool {
    let (count, bytes) = charges.into_iter().fold((0_usize, 0_usize), |(count, bytes), charge| {
        (count.saturating_add(1), bytes.saturating_add(charge.bytes()))
    });
    count >= UNACKNOWLEDGED_LIMIT || bytes >= RECEIPT_BYTES
}

impl Invoice {
    /// Returns about how many bytes it takes in a stored ledger.
    fn bytes(&self) -> usize {
        let names = self.payments.iter().map(|name| name.len().saturating_add(6)).sum::<usize>();
        match &self.purpose {
            Purpose::Pack { name } => name.len().saturating_mul(2).saturating_add(300).saturating_add(names),
            Purpose::Change { .. } | Purpose::Renewal { .. } => names.saturating_add(600),
        }
    }
}

impl Ledger {
    /// Returns about how many bytes the orders and adjustments of its life take in a stored ledger.
    #[must_use]
    pub fn order_bytes(&self) -> usize {
        let purchases = self.purchases.records.iter();
        let purchases = purchases
            .map(|purchase| purchase.name.len().saturating_add(purchase.pack.len()).saturating_add(340));
        let adjustments = self.adjustments.keys().map(|name| name.len().saturating_add(120));
        let names = self.purchases.names.len().saturating_add(self.adjustment_names.len());
        purchases.chain(adjustments).sum::<usize>().saturating_add(names.saturating_mul(ORDER_NAME_BYTES))
    }

    /// Returns how many orders may still become grants with their payment.
    #[must_use]
    pub fn unpaid_orders(&self) -> usize {
        let is_unpaid = |purchase: &&Purchase| purchase.state == PurchaseState::AwaitingPayment;
        self.purchases.records.iter().filter(is_unpaid).count()
    }

    /// Returns whether the ledger holds as many paid void invoices as it can; further such payments are refused.
    #[must_use]
    pub fn has_many_refunds_due(&self) -> bool {
        let is_due = |invoice: &&Invoice| invoice.state == InvoiceState::RefundDue;
        self.invoices.iter().filter(is_due).count() >= REFUNDS_DUE_LIMIT
    }

    /// Forgets the oldest invoices that nothing can move for any more, where all take more than their share.
    pub(crate) fn forget_surplus_invoices(&mut self) {
        let Self { invoices, grants, .. } = self;
        let may_move = |invoice: &Invoice| {
            matches!(invoice.state, InvoiceState::Open | InvoiceState::RefundDue)
                || grants.iter().any(|grant| invoice.grant.as_ref() == Some(&grant.source))
        };
        let mut count = invoices.len();
        let mut bytes = invoices.iter().map(Invoice::bytes).sum::<usize>();
        invoices.retain(|invoice| {
            let drops = (count > INVOICES_LIMIT || bytes > INVOICE_BYTES) && !may_move(invoice);
            if drops {
                count = count.saturating_sub(1);
                bytes = bytes.saturating_sub(invoice.bytes());
            }
            !drops
        });
    }

    /// Forgets the names of attempts of the oldest invoices, where all take more than their share; their counts stay.
    pub(crate) fn forget_surplus_attempts(&mut self) {
        let bytes = |invoice: &Invoice| {
            invoice.attempts.names.iter().map(|name| name.len().saturating_add(6)).sum::<usize>()
        };
        let mut all = self.invoices.iter().map(bytes).sum::<usize>();
        for invoice in self.invoices.iter_mut() {
            if all <= ATTEMPT_BYTES {
                break;
            }
            all = all.saturating_sub(bytes(invoice));
            invoice.attempts.names.clear();
        }
    }

    /// Sums up the usage of rates that `is_sold` no longer knows, where more rates are kept than a catalog may have.
    pub(crate) fn sum_up_former_usage(
        &mut self,
        is_sold: impl Fn(&RatedUsage) -> bool,
    ) -> Result<(), AmountOverflow> {
        if self.usage.len() <= USAGE_LINES {
            return Ok(());
        }
        let (sold, former): (Vec<_>, Vec<_>) = std::mem::take(&mut self.usage).into_iter().partition(is_sold);
        self.usage = sold;
        if !former.is_empty() {
            self.usage.push(RatedUsage {
                node_type: FORMER_NODE_TYPE.to_owned(),
                operation: FORMER_OPERATION.to_owned(),
                // Bytes and tokens have no sum.
                quantity: Quantity::ZERO,
                credits: Credits::sum(former.iter().map(|line| line.credits))?,
            });
        }
        Ok(())
    }
}
