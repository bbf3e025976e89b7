//! An API server that is far away: some of what is asked of it takes long or fails, and its clock is behind.

use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode, header, request};
use axum::response::{IntoResponse as _, Response};
use flashgate_cluster::clock::Clock;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::relay::Interference;

/// Namespace in which the first write of a ledger takes long.
pub const SLOW: &str = "slow";

/// Namespace in which the first write of a ledger is not taken.
pub const FAILING: &str = "failing";

/// By how many seconds its clock is behind: enough for the alert, too little to hold commits.
const BEHIND_SECONDS: i64 = 45;

/// How long the first write of a ledger takes where it takes long.
const DELAY: Duration = Duration::from_secs(6);

/// What distance does.
pub struct Distance;

impl Interference for Distance {
    async fn meet(&self, head: &mut request::Parts) -> Option<Response> {
        let begins_a_ledger_in = |namespace: &str| {
            let ledgers = format!("/namespaces/{namespace}/creditledgers");
            head.method == Method::POST && head.uri.path().ends_with(&ledgers)
        };
        if begins_a_ledger_in(SLOW) {
            tokio::time::sleep(DELAY).await;
        }
        let fails = begins_a_ledger_in(FAILING);
        fails.then(|| self.amend(head, StatusCode::INTERNAL_SERVER_ERROR.into_response()))
    }

    fn amend(&self, _: &request::Parts, mut answer: Response) -> Response {
        let behind = Clock::system().now() - jiff::SignedDuration::from_secs(BEHIND_SECONDS);
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&behind).expect("date");
        answer.headers_mut().insert(header::DATE, HeaderValue::from_str(&date).expect("header"));
        answer
    }
}
