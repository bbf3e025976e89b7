//! The list of invoices.

use flashgate_ledger::invoice::InvoiceState;
use maud::{Markup, html};
use serde::Deserialize;

use super::items::{items, purpose, state};
use crate::account::Account;
use crate::history::{InvoicesFrom, ListedInvoice, ListedPage};
use crate::page::format;
use crate::page::layout::{Part, table_region};
use crate::page::pager::{Pager, Side};
use crate::page::visitor::Visitor;
use crate::page::without_history::notice;
use crate::parameters::given;
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};
use crate::verdict::checkout_url;

/// Invoices of a page.
pub(super) const PAGE: u32 = 50;

/// Parameters of the list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InvoiceParameters {
    /// Number of the invoice before which the page ends.
    before: Option<String>,
    /// Number of the invoice after which the page begins.
    after: Option<String>,
}

impl InvoiceParameters {
    /// Returns the place of the page.
    ///
    /// # Errors
    /// When both parameters are given.
    pub(super) fn place(&self) -> Result<InvoicesFrom, Refused> {
        match (given(self.before.as_ref()), given(self.after.as_ref())) {
            (None, None) => Ok(InvoicesFrom::Newest),
            (Some(number), None) => Ok(InvoicesFrom::Before(number.to_owned())),
            (None, Some(number)) => Ok(InvoicesFrom::After(number.to_owned())),
            (Some(_), Some(_)) => {
                Err(Refused::new(ErrorCode::InvalidParameter, "send `before` or `after`, and not both"))
            }
        }
    }
}

/// Returns the content of the page. `has_history` is false if the invoices are those that the ledger or the status keeps.
pub(super) fn content(
    portal: &Portal,
    visitor: &Visitor,
    account: &Account,
    from: &InvoicesFrom,
    page: &ListedPage,
    has_history: bool,
) -> Markup {
    html! {
        h1 { "Invoices and payments" }
        @if !has_history { (without_history(account)) }
        @if page.invoices.is_empty() {
            p class="card empty muted" { "There are no invoices." }
        } @else {
            (table_region("Invoices", &table(portal, visitor, account, page)))
        }
        (pager(visitor, from, page))
    }
}

/// Returns what is shown without a history.
fn without_history(account: &Account) -> Markup {
    notice(if account.book.known().is_some() {
        "only the invoices that the ledger keeps are shown"
    } else {
        "only the open invoices and the last 12 are shown"
    })
}

fn table(portal: &Portal, visitor: &Visitor, account: &Account, page: &ListedPage) -> Markup {
    html! {
        table class="data" {
            caption class="hidden" { "Invoices, newest first" }
            thead {
                tr {
                    th scope="col" { "Number" }
                    th scope="col" { "Issued" }
                    th scope="col" { "For" }
                    th scope="col" class="number" { "Amount" }
                    th scope="col" { "State" }
                    th scope="col" { "Due" }
                }
            }
            tbody { @for invoice in &page.invoices { (row(portal, visitor, account, invoice)) } }
        }
    }
}

fn row(portal: &Portal, visitor: &Visitor, account: &Account, invoice: &ListedInvoice) -> Markup {
    let items = items(portal.catalog(), account, invoice, None);
    let is_open = invoice.state == InvoiceState::Open;
    let pay_url = checkout_url(portal.catalog(), &invoice.number).filter(|_| is_open);
    html! {
        tr data-testid="invoice-row" {
            th scope="row" { a href=(visitor.path(&format!("invoices/{}", invoice.number))) { (invoice.number) } }
            td class="nowrap" { (format::day(invoice.time)) }
            td { (purpose(invoice, &items)) }
            td class="number" { (money(invoice)) }
            td { (state(invoice, account.now)) }
            td class="nowrap" {
                @if let Some(due) = invoice.due_time.filter(|_| is_open) { (format::time(due)) }
                @if let Some(url) = pay_url { " " a href=(url) rel="noreferrer" { "Pay " span class="hidden" { (invoice.number) } } }
            }
        }
    }
}

/// Returns the money of an invoice, which is unknown if its entries were lost.
pub(super) fn money(invoice: &ListedInvoice) -> String {
    match &invoice.money {
        Some(money) => format::money(money.amount, &money.currency),
        None => "unknown".to_owned(),
    }
}

/// Returns the links to newer and older invoices.
fn pager(visitor: &Visitor, from: &InvoicesFrom, page: &ListedPage) -> Markup {
    let side = match from {
        InvoicesFrom::Newest => Side::Newest,
        InvoicesFrom::Before(_) => Side::Before,
        InvoicesFrom::After(_) => Side::After,
    };
    let ends = page.invoices.first().zip(page.invoices.last());
    let ends = ends.map(|(first, last)| (first.number.clone(), last.number.clone()));
    let path = visitor.part(Part::Invoices);
    let address = |further: Option<(&str, &str)>| match further {
        Some((name, number)) => format!("{path}?{name}={number}"),
        None => path.clone(),
    };
    Pager::of(side, page.has_more, ends, address).markup()
}
