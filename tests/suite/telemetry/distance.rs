//! A distant API server: some requests are slow or fail, and its clock is slow.

use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode, header, request};
use axum::response::{IntoResponse as _, Response};
use flashgate_cluster::clock::Clock;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::relay::Interceptor;

/// Namespace in which the first write of a ledger is slow.
pub const SLOW: &str = "slow";

/// Namespace in which the first write of a ledger fails.
pub const FAILING: &str = "failing";

/// Seconds by which the clock is slow: enough for the alert, too few to hold commits.
const BEHIND_SECONDS: i64 = 45;

/// Duration of the slow write.
const DELAY: Duration = Duration::from_secs(6);

/// The faults of a distant API server.
pub struct DistantServer;

impl Interceptor for DistantServer {
    async fn on_request(&self, head: &mut request::Parts) -> Option<Response> {
        let begins_a_ledger_in = |namespace: &str| {
            let ledgers = format!("/namespaces/{namespace}/creditledgers");
            head.method == Method::POST && head.uri.path().ends_with(&ledgers)
        };
        if begins_a_ledger_in(SLOW) {
            tokio::time::sleep(DELAY).await;
        }
        let fails = begins_a_ledger_in(FAILING);
        fails.then(|| self.on_response(head, StatusCode::INTERNAL_SERVER_ERROR.into_response()))
    }

    fn on_response(&self, _: &request::Parts, mut answer: Response) -> Response {
        let behind = Clock::system().now() - jiff::SignedDuration::from_secs(BEHIND_SECONDS);
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&behind).expect("date");
        answer.headers_mut().insert(header::DATE, HeaderValue::from_str(&date).expect("header"));
        answer
    }
}
