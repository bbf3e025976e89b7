//! An API server that is far away: what is asked of it is asked of the real one, and its clock is behind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use flashgate_billing::clock::Clock;
use http_body_util::BodyExt as _;
use jiff::fmt::rfc2822::DateTimePrinter;
use kube::Client;
use serde_json::json;

use crate::world::World;

/// Namespace in which the first write of a ledger takes long.
pub const SLOW: &str = "slow";

/// Namespace in which the first write of a ledger is not taken.
pub const FAILING: &str = "failing";

/// By how many seconds its clock is behind: enough for the alert, too little to hold commits.
pub const BEHIND_SECONDS: i64 = 45;

/// How long the first write of a ledger takes where it takes long.
const DELAY: Duration = Duration::from_secs(6);

/// Starts a relay; it ends with the test. Returns the kubeconfig of a client of it.
pub async fn start(world: &World) -> PathBuf {
    let routes = Router::new().fallback(relay).with_state(world.client().await);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(listener, routes).await.expect("served") });
    kubeconfig(world, address)
}

fn kubeconfig(world: &World, address: SocketAddr) -> PathBuf {
    let content = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "relay",
        "clusters": [{"name": "relay", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "relay", "user": {}}],
        "contexts": [{"name": "relay", "context": {"cluster": "relay", "user": "relay"}}],
    });
    let file = world.plane.folder().join("relay.kubeconfig");
    std::fs::write(&file, content.to_string()).expect("kubeconfig");
    file
}

async fn relay(State(client): State<Client>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let begins_a_ledger_in = |namespace: &str| {
        let ledgers = format!("/namespaces/{namespace}/creditledgers");
        head.method == Method::POST && head.uri.path().ends_with(&ledgers)
    };
    if begins_a_ledger_in(FAILING) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if begins_a_ledger_in(SLOW) {
        tokio::time::sleep(DELAY).await;
    }
    for name in [header::HOST, header::CONNECTION] {
        head.headers.remove(name);
    }
    let body = body.collect().await.expect("body").to_bytes();
    let request = Request::from_parts(head, kube::client::Body::from(body.to_vec()));
    let Ok(answer) = client.send(request).await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (mut head, body) = answer.into_parts();
    head.headers.remove(header::TRANSFER_ENCODING);
    head.headers.insert(header::DATE, date());
    Response::from_parts(head, Body::new(body))
}

fn date() -> HeaderValue {
    let behind = Clock::system().now() - jiff::SignedDuration::from_secs(BEHIND_SECONDS);
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&behind).expect("date");
    HeaderValue::from_str(&date).expect("header")
}
