//! Invoices as a Subscription shows them.

use flashgate_api::subscription;
use flashgate_ledger::invoice::{ChangeReason, Invoice, InvoiceState, Purpose};
use flashgate_ledger::ledger::Ledger;

use super::amount;

/// Number of the last invoices that are shown, in addition to all open ones.
const SHOWN: usize = 12;
/// Most invoices that the schema allows.
const MOST_SHOWN: usize = 256;

/// Returns all open invoices and the last ones, oldest first.
pub(super) fn invoices(ledger: &Ledger) -> Vec<subscription::Invoice> {
    let older = ledger.invoices.len().saturating_sub(SHOWN);
    let is_shown =
        |(index, invoice): &(usize, &Invoice)| *index >= older || invoice.state == InvoiceState::Open;
    let shown: Vec<_> = ledger.invoices.iter().enumerate().filter(is_shown).collect();
    let surplus = shown.len().saturating_sub(MOST_SHOWN);
    shown.into_iter().skip(surplus).map(|(_, invoice)| show(ledger, invoice)).collect()
}

fn show(ledger: &Ledger, invoice: &Invoice) -> subscription::Invoice {
    let Invoice {
        number,
        time,
        purpose,
        amount: owed,
        currency,
        state,
        due_time,
        grant: _,
        payments: _,
        attempts: _,
    } = invoice;
    subscription::Invoice {
        number: ledger.invoice_name(*number),
        time: *time,
        reason: reason(ledger, purpose),
        amount: amount(*owed),
        currency: currency.clone(),
        state: *state,
        due_time: *due_time,
    }
}

/// Returns the purpose of an invoice as text. The first word is the reason that entries name.
fn reason(ledger: &Ledger, purpose: &Purpose) -> String {
    match purpose {
        Purpose::Change { reason, terms } => {
            let verb = match reason {
                ChangeReason::Start => "Start of",
                ChangeReason::Upgrade => "Upgrade to",
                ChangeReason::Reactivation => "Reactivation with",
            };
            format!("{verb} {} {}", terms.plan, terms.billing_period.as_str())
        }
        Purpose::Renewal { period_number } => {
            let statement =
                ledger.statements.kept.iter().find(|statement| statement.period_number == *period_number);
            match statement {
                Some(statement) => {
                    let (plan, billing_period) = (&statement.plan, statement.billing_period.as_str());
                    format!("Renewal of {plan} {billing_period}, period {period_number}")
                }
                None => format!("Renewal, period {period_number}"),
            }
        }
        Purpose::Pack { name } => match ledger.purchases.record(name) {
            Some(purchase) => format!("Pack {}, order '{name}'", purchase.pack),
            None => format!("Pack, order '{name}'"),
        },
    }
}
