//! The calls of operators and tools: `/livez`, `/healthz` and `/openapi.json`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::portal::Portal;

/// Answers 200 while the process handles requests. It depends on no other server: a process without its history still
/// answers what the ledger has, and a restart would not help.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Answers 200 if everything that the process was given can be read: the catalog, which is read at the start, and the
/// history.
pub(crate) async fn healthz(State(portal): State<Portal>) -> Response {
    let Some(history) = &portal.history else { return (StatusCode::OK, "ok\n").into_response() };
    match history.check().await {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(error) => {
            crate::calls::log_history(&error);
            (StatusCode::SERVICE_UNAVAILABLE, "the history cannot be read\n").into_response()
        }
    }
}

/// Returns the OpenAPI document.
pub(crate) async fn openapi(State(portal): State<Portal>, headers: HeaderMap) -> Response {
    portal.lists.openapi.answer(&headers)
}
