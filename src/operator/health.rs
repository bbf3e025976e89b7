//! Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::server::Server;

/// Largest number of metrics texts in memory. With `--account-metrics` one text can have many megabytes.
const MOST_TEXTS: usize = 4;

/// The content of the endpoints.
#[derive(Clone)]
pub struct Health {
    /// Returns the metrics in the `OpenMetrics` text format.
    pub metrics: Arc<dyn Fn() -> Result<String, fmt::Error> + Send + Sync>,
    /// Returns why the operator must be restarted, or nothing while it is alive.
    pub stuck: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Returns why the operator is not ready, or nothing when it is.
    pub unready: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

/// Serves the endpoints on `listener` by `server` until the process ends.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, server: Server, health: Health) -> std::io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
    server.serve(listener, routes(health), std::future::pending()).await;
    Ok(())
}

type Endpoints = (Health, Arc<Texts>);

fn routes(health: Health) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(async |State((health, _)): State<Endpoints>| health_response((health.stuck)())),
        )
        .route(
            "/readyz",
            get(async |State((health, _)): State<Endpoints>| health_response((health.unready)())),
        )
        .route("/metrics", get(metrics))
        .with_state((health, Arc::new(Texts::new(MOST_TEXTS))))
}

/// Answers 200, or 503 with the problem if there is one.
fn health_response(problem: Option<String>) -> Response {
    match problem {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State((health, texts)): State<Endpoints>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match texts.get(&*health.metrics) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The metrics texts that are being sent. Their number is bounded, even if many clients read slowly.
struct Texts {
    places: Arc<Semaphore>,
    latest: Mutex<Weak<Text>>,
}

/// A text that keeps its permit until the last client has read it.
struct Text {
    text: String,
    _place: OwnedSemaphorePermit,
}

/// A text that is shared by several clients.
struct Shared(Arc<Text>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

impl Texts {
    fn new(most: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), latest: Mutex::default() }
    }

    /// Returns a new text. If too many texts are being sent, returns the latest of them.
    fn get(&self, make: &dyn Fn() -> Result<String, fmt::Error>) -> Result<Bytes, fmt::Error> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Arc::new(Text { text: make()?, _place: place }),
            // All permits are taken, so the latest text still exists unless it was just sent.
            Err(_) => latest.upgrade().ok_or(fmt::Error)?,
        };
        *latest = Arc::downgrade(&text);
        Ok(Bytes::from_owner(Shared(text)))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    /// Returns the answer for `path` of an operator with these problems.
    async fn answer(path: &str, stuck: Option<&'static str>, unready: Option<&'static str>) -> (u16, String) {
        let health = Health {
            metrics: Arc::new(|| Ok(String::new())),
            stuck: Arc::new(move || stuck.map(str::to_owned)),
            unready: Arc::new(move || unready.map(str::to_owned)),
        };
        let request = Request::get(path).body(Body::empty()).expect("request");
        let response = routes(health).oneshot(request).await.expect("response");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[test]
    fn callers_that_do_not_read_their_metrics_share_a_few_texts() {
        let (count, texts) = (std::sync::atomic::AtomicUsize::new(0), Texts::new(3));
        let make = || Ok(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string());
        let unread: Vec<Bytes> = (0..100).filter_map(|_| texts.get(&make).ok()).collect();
        assert_eq!((unread.len(), unread[0].as_ref(), unread[99].as_ref()), (100, &b"0"[..], &b"2"[..]));
        drop(unread);
        assert_eq!(texts.get(&make).expect("text").as_ref(), b"3", "a reader makes room for a new one");
    }

    #[tokio::test]
    async fn a_loop_that_is_stuck_is_not_alive_and_one_that_is_not_ready_is() {
        assert_eq!(answer("/healthz", None, Some("first lists")).await, (200, "ok\n".to_owned()));
        assert_eq!(answer("/readyz", None, Some("first lists")).await, (503, "first lists\n".to_owned()));
        assert_eq!(answer("/healthz", Some("no turn"), None).await, (503, "no turn\n".to_owned()));
        assert_eq!(answer("/readyz", Some("no turn"), None).await, (200, "ok\n".to_owned()));
    }
}
