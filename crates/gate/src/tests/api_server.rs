//! An API server whose answers the test writes, one call after the other.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::channel::{mpsc, oneshot};
use futures::{StreamExt as _, TryFutureExt as _};
use http::{Request, Response};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Longest time that a test waits for a call.
const CALL_TIME: Duration = Duration::from_mins(10);

/// The calls of a client.
pub struct ApiServer {
    calls: mpsc::UnboundedReceiver<Call>,
}

/// A call that waits for its answer. The client's call fails if it is dropped.
pub struct Call {
    pub path: String,
    pub query: BTreeMap<String, String>,
    answer: oneshot::Sender<Response<Body>>,
}

/// A watch that is open. It ends if it is dropped.
pub struct Watch {
    events: mpsc::UnboundedSender<io::Result<Bytes>>,
}

/// Returns a client and the server that it calls.
pub fn api_server() -> (Client, ApiServer) {
    let (sender, calls) = mpsc::unbounded();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (answer, answered) = oneshot::channel();
        let query = request.uri().query().unwrap_or_default();
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let call = Call { path: request.uri().path().to_owned(), query, answer };
        drop(sender.unbounded_send(call));
        answered.map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))
    });
    (Client::new(service, "default"), ApiServer { calls })
}

/// Returns a Subscription with this balance. It is open if the balance is above zero.
pub fn subscription(name: &str, version: u64, balance: i64) -> Value {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    let reason = if balance > 0 { "CreditsLeft" } else { "CreditsExhausted" };
    json!({
        "metadata": {"namespace": namespace, "name": name, "resourceVersion": version.to_string()},
        "spec": {"plan": "starter"},
        "status": {
            "plan": "starter", "credits": {"balance": balance.to_string()},
            "gate": {"open": balance > 0, "reason": reason},
        },
    })
}

impl ApiServer {
    /// Returns the next call.
    pub async fn call(&mut self) -> Call {
        timeout(CALL_TIME, self.calls.next()).await.expect("a call in time").expect("a client")
    }

    /// Returns the next call, which must list everything.
    pub async fn list(&mut self) -> Call {
        let call = self.call().await;
        assert_eq!(call.query.get("limit").map(String::as_str), Some("500"), "{:?}", call.query);
        call
    }

    /// Returns the next call, which must ask for the latest version only.
    pub async fn comparison(&mut self) -> Call {
        let call = self.call().await;
        assert_eq!(call.query.get("limit").map(String::as_str), Some("1"), "{:?}", call.query);
        call
    }

    /// Opens the next watch, which must begin at this version.
    pub async fn watch(&mut self, version: u64) -> Watch {
        let call = self.call().await;
        assert_eq!(call.query.get("resourceVersion"), Some(&version.to_string()), "{:?}", call.query);
        call.watch()
    }

    /// Returns whether there is no call now.
    pub fn is_idle(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

impl Call {
    fn answer(self, status: u16, body: impl Into<Body>) {
        let response = Response::builder().status(status).body(body.into()).expect("response");
        // The client may have given up.
        drop(self.answer.send(response));
    }

    /// Answers with a page.
    pub fn page(self, version: u64, token: &str, items: &[Value]) {
        let metadata = json!({"resourceVersion": version.to_string(), "continue": token});
        self.answer(
            200,
            json!({"kind": "SubscriptionList", "metadata": metadata, "items": items}).to_string(),
        );
    }

    /// Answers with a list that has one page.
    pub fn objects(self, version: u64, items: &[Value]) {
        self.page(version, "", items);
    }

    /// Answers with a text.
    pub fn text(self, text: &'static str) {
        self.answer(200, text);
    }

    /// Refuses the call.
    pub fn refuse(self, code: u16) {
        self.answer(code, failure(code).to_string());
    }

    /// Opens a watch.
    pub fn watch(self) -> Watch {
        assert_eq!(self.query.get("watch").map(String::as_str), Some("true"), "{:?}", self.query);
        let (events, receiver) = mpsc::unbounded();
        self.answer(200, Body::from_stream(receiver));
        Watch { events }
    }
}

impl Watch {
    /// Sends a line.
    pub fn line(&self, text: &str) {
        self.events.unbounded_send(Ok(format!("{text}\n").into())).expect("open");
    }

    /// Sends an event.
    pub fn event(&self, kind: &str, object: &Value) {
        self.line(&json!({"type": kind, "object": object}).to_string());
    }

    /// Sends a bookmark.
    pub fn bookmark(&self, version: u64) {
        let metadata = json!({"resourceVersion": version.to_string()});
        let types = ("billing.flashgate.dev/v1alpha1", "Subscription");
        self.event("BOOKMARK", &json!({"apiVersion": types.0, "kind": types.1, "metadata": metadata}));
    }

    /// Sends an error.
    pub fn error(&self, code: u16) {
        self.event("ERROR", &failure(code));
    }

    /// Breaks the connection.
    pub fn reset(self) {
        self.events.unbounded_send(Err(io::ErrorKind::ConnectionReset.into())).expect("open");
    }

    /// Returns whether the client has closed the watch.
    pub fn is_closed(&self) -> bool {
        self.events.is_closed()
    }
}

fn failure(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "X", "message": "no"})
}
