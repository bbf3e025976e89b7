//! HTTP servers for untrusted clients: the number of connections is bounded, and each step of a connection has
//! a time limit.
//!
//! A server at its limit closes the connection that has been idle the longest, and accepts the new one. So idle
//! connections never block clients with a request. A connection whose request is being handled is never closed
//! for another one.

mod connections;
mod phase;
pub mod tls;
mod watched;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tower::ServiceExt as _;

use self::connections::{Admission, Connection, Connections};
use self::phase::Phase;
use self::tls::Tls;
use self::watched::{Answer, Arriving, Watched};
use crate::metrics::Metrics;
use crate::throttle::Throttle;

/// Interval at which a server searches for connections that exceed their time limit.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Largest head of a request, in bytes. Incomplete heads of all connections must fit into memory.
const HEAD_BYTES: usize = 16 * 1_024;

/// Pause after an error that an immediate retry would repeat, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Minimum time between two log lines about one reason.
const LOG_PERIOD: Duration = Duration::from_mins(1);

/// Limits of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest number of connections.
    pub connections: usize,
    /// Largest number of connections from one address.
    pub connections_per_address: usize,
    /// Time limit for the head of a request, from the start of the connection or the first byte.
    pub head: Duration,
    /// Time limit for the body of a request.
    pub body: Duration,
    /// Time limit to handle a request.
    pub handling: Duration,
    /// Time limit to send an answer.
    pub sending: Duration,
    /// Time limit between an answer and the next request.
    pub idle: Duration,
    /// Time limit for running requests when the server stops.
    pub draining: Duration,
}

impl Limits {
    /// Default for the largest number of connections of a server.
    pub const CONNECTIONS: u16 = 256;

    /// Default for the largest number of connections from one address. Behind a proxy all connections have one
    /// address, so it is large.
    pub const CONNECTIONS_PER_ADDRESS: u16 = 128;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Self::CONNECTIONS.into(),
            connections_per_address: Self::CONNECTIONS_PER_ADDRESS.into(),
            head: Duration::from_secs(10),
            // The webhook itself refuses a body that takes 10 seconds. This limit closes the connection if
            // nothing reads the body.
            body: Duration::from_secs(15),
            handling: Duration::from_secs(20),
            sending: Duration::from_secs(30),
            // Longer than most proxies keep idle connections (often 60 seconds), so that the proxy closes
            // first.
            idle: Duration::from_secs(75),
            draining: Duration::from_secs(20),
        }
    }
}

/// Why a server closed or refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// The head of a request was not complete in time.
    HeadTimeout,
    /// The body of a request was not complete in time.
    BodyTimeout,
    /// The request was not handled in time.
    HandlingTimeout,
    /// The client did not read the answer in time.
    SendingTimeout,
    /// There was no further request in time.
    IdleTimeout,
    /// It was closed for a new connection.
    Replaced,
    /// All other connections had a request that was being handled.
    Refused,
}

impl Cut {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::HandlingTimeout,
        Self::SendingTimeout,
        Self::IdleTimeout,
        Self::Replaced,
        Self::Refused,
    ];

    /// Returns the word that metrics and log lines show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HeadTimeout => "HeadTimeout",
            Self::BodyTimeout => "BodyTimeout",
            Self::HandlingTimeout => "HandlingTimeout",
            Self::SendingTimeout => "SendingTimeout",
            Self::IdleTimeout => "IdleTimeout",
            Self::Replaced => "Replaced",
            Self::Refused => "Refused",
        }
    }
}

/// A server.
pub struct Server {
    name: &'static str,
    metrics: Metrics,
    connections: Arc<Connections>,
    limits: Limits,
    log: Throttle<Cut, (Cut, IpAddr)>,
    started: Instant,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Returns a server with this name in metrics and log lines.
    #[must_use]
    pub fn new(name: &'static str, limits: Limits, metrics: Metrics) -> Self {
        Self {
            name,
            metrics,
            connections: Arc::new(Connections::new(limits)),
            limits,
            log: Throttle::new(1, LOG_PERIOD, Cut::ALL.len()),
            started: Instant::now(),
            tls: None,
        }
    }

    /// Returns the server with TLS. The handshake counts as a part of the first request's head.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// Serves `routes` until `stop` completes. Running requests then have a time limit to end.
    pub async fn serve(mut self, listener: TcpListener, routes: Router, stop: impl Future<Output = ()>) {
        let under_way = GracefulShutdown::new();
        let mut checks = interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = checks.tick() => self.check(),
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => self.accept_connection(stream, address, &routes, &under_way),
                    Err(error) => self.pause_after(&error).await,
                },
            }
        }
        drop(listener);
        self.connections.close_unused();
        if timeout(self.limits.draining, under_way.shutdown()).await.is_err() {
            tracing::warn!(
                server = self.name,
                "requests did not end within {} seconds: their connections are closed",
                self.limits.draining.as_secs()
            );
        }
    }

    /// Closes the connections that exceed their time limit, and logs the messages that the rate limit held
    /// back.
    fn check(&mut self) {
        for (cut, address) in self.connections.close_overdue(Instant::now()) {
            self.report(cut, address);
        }
        for held in self.log.due(self.started.elapsed()) {
            let (cut, address) = held.item;
            log(self.name, cut, address, held.more);
        }
    }

    /// Accepts a connection. If the server is full, closes the one that has been idle the longest.
    fn accept_connection(
        &mut self,
        stream: TcpStream,
        address: SocketAddr,
        routes: &Router,
        under_way: &GracefulShutdown,
    ) {
        let Admission { admitted, closed } = self.connections.admit(address.ip(), Instant::now());
        if let Some((cut, address)) = closed {
            self.report(cut, address);
        }
        let Some((connection, cut)) = admitted else { return };
        // Answers are short and must be sent without delay.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(server = self.name, %error, "TCP_NODELAY cannot be set");
        }
        let (routes, watcher) = (routes.clone(), under_way.watcher());
        let acceptor = self.tls.as_ref().map(|tls| tls.acceptor());
        let served = async move {
            match acceptor {
                None => watcher.watch(http_connection(stream, connection, routes)).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => watcher.watch(http_connection(stream, connection, routes)).await,
                    Err(error) => {
                        tracing::debug!(%error, "TLS handshake failed");
                        Ok(())
                    }
                },
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                // Most wakeups are about a request.
                biased;
                served = served => if let Err(error) = served {
                    tracing::debug!(%error, "connection ended");
                },
                // Its row was removed. Dropping the connection closes it.
                _ = cut => {}
            }
        });
    }

    /// Pauses, unless the error affects only one connection.
    async fn pause_after(&self, error: &io::Error) {
        let is_of_one = matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
        );
        if !is_of_one {
            tracing::warn!(server = self.name, %error, "no connection can be accepted; trying again in a second");
            sleep(ACCEPT_PAUSE).await;
        }
    }

    fn report(&mut self, cut: Cut, address: IpAddr) {
        self.metrics.count_cut(self.name, cut.as_str());
        if cut == Cut::IdleTimeout {
            return;
        }
        if let Some(passed) = self.log.offer(cut, (cut, address), self.started.elapsed()) {
            log(self.name, cut, address, passed.more);
        }
    }
}

fn log(server: &str, cut: Cut, address: IpAddr, more: u64) {
    let reason = cut.as_str();
    if cut == Cut::Refused {
        tracing::warn!(server, reason, %address, more, "connection refused: all others have a request under way");
    } else {
        tracing::warn!(server, reason, %address, more, "connection closed");
    }
}

/// Serves one connection, and reports each step to `connection`.
fn http_connection<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    connection: Connection,
    routes: Router,
) -> impl GracefulConnection<Output = Result<(), hyper::Error>, Error = hyper::Error> + Send + use<S> {
    let connection = Arc::new(connection);
    let stream = Watched::new(stream, Arc::clone(&connection));
    let service = service_fn(move |request: Request<Incoming>| {
        let (connection, routes) = (Arc::clone(&connection), routes.clone());
        async move {
            let has_body = !request.body().is_end_stream();
            connection.enter(if has_body { Phase::Body } else { Phase::Handling });
            let body = |body| {
                if has_body { Body::new(Arriving::new(body, Arc::clone(&connection))) } else { Body::empty() }
            };
            let response = match routes.oneshot(request.map(body)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            connection.enter(Phase::Sending);
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, connection)))
        }
    });
    // `connections` applies the time limits. hyper's limit for the head does not distinguish idle connections
    // from slow ones.
    http1::Builder::new().max_buf_size(HEAD_BYTES).serve_connection(TokioIo::new(stream), service)
}
