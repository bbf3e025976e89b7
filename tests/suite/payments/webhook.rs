//! The webhook over the wire, before a real API server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use base64::Engine as _;
use flashgate_api::Payment;
use flashgate_billing::payments::secrets::BASE64;
use flashgate_cluster::clock::Clock;
use flashgate_testing::catalog::monthly;
use hmac::{Hmac, KeyInit as _, Mac as _};
use kube::api::ListParams;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Paid, SECRET, paid, secrets_file, starter};
use crate::cluster_account::ClusterAccount;
use crate::free_address::free_address;
use crate::suite::chart::pod::secret_of;
use crate::world::{Namespace, bare, wait_until};

fn tag(secret: &str, time: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("key");
    let mac = mac.chain_update(format!("{time}.{body}")).finalize().into_bytes();
    mac.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Returns the header that signs a body.
fn signed_with(secret: &str, time: i64, body: &str) -> String {
    format!("Flashgate-Signature: t={time},v1={}", tag(secret, time, body))
}

fn signed(time: i64, body: &str) -> String {
    signed_with(SECRET, time, body)
}

fn now() -> i64 {
    Clock::system().now().as_second()
}

fn callback(namespace: &str, id: &str, invoice: &str) -> Value {
    json!({
        "id": id, "namespace": namespace, "subscription": "acme", "invoice": invoice, "state": "Settled", "amount": "100",
        "currency": "USD", "reference": "pi_123",
    })
}

/// Sends a body with lines of its head; returns status and answer.
fn send(address: SocketAddr, namespace: &str, head: &str, body: &str) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "POST /v1/payments/{namespace} HTTP/1.1\r\nHost: webhook\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{head}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).expect("status").parse().expect("number");
    Ok((status, serde_json::from_str(body).expect("JSON")))
}

/// Sends a body that names its namespace and is signed now; returns status and, of a refusal, its word.
pub async fn post(address: SocketAddr, namespace: &str, body: &Value) -> (u16, String) {
    let mut body = body.clone();
    body["namespace"] = json!(namespace);
    post_signed(address, namespace, SECRET, &body).await
}

/// Sends a body as it is, signed now with `secret`; returns status and, of a refusal, its word.
async fn post_signed(address: SocketAddr, namespace: &str, secret: &str, body: &Value) -> (u16, String) {
    let (namespace, body) = (namespace.to_owned(), body.to_string());
    let head = signed_with(secret, now(), &body);
    post_raw(address, namespace, head, body).await
}

async fn post_raw(address: SocketAddr, namespace: String, head: String, body: String) -> (u16, String) {
    let sent = move || send(address, &namespace, &head, &body).expect("answer");
    let (status, answer) = tokio::task::spawn_blocking(sent).await.expect("sent");
    (status, answer["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn replayed_a_hundred_times_at_once_it_is_one_payment_and_one_grant() {
    let Paid { webhook, .. } = paid().await;
    let account = starter("replayed").await;
    let invoice = account.invoice(0, "Open").await;
    let body = callback("replayed", "evt_Replayed", &invoice);
    let answers = (0..100).map(|_| post(*webhook, "replayed", &body));
    let answers = futures::future::join_all(answers).await;
    let with = |status: u16| answers.iter().filter(|(given, _)| *given == status).count();
    assert_eq!((with(201), with(200)), (1, 99), "{answers:?}");
    account.balance("1100").await;
    let payments = account.api::<Payment>().list(&ListParams::default()).await.expect("list").items;
    assert_eq!(payments.len(), 1);
    account.has_totals(&[("granted", "1100")]).await;
    // Another event about the same invoice is another Payment, which is refused; the status of the first never changes.
    assert_eq!(post(*webhook, "replayed", &callback("replayed", "evt_Other", &invoice)).await.0, 201);
    wait_until("both are judged", async || {
        let judged = account.api::<Payment>().list(&ListParams::default()).await.expect("list").items;
        judged.iter().all(|payment| payment.status.as_ref().is_some_and(|status| status.state.is_some()))
    })
    .await;
    let mut changed = body.clone();
    changed["state"] = json!("Refunded");
    assert_eq!(post(*webhook, "replayed", &changed).await, (409, "PaymentDiffers".to_owned()));
    account.balance("1100").await;
    account.has_totals(&[("granted", "1100")]).await;
}

#[tokio::test]
async fn what_is_not_signed_now_by_who_knows_the_secret_is_refused_and_leaves_nothing() {
    let Paid { webhook, .. } = paid().await;
    let account = starter("unsigned").await;
    let body = callback("unsigned", "evt-1", &account.invoice(0, "Open").await).to_string();
    let time = now();
    let other = tag(SECRET, time, &body.replace("\"100\"", "\"1\""));
    for signature in [
        signed(time - 301, &body),
        signed(time + 330, &body),
        signed_with("a secret that this webhook does not know", time, &body),
        format!("Flashgate-Signature: t={time},v1={other}"),
        format!("Flashgate-Signature: t={},v1={}", time - 1, tag(SECRET, time, &body)),
        format!("webhook-id: evt-1\r\nwebhook-timestamp: {time}\r\nwebhook-signature: v1,{}", "A".repeat(43)),
        "Flashgate-Signature:".to_owned(),
        "X-No-Signature: at all".to_owned(),
    ] {
        let (status, answer) = send(*webhook, "unsigned", &signature, &body).expect("answer");
        assert_eq!((status, answer["error"].as_str()), (401, Some("SignatureRefused")), "{signature}");
    }
    let payments = account.api::<Payment>().list(&ListParams::default()).await.expect("list").items;
    assert_eq!(payments.len(), 0);
    account.balance("0").await;
}

/// Returns the names of the Payments in a namespace.
async fn payments_in(namespace: &Namespace<'_>) -> Vec<String> {
    let payments = namespace.api::<Payment>().list(&ListParams::default()).await.expect("list").items;
    payments.iter().map(kube::ResourceExt::name_any).collect()
}

#[tokio::test]
async fn a_signed_body_counts_in_its_own_namespace_and_in_no_other() {
    let Paid { world, webhook, .. } = paid().await;
    let names = ["replay-one", "replay-two", "replay-three", "replay-four"];
    let mut namespaces = Vec::new();
    for name in names {
        namespaces.push(world.namespace(name).await);
    }
    let body = callback("replay-one", "evt-1", "acme-00000000-0001");
    let mut unnamed = body.clone();
    unnamed.as_object_mut().expect("object").remove("namespace");
    for name in names {
        let refused = (403, "NamespaceNotSigned".to_owned());
        assert_eq!(post_signed(*webhook, name, SECRET, &unnamed).await, refused, "{name}");
        let expected = if name == "replay-one" { (201, String::new()) } else { refused };
        assert_eq!(post_signed(*webhook, name, SECRET, &body).await, expected, "{name}");
    }
    let mut found = Vec::new();
    for namespace in &namespaces {
        found.push(payments_in(namespace).await);
    }
    assert_eq!(found, [vec!["evt-1".to_owned()], vec![], vec![], vec![]]);
}

#[tokio::test]
async fn a_secret_of_a_namespace_counts_there_alone_and_changes_without_a_restart() {
    let Paid { world, webhook, .. } = paid().await;
    let (one, _two) = (world.namespace("secret-one").await, world.namespace("secret-two").await);
    let mut body = callback("", "evt-1", "acme-00000000-0001");
    body.as_object_mut().expect("object").remove("namespace");
    let secret = secret_of("secret-one/bank");
    let refused = (401, "SignatureRefused".to_owned());
    assert_eq!(post_signed(*webhook, "secret-two", &secret, &body).await, refused);
    assert_eq!(post_signed(*webhook, "secret-one", &secret, &body).await, (201, String::new()));
    assert_eq!(payments_in(&one).await, ["evt-1"]);
    // A mounted Secret that changes: the old secret and the new one for a while, then the new one alone.
    let new = "the secret that takes the place of the first";
    let file = world.plane.folder().join("webhook/payment-secrets/secret-one/bank");
    for (text, old_counts) in [(format!("{secret}\n{new}\n"), true), (format!("{new}\n"), false)] {
        std::fs::write(&file, text).expect("file");
        wait_until("the new secrets count", async || {
            let known = post_signed(*webhook, "secret-one", new, &body).await.0 == 200;
            let old = post_signed(*webhook, "secret-one", &secret, &body).await.0 == 200;
            known && old == old_counts
        })
        .await;
    }
    assert_eq!(payments_in(&one).await, ["evt-1"]);
}

#[tokio::test]
async fn a_callback_in_the_form_of_standard_webhooks_is_acknowledged() {
    let Paid { world, webhook, .. } = paid().await;
    let account = starter("secret-standard").await;
    let key = [7; 32];
    let file = world.plane.folder().join("webhook/payment-secrets/secret-standard/bank");
    std::fs::write(&file, format!("whsec_{}\n", BASE64.encode(key))).expect("file");
    let body = callback("secret-standard", "evt-1", &account.invoice(0, "Open").await).to_string();
    wait_until("the secret counts", async || {
        let time = now();
        let mac = Hmac::<Sha256>::new_from_slice(&key).expect("key");
        let mac = mac.chain_update(format!("msg_1.{time}.{body}")).finalize().into_bytes();
        let head = format!(
            "webhook-id: msg_1\r\nwebhook-timestamp: {time}\r\nwebhook-signature: v1,{}",
            BASE64.encode(mac)
        );
        let (status, _) = post_raw(*webhook, "secret-standard".to_owned(), head, body.clone()).await;
        assert!(matches!(status, 201 | 401), "{status}");
        status == 201
    })
    .await;
    account.balance("1100").await;
}

#[tokio::test]
async fn what_the_api_server_refuses_is_passed_on() {
    let Paid { webhook, .. } = paid().await;
    let account = starter("passed-on").await;
    let invoice = account.invoice(0, "Open").await;
    for (field, value, says) in [
        ("currency", "dollars", "spec.currency"),
        ("amount", "-1", "spec.amount"),
        ("subscription", "Not A Name", "spec.subscriptionRef.name"),
    ] {
        let mut body = callback("passed-on", "evt-1", &invoice);
        body[field] = json!(value);
        let body = body.to_string();
        let (status, answer) = send(*webhook, "passed-on", &signed(now(), &body), &body).expect("answer");
        assert_eq!((status, answer["error"].as_str()), (422, Some("PaymentRefused")), "{answer}");
        assert!(answer["message"].as_str().is_some_and(|message| message.contains(says)), "{answer}");
    }
    let nowhere = post(*webhook, "there-is-no-such-namespace", &callback("", "evt-1", &invoice)).await;
    assert_eq!(nowhere, (404, "NamespaceNotFound".to_owned()));
    // A payment may come before its account: it waits, and the callback is acknowledged.
    let mut early = callback("passed-on", "evt-early", "missing-00000000-0001");
    early["subscription"] = json!("missing");
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
        ClusterAccount::subscribed(&world, "stopping", monthly("starter")).await.invoice(0, "Open").await;
    world.plane.kill_apiserver().await.expect("killed");
    let body = callback("stopping", "evt-1", &invoice);
    assert_eq!(post(address, "stopping", &body).await, (503, "Unavailable".to_owned()));
    world.plane.restart_apiserver().await.expect("restarted");
    wait_until("it is taken when the API server is back", async || {
        let (status, _) = post(address, "stopping", &body).await;
        assert!(matches!(status, 200 | 201 | 503), "{status}");
        status != 503
    })
    .await;
    operator.terminate().await;
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
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
        (vec!["--payments-addr", "127.0.0.1:0"], "--payments-secret-folder <FOLDER>"),
        (vec!["--payments-secret-file", &file], "--payments-addr <ADDRESS>"),
        (vec!["--payments-secret-folder", "/"], "--payments-addr <ADDRESS>"),
        (
            vec!["--payments-addr", "127.0.0.1:0", "--payments-secret-folder", "/nowhere"],
            "'/nowhere' cannot be read",
        ),
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
