//! The HTTP API of flashgate-billing, and the Billing & Credits page: the product's published calls, answered from
//! custom resources and the history.
//!
//! It holds no rights of its own. Every call to Kubernetes has the caller's token, so Kubernetes decides what a caller
//! may see and change. Each request about an account begins with a `get` of its Subscription, which is not cached.
//!
//! | task | where |
//! |---|---|
//! | the calls, one file for each group | [`calls`], [`lists`] |
//! | the page, one file for each part | `page` |
//! | the description for clients | [`openapi`] |
//! | token, names and rights | [`token`], [`caller`], [`account`] |
//! | changes and the wait for the verdict | [`changes`], [`verdict`], [`orders`], [`requests`], [`sessions`] |
//! | what happened | [`history`], [`book`] |
//! | limits | `guards`, [`body`], [`throttle`] |

pub mod account;
mod answer;
pub mod body;
pub mod book;
pub mod caller;
pub mod calls;
pub mod changes;
pub mod connect;
mod guards;
mod hash;
mod health;
pub mod history;
pub mod kubernetes;
pub mod lists;
pub mod manifest;
pub mod money;
pub mod number;
pub mod offers;
pub mod openapi;
pub mod orders;
mod page;
pub mod parameters;
pub mod portal;
pub mod refused;
pub mod requests;
pub mod sessions;
#[cfg(test)]
mod tests;
pub mod throttle;
pub mod token;
pub mod verdict;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::Uri;
use axum::routing::get;
use tower_http::compression::CompressionLayer;

pub use connect::{ConnectError, connect};
pub use portal::{Portal, REQUESTS_PER_SECOND, Settings, Writes};

use crate::body::BODY_BYTES;
use crate::refused::{ErrorCode, Refused};

/// Returns the routes of a portal.
pub fn router(portal: Portal) -> Router {
    Router::new()
        .merge(calls::routes())
        .merge(page::routes(&portal))
        .route("/livez", get(health::livez))
        .route("/healthz", get(health::healthz))
        .route("/openapi.json", get(health::openapi))
        .fallback(async |State(portal): State<Portal>, uri: Uri| {
            let message = "there is no such page; the calls of the API are in /openapi.json";
            page::refusal(&portal, uri.path(), Refused::new(ErrorCode::NotFound, message))
        })
        .method_not_allowed_fallback(async |State(portal): State<Portal>, uri: Uri| {
            let message = "the path does not accept this method; the calls of the API are in /openapi.json";
            page::refusal(&portal, uri.path(), Refused::new(ErrorCode::MethodNotAllowed, message))
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(axum::middleware::from_fn_with_state(portal.clone(), guards::guard))
        .layer(CompressionLayer::new())
        .with_state(portal)
}
