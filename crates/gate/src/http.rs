//! The gate over HTTP, for the forward authentication of proxies.
//!
//! Paths are read as they are: they are not normalized, so a path that a client chose cannot leave `/check-path`.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;

use crate::gate::Gate;
use crate::lookup::{named_by_path, original_path};

#[cfg(test)]
mod tests;

/// The path of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target<'a> {
    /// The account is looked up in the headers.
    Check,
    /// The account is looked up in the headers and in this path, which the client requested.
    CheckPath(&'a str),
    /// The path names the account.
    Account(&'a str),
    Health,
    Other,
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Self {
        match path {
            "/check" => Self::Check,
            "/check-path" => Self::CheckPath("/"),
            "/healthz" => Self::Health,
            _ => {
                let below = |prefix| path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
                match (below("/check-path"), below("/check")) {
                    (Some(original), _) => Self::CheckPath(original),
                    (None, Some(account)) => Self::Account(account.get(1..).unwrap_or_default()),
                    (None, None) => Self::Other,
                }
            }
        }
    }
}

/// Returns the routes of a gate.
pub fn router(gate: Gate) -> Router {
    // Routes with parameters would decode them, and would leave out paths with empty parts. An exact route only saves time.
    Router::new().route("/check", any(check)).fallback(check).with_state(gate)
}

async fn check(State(gate): State<Gate>, request: Request) -> Response {
    let (headers, uri) = (request.headers(), request.uri());
    let named = match Target::of(uri.path()) {
        Target::Check => {
            let path = if gate.lookup().needs_path() { original_path(headers) } else { None };
            gate.lookup().named(headers, path)
        }
        Target::CheckPath(path) => gate.lookup().named(headers, Some(path)),
        Target::Account(path) => named_by_path(path),
        Target::Health => return health(&gate),
        Target::Other => {
            let text = "not found: the gate serves /check, /check/{namespace}/{name}, /check-path/... and /healthz\n";
            return (StatusCode::NOT_FOUND, text).into_response();
        }
    };
    let answer = gate.answer(named);
    if asks_for_403(uri.query()) { answer.with_403().into_response() } else { answer.into_response() }
}

fn asks_for_403(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|parameter| parameter == "denied=403"))
}

fn health(gate: &Gate) -> Response {
    if gate.is_listed() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "the first list of Subscriptions is not complete\n").into_response()
}
