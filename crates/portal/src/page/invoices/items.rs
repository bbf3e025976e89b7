//! The items of an invoice, and its state, in words.

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::invoice::InvoiceState;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use crate::account::Account;
use crate::history::ListedInvoice;
use crate::offers::{pack_name, plan_name};

/// An item of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The plan or the pack.
    pub name: String,
    /// Credits that it gives, if they are known.
    pub credits: Option<Credits>,
    /// Money owed for it.
    pub amount: Option<Credits>,
}

/// Returns the items in `lines`, or else the plan that the ledger knows.
pub(super) fn items(
    catalog: &Catalog,
    account: &Account,
    invoice: &ListedInvoice,
    lines: Option<&Value>,
) -> Vec<Item> {
    if let Some(lines) = lines.or(invoice.lines.as_ref()).and_then(Value::as_array) {
        return lines.iter().map(|line| item(catalog, line)).collect();
    }
    let plan = account.plan_of_invoice(&invoice.number);
    let known = plan.map(|known| Item {
        name: with_period(&plan_name(catalog, &known.plan), known.billing_period.as_str()),
        credits: None,
        amount: Some(known.price),
    });
    known.into_iter().collect()
}

fn item(catalog: &Catalog, line: &Value) -> Item {
    let text = |field: &str| line.get(field).and_then(Value::as_str);
    let amount = |field: &str| text(field)?.parse().ok();
    let name = match (text("plan"), text("pack")) {
        (Some(plan), _) => with_period(&plan_name(catalog, plan), text("billingPeriod").unwrap_or_default()),
        (None, Some(pack)) => format!("Pack {}", pack_name(catalog, pack)),
        (None, None) => "Item".to_owned(),
    };
    Item { name, credits: amount("credits"), amount: amount("amount") }
}

fn with_period(plan: &str, billing_period: &str) -> String {
    format!("{plan}, {}", billing_period.to_lowercase())
}

/// Returns the purpose of an invoice in words.
pub(super) fn purpose(invoice: &ListedInvoice, items: &[Item]) -> String {
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    match (reason_word(&invoice.reason), names.as_slice()) {
        ("", []) => "Unknown".to_owned(),
        (_, []) => invoice.reason.clone(),
        ("Pack" | "", names) => names.join(", "),
        (reason, names) => format!("{reason}: {}", names.join(", ")),
    }
}

/// Returns the word with which a reason begins. A status has the reason as a sentence.
fn reason_word(reason: &str) -> &str {
    reason.split([' ', ',']).next().unwrap_or_default()
}

/// Returns whether an invoice is open after its due time.
pub(super) fn is_overdue(invoice: &ListedInvoice, now: Timestamp) -> bool {
    invoice.state == InvoiceState::Open && invoice.due_time.is_some_and(|due| due < now)
}

/// Returns the state of an invoice as a mark.
pub(super) fn state(invoice: &ListedInvoice, now: Timestamp) -> Markup {
    let (class, name) = match invoice.state {
        InvoiceState::Open if is_overdue(invoice, now) => ("badge bad", "Overdue"),
        InvoiceState::Open => ("badge warning", "Open"),
        InvoiceState::Settled => ("badge good", "Paid"),
        InvoiceState::Void => ("badge", "Void"),
        InvoiceState::RefundDue => ("badge bad", "Refund due"),
        InvoiceState::Refunded => ("badge", "Refunded"),
    };
    html! { span class=(class) { (name) } }
}
