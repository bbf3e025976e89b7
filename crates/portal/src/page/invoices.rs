//! Invoices and payments of an account: the list, and each invoice as a page that prints.

mod document;
mod items;
mod known;
mod list;

use std::collections::HashMap;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use flashgate_history::query::entries::{EntryFilter, Kinds, Place};
use maud::Markup;

use super::figures::Figures;
use super::layout::{Part, page};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::account::Account;
use crate::calls::log_history;
use crate::history::{ListedInvoice, Record, RecordQuery, records};
use crate::parameters::parsed;
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};

use list::{InvoiceParameters, PAGE};

/// Most entries about one invoice. An invoice has a few.
const MOST_ENTRIES: u32 = 200;

/// Returns the routes of this part.
pub(crate) fn routes() -> Router<Portal> {
    Router::new()
        .route("/{namespace}/{subscription}/invoices", get(show))
        .route("/{namespace}/{subscription}/invoices/{number}", get(show_one))
}

async fn show(
    State(portal): State<Portal>,
    visitor: Visitor,
    query: Result<Query<InvoiceParameters>, QueryRejection>,
) -> Result<Markup, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let from = parsed(query)?.place()?;
    let found = match portal.with_history(&visitor.caller, &account) {
        Some((history, key)) => history.invoice_page(&key, &from, PAGE).await.inspect_err(log_history).ok(),
        None => None,
    };
    let has_history = found.is_some();
    let known = known::invoices(&account);
    let invoices = match found {
        Some(found) => known::merged(found, known, &from),
        None => known::page(known, &from, PAGE),
    };
    let content = list::content(&portal, &visitor, &account, &from, &invoices, has_history);
    Ok(page(&visitor, Part::Invoices, "Invoices and payments", &content))
}

async fn show_one(
    State(portal): State<Portal>,
    visitor: Visitor,
    Path(names): Path<HashMap<String, String>>,
) -> Result<Markup, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let number = names.get("number").map(String::as_str).unwrap_or_default();
    let (stored, entries) = read(&portal, &visitor, &account, number).await;
    // The history is a moment behind the ledger.
    let known = known::invoices(&account).into_iter().find(|invoice| invoice.number == number);
    let invoice = match (known, stored) {
        (Some(known), Some(stored)) => known::newer(known, stored),
        (known, stored) => known.or(stored).ok_or_else(|| {
            let message = "the account has no invoice with this number, or the ledger no longer keeps it";
            Refused::new(ErrorCode::NotFound, message)
        })?,
    };
    let content = document::content(&portal, &visitor, &account, &invoice, &entries);
    Ok(page(&visitor, Part::Invoices, &format!("Invoice {number}"), &content))
}

/// Returns the invoice of the history, and the entries about it, newest first.
async fn read(
    portal: &Portal,
    visitor: &Visitor,
    account: &Account,
    number: &str,
) -> (Option<ListedInvoice>, Vec<Record>) {
    let text = Some(number.to_owned());
    let filter = EntryFilter { kinds: Kinds::BesidesCharges, text, ..EntryFilter::default() };
    let query = RecordQuery { filter, place: Place::Newest, limit: MOST_ENTRIES };
    let found = match portal.with_history(&visitor.caller, account) {
        Some((history, key)) => {
            let found =
                async { Ok((history.invoice(&key, number).await?, history.records(&key, &query).await?)) };
            found.await.inspect_err(log_history).ok()
        }
        None => None,
    };
    let (stored, page) = found.unwrap_or_else(|| {
        let entries = account.book.known().map(|book| book.entries.as_slice()).unwrap_or_default();
        (None, records::of_ledger(entries, Figures::of(account).balance, &query))
    });
    // The text selects every invoice whose number begins with this one.
    let is_about = |record: &Record| record.invoice() == Some(number);
    (stored, page.records.into_iter().filter(is_about).collect())
}
