//! A gate that has lost its watch, behind each proxy: it stops everyone or no one, as its owner chose.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{StatusCode, request};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use tokio::sync::watch;

use super::proxies::{Backend, Proxy, Setting};
use super::thaw::keys;
use super::{Gate, account, caddy, envoy, nginx, spend};
use crate::relay::{self, Interceptor};
use crate::world::{World, wait_until};

/// The shortest time without contact that the chart allows.
const STALE_AFTER: [&str; 2] = ["--stale-after", "3s"];

/// Cuts the connections between gates and the API server, while it is true.
struct Cut(watch::Sender<bool>);

impl Interceptor for Cut {
    async fn on_request(&self, _: &mut request::Parts) -> Option<Response> {
        self.0.borrow().then(|| StatusCode::BAD_GATEWAY.into_response())
    }

    fn on_response(&self, _: &request::Parts, answer: Response) -> Response {
        let mut is_cut = self.0.subscribe();
        let cut = async move { is_cut.wait_for(|is_cut| *is_cut).await.is_ok() };
        answer.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(cut))))
    }
}

/// Starts each proxy in front of a gate.
async fn proxies(setting: &Setting) -> [Proxy; 3] {
    [
        Proxy::envoy(envoy::by_host(setting)).await,
        Proxy::nginx(&nginx::configuration(setting)).await,
        Proxy::caddy(&caddy::configuration(setting)).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_without_its_watch_denies_or_allows_behind_each_proxy() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let cut = Arc::new(Cut(watch::Sender::new(false)));
    let kubeconfig = relay::start(&world, Arc::clone(&cut)).await;
    let namespace = world.namespace("gate-stale").await;
    let acme = account(&namespace, "acme").await;
    let backend = Backend::start().await;
    let denying = Gate::start(&kubeconfig, &[STALE_AFTER.as_slice(), &["--stale", "deny"]].concat()).await;
    let allowing = Gate::start(&kubeconfig, &[STALE_AFTER.as_slice(), &["--stale", "allow"]].concat()).await;
    let setting = |gate: &Gate| Setting {
        gate: gate.address,
        backend: backend.address,
        namespace: namespace.name.clone(),
    };
    let (closed, open) = (proxies(&setting(&denying)).await, proxies(&setting(&allowing)).await);
    let client = keys().acme;
    for proxy in closed.iter().chain(&open) {
        proxy.answers(200, &client).await;
    }

    cut.0.send_replace(true);
    for proxy in &closed {
        let answer = proxy.answers(403, &client).await;
        assert_eq!(answer.header("x-flashgate-reason"), Some("Stale"), "{answer:?}");
        assert_eq!(answer.json()["reason"], "Stale", "{answer:?}");
    }
    // The operator has its own connection.
    spend(&acme, "all").await;
    wait_until("the second gate is stale", async || {
        let answer = allowing.get("/check/gate-stale/acme", &[]).await.expect("an answer");
        answer.header("x-flashgate-reason") == Some("Stale")
    })
    .await;
    for proxy in &open {
        let answer = proxy.request(&client).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    cut.0.send_replace(false);
    for proxy in closed.iter().chain(&open) {
        let answer = proxy.answers(402, &client).await;
        assert_eq!(answer.json()["reason"], "CreditsExhausted", "{answer:?}");
    }
    let health = denying.get("/healthz", &[]).await.expect("an answer");
    assert_eq!(health.status, 200);
}
