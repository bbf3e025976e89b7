//! The webhook over the wire, before a real API server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use flashgate_billing::api::Payment;
use flashgate_billing::clock::Clock;
use hmac::{Hmac, KeyInit as _, Mac as _};
use kube::api::ListParams;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Account, Paid, SECRET, free_address, paid, secrets_file};
use crate::world::{bare, eventually};

fn tag(time: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("key");
    let mac = mac.chain_update(format!("{time}.{body}")).finalize().into_bytes();
    mac.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn signed(time: i64, body: &str) -> String {
    format!("t={time},v1={}", tag(time, body))
}

fn now() -> i64 {
    Clock::system().now().as_second()
}

fn callback(id: &str, invoice: &str) -> Value {
    json!({
        "id": id, "subscription": "acme", "invoice": invoice, "state": "Settled", "amount": "100",
        "currency": "USD", "reference": "pi_123",
    })
}

/// Sends a body; returns status and answer.
fn send(address: SocketAddr, namespace: &str, signature: &str, body: &str) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "POST /v1/payments/{namespace} HTTP/1.1\r\nHost: webhook\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nFlashgate-Signature: {signature}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).expect("status").parse().expect("number");
    Ok((status, serde_json::from_str(body).expect("JSON")))
}

/// Sends a body that is signed now; returns status and, of a refusal, its word.
pub async fn post(address: SocketAddr, namespace: &str, body: &Value) -> (u16, String) {
    let (namespace, body) = (namespace.to_owned(), body.to_string());
    let sent = move || send(address, &namespace, &signed(now(), &body), &body).expect("answer");
    let (status, answer) = tokio::task::spawn_blocking(sent).await.expect("sent");
    (status, answer["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn replayed_a_hundred_times_at_once_it_is_one_payment_and_one_grant() {
    let Paid { world, webhook, .. } = paid().await;
    let account = Account::begin(world, "replayed", json!({"plan": "starter"})).await;
    let invoice = account.invoice(0, "Open").await;
    let body = callback("evt_Replayed", &invoice);
    let answers = (0..100).map(|_| post(*webhook, "replayed", &body));
    let answers = futures::future::join_all(answers).await;
    let with = |status: u16| answers.iter().filter(|(given, _)| *given == status).count();
    assert_eq!((with(201), with(200)), (1, 99), "{answers:?}");
    account.balance("1100").await;
    let payments = account.namespace.api::<Payment>().list(&ListParams::default()).await.expect("list").items;
    assert_eq!(payments.len(), 1);
    account.granted("1100").await;
    // Another event about the same invoice is another Payment, and refused as such; the first says the same for ever.
    assert_eq!(post(*webhook, "replayed", &callback("evt_Other", &invoice)).await.0, 201);
    eventually("both are judged", async || {
        let judged =
            account.namespace.api::<Payment>().list(&ListParams::default()).await.expect("list").items;
        judged
            .iter()
            .all(|payment| payment.status.as_ref().is_some_and(|status| status.state.is_some()))
            .then_some(())
    })
    .await_some()
    .await;
    let mut changed = body.clone();
    changed["state"] = json!("Refunded");
    assert_eq!(post(*webhook, "replayed", &changed).await, (409, "PaymentDiffers".to_owned()));
    account.balance("1100").await;
    account.granted("1100").await;
}

#[tokio::test]
async fn what_is_not_signed_now_by_who_knows_the_secret_is_refused_and_leaves_nothing() {
    let Paid { world, webhook, .. } = paid().await;
    let account = Account::begin(world, "unsigned", json!({"plan": "starter"})).await;
    let body = callback("evt-1", &account.invoice(0, "Open").await).to_string();
    let time = now();
    let other = tag(time, &body.replace("\"100\"", "\"1\""));
    for signature in [
        signed(time - 301, &body),
        signed(time + 330, &body),
        format!("t={time},v1={other}"),
        format!("t={},v1={}", time - 1, tag(time, &body)),
        String::new(),
    ] {
        let (status, answer) = send(*webhook, "unsigned", &signature, &body).expect("answer");
        assert_eq!((status, answer["error"].as_str()), (401, Some("SignatureRefused")), "{signature}");
    }
    let payments = account.namespace.api::<Payment>().list(&ListParams::default()).await.expect("list").items;
    assert_eq!(payments.len(), 0);
    account.balance("0").await;
}

#[tokio::test]
async fn what_the_api_server_refuses_is_passed_on() {
    let Paid { world, webhook, .. } = paid().await;
    let account = Account::begin(world, "passed-on", json!({"plan": "starter"})).await;
    let invoice = account.invoice(0, "Open").await;
    for (field, value, says) in [
        ("currency", "dollars", "spec.currency"),
        ("amount", "-1", "spec.amount"),
        ("subscription", "Not A Name", "spec.subscriptionRef.name"),
    ] {
        let mut body = callback("evt-1", &invoice);
        body[field] = json!(value);
        let body = body.to_string();
        let (status, answer) = send(*webhook, "passed-on", &signed(now(), &body), &body).expect("answer");
        assert_eq!((status, answer["error"].as_str()), (422, Some("PaymentRefused")), "{answer}");
        assert!(answer["message"].as_str().is_some_and(|message| message.contains(says)), "{answer}");
    }
    let nowhere = post(*webhook, "there-is-no-such-namespace", &callback("evt-1", &invoice)).await;
    assert_eq!(nowhere, (404, "NamespaceNotFound".to_owned()));
    // A payment may come before its account: it waits, and the callback is acknowledged.
    let mut early = callback("evt-early", "nobody-00000000-0001");
    early["subscription"] = json!("nobody");
    assert_eq!(post(*webhook, "passed-on", &early).await.0, 201);
}

#[tokio::test]
async fn an_operator_that_stops_answers_first_and_acknowledges_nothing_without_the_api_server() {
    let world = crate::world::World::start().await;
    let (address, secrets) = (free_address(), secrets_file(&world).display().to_string());
    let (catalog, listen) = (super::catalog(), address.to_string());
    let operator = world.operator(&[
        "--catalog",
        &catalog,
        "--payments-addr",
        &listen,
        "--payments-secret-file",
        &secrets,
    ]);
    let invoice =
        Account::begin(&world, "stopping", json!({"plan": "starter"})).await.invoice(0, "Open").await;
    world.plane.kill_apiserver().await.expect("killed");
    let body = callback("evt-1", &invoice);
    assert_eq!(post(address, "stopping", &body).await, (503, "Unavailable".to_owned()));
    world.plane.restart_apiserver().await.expect("restarted");
    eventually("it is taken when the API server is back", async || {
        let (status, _) = post(address, "stopping", &body).await;
        assert!(matches!(status, 200 | 201 | 503), "{status}");
        (status != 503).then_some(())
    })
    .await_some()
    .await;
    operator.terminate().await;
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_webhook_without_a_good_secret_does_not_start() {
    let world = bare().await;
    let file = world.plane.folder().join("short.secret");
    std::fs::write(&file, "short\n").expect("file");
    let file = file.display().to_string();
    let address = paid().await.webhook.to_string();
    let good = secrets_file(world).display().to_string();
    for (arguments, says) in [
        (vec!["--payments-addr", "127.0.0.1:0"], "--payments-secret-file <FILE>"),
        (vec!["--payments-secret-file", &file], "--payments-addr <ADDRESS>"),
        (
            vec!["--payments-addr", "127.0.0.1:0", "--payments-secret-file", &file],
            "has 5 bytes; must have at least 32",
        ),
        (
            vec!["--payments-addr", "127.0.0.1:0", "--payments-secret-file", "/nowhere"],
            "'/nowhere' cannot be read",
        ),
        (vec!["--payments-addr", &address, "--payments-secret-file", &good], "cannot be listened on"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"));
        let command = command.arg("run").args(&arguments).env("KUBECONFIG", world.plane.kubeconfig());
        let output = command.output().expect("operator");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}
