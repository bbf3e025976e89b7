//! Consumption of an account: over time, by rate, and by label.

mod data;
mod range;
mod table;
mod view;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::csv;
use super::layout::{Part, page};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::parameters::parsed;
use crate::portal::Portal;

use range::ConsumptionParameters;

/// Returns the routes of this part.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/consumption", get(show))
}

async fn show(
    State(portal): State<Portal>,
    visitor: Visitor,
    query: Result<Query<ConsumptionParameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let view = parsed(query)?.view(account.now)?;
    let data = data::read(&portal, &visitor.caller, &account, &view).await;
    if view.is_csv {
        let name = format!("{}-consumption", visitor.caller.name);
        return Ok(csv::file(&name, Body::from(data.table.csv())));
    }
    let content = view::content(&visitor, &view, &data);
    Ok(page(&visitor, Part::Consumption, "Consumption", &content).into_response())
}
