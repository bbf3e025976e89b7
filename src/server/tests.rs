use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::routing::{get, post};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::{Cut, Limits, Server};
use crate::metrics::Metrics;
use crate::metrics::description::NothingElse;

const LONG: Duration = Duration::from_hours(1);
const SHORT: Duration = Duration::from_millis(50);

/// Time limit of a test for an answer or for the end of a connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// Limits that no test reaches by chance.
const WIDE: Limits = Limits {
    connections: 4,
    connections_per_address: 4,
    head: LONG,
    body: LONG,
    handling: LONG,
    sending: LONG,
    idle: LONG,
    draining: LONG,
};

const GET: &str = "GET /here HTTP/1.1\r\nHost: here\r\n\r\n";
const STUCK: &str = "GET /stuck HTTP/1.1\r\nHost: here\r\n\r\n";
const HALF_A_HEAD: &str = "GET /here HTTP/1.1\r\nHost: he";
const HALF_A_BODY: &str = "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 8\r\n\r\nhalf";
/// Much more than the buffers of two sockets, in bytes.
const LARGE_BYTES: usize = 64 * 1_024 * 1_024;

/// A running server, and its signal to stop.
struct Running {
    address: SocketAddr,
    metrics: Metrics,
    /// Has a permit for each request to `/echo` and `/stuck` that has begun.
    begun: Arc<Semaphore>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let address = listener.local_addr().expect("address");
        let begun = Arc::new(Semaphore::new(0));
        let (echoes, sticks) = (Arc::clone(&begun), Arc::clone(&begun));
        let echo = async move |request: Request| {
            echoes.add_permits(1);
            to_bytes(request.into_body(), usize::MAX).await.unwrap_or_else(|_| Bytes::new())
        };
        let stick = async move || {
            sticks.add_permits(1);
            std::future::pending::<()>().await;
        };
        let routes = Router::new()
            .route("/here", get(async || "here"))
            .route("/echo", post(echo))
            .route("/large", get(async || "x".repeat(LARGE_BYTES)))
            .route("/stuck", get(stick));
        let metrics = Metrics::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::new("health", limits, metrics.clone());
        let serving = tokio::spawn(server.serve(listener, routes, async { drop(stopped.await) }));
        Self { address, metrics, begun, stop: Some(stop), serving }
    }

    /// Opens a connection from `from` and sends a text on it.
    async fn send_from(&self, from: [u8; 4], text: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.bind((Ipv4Addr::from(from), 0).into()).expect("bound");
        let mut stream = socket.connect(self.address).await.expect("connection");
        write(&mut stream, text).await.expect("sent");
        stream
    }

    async fn send(&self, text: &str) -> TcpStream {
        self.send_from([127, 0, 0, 1], text).await
    }

    /// Opens a connection that keeps alive after one answer.
    async fn idle(&self) -> TcpStream {
        let mut stream = self.send(GET).await;
        assert!(answer(&mut stream).await.ends_with("here"));
        stream
    }

    /// Waits until this number of requests to `/echo` and `/stuck` have begun.
    async fn begun(&self, requests: u32) {
        let begun = tokio::time::timeout(PATIENCE, self.begun.acquire_many(requests)).await;
        begun.expect("begun in time").expect("open").forget();
    }

    fn cuts(&self, cut: Cut) -> u64 {
        let text = self.metrics.text(NothingElse).expect("metrics");
        let series = format!(
            "flashgate_billing_connections_cut_total{{server=\"health\",reason=\"{}\"}} ",
            cut.as_str()
        );
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.expect("shown before it happens").parse().expect("number")
    }

    /// Waits until the server has counted this number of cuts.
    async fn has_cut(&self, cut: Cut, count: u64) {
        tokio::time::timeout(PATIENCE, async {
            while self.cuts(cut) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("a cut");
        assert_eq!(self.cuts(cut), count);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Sends a text.
async fn write(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(length) => rest = &rest[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns the next received bytes, or nothing at the end.
async fn read(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = [0; 4_096];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut bytes) {
            Ok(length) => return Ok(String::from_utf8_lossy(&bytes[..length]).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns the first part of an answer.
async fn answer(stream: &mut TcpStream) -> String {
    tokio::time::timeout(PATIENCE, read(stream)).await.expect("an answer in time").expect("an answer")
}

/// Waits until the server has closed a connection.
async fn is_closed(mut stream: TcpStream) {
    // Closing a connection with unread bytes resets it.
    let end = async { while read(&mut stream).await.is_ok_and(|text| !text.is_empty()) {} };
    tokio::time::timeout(PATIENCE, end).await.expect("closed in time");
}

#[tokio::test]
async fn the_connection_that_was_idle_the_longest_is_closed_for_a_new_one() {
    let running = Running::start(WIDE).await;
    let oldest = running.idle().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(running.idle().await);
    }
    let mut newest = running.idle().await;
    is_closed(oldest).await;
    running.has_cut(Cut::Replaced, 1).await;
    for stream in others.iter_mut().chain([&mut newest]) {
        write(stream, GET).await.expect("still open");
        assert!(answer(stream).await.ends_with("here"));
    }
}

#[tokio::test]
async fn connections_that_send_half_a_request_never_keep_out_a_whole_one() {
    for half in ["", HALF_A_HEAD, HALF_A_BODY] {
        let running = Running::start(WIDE).await;
        let mut halves = Vec::new();
        for _ in 0..40 {
            halves.push(running.send(half).await);
        }
        let mut whole = running.send(GET).await;
        assert!(answer(&mut whole).await.ends_with("here"), "{half:?}");
        running.has_cut(Cut::Replaced, 37).await;
    }
}

#[tokio::test]
async fn a_request_that_is_being_handled_is_not_closed_for_a_new_connection() {
    let running = Running::start(Limits { connections: 2, ..WIDE }).await;
    let handled = [running.send(STUCK).await, running.send(STUCK).await];
    running.begun(2).await;
    is_closed(running.send("").await).await;
    running.has_cut(Cut::Refused, 1).await;
    drop(handled);
    let answered = async {
        loop {
            let mut stream = running.send(GET).await;
            if let Some(answer) = read(&mut stream).await.ok().filter(|answer| !answer.is_empty()) {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, answered).await.expect("there is a place again");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_others() {
    let running = Running::start(Limits { connections_per_address: 2, ..WIDE }).await;
    let mut other = running.send_from([127, 0, 0, 2], GET).await;
    assert!(answer(&mut other).await.ends_with("here"));
    for _ in 0..10 {
        drop(answer(&mut running.send_from([127, 0, 0, 3], GET).await).await);
    }
    let mut flood = Vec::new();
    for _ in 0..10 {
        flood.push(running.send_from([127, 0, 0, 3], HALF_A_HEAD).await);
    }
    assert!(answer(&mut running.send_from([127, 0, 0, 3], GET).await).await.ends_with("here"));
    write(&mut other, GET).await.expect("still open");
    assert!(answer(&mut other).await.ends_with("here"));
}

#[tokio::test]
async fn each_step_of_a_connection_has_its_time_limit() {
    let short = [
        (Limits { head: SHORT, ..WIDE }, "", Cut::HeadTimeout),
        (Limits { head: SHORT, ..WIDE }, HALF_A_HEAD, Cut::HeadTimeout),
        (Limits { body: SHORT, ..WIDE }, HALF_A_BODY, Cut::BodyTimeout),
        (Limits { handling: SHORT, ..WIDE }, STUCK, Cut::HandlingTimeout),
        (Limits { idle: SHORT, ..WIDE }, GET, Cut::IdleTimeout),
    ];
    for (limits, text, cut) in short {
        let running = Running::start(limits).await;
        is_closed(running.send(text).await).await;
        running.has_cut(cut, 1).await;
    }
}

#[tokio::test]
async fn a_head_that_drips_gets_no_more_time_than_one_that_stalls() {
    let running = Running::start(Limits { head: SHORT, ..WIDE }).await;
    let mut dripping = running.idle().await;
    let drips = async {
        while write(&mut dripping, "G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, drips).await.expect("closed in time");
    running.has_cut(Cut::HeadTimeout, 1).await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_aborted() {
    let running = Running::start(Limits { sending: SHORT, ..WIDE }).await;
    let unread = running.send("GET /large HTTP/1.1\r\nHost: here\r\n\r\n").await;
    running.has_cut(Cut::SendingTimeout, 1).await;
    drop(unread);
}

#[tokio::test]
async fn a_head_without_end_is_not_kept_in_memory() {
    let running = Running::start(WIDE).await;
    let mut stream = running.send("GET /here HTTP/1.1\r\nHost: ").await;
    let endless = "h".repeat(1_024 * 1_024);
    let sent = async { while write(&mut stream, &endless).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, sent).await.expect("closed in time");
}

#[tokio::test]
async fn a_server_that_stops_ends_requests_first_and_unused_connections_at_once() {
    let mut running = Running::start(WIDE).await;
    let (idle, silent) = (running.idle().await, running.send("").await);
    let mut under_way = running.send(HALF_A_BODY).await;
    running.begun(1).await;
    drop(running.stop.take());
    is_closed(idle).await;
    is_closed(silent).await;
    assert!(!running.serving.is_finished());
    write(&mut under_way, "half").await.expect("sent");
    assert!(answer(&mut under_way).await.ends_with("halfhalf"));
    is_closed(under_way).await;
    let ended = tokio::time::timeout(PATIENCE, &mut running.serving).await;
    ended.expect("it ends in time").expect("it ends well");
}

#[test]
fn every_reason_to_close_a_connection_has_a_series_from_the_start() {
    let text = Metrics::default().text(NothingElse).expect("metrics");
    for (server, cut) in ["health", "payments"].iter().flat_map(|server| Cut::ALL.map(|cut| (server, cut))) {
        let series = format!(
            "flashgate_billing_connections_cut_total{{server=\"{server}\",reason=\"{}\"}} 0",
            cut.as_str()
        );
        assert!(text.lines().any(|line| line == series), "{series}");
    }
}
