use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use base64::Engine as _;
use flashgate_cluster::clock::Clock;
use futures::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use kube::Client;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;
use tower::ServiceExt as _;

use super::callback::{Callback, EVENT_ID, object_name};
use super::record::Recorder;
use super::secrets::{BASE64, Keyring, Scope, SecretFiles, Secrets, SecretsError};
use super::signature::{HEADER, STANDARD_HEADERS, SignatureError};
use super::{BODY_BYTES, Webhook};
use crate::metrics::Metrics;

const SECRET: &str = "an example of a secret, of 36 bytes..";
const OLD_SECRET: &str = "the secret that is being replaced by it";
const NOW: i64 = 1_790_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("time")
}

fn keyring() -> Keyring {
    Keyring::parse("secrets", format!("{SECRET}\n\n{OLD_SECRET}\r\n").as_bytes()).expect("secrets")
}

/// A temporary folder for one test. Dropping this value deletes it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("flashgate-payments-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("folder");
        Self(path)
    }

    /// Writes a file and returns its path.
    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(&path, text).expect("file");
        path
    }

    /// Returns the secrets of the unit tests for all namespaces, and those of the folder `by-namespace`.
    fn secrets(&self, uptime: &Arc<AtomicUsize>) -> Secrets {
        std::fs::create_dir_all(self.0.join("by-namespace")).expect("folder");
        let file = self.write("secrets", &format!("{SECRET}\n{OLD_SECRET}\n"));
        let folder = self.0.join("by-namespace");
        let files = SecretFiles { file: Some(file), folder: Some(folder), only_namespace: None };
        let uptime = Arc::clone(uptime);
        let uptime =
            move || Duration::from_secs(uptime.load(Ordering::Relaxed).try_into().expect("a few seconds"));
        Secrets::open(files, Clock::from_fns(now, uptime)).expect("secrets")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("removed");
    }
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
    keyring().verify("tenant", &HeaderMap::from_iter(headers), body, now()).map(drop)
}

#[test]
fn a_signature_of_openssl_is_accepted() {
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
fn a_signature_is_valid_for_five_minutes_either_way() {
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
fn a_header_in_another_form_is_malformed() {
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
    assert_eq!(keyring().verify("tenant", &HeaderMap::new(), b"", now()), Err(SignatureError::Missing));
    let mut twice = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("t={NOW},v1={tag}")).expect("header");
    twice.append(HEADER, value.clone());
    twice.append(HEADER, value);
    assert_eq!(keyring().verify("tenant", &twice, b"", now()), Err(SignatureError::Malformed));
}

#[test]
fn a_secret_that_could_be_guessed_is_refused_with_its_line() {
    let error = Keyring::parse("file", format!("{SECRET}\nshort\n").as_bytes()).expect_err("short");
    assert_eq!(
        error.to_string(),
        "the secret on line 2 of 'file' has 5 bytes; must have at least 32, such as what `openssl rand -hex 32` prints"
    );
    for nothing in ["", "\n \n\r\n"] {
        let error = Keyring::parse("file", nothing.as_bytes()).expect_err("empty");
        assert!(matches!(error, SecretsError::Empty { .. }), "{error}");
    }
    assert!(Keyring::parse("file", "x".repeat(32).as_bytes()).is_ok());
    let files = SecretFiles { file: Some("/nowhere".into()), ..SecretFiles::default() };
    let error = Secrets::open(files, Clock::from_fn(now)).expect_err("no file");
    assert!(error.to_string().starts_with("'/nowhere' cannot be read"), "{error}");
}

#[test]
fn secrets_are_never_shown() {
    assert_eq!(format!("{:?}", keyring()), r#"Keyring({"*": 2})"#);
}

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Returns the headers of Standard Webhooks for `body`, signed with the key in `secret`.
fn standard(secret: &str, id: &str, second: i64, body: &[u8]) -> HeaderMap {
    let key = BASE64.decode(secret.strip_prefix("whsec_").expect("prefix")).expect("base64");
    let mac = Hmac::<Sha256>::new_from_slice(&key).expect("key");
    let mac = mac.chain_update(format!("{id}.{second}.")).chain_update(body).finalize().into_bytes();
    let values = [id.to_owned(), second.to_string(), format!("v1,{}", BASE64.encode(mac))];
    let headers = STANDARD_HEADERS.iter().zip(values);
    headers.map(|(name, value)| (name.parse().expect("name"), value.parse().expect("header"))).collect()
}

fn standard_keyring() -> Keyring {
    Keyring::parse("secrets", format!("{SECRET}\n{STANDARD_SECRET}").as_bytes()).expect("secrets")
}

#[test]
fn the_example_of_standard_webhooks_is_accepted() {
    // The secret, id, time, body and signature in the tests of the standardwebhooks.com libraries.
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let headers = headers.map(|(name, value)| (name.parse().expect("name"), HeaderValue::from_static(value)));
    let now = Timestamp::from_second(1_614_265_330).expect("time");
    let verdict =
        standard_keyring().verify("tenant", &HeaderMap::from_iter(headers), br#"{"test": 2432232314}"#, now);
    assert!(verdict.is_ok(), "{verdict:?}");
}

#[test]
fn standard_webhooks_are_held_to_the_same_rules() {
    let sign = |second| standard(STANDARD_SECRET, "msg_1", second, b"{}");
    let verdict = |headers: &HeaderMap| standard_keyring().verify("tenant", headers, b"{}", now()).map(drop);
    assert_eq!(verdict(&sign(NOW)), Ok(()));
    assert_eq!(verdict(&sign(NOW - 301)), Err(SignatureError::OutOfTime { seconds_ago: 301 }));
    let changed = |name: &'static str, value: &str| {
        let mut headers = sign(NOW);
        headers.insert(name, value.parse().expect("header"));
        headers
    };
    let signature = sign(NOW)["webhook-signature"].to_str().expect("text").to_owned();
    let unknown = format!("v1,{}", BASE64.encode([0; 32]));
    for fitting in
        [format!("{unknown} {signature}"), format!("v1a,x {signature}"), signature.replace('=', "")]
    {
        assert_eq!(verdict(&changed("webhook-signature", &fitting)), Ok(()), "{fitting}");
    }
    for headers in [
        changed("webhook-id", "msg_2"),
        changed("webhook-timestamp", &(NOW + 1).to_string()),
        changed("webhook-signature", &unknown),
        standard("whsec_QW5vdGhlciBrZXkgb2YgMjQgYnl0ZXMh", "msg_1", NOW, b"{}"),
    ] {
        assert_eq!(verdict(&headers), Err(SignatureError::UnfittingStandard), "{headers:?}");
    }
    let mut twice = sign(NOW);
    twice.append("webhook-signature", signature.parse().expect("header"));
    let mut lacking = sign(NOW);
    lacking.remove("webhook-id");
    for headers in [
        twice,
        lacking,
        changed("webhook-id", ""),
        changed("webhook-timestamp", "now"),
        changed("webhook-signature", ""),
        changed("webhook-signature", "v1"),
        changed("webhook-signature", "v1,AAAA"),
        changed("webhook-signature", "v1a,AAAA"),
        changed("webhook-signature", &[signature.as_str(); 9].join(" ")),
    ] {
        assert_eq!(verdict(&headers), Err(SignatureError::MalformedStandard), "{headers:?}");
    }
    let key = BASE64.encode(SECRET);
    let by_text = standard(&format!("whsec_{key}"), "msg_1", NOW, b"{}");
    assert_eq!(verdict(&by_text), Err(SignatureError::UnfittingStandard), "only a whsec_ secret signs so");
    let mut both = sign(NOW);
    both.insert(HEADER, "v1".parse().expect("header"));
    assert_eq!(verdict(&both), Err(SignatureError::Malformed), "our own header goes first");
}

#[test]
fn a_secret_is_valid_in_its_namespace_and_a_shared_one_is_marked() {
    let folder = Folder::new();
    let secrets = |number: usize| format!("secret number {number} of the tests, long enough\n");
    folder.write("by-namespace/tenant/stripe", &secrets(1));
    folder.write("by-namespace/tenant/adyen", &format!("{}{}", secrets(2), secrets(3)));
    folder.write("by-namespace/other/stripe", &format!("{}{}", secrets(3), secrets(4)));
    folder.write("by-namespace/..data/hidden", &secrets(5));
    let keyring = futures::executor::block_on(folder.secrets(&Arc::default()).current());
    let scope = |namespace: &str, secret: &str| {
        let signature = header(secret.trim(), NOW, b"{}").parse().expect("header");
        let headers = HeaderMap::from_iter([(HEADER.parse().expect("name"), signature)]);
        keyring.verify(namespace, &headers, b"{}", now()).ok()
    };
    for (number, in_tenant, in_other) in [
        (1, Some(Scope::OneNamespace), None),
        (2, Some(Scope::OneNamespace), None),
        (3, Some(Scope::SeveralNamespaces), Some(Scope::SeveralNamespaces)),
        (4, None, Some(Scope::OneNamespace)),
        (5, None, None),
    ] {
        let secret = secrets(number);
        assert_eq!((scope("tenant", &secret), scope("other", &secret)), (in_tenant, in_other), "{number}");
        assert_eq!((scope("..data", &secret), scope("", &secret)), (None, None), "{number}");
    }
    assert_eq!(scope("anywhere", SECRET), Some(Scope::SeveralNamespaces));
}

#[test]
fn the_only_namespace_of_an_operator_need_not_be_named() {
    let folder = Folder::new();
    let file = Some(folder.write("secrets", SECRET));
    let files = SecretFiles { file, folder: None, only_namespace: Some("tenant".to_owned()) };
    let keyring =
        futures::executor::block_on(Secrets::open(files, Clock::from_fn(now)).expect("secrets").current());
    let headers = [(HEADER.parse().expect("name"), header(SECRET, NOW, b"{}").parse().expect("header"))];
    let headers = HeaderMap::from_iter(headers);
    assert_eq!(keyring.verify("tenant", &headers, b"{}", now()), Ok(Scope::OneNamespace));
    assert_eq!(keyring.verify("other", &headers, b"{}", now()), Err(SignatureError::Unfitting));
}

#[tokio::test]
async fn a_change_of_the_files_counts_a_second_later_without_a_restart() {
    let (folder, uptime) = (Folder::new(), Arc::new(AtomicUsize::new(0)));
    let secrets = folder.secrets(&uptime);
    let known = async || format!("{:?}", secrets.current().await);
    assert_eq!(known().await, r#"Keyring({"*": 2})"#);
    let file = folder.write("by-namespace/tenant/stripe", &format!("{STANDARD_SECRET}\n"));
    folder.write("by-namespace/other/stripe", "short\n");
    folder.write("by-namespace/stray", STANDARD_SECRET);
    assert_eq!(known().await, r#"Keyring({"*": 2})"#, "within the second");
    uptime.store(1, Ordering::Relaxed);
    assert_eq!(known().await, r#"Keyring({"*": 2, "tenant": 1})"#, "what cannot be used holds up nothing");
    std::fs::remove_file(file).expect("removed");
    folder.write("secrets", "");
    uptime.store(2, Ordering::Relaxed);
    assert_eq!(known().await, "Keyring({})", "deleting revokes");
}

#[test]
fn a_file_with_more_secrets_than_a_rotation_needs_is_refused() {
    let many = |count: usize| format!("{SECRET}\n").repeat(count);
    assert!(Keyring::parse("file", many(16).as_bytes()).is_ok());
    let error = Keyring::parse("file", many(17).as_bytes()).expect_err("too many").to_string();
    assert!(error.contains("more than 16 secrets"), "{error}");
}

#[test]
fn a_signed_callback_is_valid_in_one_namespace() {
    let parse = |callback: &Value| Callback::parse(callback.to_string().as_bytes()).expect("callback");
    let (named, mut unnamed) = (parse(&callback()), callback());
    unnamed.as_object_mut().expect("object").remove("namespace");
    let unnamed = parse(&unnamed);
    for scope in [Scope::OneNamespace, Scope::SeveralNamespaces] {
        assert!(named.check_namespace("tenant", scope).is_ok());
        let error = named.check_namespace("other", scope).expect_err("replayed").to_string();
        assert_eq!(error, "the body is for namespace 'tenant', but the path names 'other'; must be the same");
    }
    assert!(unnamed.check_namespace("tenant", Scope::OneNamespace).is_ok());
    let error = unnamed.check_namespace("tenant", Scope::SeveralNamespaces).expect_err("open").to_string();
    assert!(error.contains(r#"add "namespace": "tenant""#), "{error}");
}

fn callback() -> Value {
    callback_in("tenant")
}

fn callback_in(namespace: &str) -> Value {
    json!({
        "id": "evt_1Q0PsIJvEtkwdCNYMSaVuRz6", "namespace": namespace, "subscription": "acme", "invoice": "acme-1f3a9c2e-0001",
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
fn each_state_of_a_payment_is_taken_and_named_in_the_refusal_of_another() {
    for state in ["Settled", "Failed", "Cancelled", "Refunded"] {
        let mut callback = callback();
        callback["state"] = json!(state);
        let payment = Callback::parse(callback.to_string().as_bytes()).expect(state).into_payment();
        assert_eq!(serde_json::to_value(payment).expect("JSON")["spec"]["state"], state);
        callback["state"] = json!("Pending");
        let error = Callback::parse(callback.to_string().as_bytes()).expect_err("unknown").to_string();
        assert!(error.split("must be").nth(1).is_some_and(|remedy| remedy.contains(state)), "{error}");
    }
}

#[test]
fn a_body_is_taken_whole_or_not_at_all() {
    for optional in ["reference", "namespace"] {
        let mut without = callback();
        without.as_object_mut().expect("object").remove(optional);
        assert!(Callback::parse(without.to_string().as_bytes()).is_ok(), "{optional}");
    }
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
    fn no_header_panics_or_is_accepted(header in "(t=[0-9]{0,20}|v1=[0-9a-fA-F]{0,70}|[ -~]{0,20})(,(t=1790000000|v1=[0-9a-f]{64}|[ -~]{0,9})){0,4}") {
        prop_assert!(verify(&header, b"{}").is_err(), "believed");
    }
}

/// The API server's answers to the creation of a Payment and, if that fails, to its read.
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

    /// Sends a request to a webhook in front of this server.
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
        let folder = Folder::new();
        let secrets = folder.secrets(&Arc::default());
        let webhook = Webhook::new(recorder, secrets, Clock::from_fn(now), Metrics::default());
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
async fn errors_of_the_api_server_are_distinguished() {
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
async fn an_unsigned_callback_never_reaches_the_api_server() {
    let with = |change: &dyn Fn(&mut Request<Body>)| {
        let mut request = request(&callback());
        change(&mut request);
        request
    };
    let path = |path: &'static str| {
        move |request: &mut Request<Body>| *request.uri_mut() = path.parse().expect("path")
    };
    let at = |place: &'static str, namespace: &str| {
        let mut request = request(&callback_in(namespace));
        path(place)(&mut request);
        request
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
        (with(&path("/v1/payments/other")), 403, "NamespaceNotSigned"),
        (at("/v1/payments/a%2F..%2Fkube-system", "a/../kube-system"), 404, "NamespaceNotFound"),
        (at("/v1/payments/%ff", ""), 404, "NamespaceNotFound"),
        (at("/v1/payments/Tenant", "Tenant"), 404, "NamespaceNotFound"),
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
async fn a_namespace_that_is_not_billed_is_not_found() {
    let service = tower::service_fn(|_: Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("never asked"))
    });
    let recorder = Recorder::new(Client::new(service, "default"), vec!["billed".to_owned()]);
    let folder = Folder::new();
    let secrets = folder.secrets(&Arc::default());
    let routes = Webhook::new(recorder, secrets, Clock::from_fn(now), Metrics::default()).routes();
    let response = routes.clone().oneshot(request(&callback())).await.expect("response");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let mut billed = request(&callback_in("billed"));
    *billed.uri_mut() = "/v1/payments/billed".parse().expect("path");
    let response = routes.oneshot(billed).await.expect("response");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "asked, and unreachable");
}

#[tokio::test]
async fn a_stalled_body_is_refused() {
    let whole = callback().to_string().into_bytes();
    let begun = futures::stream::iter([Ok::<_, std::io::Error>(whole[..whole.len() / 2].to_vec())]);
    let mut stalled = request(&callback());
    *stalled.body_mut() = Body::from_stream(begun.chain(futures::stream::pending()));
    let refused = super::read(stalled, Duration::from_millis(100)).await.expect_err("not at its end");
    assert_eq!(refused.status(), (StatusCode::REQUEST_TIMEOUT, "BodyUnfinished"));
}
