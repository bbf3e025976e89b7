use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use futures::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use kube::Client;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;
use tower::ServiceExt as _;

use super::callback::{Callback, EVENT_ID, object_name};
use super::listener::Bounded;
use super::record::Recorder;
use super::signature::{HEADER, Secrets, SecretsError, SignatureError};
use super::{BODY_BYTES, Webhook};
use crate::clock::Clock;
use crate::metrics::Metrics;

const SECRET: &str = "an example of a secret, of 36 bytes..";
const OLD_SECRET: &str = "the secret that is being replaced by it";
const NOW: i64 = 1_790_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("time")
}

fn secrets() -> Secrets {
    Secrets::parse("secrets", format!("{SECRET}\n\n{OLD_SECRET}\r\n").as_bytes()).expect("secrets")
}

fn tag(secret: &str, second: i64, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("key");
    let mac = mac.chain_update(format!("{second}.")).chain_update(body).finalize().into_bytes();
    mac.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn header(secret: &str, second: i64, body: &[u8]) -> String {
    format!("t={second},v1={}", tag(secret, second, body))
}

fn verify(header: &str, body: &[u8]) -> Result<(), SignatureError> {
    let headers = [(HEADER.parse().expect("name"), HeaderValue::from_str(header).expect("header"))];
    secrets().verify(&HeaderMap::from_iter(headers), body, now())
}

#[test]
fn what_openssl_signed_is_believed() {
    // printf '1790000000.{"id":"evt-1"}' | openssl dgst -sha256 -hmac "$SECRET"
    let header = "t=1790000000,v1=8bae7e1811de577a25347ca560a20458ec85013af1064d68c54bdeba4b201a56";
    assert_eq!(verify(header, br#"{"id":"evt-1"}"#), Ok(()));
}

#[test]
fn either_secret_and_any_of_several_signatures_suffice_while_one_is_replaced() {
    let body = b"{}";
    assert_eq!(verify(&header(SECRET, NOW, body), body), Ok(()));
    assert_eq!(verify(&header(OLD_SECRET, NOW, body), body), Ok(()));
    let (unknown, known) =
        (tag("a secret that this webhook knows nothing of", NOW, body), tag(SECRET, NOW, body));
    assert_eq!(verify(&format!("t={NOW},v1={unknown},v1={known}"), body), Ok(()));
    assert_eq!(verify(&format!("v0=whatever, v1={known}, t={NOW}"), body), Ok(()));
    assert_eq!(verify(&format!("t={NOW},v1={}", known.to_uppercase()), body), Ok(()));
    assert_eq!(verify(&format!("t={NOW},v1={unknown}"), body), Err(SignatureError::Unfitting));
}

#[test]
fn another_body_time_or_secret_is_not_what_was_signed() {
    let signed = header(SECRET, NOW, b"{}");
    assert_eq!(verify(&signed, b"{} "), Err(SignatureError::Unfitting));
    assert_eq!(
        verify(&signed.replace(&NOW.to_string(), &format!("0{NOW}")), b"{}"),
        Err(SignatureError::Unfitting)
    );
    assert_eq!(verify(&signed.replace("0000,", "0001,"), b"{}"), Err(SignatureError::Unfitting));
    assert_eq!(verify(&header(&SECRET.to_uppercase(), NOW, b"{}"), b"{}"), Err(SignatureError::Unfitting));
}

#[test]
fn a_signature_lives_for_five_minutes_either_way() {
    for (second, verdict) in [
        (NOW - 300, Ok(())),
        (NOW - 301, Err(SignatureError::OutOfTime { seconds_ago: 301 })),
        (NOW + 300, Ok(())),
        (NOW + 301, Err(SignatureError::OutOfTime { seconds_ago: -301 })),
        (i64::MAX, Err(SignatureError::OutOfTime { seconds_ago: NOW - i64::MAX })),
    ] {
        assert_eq!(verify(&header(SECRET, second, b"{}"), b"{}"), verdict, "{second}");
    }
    let message = SignatureError::OutOfTime { seconds_ago: -301 }.to_string();
    assert!(
        message.starts_with("the signature's time is 301 seconds ahead; must be within 300"),
        "{message}"
    );
}

#[test]
fn a_header_that_says_something_else_is_malformed() {
    let tag = tag(SECRET, NOW, b"");
    for header in [
        String::new(),
        "v1".to_owned(),
        format!("t={NOW}"),
        format!("v1={tag}"),
        format!("t=,v1={tag}"),
        format!("t=-{NOW},v1={tag}"),
        format!("t=+{NOW},v1={tag}"),
        format!("t={NOW}.0,v1={tag}"),
        format!("t={NOW},t={NOW},v1={tag}"),
        format!("t=99999999999999999999,v1={tag}"),
        format!("t={NOW},v1={}", &tag[1..]),
        format!("t={NOW},v1={tag}00"),
        format!("t={NOW},v1={}", "g".repeat(64)),
        format!("t={NOW}{}", format!(",v1={tag}").repeat(9)),
    ] {
        assert_eq!(verify(&header, b""), Err(SignatureError::Malformed), "{header}");
    }
    assert_eq!(secrets().verify(&HeaderMap::new(), b"", now()), Err(SignatureError::Missing));
    let mut twice = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("t={NOW},v1={tag}")).expect("header");
    twice.append(HEADER, value.clone());
    twice.append(HEADER, value);
    assert_eq!(secrets().verify(&twice, b"", now()), Err(SignatureError::Malformed));
}

#[test]
fn a_secret_that_could_be_guessed_is_refused_with_its_line() {
    let error = Secrets::parse("file", format!("{SECRET}\nshort\n").as_bytes()).expect_err("short");
    assert_eq!(
        error.to_string(),
        "the secret on line 2 of 'file' has 5 bytes; must have at least 32, such as what `openssl rand -hex 32` prints"
    );
    for nothing in ["", "\n \n\r\n"] {
        let error = Secrets::parse("file", nothing.as_bytes()).expect_err("empty");
        assert!(matches!(error, SecretsError::Empty { .. }), "{error}");
    }
    assert!(Secrets::parse("file", "x".repeat(32).as_bytes()).is_ok());
    let error = Secrets::load(std::path::Path::new("/nowhere")).expect_err("no file");
    assert!(error.to_string().starts_with("'/nowhere' cannot be read"), "{error}");
}

#[test]
fn secrets_are_never_shown() {
    assert_eq!(format!("{:?}", secrets()), "Secrets(2)");
}

fn callback() -> Value {
    json!({
        "id": "evt_1Q0PsIJvEtkwdCNYMSaVuRz6", "subscription": "acme", "invoice": "acme-1f3a9c2e-0001",
        "state": "Settled", "amount": "100", "currency": "USD", "reference": "pi_123",
    })
}

#[test]
fn a_callback_becomes_the_payment_that_says_the_same() {
    let payment = Callback::parse(callback().to_string().as_bytes()).expect("callback").into_payment();
    let payment = serde_json::to_value(payment).expect("JSON");
    assert_eq!(payment["metadata"]["name"], "evt-1q0psijvetkwdcnymsavurz6-3ee45fb9309d5e71");
    assert_eq!(payment["metadata"]["annotations"][EVENT_ID], "evt_1Q0PsIJvEtkwdCNYMSaVuRz6");
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "invoice": "acme-1f3a9c2e-0001", "state": "Settled", "amount": "100",
        "currency": "USD", "reference": "pi_123",
    });
    assert_eq!(payment["spec"], spec);
}

#[test]
fn a_body_is_taken_whole_or_not_at_all() {
    let mut without_reference = callback();
    without_reference.as_object_mut().expect("object").remove("reference");
    assert!(Callback::parse(without_reference.to_string().as_bytes()).is_ok());
    let changed = |field: &str, value: Value| {
        let mut callback = callback();
        callback[field] = value;
        callback.to_string()
    };
    for (body, says) in [
        (String::new(), "EOF"),
        ("[]".to_owned(), "invalid length"),
        (format!("{} {{}}", callback()), "trailing characters"),
        (changed("test", json!(true)), "unknown field `test`"),
        (changed("amount", json!(100)), "invalid type: integer `100`, expected a string"),
        (changed("state", json!("settled")), "unknown variant `settled`"),
        (changed("invoice", Value::Null), "expected a string"),
        (changed("id", json!("")), "id has 0 bytes; must be"),
        (changed("id", json!("x".repeat(257))), "id has 257 bytes; must be"),
        (callback().to_string().replace("\"currency\"", "\"amount\""), "duplicate field `amount`"),
        (callback().to_string().replace("\"currency\":\"USD\",", ""), "missing field `currency`"),
    ] {
        let error = Callback::parse(body.as_bytes()).expect_err(&body).to_string();
        assert!(error.contains(says) && error.contains("must be"), "{error}");
    }
}

#[test]
fn an_event_gives_its_name_where_kubernetes_allows_it() {
    for id in ["evt-1", "a", "0.example", &"x".repeat(253)] {
        assert_eq!(object_name(id), id);
    }
    let changed = ["evt_1", "EVT-1", "evt-1-", "-evt-1", "a..b", "a.-b", "ä", "_", &"x".repeat(254)];
    for id in changed {
        let name = object_name(id);
        assert_ne!(name, id);
        assert_eq!(object_name(&name), name, "is allowed");
    }
    let names: std::collections::HashSet<String> = changed.into_iter().map(object_name).collect();
    assert_eq!(names.len(), changed.len());
}

proptest! {
    #[test]
    fn no_body_panics(body: Vec<u8>) {
        prop_assert!(Callback::parse(&body).is_err());
    }

    #[test]
    fn no_body_that_is_nearly_right_panics(
        position in 0_usize..200,
        change: Vec<u8>,
        id in "\\PC{0,300}",
    ) {
        let mut near = callback();
        near["id"] = json!(id);
        let mut body = near.to_string().into_bytes();
        let position = position.min(body.len());
        body.splice(position..position, change);
        if let Ok(callback) = Callback::parse(&body) {
            let name = object_name(&callback.id);
            prop_assert!(!name.is_empty() && name.len() <= 253);
            prop_assert_eq!(object_name(&name), name.clone());
            prop_assert_eq!(callback.into_payment().metadata.name, Some(name));
        }
    }

    #[test]
    fn no_header_panics_or_is_believed(header in "(t=[0-9]{0,20}|v1=[0-9a-fA-F]{0,70}|[ -~]{0,20})(,(t=1790000000|v1=[0-9a-f]{64}|[ -~]{0,9})){0,4}") {
        prop_assert!(verify(&header, b"{}").is_err(), "believed");
    }
}

/// What the API server answers to the creation and, where that is refused, to the reading of a Payment.
struct Server {
    create: (u16, Value),
    get: (u16, Value),
}

struct Said {
    status: StatusCode,
    body: Value,
    calls: usize,
}

impl Server {
    fn new(create: (u16, Value), get: (u16, Value)) -> Self {
        Self { create, get }
    }

    /// Sends a request to a webhook before this server.
    async fn answers(self, request: Request<Body>) -> Said {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let (status, body) = if request.method() == "POST" { &self.create } else { &self.get };
            let reply = http::Response::builder().status(*status);
            let reply = reply.body(kube::client::Body::from(body.to_string().into_bytes())).expect("reply");
            async move { Ok::<_, std::convert::Infallible>(reply) }
        });
        let recorder = Recorder::new(Client::new(service, "default"), Vec::new());
        let webhook = Webhook::new(recorder, secrets(), Clock::from_fn(now), Metrics::default());
        let response = webhook.routes().oneshot(request).await.expect("response");
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("body");
        let body = serde_json::from_slice(&body).expect("JSON");
        Said { status, body, calls: calls.load(Ordering::Relaxed) }
    }
}

fn stored(callback: &Value) -> Value {
    let payment = Callback::parse(callback.to_string().as_bytes()).expect("callback").into_payment();
    serde_json::to_value(payment).expect("JSON")
}

fn failure(code: u16, reason: &str, kind: &str, message: &str) -> (u16, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
        "message": message, "details": {"kind": kind},
    });
    (code, status)
}

fn exists() -> (u16, Value) {
    failure(409, "AlreadyExists", "payments", "exists")
}

fn request(body: &Value) -> Request<Body> {
    let body = body.to_string();
    let signature = header(SECRET, NOW, body.as_bytes());
    let request =
        Request::post("/v1/payments/tenant").header("content-type", "application/json; charset=utf-8");
    request.header(HEADER, signature).body(body.into()).expect("request")
}

fn never() -> (u16, Value) {
    (500, json!({}))
}

#[tokio::test]
async fn a_callback_is_acknowledged_when_its_payment_exists() {
    let callback = callback();
    let said = Server::new((201, stored(&callback)), never()).answers(request(&callback)).await;
    let name = object_name("evt_1Q0PsIJvEtkwdCNYMSaVuRz6");
    assert_eq!(
        (said.status, said.body),
        (StatusCode::CREATED, json!({"namespace": "tenant", "payment": name}))
    );
    let said = Server::new(exists(), (200, stored(&callback))).answers(request(&callback)).await;
    assert_eq!((said.status, said.calls), (StatusCode::OK, 2));
    let mut other = callback.clone();
    other["amount"] = json!("101");
    let said = Server::new(exists(), (200, stored(&other))).answers(request(&callback)).await;
    assert_eq!((said.status, &said.body["error"]), (StatusCode::CONFLICT, &json!("PaymentDiffers")));
}

#[tokio::test]
async fn what_the_api_server_says_is_told_apart() {
    let invalid = "spec.currency: must be";
    for (create, get, status, error) in [
        (failure(404, "NotFound", "namespaces", "no"), never(), 404, "NamespaceNotFound"),
        (failure(404, "NotFound", "", "no such kind"), never(), 503, "Unavailable"),
        (failure(422, "Invalid", "Payment", invalid), never(), 422, "PaymentRefused"),
        (failure(403, "Forbidden", "payments", "quota"), never(), 422, "PaymentRefused"),
        (failure(401, "Unauthorized", "", "token"), never(), 503, "Unavailable"),
        (failure(429, "TooManyRequests", "", "later"), never(), 503, "Unavailable"),
        (failure(500, "InternalError", "", "etcd"), never(), 503, "Unavailable"),
        (exists(), failure(404, "NotFound", "payments", "gone again"), 503, "Unavailable"),
        (exists(), failure(500, "InternalError", "", "etcd"), 503, "Unavailable"),
        ((201, json!("what is this")), never(), 503, "Unavailable"),
    ] {
        let told = format!("{create:?}");
        let said = Server::new(create, get).answers(request(&callback())).await;
        assert_eq!((said.status.as_u16(), said.body["error"].as_str()), (status, Some(error)), "{told}");
        if error == "PaymentRefused" && told.contains(invalid) {
            assert_eq!(said.body["message"], "the API server refused the Payment: spec.currency: must be");
        }
    }
}

#[tokio::test]
async fn what_is_no_signed_callback_never_reaches_the_api_server() {
    let with = |change: &dyn Fn(&mut Request<Body>)| {
        let mut request = request(&callback());
        change(&mut request);
        request
    };
    let path = |path: &'static str| {
        move |request: &mut Request<Body>| *request.uri_mut() = path.parse().expect("path")
    };
    let signed = |body: String| {
        let mut signed = request(&callback());
        let signature = header(SECRET, NOW, body.as_bytes()).parse().expect("header");
        signed.headers_mut().insert(HEADER, signature);
        *signed.body_mut() = body.into();
        signed
    };
    let json = HeaderValue::from_static("text/plain");
    for (request, status, error) in [
        (with(&|request| drop(request.headers_mut().remove(HEADER))), 401, "SignatureRefused"),
        (with(&|request| *request.body_mut() = "{}".into()), 401, "SignatureRefused"),
        (
            with(&|request| drop(request.headers_mut().insert("content-type", json.clone()))),
            415,
            "UnsupportedMediaType",
        ),
        (with(&|request| drop(request.headers_mut().remove("content-type"))), 415, "UnsupportedMediaType"),
        (with(&|request| *request.method_mut() = http::Method::GET), 405, "NoSuchEndpoint"),
        (with(&path("/v1/payments")), 404, "NoSuchEndpoint"),
        (with(&path("/v1/payments/a%2F..%2Fkube-system")), 404, "NamespaceNotFound"),
        (with(&path("/v1/payments/%ff")), 404, "NamespaceNotFound"),
        (with(&path("/v1/payments/Tenant")), 404, "NamespaceNotFound"),
        (signed("{}".to_owned()), 400, "BodyNotUnderstood"),
        (signed(" ".repeat(BODY_BYTES)), 400, "BodyNotUnderstood"),
        (signed(" ".repeat(BODY_BYTES + 1)), 413, "BodyTooLarge"),
    ] {
        let said = Server::new(never(), never()).answers(request).await;
        assert_eq!((said.status.as_u16(), said.body["error"].as_str()), (status, Some(error)));
        assert!(
            said.body["message"].as_str().is_some_and(|message| message.contains("must be")),
            "{}",
            said.body
        );
        assert_eq!(said.calls, 0);
    }
}

#[tokio::test]
async fn a_namespace_that_is_not_billed_is_not_there() {
    let service = tower::service_fn(|_: Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("never asked"))
    });
    let recorder = Recorder::new(Client::new(service, "default"), vec!["billed".to_owned()]);
    let routes = Webhook::new(recorder, secrets(), Clock::from_fn(now), Metrics::default()).routes();
    let response = routes.clone().oneshot(request(&callback())).await.expect("response");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let mut billed = request(&callback());
    *billed.uri_mut() = "/v1/payments/billed".parse().expect("path");
    let response = routes.oneshot(billed).await.expect("response");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "asked, and unreachable");
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_cut_and_makes_room_for_the_next() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address");
    let listener = Bounded::new(listener, 1, Duration::from_millis(200));
    let routes = axum::Router::new().fallback(async || "here");
    let serving = tokio::spawn(axum::serve(listener, routes).into_future());
    let exchanges = tokio::task::spawn_blocking(move || {
        let ask = |question: &str| {
            let mut stream = std::net::TcpStream::connect(address)?;
            stream.write_all(question.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        // Without an end of its head, or even a beginning, there is nothing to answer.
        let silent = [ask("GET / HTTP/1.1\r\nHo"), ask("")];
        (silent, ask("GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"))
    });
    let (silent, asked) = exchanges.await.expect("exchanges");
    assert!(silent.iter().all(|answer| answer.as_ref().is_ok_and(String::is_empty)), "{silent:?}");
    assert!(asked.is_ok_and(|answer| answer.ends_with("here")));
    serving.abort();
}

#[tokio::test]
async fn a_connection_that_drips_is_cut_like_a_silent_one_and_makes_room_for_the_next() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address");
    let listener = Bounded::new(listener, 1, Duration::from_millis(500));
    let routes = axum::Router::new().fallback(async || "here");
    let serving = tokio::spawn(axum::serve(listener, routes).into_future());
    let mut dripping = std::net::TcpStream::connect(address).expect("connection");
    dripping.write_all(b"GET / HTTP/1.1\r\nHost: ").expect("sent");
    // Never silent for long, and never at an end.
    let drips = move || {
        while dripping.write_all(b"h").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let next = move || {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let dripped = tokio::task::spawn_blocking(drips);
    let answer = tokio::task::spawn_blocking(next).await.expect("exchange");
    assert!(answer.as_ref().is_ok_and(|answer| answer.ends_with("here")), "{answer:?}");
    dripped.await.expect("the one that drips is cut");
    serving.abort();
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let whole = callback().to_string().into_bytes();
    let begun = futures::stream::iter([Ok::<_, std::io::Error>(whole[..whole.len() / 2].to_vec())]);
    let mut stalled = request(&callback());
    *stalled.body_mut() = Body::from_stream(begun.chain(futures::stream::pending()));
    let refused = super::read(stalled, Duration::from_millis(100)).await.expect_err("not at its end");
    assert_eq!(refused.status(), (StatusCode::REQUEST_TIMEOUT, "BodyUnfinished"));
}
