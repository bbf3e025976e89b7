//! The Billing & Credits page: HTML that works without scripts, made from the same data as the API.
//!
//! | part | where |
//! |---|---|
//! | frame, texts and files | [`layout`], [`mod@format`], [`assets`], [`headers`], [`problem`] |
//! | sign-in and forms | [`session`], [`visitor`], [`secret`], [`forms`], [`login`] |
//! | list of accounts | [`accounts`] |
//! | facts and drawings that parts share | [`figures`], [`attention`], [`chart`], [`csv`], [`pager`], [`without_history`] |
//! | changes | [`effects`], [`writes`], [`chosen`], [`confirmation`], [`outcome`], [`undo`] |
//! | parts that change something | [`plans`] with [`plan_choice`], [`packs`] with [`pack_choice`], [`settings`] |
//! | parts that only show | [`overview`], [`consumption`], [`invoices`], [`history`], [`rates`] |

pub(crate) mod accounts;
pub(crate) mod assets;
pub(crate) mod attention;
pub(crate) mod chart;
mod chosen;
mod confirmation;
pub(crate) mod consumption;
pub(crate) mod csv;
mod effects;
pub(crate) mod figures;
pub(crate) mod format;
pub(crate) mod forms;
pub(crate) mod headers;
pub(crate) mod history;
pub(crate) mod invoices;
pub(crate) mod layout;
pub(crate) mod login;
mod outcome;
pub(crate) mod overview;
mod pack_choice;
mod packs;
mod pager;
mod plan_choice;
mod plans;
pub(crate) mod problem;
pub(crate) mod rates;
pub(crate) mod secret;
pub(crate) mod session;
mod settings;
mod undo;
pub(crate) mod visitor;
mod without_history;
mod writes;

use axum::Router;
use axum::extract::Path;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;

use crate::portal::Portal;
use crate::refused::Refused;

/// Returns the routes of the page.
pub(crate) fn routes(portal: &Portal) -> Router<Portal> {
    let pages = Router::new()
        .merge(accounts::routes())
        .merge(login::routes())
        .merge(overview::routes())
        .merge(plans::routes())
        .merge(packs::routes())
        .merge(settings::routes())
        .merge(outcome::routes())
        .merge(undo::routes())
        .merge(consumption::routes())
        .merge(invoices::routes())
        .merge(history::routes())
        .merge(rates::routes())
        .route("/{namespace}/{subscription}", get(with_slash))
        .layer(axum::middleware::from_fn_with_state(portal.clone(), problem::show_problems))
        .layer(axum::middleware::map_response(headers::protect));
    pages.merge(assets::routes())
}

/// Redirects an account's path without a slash to the account's overview.
async fn with_slash(
    State(portal): State<Portal>,
    Path((namespace, subscription)): Path<(String, String)>,
) -> Response {
    use crate::caller::is_object_name;
    if is_object_name(&namespace) && is_object_name(&subscription) {
        Redirect::to(&format!("{}/{namespace}/{subscription}/", portal.base_path())).into_response()
    } else {
        problem::Problem(Refused::missing()).into_response()
    }
}

/// Returns the answer to a refused request: a page, or JSON for a path of the API or of a tool.
pub(crate) fn refusal(portal: &Portal, path: &str, refused: Refused) -> Response {
    let is_for_programs =
        path == "/api" || path.starts_with("/api/") || path == "/healthz" || path == "/openapi.json";
    if is_for_programs {
        return refused.into_response();
    }
    let mut response = problem::page(&layout::Site::of(portal), &refused);
    headers::insert(response.headers_mut());
    response
}

impl Portal {
    /// Returns the path at which a proxy serves this portal, without a slash at its end. It is empty without a proxy.
    pub(crate) fn base_path(&self) -> &str {
        let url = &self.settings.public_url;
        let after_scheme = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        after_scheme.find('/').map_or("", |slash| &after_scheme[slash..])
    }

    /// Returns whether browsers reach this portal by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.settings.public_url.starts_with("https://")
    }
}

/// Returns the text that the forms of a token have.
#[cfg(test)]
pub(crate) fn secret_text(token: &str) -> String {
    let token = crate::token::Token::new(token);
    token.and_then(|token| secret::Secret::of(&token)).map(|secret| secret.text()).unwrap_or_default()
}
