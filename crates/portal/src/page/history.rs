//! History: the statement of an account, with the balance after each entry.

mod detail;
mod file;
mod query;
pub(crate) mod sentence;
mod view;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use flashgate_history::query::entries::Place;

use super::csv;
use super::figures::Figures;
use super::layout::{Part, page};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::account::Account;
use crate::calls::log_history;
use crate::history::{RecordPage, RecordQuery, records};
use crate::parameters::parsed;
use crate::portal::Portal;

use query::HistoryParameters;

/// Returns the routes of this part.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/history", get(show))
}

async fn show(
    State(portal): State<Portal>,
    visitor: Visitor,
    query: Result<Query<HistoryParameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let view = parsed(query)?.view()?;
    let stored = portal.with_history(&visitor.caller, &account);
    if view.is_csv {
        let name = format!("{}-history", visitor.caller.name);
        let body = match stored {
            Some((history, key)) => file::of_history(&portal, history, key, view.query.clone())
                .await
                .inspect_err(log_history)
                .ok(),
            None => None,
        };
        let of_ledger = || {
            let all = RecordQuery { place: Place::Newest, limit: u32::MAX, ..view.query.clone() };
            file::of_records(&portal, &kept(&account, &all).records)
        };
        return Ok(csv::file(&name, body.unwrap_or_else(of_ledger)));
    }
    let found = match stored {
        Some((history, key)) => history.records(&key, &view.query).await.inspect_err(log_history).ok(),
        None => None,
    };
    let has_history = found.is_some();
    let records = found.unwrap_or_else(|| kept(&account, &view.query));
    let content = view::content(&portal, &visitor, &account, &view, &records, has_history);
    Ok(page(&visitor, Part::History, "History", &content).into_response())
}

/// Returns the records of the entries that the ledger keeps.
fn kept(account: &Account, query: &RecordQuery) -> RecordPage {
    let entries = account.book.known().map(|book| book.entries.as_slice()).unwrap_or_default();
    records::of_ledger(entries, Figures::of(account).balance, query)
}
