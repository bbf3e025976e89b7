//! Queries by the HTTP API of Prometheus, which Thanos, Mimir and VictoriaMetrics have as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::{Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;

use crate::answer::{AnswerError, Labels, Series, instants, label_sets, ranges};
use crate::selector::Selector;
use crate::server::Server;

/// Time limit of a query.
const LIMIT: Duration = Duration::from_mins(1);

/// Most bytes of an answer.
const ANSWER_BYTES: usize = 256 * 1_024 * 1_024;

/// Value of the difference of the clocks before the first answer.
const UNKNOWN: i64 = i64::MIN;

/// A server of Prometheus by HTTP.
#[derive(Clone)]
pub struct HttpServer {
    client: Client,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    seconds_ahead: Arc<AtomicI64>,
}

impl HttpServer {
    /// Returns the server of `client`, whose base URL and credentials are those of the server. `now` is the clock of this
    /// machine.
    #[must_use]
    pub fn new(client: Client, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self { client, now, seconds_ahead: Arc::new(AtomicI64::new(UNKNOWN)) }
    }

    /// Sends a form. Returns the status and the body of the answer.
    async fn post(&self, path: &str, form: &[(&str, String)]) -> Result<(u16, String), AnswerError> {
        let unreachable = |error: &dyn std::error::Error| AnswerError::Unreachable(chain(error));
        // A connection has its own limit, so the query is too large. It can be divided.
        let refused = |message| AnswerError::Refused { kind: "too large".to_owned(), message };
        let body = serde_urlencoded::to_string(form).map_err(|error| unreachable(&error))?;
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Body::from(body.into_bytes()))
            .map_err(|error| unreachable(&error))?;
        let exchange = async {
            let response = self.client.send(request).await.map_err(|error| unreachable(&error))?;
            let status = response.status().as_u16();
            self.note_clock(response.headers());
            let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => refused(format!("the answer has more than {ANSWER_BYTES} bytes")),
                None => unreachable(&*error),
            })?;
            let body = body.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        let late = || refused(format!("no answer within {} seconds", LIMIT.as_secs()));
        tokio::time::timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(late()))
    }

    /// Compares the clocks by the time in the header of an answer, which has whole seconds.
    fn note_clock(&self, headers: &http::HeaderMap) {
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
            let ahead = date.timestamp().as_second().saturating_sub((self.now)().as_second());
            self.seconds_ahead.store(ahead, Ordering::Relaxed);
        }
    }

    async fn query(&self, query: String, at: Timestamp) -> Result<(u16, String), AnswerError> {
        self.post("/api/v1/query", &[("query", query), ("time", seconds(at))]).await
    }
}

impl Server for HttpServer {
    async fn samples(
        &self,
        selector: &Selector,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Series>, AnswerError> {
        let range = until.as_millisecond().saturating_sub(after.as_millisecond()).max(1);
        let (status, body) = self.query(format!("{selector}[{range}ms]"), until).await?;
        ranges(status, &body)
    }

    async fn last(
        &self,
        selector: &Selector,
        range: SignedDuration,
        at: Timestamp,
    ) -> Result<Vec<Series>, AnswerError> {
        let query = format!("last_over_time({selector}[{}ms])", range.as_millis());
        let (status, body) = self.query(query, at).await?;
        instants(status, &body)
    }

    async fn series(
        &self,
        selectors: &[Selector],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Labels>, AnswerError> {
        let mut form: Vec<(&str, String)> =
            selectors.iter().map(|selector| ("match[]", selector.to_string())).collect();
        form.extend([("start", seconds(from)), ("end", seconds(until))]);
        let (status, body) = self.post("/api/v1/series", &form).await?;
        label_sets(status, &body)
    }

    fn seconds_ahead(&self) -> Option<i64> {
        Some(self.seconds_ahead.load(Ordering::Relaxed)).filter(|ahead| *ahead != UNKNOWN)
    }
}

/// Returns an instant as Prometheus reads it: seconds with three decimals.
fn seconds(at: Timestamp) -> String {
    let milliseconds = at.as_millisecond();
    format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000)
}

/// Returns an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_three_decimals() {
        for (at, text) in
            [("2026-03-01T10:00:00Z", "1772359200.000"), ("2026-03-01T10:00:00.02Z", "1772359200.020")]
        {
            let at: Timestamp = at.parse().expect("time");
            assert_eq!(seconds(at), text);
        }
    }
}
