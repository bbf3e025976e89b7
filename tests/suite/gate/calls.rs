//! The calls of a gate to the API server, counted by a relay during 100,000 checks.

use std::sync::{Arc, Mutex};

use axum::http::request;
use axum::response::Response;
use futures::future::join_all;

use super::connection::Connection;
use super::{Gate, account};
use crate::relay::{self, Interceptor};
use crate::suite::billed::billed;

/// Checks, and the connections that send them.
const CHECKS: usize = 100_000;
const CONNECTIONS: usize = 4;

/// Method and path with query of each request to the API server.
#[derive(Default)]
struct Calls(Mutex<Vec<String>>);

impl Interceptor for Calls {
    async fn on_request(&self, head: &mut request::Parts) -> Option<Response> {
        self.0.lock().expect("calls").push(format!("{} {}", head.method, head.uri));
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_checks_make_no_call_but_the_watch() {
    let world = &billed().await.world;
    let namespace = world.namespace("gate-calls").await;
    account(&namespace, "acme").await;
    let calls = Arc::new(Calls::default());
    let kubeconfig = relay::start(world, Arc::clone(&calls)).await;
    let gate = Gate::start(&kubeconfig, &["--namespace", "gate-calls"]).await;
    let clients = (0..CONNECTIONS).map(async |_| {
        let mut connection = Connection::to(gate.address).await;
        for _ in 0..CHECKS / CONNECTIONS {
            connection.check("gate-calls/acme").await;
        }
    });
    join_all(clients).await;
    let calls = calls.0.lock().expect("calls").clone();
    let path = "/apis/billing.flashgate.dev/v1alpha1/namespaces/gate-calls/subscriptions?";
    let (first, rest) = calls.split_first().expect("calls");
    assert!(first.starts_with(&format!("GET {path}")) && !first.contains("watch=true"), "{first}");
    assert!(!rest.is_empty());
    for call in rest {
        assert!(call.starts_with(&format!("GET {path}")) && call.contains("watch=true"), "{calls:?}");
    }
    println!("{CHECKS} checks, {} calls: 1 list and {} watches", calls.len(), rest.len());
}
