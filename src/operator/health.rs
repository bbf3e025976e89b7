//! Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

/// What the endpoints tell of.
#[derive(Clone)]
pub struct Health {
    /// Returns the metrics in the `OpenMetrics` text format.
    pub metrics: Arc<dyn Fn() -> Result<String, std::fmt::Error> + Send + Sync>,
    /// Says why the operator must be started anew, or nothing while it lives.
    pub stuck: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Says why the operator is not ready, or nothing when it is.
    pub unready: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

/// Serves the endpoints on `listener` until the process ends.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, health: Health) -> std::io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
    axum::serve(listener, routes(health)).await
}

fn routes(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(async |State(health): State<Health>| unless((health.stuck)())))
        .route("/readyz", get(async |State(health): State<Health>| unless((health.unready)())))
        .route("/metrics", get(metrics))
        .with_state(health)
}

/// Answers that all is well, unless something is said against it.
fn unless(said: Option<String>) -> Response {
    match said {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match (health.metrics)() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    /// Returns the answer for `path` of an operator of which this is said.
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

    #[tokio::test]
    async fn a_loop_that_is_stuck_is_not_alive_and_one_that_is_not_ready_is() {
        assert_eq!(answer("/healthz", None, Some("first lists")).await, (200, "ok\n".to_owned()));
        assert_eq!(answer("/readyz", None, Some("first lists")).await, (503, "first lists\n".to_owned()));
        assert_eq!(answer("/healthz", Some("no turn"), None).await, (503, "no turn\n".to_owned()));
        assert_eq!(answer("/readyz", Some("no turn"), None).await, (200, "ok\n".to_owned()));
    }
}
