//! The payment webhook: signed callbacks of payment providers become Payments.
//!
//! It makes no billing decision. It creates a Payment that is named after the provider's event, and the
//! operator processes it like any other Payment (Law 18). A callback is acknowledged once its Payment exists. A
//! provider that repeats unacknowledged callbacks loses none, and no payment counts twice.

pub mod answer;
pub mod callback;
pub mod record;
pub mod secrets;
pub mod signature;

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, HttpBody as _};
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, PathRejection};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use flashgate_cluster::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::payments::answer::Refused;
use crate::payments::callback::Callback;
use crate::payments::record::{Recorded, Recorder};
use crate::payments::secrets::Secrets;
use crate::server::{Limits, Server};

/// Largest body, in bytes. A callback has a few hundred bytes.
pub const BODY_BYTES: usize = 64 * 1_024;

/// Longest time that a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The webhook.
#[derive(Clone)]
pub struct Webhook {
    recorder: Recorder,
    secrets: Secrets,
    clock: Clock,
    metrics: Metrics,
}

impl Webhook {
    /// Returns a webhook that accepts callbacks signed with one of `secrets`.
    #[must_use]
    pub const fn new(recorder: Recorder, secrets: Secrets, clock: Clock, metrics: Metrics) -> Self {
        Self { recorder, secrets, clock, metrics }
    }

    /// Returns its routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/v1/payments/{namespace}", post(receive))
            .fallback(async || Refused::Elsewhere(StatusCode::NOT_FOUND))
            .method_not_allowed_fallback(async || Refused::Elsewhere(StatusCode::METHOD_NOT_ALLOWED))
            .layer(DefaultBodyLimit::max(BODY_BYTES))
            .with_state(self)
    }

    /// Serves within `limits` until `stop` turns true. Running callbacks are completed first.
    pub async fn serve(self, listener: TcpListener, limits: Limits, stop: watch::Receiver<bool>) {
        let server = Server::new("payments", limits, self.metrics.clone());
        server.serve(listener, self.routes(), is_stopped(stop)).await;
    }

    async fn take(&self, namespace: &str, request: Request) -> Result<Recorded, Refused> {
        let headers = request.headers().clone();
        if !is_json(&headers) {
            return Err(Refused::MediaType);
        }
        let body = read(request, BODY_TIME).await?;
        let secrets = self.secrets.current().await;
        let scope = secrets.verify(namespace, &headers, &body, self.clock.now())?;
        let callback = Callback::parse(&body)?;
        callback.check_namespace(namespace, scope)?;
        let payment = callback.into_payment();
        Ok(self.recorder.record(namespace, &payment).await?)
    }
}

/// Waits until `stop` turns true or its sender is gone.
async fn is_stopped(mut stop: watch::Receiver<bool>) {
    while !*stop.borrow_and_update() {
        if stop.changed().await.is_err() {
            return;
        }
    }
}

async fn receive(
    State(webhook): State<Webhook>,
    namespace: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Recorded, Refused> {
    // A path that is not UTF-8 is not a namespace. The answer says so only after the signature is checked.
    let namespace = namespace.map(|Path(namespace)| namespace).unwrap_or_default();
    let result = webhook.take(&namespace, request).await;
    match &result {
        Ok(Recorded { namespace, name, is_new }) => {
            webhook.metrics.count_callback(if *is_new { "Created" } else { "Known" });
            tracing::info!(namespace, payment = name, is_new, "callback acknowledged");
        }
        Err(refused) => {
            webhook.metrics.count_callback(refused.status().1);
            log(refused);
        }
    }
    result
}

/// Logs a refusal. If an unauthenticated client can cause it, the level is debug, so that clients cannot flood
/// the log.
fn log(refused: &Refused) {
    let reason = refused.status().1;
    let error: &dyn std::error::Error = refused;
    match refused {
        Refused::Callback(_) | Refused::Namespace(_) | Refused::Record(_) => {
            tracing::warn!(reason, error, "callback refused");
        }
        _ => tracing::debug!(reason, error, "callback refused"),
    }
}

async fn read(request: Request, limit: Duration) -> Result<Bytes, Refused> {
    // A body whose declared length is too large is not read.
    let is_too_long =
        usize::try_from(request.body().size_hint().lower()).is_ok_and(|least| least > BODY_BYTES);
    if is_too_long {
        return Err(Refused::TooLarge(BODY_BYTES));
    }
    match tokio::time::timeout(limit, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
            Err(Refused::TooLarge(BODY_BYTES))
        }
        Ok(Err(_)) | Err(_) => Err(Refused::Unfinished),
    }
}

/// Returns whether the content type is JSON, ignoring parameters such as a charset.
fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.and_then(|given| given.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
