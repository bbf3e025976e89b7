//! Bounds: the most that a ledger may hold, so that it can always be stored and a charge always fits (Laws 10 and 26).
//!
//! A stored ledger has room for about 1.5 MB. Each part of it has its own share. When a tenant or an administrator
//! fills one share, more objects of that kind are refused; usage, renewals and settlements keep their room.

use crate::credits::{AmountOverflow, Credits};
use crate::entry::{Detail, Entry};
use crate::invoice::{Invoice, InvoiceState, Purpose};
use crate::ledger::{Charge, Ledger, RatedUsage, UNACKNOWLEDGED_LIMIT};
use crate::purchase::{ORDER_NAME_BYTES, Purchase, PurchaseState};
use crate::quantity::Quantity;

/// Most open grants with which a change of plan may add another. Renewals and settlements always add theirs.
pub const OPEN_GRANTS_LIMIT: usize = 64;

/// Most open grants, including orders that can still become grants. Above it, orders and adjustments are
/// refused.
pub const OPEN_GRANTS_FOR_ORDERS: usize = 56;

/// Bytes of the records and names of orders and adjustments, above which more are refused.
pub const ORDER_BYTES: usize = 192 * 1_024;

/// Invoices that are kept in addition to those that can still move money or credits.
pub const INVOICES_LIMIT: usize = 256;

/// Bytes of invoices, above which the oldest that can move no money or credits are dropped.
pub const INVOICE_BYTES: usize = 160 * 1_024;

/// Most void invoices that were paid and whose money must be returned. Above it, such a payment is refused.
pub const REFUNDS_DUE_LIMIT: usize = 64;

/// Bytes of the names of failed attempts, above which those of the oldest invoices are dropped.
pub const ATTEMPT_BYTES: usize = 64 * 1_024;

/// Bytes of charges with an outstanding receipt. At this limit, further reports are pending.
pub const RECEIPT_BYTES: usize = 96 * 1_024;

/// Bytes of entries that are not recorded in a history store. At this limit, further reports are pending. The ledger
/// has 64 KiB for them: the rest is for the entry of the last charge, and for grants, invoices and payments, which never
/// wait.
pub const UNRECORDED_BYTES: usize = 40 * 1_024;

/// Rates for which the usage of a period is kept. Above it, rates that the catalog no longer has are summed up
/// as one.
pub const USAGE_LINES: usize = 256;

/// Node type of the summed usage of rates that the catalog no longer has.
pub const FORMER_NODE_TYPE: &str = "Former";

/// Operation of this usage.
pub const FORMER_OPERATION: &str = "FormerRates";

/// Characters of the message of a refusal that a ledger keeps.
pub const REMEMBERED_MESSAGE: usize = 1_000;

impl Charge {
    /// Returns an estimate of its size in a stored ledger, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lines = self
            .lines
            .iter()
            .map(|line| 160_usize.saturating_add(line.node_type.len()).saturating_add(line.operation.len()));
        self.name.len().saturating_add(self.uid.len()).saturating_add(180).saturating_add(lines.sum())
    }
}

/// Returns true if `charges`, whose receipts are outstanding, leave no room for another one.
#[must_use]
pub fn receipts_are_full<'a>(charges: impl IntoIterator<Item = &'a Charge>) -> bool {
    let (count, bytes) = charges.into_iter().fold((0_usize, 0_usize), |(count, bytes), charge| {
        (count.saturating_add(1), bytes.saturating_add(charge.bytes()))
    });
    count >= UNACKNOWLEDGED_LIMIT || bytes >= RECEIPT_BYTES
}

impl Entry {
    /// Returns an estimate of its size in a stored ledger, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = match &self.detail {
            Detail::Charged { object, source, paid_by, .. } => {
                let paid_by = paid_by.iter().map(|paid| paid.grant.len().saturating_add(60));
                object.name.len().saturating_add(source.len()).saturating_add(paid_by.sum())
            }
            Detail::Refused { object, refusal } => object.name.len().saturating_add(refusal.message.len()),
            _ => 512,
        };
        texts.saturating_add(800)
    }
}

impl Invoice {
    /// Returns an estimate of its size in a stored ledger, in bytes.
    fn bytes(&self) -> usize {
        let names = self.payments.iter().map(|name| name.len().saturating_add(6)).sum::<usize>();
        match &self.purpose {
            Purpose::Pack { name } => name.len().saturating_mul(2).saturating_add(300).saturating_add(names),
            Purpose::Change { .. } | Purpose::Renewal { .. } => names.saturating_add(600),
        }
    }
}

impl Ledger {
    /// Returns an estimate of the size of all its orders and adjustments in a stored ledger, in bytes.
    #[must_use]
    pub fn order_bytes(&self) -> usize {
        let purchases = self.purchases.records.iter();
        let purchases = purchases
            .map(|purchase| purchase.name.len().saturating_add(purchase.pack.len()).saturating_add(340));
        let adjustments = self.adjustments.keys().map(|name| name.len().saturating_add(120));
        let names = self.purchases.names.len().saturating_add(self.adjustment_names.len());
        purchases.chain(adjustments).sum::<usize>().saturating_add(names.saturating_mul(ORDER_NAME_BYTES))
    }

    /// Returns the number of orders that become grants when they are paid.
    #[must_use]
    pub fn unpaid_orders(&self) -> usize {
        let is_unpaid = |purchase: &&Purchase| purchase.state == PurchaseState::AwaitingPayment;
        self.purchases.records.iter().filter(is_unpaid).count()
    }

    /// Returns true if the ledger holds as many paid void invoices as it can. Further payments of this kind are
    /// refused.
    #[must_use]
    pub fn has_many_refunds_due(&self) -> bool {
        let is_due = |invoice: &&Invoice| invoice.state == InvoiceState::RefundDue;
        self.invoices.iter().filter(is_due).count() >= REFUNDS_DUE_LIMIT
    }

    /// If the invoices exceed their share, drops the oldest that can move no money or credits.
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

    /// If the names of attempts exceed their share, drops those of the oldest invoices and keeps the counts.
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

    /// Sums up the usage of rates that the catalog no longer has, if the ledger keeps more rates than a catalog
    /// may have. `is_sold` is true for rates of the catalog.
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
                // Bytes and tokens cannot be added.
                quantity: Quantity::ZERO,
                credits: Credits::sum(former.iter().map(|line| line.credits))?,
            });
        }
        Ok(())
    }
}
