//! Time limits of calls to the API server. The client library has none: without a reply, a call would never end.

use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use futures::TryStreamExt as _;
use futures::stream::try_unfold;
use http::{Request, Response};
use http_body_util::{BodyStream, Either, StreamBody};
use kube::client::Body;
use kube::{Client, Error};
use tokio::time::{Instant, timeout, timeout_at};

/// Time limits for replies of the API server. They are generous: a caller may have a stricter limit.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limits {
    /// Time limit for a reply in seconds, for tests. An API server itself ends requests that take longer than
    /// 60 seconds
    #[arg(long, value_name = "SECONDS", hide = true, default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    reply_seconds: u64,
    /// Time limit for the silence of a watch in seconds, for tests. An API server sends a bookmark about every
    /// 60 seconds
    #[arg(long, value_name = "SECONDS", hide = true, default_value_t = 150)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    silence_seconds: u64,
}

/// A call that exceeded its time limit.
#[derive(Debug, thiserror::Error)]
enum Overdue {
    #[error("no reply within {} seconds", .0.as_secs())]
    Reply(Duration),
    #[error("a watch was silent for {} seconds", .0.as_secs())]
    Watch(Duration),
}

impl From<Overdue> for Error {
    fn from(overdue: Overdue) -> Self {
        Self::Service(overdue.into())
    }
}

impl Limits {
    /// Returns a client that sends calls through `client` and applies these time limits.
    ///
    /// # Guarantees
    /// A reply is complete within its limit, or ends with an error. The reply of a watch must begin within that
    /// limit. It ends with an error if it is silent for longer than the limit of watches.
    pub fn hold(self, client: Client) -> Client {
        let (reply, silence) =
            (Duration::from_secs(self.reply_seconds), Duration::from_secs(self.silence_seconds));
        let namespace = client.default_namespace().to_owned();
        let call = move |request: Request<Body>| {
            let client = client.clone();
            let deadline = Instant::now() + reply;
            let exchange = async move {
                let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
                let (head, body) = client.send(request).await?.into_parts();
                let body = if is_watch {
                    Either::Left(with_silence_limit(body, silence))
                } else {
                    Either::Right(with_deadline(body, reply, deadline))
                };
                Ok(Response::from_parts(head, body))
            };
            async move {
                timeout(reply, exchange).await.unwrap_or_else(|_| Err(Error::from(Overdue::Reply(reply))))
            }
        };
        Client::new(tower::service_fn(call), namespace)
    }
}

/// Returns a body that ends with an error if it is not complete by `deadline`, which is `limit` after the
/// request. It is not buffered, so a reader can stop if it is too large.
fn with_deadline(
    body: Body,
    limit: Duration,
    deadline: Instant,
) -> impl HttpBody<Data = Bytes, Error = Error> + Send + 'static {
    StreamBody::new(try_unfold(BodyStream::new(body), move |mut frames| async move {
        let next = timeout_at(deadline, frames.try_next()).await.map_err(|_| Overdue::Reply(limit))??;
        Ok(next.map(|frame| (frame, frames)))
    }))
}

/// Returns a body that ends with an error after `limit` without data.
fn with_silence_limit(
    body: Body,
    limit: Duration,
) -> impl HttpBody<Data = Bytes, Error = Error> + Send + 'static {
    StreamBody::new(try_unfold(BodyStream::new(body), move |mut frames| async move {
        let next = timeout(limit, frames.try_next()).await.map_err(|_| Overdue::Watch(limit))??;
        Ok(next.map(|frame| (frame, frames)))
    }))
}
