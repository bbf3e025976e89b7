//! Callers without any right. `payments::webhook` tests signatures and replays of callbacks; `chart::roles`
//! tests the rights of the operator's own token.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flashgate_api::Subscription;
use serde_json::{Value, json};

use super::{Caller, KINDS, attacked};
use crate::free_address::free_address;
use crate::suite::payments::webhook::post;
use crate::suite::payments::{paid, secrets_file};
use crate::world::wait_for;

/// More connections than a server accepts at once.
const FLOOD: u16 = 300;

/// Maximum time of an answer. The transfer of a gigabyte takes far longer.
const SOON: Duration = Duration::from_secs(20);

/// Sends the head of a request without its body. Returns the status and the answer.
async fn ask(address: SocketAddr, request: String) -> (u16, String) {
    let listens = async || TcpStream::connect(address).ok();
    let mut stream = wait_for("somebody listens", listens).await;
    let answered = tokio::task::spawn_blocking(move || {
        stream.set_read_timeout(Some(SOON)).expect("limit");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        // A connection that is closed after the answer is no error.
        let ended = stream.read_to_end(&mut answer);
        assert!(ended.is_ok() || !answer.is_empty(), "{ended:?}");
        String::from_utf8_lossy(&answer).into_owned()
    });
    let answer = answered.await.expect("answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("status");
    (status, answer)
}

/// Returns a request with this request line and content length.
fn request(line: &str, bytes: u64) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {bytes}\r\nFlashgate-Signature: t=1,v1=00\r\n\r\n"
    )
}

/// Paths that escape from the served paths if a server interprets them.
const TRICKS: [&str; 8] = [
    "/",
    "//",
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/metrics/../secrets",
    "/metrics%2f",
    "/v1/payments/default/../../healthz",
    "/debug/pprof",
];

#[tokio::test]
async fn a_body_of_a_gigabyte_is_refused_before_it_is_read() {
    let webhook = paid().await.webhook;
    let (status, _) = ask(webhook, request("POST /v1/payments/default", 1_000_000_000)).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn the_webhook_serves_no_other_path() {
    let webhook = paid().await.webhook;
    for path in TRICKS.into_iter().chain(["/metrics", "/healthz"]) {
        let (status, answer) = ask(webhook, request(&format!("GET {path}"), 0)).await;
        assert!(status == 404 && answer.contains("NoSuchEndpoint"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn health_and_metrics_need_no_token_and_name_no_account() {
    let world = &attacked().await.world;
    let namespace = attacked().await.namespace("attacked-metrics", &[]).await;
    namespace.create::<Subscription>("unnamed", json!({"plan": "starter"})).await;
    let operator = world.operator(&["--metrics-addr", "127.0.0.1:0", "--namespace", "attacked-metrics"]);
    let port = wait_for("it listens", async || operator.listening_port()).await;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    namespace.expect::<Subscription>("unnamed", "/status/credits/balance", "1100").await;
    for path in TRICKS {
        assert_eq!(ask(address, request(&format!("GET {path}"), 0)).await.0, 404, "{path}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let (status, _) = ask(address, request(&format!("POST {path}"), 1_000_000_000)).await;
        assert_eq!(status, 405, "{path}");
    }
    // The server does not read an unexpected body.
    let (status, told) = ask(address, request("GET /metrics", 1_000_000_000)).await;
    assert!(status == 200 && told.contains("# EOF"), "{told}");
    for secret in ["unnamed", "attacked-metrics"] {
        assert!(!told.contains(secret), "{told}");
    }
}

/// Opens many connections from different addresses and sends `text` on each. Waits for the answers, if any
/// are expected.
async fn flood(address: SocketAddr, text: &str, is_answered: bool) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for number in 0..FLOOD {
        let socket = tokio::net::TcpSocket::new_v4().expect("socket");
        let [_, last] = (2 + number % 50).to_be_bytes();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).expect("bound");
        let stream = socket.connect(address).await.expect("connection");
        let mut stream = stream.into_std().expect("stream");
        stream.set_nonblocking(false).expect("blocking");
        stream.set_read_timeout(Some(SOON)).expect("limit");
        stream.write_all(text.as_bytes()).expect("sent");
        if is_answered {
            stream.read_exact(&mut [0; 8]).expect("an answer");
        }
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn idle_and_half_sent_connections_block_no_signed_callback_and_no_probe() {
    let world = &attacked().await.world;
    let namespace = attacked().await.namespace("attacked-sockets", &[]).await;
    let (webhook, health) = (free_address(), free_address());
    let secrets = secrets_file(world).display().to_string();
    let (at_webhook, at_health) = (webhook.to_string(), health.to_string());
    let mut arguments = vec!["--namespace", "attacked-sockets", "--metrics-addr", &at_health];
    arguments.extend(["--payments-addr", &at_webhook, "--payments-secret-file", &secrets]);
    let _operator = world.operator(&arguments);
    for address in [webhook, health] {
        wait_for("it listens", async || TcpStream::connect(address).ok()).await;
    }
    let probe = "GET /healthz HTTP/1.1\r\nHost: here\r\n";
    for (text, is_answered) in [
        (format!("{probe}\r\n"), true),
        (String::new(), false),
        (probe.to_owned(), false),
        ("POST /v1/payments/attacked-sockets HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{".to_owned(), false),
    ] {
        let floods = [flood(webhook, &text, is_answered).await, flood(health, &text, is_answered).await];
        let body = json!({
            "id": format!("evt-{}", text.len()), "subscription": "acme", "invoice": "acme-00000000-0001",
            "state": "Settled", "amount": "100", "currency": "USD",
        });
        let posted = tokio::time::timeout(SOON, post(webhook, &namespace.name, &body)).await;
        assert_eq!(posted.expect("an answer in time"), (201, String::new()), "{text}");
        let (status, _) = ask(health, format!("{probe}Connection: close\r\n\r\n")).await;
        assert_eq!(status, 200, "{text}");
        drop(floods);
    }
    let (_, told) = ask(health, request("GET /metrics", 0)).await;
    for server in ["health", "payments"] {
        let series =
            format!("flashgate_billing_connections_cut_total{{server=\"{server}\",reason=\"Replaced\"}} ");
        let counted = told.lines().find_map(|line| line.strip_prefix(&series)).expect("counted");
        assert_ne!(counted, "0", "{told}");
    }
}

#[tokio::test]
async fn a_user_without_rights_can_read_and_write_nothing() {
    let attacked = attacked().await;
    attacked.namespace("attacked-by-strangers", &[]).await;
    for user in ["tenant", "reporter", "payments"] {
        let stranger: Caller = attacked.caller(user).await;
        for kind in KINDS {
            let path = kind.path("attacked-by-strangers");
            assert_eq!(stranger.call("GET", &path, &Value::Null).await.0, 403, "{user} {kind:?}");
            let object = kind.object("forged", &json!({}));
            assert_eq!(stranger.call("POST", &path, &object).await.0, 403, "{user} {kind:?}");
        }
    }
}
