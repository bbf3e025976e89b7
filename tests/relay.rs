//! A relay between an operator and the API server. It passes requests on, except those that a test answers or changes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header, request};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::json;

use crate::world::World;

/// The changes that a test makes to requests and answers.
pub trait Interceptor: Send + Sync + 'static {
    /// Answers a request instead of the server, or forwards it, possibly changed.
    fn on_request(&self, head: &mut request::Parts) -> impl Future<Output = Option<Response>> + Send;

    /// Changes or replaces the server's answer to a request with this head.
    fn on_response(&self, _: &request::Parts, answer: Response) -> Response {
        answer
    }
}

/// Starts a relay, which ends with the test. Returns the kubeconfig for its clients.
pub async fn start<I: Interceptor>(world: &World, interceptor: Arc<I>) -> PathBuf {
    let client = world.client().await;
    let routes = Router::new().fallback(relay::<I>).with_state((client, interceptor));
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

async fn relay<I: Interceptor>(
    State((client, interceptor)): State<(Client, Arc<I>)>,
    request: Request,
) -> Response {
    let (mut head, body) = request.into_parts();
    if let Some(answer) = interceptor.on_request(&mut head).await {
        return answer;
    }
    for name in [header::HOST, header::CONNECTION] {
        head.headers.remove(name);
    }
    let Ok(body) = body.collect().await else { return StatusCode::BAD_REQUEST.into_response() };
    let body = kube::client::Body::from(body.to_bytes().to_vec());
    let Ok(answer) = client.send(Request::from_parts(head.clone(), body)).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (mut answered, body) = answer.into_parts();
    answered.headers.remove(header::TRANSFER_ENCODING);
    interceptor.on_response(&head, Response::from_parts(answered, Body::new(body)))
}
