//! The proxy between an operator and the API server. It forwards and records requests, and injects one fault.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flashgate_testing::simulated::ObjectKind;
use futures::FutureExt as _;
use futures::stream::poll_fn;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::Instant;

use crate::campaign::calls::{Call, RequestType, request_type};
use crate::campaign::faults::Fault;
use crate::campaign::processes::kill;

/// Time between a reply and a kill. The operator can read the reply, but cannot act on it.
const AFTER_REPLY: Duration = Duration::from_millis(2);

/// The request that a fault is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The request with this name and number, counted from the operator's start.
    Nth(String, u32),
    /// The operator's first write, of any kind.
    FirstWrite,
}

/// The faults for one operator process.
#[derive(Clone, Debug, Default)]
pub struct ProcessFaults {
    /// The request to break, and how.
    pub fault: Option<(Target, Fault)>,
    /// A kind whose first list is served at this resource version.
    pub stale: Option<(ObjectKind, u64)>,
}

/// A write that was forwarded.
#[derive(Clone, Debug)]
pub struct Write {
    /// The call.
    pub call: Call,
    /// Its number among the calls with this name, from the operator's start.
    pub number: u32,
    /// The resource version in the request.
    pub version: String,
    /// The time at which it was sent.
    pub time: Instant,
    /// The status and the new resource version; absent until there is a reply.
    pub answer: Option<(u16, String)>,
}

/// The traffic that all proxies of a plan share, and the requests that they hold.
#[derive(Debug)]
pub struct Traffic {
    last: Mutex<Instant>,
    /// Number of held requests and changes.
    held: watch::Sender<usize>,
    /// Number of releases.
    releases: watch::Sender<u64>,
}

impl Traffic {
    /// Returns the traffic of a new plan.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            last: Mutex::new(Instant::now()),
            held: watch::Sender::new(0),
            releases: watch::Sender::new(0),
        })
    }

    /// Records a write.
    pub fn note_activity(&self) {
        *lock(&self.last) = Instant::now();
    }

    /// Returns the time since the last write.
    pub fn idle_time(&self) -> Duration {
        lock(&self.last).elapsed()
    }

    /// Returns whether a request is held.
    pub fn holds(&self) -> bool {
        *self.held.borrow() > 0
    }

    /// Releases all held requests.
    pub fn release(&self) {
        self.releases.send_modify(|releases| *releases += 1);
        self.note_activity();
    }

    /// Waits for the next release.
    async fn hold(&self) {
        let mut releases = self.releases.subscribe();
        releases.mark_unchanged();
        self.held.send_modify(|held| *held += 1);
        // The sender lives as long as `self`.
        releases.changed().await.unwrap_or_default();
        self.held.send_modify(|held| *held -= 1);
    }
}

/// A proxy. It listens until it is dropped.
pub struct Proxy {
    /// The port.
    pub port: u16,
    state: Arc<State>,
    listening: AbortHandle,
}

struct State {
    server: Client,
    traffic: Arc<Traffic>,
    /// The kind whose changes are held.
    frozen: watch::Sender<Option<ObjectKind>>,
    operator: Mutex<Operator>,
}

/// The state of the operator process since its start.
#[derive(Default)]
struct Operator {
    faults: ProcessFaults,
    process: Option<u32>,
    counts: HashMap<String, u32>,
    writes: Vec<Write>,
    /// Number of reads by name.
    reads: HashMap<String, u32>,
    /// Number of watches started.
    watches: usize,
    /// The latest version of a Subscription that the operator received.
    received: u64,
    /// Whether the fault occurred.
    has_occurred: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Starts a proxy for an operator.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(server: Client, traffic: Arc<Traffic>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (frozen, operator) = (watch::Sender::new(None), Mutex::default());
        let state = Arc::new(State { server, traffic, frozen, operator });
        let listening = tokio::spawn(listen(listener, Arc::clone(&state))).abort_handle();
        Ok(Self { port, state, listening })
    }

    /// Sets the faults for the next operator that starts, and resets the counters.
    pub fn set_faults(&self, faults: ProcessFaults) {
        *lock(&self.state.operator) = Operator { faults, ..Operator::default() };
    }

    /// Sets the process ID of the operator.
    pub fn set_process(&self, process: u32) {
        lock(&self.state.operator).process = Some(process);
    }

    /// Holds the changes of a kind until the next release.
    pub fn freeze(&self, kind: ObjectKind) {
        self.state.frozen.send_replace(Some(kind));
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            state.traffic.hold().await;
            state.frozen.send_replace(None);
        });
    }

    /// Returns whether the fault occurred.
    pub fn has_occurred(&self) -> bool {
        lock(&self.state.operator).has_occurred
    }

    /// Returns the operator's writes since its start.
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.state.operator).writes.clone()
    }

    /// Returns whether the operator received Subscriptions at `version` or later.
    pub fn has_received(&self, version: u64) -> bool {
        lock(&self.state.operator).received >= version
    }

    /// Returns the number of watches that the operator started.
    pub fn watches(&self) -> usize {
        lock(&self.state.operator).watches
    }

    /// Returns the number of reads by name since the operator's start.
    pub fn reads(&self) -> HashMap<String, u32> {
        lock(&self.state.operator).reads.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(move |request| Arc::clone(&state).answer(request));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Many plans cut the connection, so an error is expected.
    connection.await.unwrap_or_default();
}

/// A body that is forwarded.
type ForwardedBody = BoxBody<Bytes, Infallible>;

/// There is no reply: the connection is cut.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

/// A complete request, which can be sent more than once.
#[derive(Clone)]
struct Message {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Message {
    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.bytes.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let is_passed = |name: &&HeaderName| ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
        for name in self.headers.keys().filter(is_passed) {
            if let Some(value) = self.headers.get(name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request
    }
}

/// Returns the resource version of an object or of the precondition of a deletion.
fn version_in(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let version = ["/metadata/resourceVersion", "/preconditions/resourceVersion"];
    let version = version.iter().find_map(|pointer| body.pointer(pointer)?.as_str());
    version.unwrap_or_default().to_owned()
}

/// A complete reply.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Reply {
    /// Returns the reply of a server that rejects a request.
    fn refusal(code: u16) -> Self {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut headers = HeaderMap::new();
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, 1.into());
        }
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "injected by the campaign",
        });
        Self { status, headers, bytes: Bytes::from(body.to_string()) }
    }

    fn into_response(self) -> Response<ForwardedBody> {
        let mut response = Response::new(Full::new(self.bytes).boxed());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().remove(TRANSFER_ENCODING);
        response
    }
}

impl State {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<ForwardedBody>, Cut> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let mut message = Message { method: parts.method, uri: parts.uri, headers: parts.headers, bytes };
        match request_type(&message.method, &message.uri) {
            RequestType::Watch(kind) => self.pass_changes(kind, &message).await,
            RequestType::List(kind) => {
                self.make_stale(kind, &mut message);
                let reply = self.pass(message).await?;
                self.note_versions(kind, &reply.bytes);
                Ok(reply.into_response())
            }
            RequestType::Call(call) => self.exchange(&call, message).await.map(Reply::into_response),
            RequestType::Other => self.pass(message).await.map(Reply::into_response),
        }
    }

    /// Makes the first list of `kind` return an earlier version.
    fn make_stale(&self, kind: ObjectKind, message: &mut Message) {
        let mut operator = lock(&self.operator);
        let stale = operator.faults.stale.take_if(|(stale, _)| *stale == kind);
        let Some((_, version)) = stale else { return };
        let query = message.uri.query().unwrap_or_default();
        let kept = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("resourceVersion"));
        let at = [format!("resourceVersion={version}"), "resourceVersionMatch=Exact".to_owned()];
        let query: Vec<String> = kept.map(str::to_owned).chain(at).collect();
        if let Ok(uri) = format!("{}?{}", message.uri.path(), query.join("&")).parse() {
            message.uri = uri;
            operator.has_occurred = true;
        }
    }

    /// Records the Subscriptions that the operator receives.
    fn note_versions(&self, kind: ObjectKind, bytes: &[u8]) {
        if kind == ObjectKind::Subscription {
            let text = String::from_utf8_lossy(bytes);
            let versions = text.split("\"resourceVersion\":\"").skip(1);
            let versions = versions.filter_map(|rest| rest.split('"').next()?.parse().ok());
            let received = &mut lock(&self.operator).received;
            *received = versions.fold(*received, u64::max);
        }
    }

    /// Counts a call. Returns its number and the fault for it.
    fn count(&self, call: &Call) -> (u32, Option<Fault>) {
        let operator = &mut *lock(&self.operator);
        let name = call.to_string();
        let count = operator.counts.entry(name.clone()).or_default();
        *count += 1;
        let number = *count;
        if !call.is_write() {
            operator.reads.insert(name.clone(), number);
        }
        let is_meant = |target: &Target| match target {
            Target::Nth(meant, nth) => *meant == name && *nth == number,
            Target::FirstWrite => call.is_write() && operator.writes.is_empty(),
        };
        let fault = operator.faults.fault.take_if(|(target, _)| is_meant(target)).map(|(_, fault)| fault);
        operator.has_occurred |= fault.is_some();
        (number, fault)
    }

    async fn exchange(self: &Arc<Self>, call: &Call, message: Message) -> Result<Reply, Cut> {
        let (number, fault) = self.count(call);
        if call.is_write() {
            self.traffic.note_activity();
            let version = version_in(&message.bytes);
            let write = Write { call: call.clone(), number, version, time: Instant::now(), answer: None };
            lock(&self.operator).writes.push(write);
        }
        let result = match fault {
            None => self.pass(message).await,
            Some(fault) => self.inject(fault, message).await,
        };
        if call.is_write() {
            self.traffic.note_activity();
            let answer = result.as_ref().ok();
            let answer = answer.map(|reply| (reply.status.as_u16(), version_in(&reply.bytes)));
            let mut operator = lock(&self.operator);
            let write =
                operator.writes.iter_mut().find(|write| write.call == *call && write.number == number);
            if let Some(write) = write {
                write.answer = answer;
            }
        }
        result
    }

    async fn inject(self: &Arc<Self>, fault: Fault, message: Message) -> Result<Reply, Cut> {
        match fault {
            Fault::Refuse(code) => Ok(Reply::refusal(code)),
            Fault::Cut => Err(Cut),
            Fault::LoseReply => self.pass(message).await.and(Err(Cut)),
            Fault::WrongStatus(code) => self.pass(message).await.map(|_| Reply::refusal(code)),
            Fault::Resend => {
                self.pass(message.clone()).await?;
                self.pass(message).await
            }
            Fault::ArriveLate => {
                let state = Arc::clone(self);
                tokio::spawn(async move {
                    state.traffic.hold().await;
                    // The client has stopped waiting for the reply.
                    drop(state.pass(message).await);
                });
                Err(Cut)
            }
            Fault::Hold => {
                // The request is already on its way, even if the client is gone.
                let state = Arc::clone(self);
                let held = tokio::spawn(async move {
                    state.traffic.hold().await;
                    state.pass(message).await
                });
                held.await.map_err(|_| Cut)?
            }
            Fault::Delay => {
                tokio::time::sleep(Fault::DELAY).await;
                self.pass(message).await
            }
            Fault::NoReply => futures::future::pending().await,
            Fault::KillBeforeSending => self.kill_operator().map(|()| Err(Cut)).await,
            Fault::KillBeforeReply => {
                let reply = self.pass(message).await;
                self.kill_operator().await;
                reply.and(Err(Cut))
            }
            Fault::KillAfterReply => {
                let (reply, state) = (self.pass(message).await, Arc::clone(self));
                tokio::spawn(async move {
                    tokio::time::sleep(AFTER_REPLY).await;
                    state.kill_operator().await;
                });
                reply
            }
        }
    }

    async fn kill_operator(&self) {
        let process = lock(&self.operator).process;
        if let Some(process) = process {
            spawn_blocking(move || kill(process)).await.unwrap_or_default();
        }
    }

    /// Sends a message to the server, even if the client is gone.
    async fn pass(self: &Arc<Self>, message: Message) -> Result<Reply, Cut> {
        let server = self.server.clone();
        let exchange = async move {
            let response = server.send(message.request()).await.map_err(|_| Cut)?;
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|_| Cut)?.to_bytes();
            Ok(Reply { status: parts.status, headers: parts.headers, bytes })
        };
        tokio::spawn(exchange).await.map_err(|_| Cut)?
    }

    /// Forwards changes as they arrive, except changes of a held kind.
    async fn pass_changes(
        self: &Arc<Self>,
        kind: ObjectKind,
        message: &Message,
    ) -> Result<Response<ForwardedBody>, Cut> {
        let response = self.server.send(message.request()).await.map_err(|_| Cut)?;
        let (mut parts, mut body) = response.into_parts();
        let (passed, mut received) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(16);
        lock(&self.operator).watches += 1;
        let (mut frozen, state) = (self.frozen.subscribe(), Arc::clone(self));
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = body.frame() => next,
                    () = passed.closed() => break,
                };
                let Some(Ok(frame)) = next else { break };
                if *frozen.borrow() == Some(kind) {
                    lock(&state.operator).has_occurred = true;
                }
                let is_let_go = frozen.wait_for(|frozen| *frozen != Some(kind)).await.is_ok();
                let bytes = frame.data_ref().cloned().unwrap_or_default();
                if !is_let_go || passed.send(Ok(frame)).await.is_err() {
                    break;
                }
                state.note_versions(kind, &bytes);
            }
        });
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.remove(TRANSFER_ENCODING);
        let frames = StreamBody::new(poll_fn(move |context| received.poll_recv(context)));
        Ok(Response::from_parts(parts, BodyExt::boxed(frames)))
    }
}
