//! Consumption of an account.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use maud::{Markup, html};

use super::layout::{Part, page};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::portal::Portal;

/// Returns the routes of this part.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/consumption", get(show))
}

async fn show(State(portal): State<Portal>, visitor: Visitor) -> Result<Markup, Problem> {
    portal.account(&visitor.caller).await?;
    Ok(page(&visitor, Part::Consumption, "Consumption", &html! { h1 { "Consumption" } }))
}
