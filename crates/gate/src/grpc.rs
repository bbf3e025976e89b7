//! The gate over gRPC: Envoy's external authorization, version 3.

use std::time::Duration;

use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderAppendAction,
    HeaderValue, HeaderValueOption, HttpResponse, HttpStatus, OkHttpResponse,
};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::google::rpc;
use futures::FutureExt as _;
use http::{HeaderName, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::answer::{Answer, BALANCE, LOW, PLAN};
use crate::gate::Gate;
use crate::lookup::RequestHeaders;

#[cfg(test)]
mod tests;

/// Time limit for running requests when the server stops.
const DRAINING: Duration = Duration::from_secs(20);

/// Time between two probes of a connection, and time limit for their answers.
const PROBES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// Headers that only the gate may set. A client could send them to the server behind the proxy.
const OWN_HEADERS: [HeaderName; 3] = [BALANCE, PLAN, LOW];

/// Serves the gate on `listener` until `stop` completes.
///
/// # Errors
/// When the server fails.
pub async fn serve(
    gate: Gate,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let (stopping, stopped) = oneshot::channel();
    let stop = stop.map(|()| stopping.send(()).unwrap_or_default());
    let service = AuthorizationServer::new(Service { gate });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = Server::builder()
        .http2_keepalive_interval(Some(PROBES.0))
        .http2_keepalive_timeout(Some(PROBES.1))
        .serve_with_incoming_shutdown(service, incoming, stop);
    tokio::select! {
        served = serving => served.map_err(std::io::Error::other),
        () = overdue(stopped) => {
            tracing::warn!("requests over gRPC did not end within {DRAINING:?}: their connections are closed");
            Ok(())
        }
    }
}

/// Waits until the time to end running requests is over.
async fn overdue(stopped: oneshot::Receiver<()>) {
    if stopped.await.is_err() {
        // The server ended by itself.
        std::future::pending::<()>().await;
    }
    sleep(DRAINING).await;
}

struct Service {
    gate: Gate,
}

#[tonic::async_trait]
impl Authorization for Service {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let request = request.into_inner().attributes.and_then(|attributes| attributes.request);
        let request = request.and_then(|request| request.http).unwrap_or_default();
        let named = self.gate.lookup().named(&request, Some(request.path.as_str()));
        Ok(Response::new(response(&self.gate.answer(named))))
    }
}

impl RequestHeaders for HttpRequest {
    /// Envoy sends the headers as a map in which it has joined several values, or as a list of raw ones.
    fn only_value<'a>(&'a self, name: &HeaderName) -> Option<&'a str> {
        let is_it = |key: &str| key.eq_ignore_ascii_case(name.as_str());
        let joined = self.headers.iter().filter(|(key, _)| is_it(key)).map(|(_, value)| value.as_bytes());
        let listed = self.header_map.iter().flat_map(|map| &map.headers);
        let raw =
            listed.filter(|header| is_it(&header.key)).map(|header| match header.raw_value.as_slice() {
                [] => header.value.as_bytes(),
                raw => raw,
            });
        let mut values = joined.chain(raw);
        let value = values.next()?;
        if values.next().is_some() { None } else { std::str::from_utf8(value).ok() }
    }
}

fn response(answer: &Answer) -> CheckResponse {
    let headers = answer.headers.iter().filter_map(|(name, value)| Some(header(name, value.to_str().ok()?)));
    let headers = headers.collect();
    let (code, http_response) = if answer.status == StatusCode::OK {
        let foreign = OWN_HEADERS.into_iter().filter(|name| !answer.headers.contains_key(name));
        let headers_to_remove = foreign.map(|name| name.as_str().to_owned()).collect();
        let ok = OkHttpResponse { headers, headers_to_remove, ..OkHttpResponse::default() };
        (Code::Ok, HttpResponse::OkResponse(ok))
    } else {
        let denied = DeniedHttpResponse {
            status: Some(HttpStatus { code: answer.status.as_u16().into() }),
            headers,
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        };
        (Code::PermissionDenied, HttpResponse::DeniedResponse(denied))
    };
    let status = rpc::Status { code: code.into(), ..rpc::Status::default() };
    CheckResponse { status: Some(status), http_response: Some(http_response), ..CheckResponse::default() }
}

/// Returns a header that replaces one that the client may have sent.
fn header(name: &HeaderName, value: &str) -> HeaderValueOption {
    let header =
        HeaderValue { key: name.as_str().to_owned(), value: value.to_owned(), ..HeaderValue::default() };
    HeaderValueOption {
        header: Some(header),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}
