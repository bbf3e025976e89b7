//! One invoice as a page that prints.

use flashgate_ledger::invoice::InvoiceState;
use maud::{Markup, html};
use serde_json::Value;

use super::items::{Item, items, purpose, state};
use super::list::money;
use crate::account::Account;
use crate::history::{ListedInvoice, Record, RecordContent};
use crate::page::format;
use crate::page::history::sentence::sentence;
use crate::page::layout::{Part, table_region};
use crate::page::visitor::Visitor;
use crate::portal::Portal;
use crate::verdict::checkout_url;

/// Returns the content of the page. `entries` are those about the invoice, newest first.
pub(super) fn content(
    portal: &Portal,
    visitor: &Visitor,
    account: &Account,
    invoice: &ListedInvoice,
    entries: &[Record],
) -> Markup {
    let issued = entries.iter().find_map(issued_detail);
    let field = |name: &str| issued.and_then(|detail| detail.get(name));
    let items = items(portal.catalog(), account, invoice, field("lines"));
    let is_open = invoice.state == InvoiceState::Open;
    let pay_url = checkout_url(portal.catalog(), &invoice.number).filter(|_| is_open);
    let details = field("billingDetails").or(invoice.billing_details.as_ref());
    html! {
        div class="page-head" {
            h1 { "Invoice " (invoice.number) }
            a class="button quiet" href=(visitor.part(Part::Invoices)) { "All invoices" }
            @if let Some(url) = pay_url { a class="button primary" href=(url) rel="noreferrer" { "Pay now" } }
        }
        article class="card invoice" data-testid="invoice" {
            div class="meta" {
                (billed_to(visitor, details, issued.is_some()))
                (facts(account, invoice, field("dueTime")))
            }
            (lines(invoice, &items))
            (payments(portal, account, invoice, entries))
        }
    }
}

/// Returns the detail of the entry that issued the invoice.
fn issued_detail(record: &Record) -> Option<&Value> {
    match &record.content {
        RecordContent::Entry(entry, _) if entry.kind == "Invoiced" => Some(&entry.detail),
        _ => None,
    }
}

/// Returns the customer. `is_complete` is false if the entry that issued the invoice is not known.
fn billed_to(visitor: &Visitor, details: Option<&Value>, is_complete: bool) -> Markup {
    let text = |field: &str| details.and_then(|details| details.get(field)).and_then(Value::as_str);
    html! {
        section aria-labelledby="billed-to" {
            h2 id="billed-to" { "Billed to" }
            @if let Some(name) = text("name") { p { strong { (name) } } }
            @if let Some(address) = text("address") { address { (address) } }
            @if let Some(tax_id) = text("taxID") { p { "Tax ID " (tax_id) } }
            @if let Some(email) = text("email") { p { (email) } }
            @if details.is_none() {
                p { "Account " strong { (visitor.caller.namespace) " / " (visitor.caller.name) } }
                p class="muted" {
                    @if is_complete {
                        "The account had no billing details when the invoice was issued."
                    } @else {
                        "The billing details of that time are not known: the entry that issued the invoice is not recorded."
                    }
                }
            }
        }
    }
}

fn facts(account: &Account, invoice: &ListedInvoice, due: Option<&Value>) -> Markup {
    let recorded = due.and_then(Value::as_str).and_then(|due| due.parse().ok());
    html! {
        dl class="facts" {
            div { dt { "Number" } dd { (invoice.number) } }
            div { dt { "Issued" } dd { (format::time(invoice.time)) } }
            @if let Some(due) = invoice.due_time.or(recorded) { div { dt { "Due" } dd { (format::time(due)) } } }
            div { dt { "State" } dd { (state(invoice, account.now)) } }
            div class="total" { dt { "Total" } dd { (money(invoice)) } }
        }
    }
}

fn lines(invoice: &ListedInvoice, items: &[Item]) -> Markup {
    let currency = invoice.money.as_ref().map(|money| money.currency.as_str()).unwrap_or_default();
    let table = html! {
        table class="data" {
            caption class="hidden" { "Items" }
            thead {
                tr {
                    th scope="col" { "Item" }
                    th scope="col" class="number" { "Credits" }
                    th scope="col" class="number" { "Amount" }
                }
            }
            tbody {
                @for item in items {
                    tr {
                        th scope="row" { (item.name) }
                        td class="number" { @if let Some(credits) = item.credits { (format::credits(credits)) } }
                        td class="number" { @if let Some(amount) = item.amount { (format::money(amount, currency)) } }
                    }
                }
                @if items.is_empty() {
                    tr { th scope="row" { (purpose(invoice, items)) } td {} td class="number" { (money(invoice)) } }
                }
            }
            tfoot { tr { th scope="row" colspan="2" { "Total" } td class="number" { (money(invoice)) } } }
        }
    };
    table_region("Items", &table)
}

/// Returns the payments and all other changes of the invoice.
fn payments(portal: &Portal, account: &Account, invoice: &ListedInvoice, entries: &[Record]) -> Markup {
    let later: Vec<&Record> = entries.iter().filter(|record| record.kind() != "Invoiced").collect();
    // The ledger knows the names of payments also if it no longer has their entries.
    let known = account.book.known().and_then(|book| book.ledger.invoice(&invoice.number));
    let names = known.map(|known| known.payments.as_slice()).unwrap_or_default();
    html! {
        section aria-labelledby="payments" {
            h2 id="payments" { "Payments and changes" }
            @if later.is_empty() && names.is_empty() {
                p class="muted" { "None." }
            } @else {
                ul {
                    @for record in &later {
                        li { (format::time(record.time)) ": " (sentence(portal.catalog(), record)) }
                    }
                    @if later.is_empty() { @for name in names { li { "Payment " (name) } } }
                }
            }
        }
    }
}
