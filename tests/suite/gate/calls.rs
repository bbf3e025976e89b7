//! The calls of a gate to the API server, counted by a relay during 100,000 checks.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;

use axum::http::request;
use axum::response::Response;

use super::{Gate, account, billed};
use crate::relay::{self, Interceptor};

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

/// Sends this number of checks over one connection, each after the answer to the one before.
fn check(address: SocketAddr, count: usize) {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_nodelay(true).expect("no delay");
    let mut answers = BufReader::new(stream.try_clone().expect("stream"));
    let request = "GET /check HTTP/1.1\r\nHost: gate\r\nx-flashgate-account: gate-calls/acme\r\n\r\n";
    for _ in 0..count {
        stream.write_all(request.as_bytes()).expect("sent");
        let mut status = String::new();
        answers.read_line(&mut status).expect("a status");
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        let (mut line, mut length) = (String::new(), 0);
        while answers.read_line(&mut line).expect("a line") > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            line.clear();
        }
        answers.read_exact(&mut vec![0; length]).expect("a body");
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
    let clients = (0..CONNECTIONS).map(|_| {
        let address = gate.address;
        tokio::task::spawn_blocking(move || check(address, CHECKS / CONNECTIONS))
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("checked");
    }
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
