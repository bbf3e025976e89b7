//! Limits on the wire: size, time, origin, rate, TLS, and an API server that is away.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use flashgate_testing::catalog::monthly;
use serde_json::{Value, json};

use super::client::{Client, exchange, read_answer};
use super::{serve, served};
use crate::free_address::free_address;
use crate::world::{Operator, wait_for, wait_until};

/// Sends a request in a thread that may block.
async fn sent(address: SocketAddr, headers: Vec<String>, body: String) -> (u16, Value) {
    let path = "/api/portal-limits/acme/credits/packs/buy";
    let send = move || exchange(address, "POST", path, &headers, &body).expect("answer");
    let (status, _, body) = tokio::task::spawn_blocking(send).await.expect("sent");
    (status, serde_json::from_str(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_large_body_and_a_foreign_page_are_refused() {
    let served = served().await;
    let authorization = format!("Authorization: Bearer {}", served.token("customer"));
    let large = " ".repeat(64 * 1_024 + 1);
    let (status, body) = sent(served.internal, vec![authorization.clone()], large).await;
    assert_eq!((status, &body["error_code"]), (413, &json!("BODY_TOO_LARGE")));
    for foreign in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"] {
        let headers = vec![authorization.clone(), foreign.to_owned()];
        let (status, body) = sent(served.internal, headers, r#"{"packId": "plus-100"}"#.to_owned()).await;
        assert_eq!((status, &body["error_code"]), (403, &json!("FOREIGN_ORIGIN")), "{foreign}");
    }
}

#[tokio::test]
async fn a_client_that_sends_half_a_request_gets_an_error_or_is_cut_off() {
    let served = served().await;
    let address = served.internal;
    let head = format!(
        "POST /api/portal-limits/acme/credits/packs/buy HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n",
        served.token("customer")
    );
    let namespace = served.namespace("portal-limits").await;
    namespace.account("acme").subscribe(monthly("starter"), None).await;
    namespace.account("acme").balance("1100").await;
    let half = |text: String| {
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).expect("connection");
            stream.write_all(text.as_bytes()).expect("written");
            read_answer(&mut stream).ok().map(|(status, ..)| status)
        })
    };
    let (body, unfinished_head) = tokio::join!(half(format!("{head}\r\n{{")), half(head.clone()));
    assert_eq!(body.expect("sent"), Some(408), "a body that stays incomplete");
    assert_eq!(unfinished_head.expect("sent"), None, "a head that stays incomplete has no answer");
    let client = served.client("customer", "portal-limits");
    assert_eq!(client.get("credits/balance").await.status, 200, "others are served meanwhile");
}

#[tokio::test]
async fn too_many_requests_of_one_token_answer_429_and_other_tokens_are_served() {
    let served = served().await;
    let address = free_address();
    let arguments = ["--listen", &address.to_string(), "--requests-per-second", "1"].map(str::to_owned);
    let _api = serve(&served.world, &arguments.each_ref().map(String::as_str), None);
    wait_until("the API answers", async || Client::at(address).health().await == Some(200)).await;
    let client = |user| Client::at(address).of("portal-nowhere", &served.token(user));
    let limited = wait_for("the limit is reached", async || {
        let answer = client("customer").get("subscriptions/my").await;
        (answer.status == 429).then_some(answer)
    });
    let limited = limited.await;
    assert_eq!((limited.error(), limited.headers["retry-after"].as_str()), ((429, "RATE_LIMITED"), "1"));
    assert_eq!(client("outsider").get("subscriptions/my").await.status, 403);
}

#[tokio::test]
async fn an_api_server_that_is_away_answers_503() {
    let served = served().await;
    let file = served.world.plane.kubeconfig();
    let text = std::fs::read_to_string(file).expect("kubeconfig");
    let away = text.replace(&served.world.plane.url(), &format!("https://{}", free_address()));
    let kubeconfig = served.world.plane.folder().join("away.kubeconfig");
    std::fs::write(&kubeconfig, away).expect("kubeconfig");
    let address = free_address();
    let arguments = ["--listen", &address.to_string()].map(str::to_owned);
    let arguments = arguments.each_ref().map(String::as_str);
    let _api = Operator::start_command("serve", &kubeconfig, &arguments, &[], std::process::Stdio::inherit());
    wait_until("the API answers", async || Client::at(address).health().await == Some(200)).await;
    let client = Client::at(address).of("portal-nowhere", &served.token("customer"));
    assert_eq!(client.get("credits/balance").await.error(), (503, "UNAVAILABLE"));
    assert_eq!(client.get("credits/packs").await.status, 200, "lists need no cluster");
}

/// Runs a program in a folder.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn with_a_certificate_the_api_speaks_tls_and_nothing_else() {
    let served = served().await;
    let folder = served.world.plane.folder().join("portal-tls");
    std::fs::create_dir_all(&folder).expect("folder");
    let request = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ];
    run(&folder, "openssl", &request);
    let address = free_address();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (listen, certificate, key) =
        (address.to_string(), certificate.display().to_string(), key.display().to_string());
    let arguments = ["--listen", &listen, "--tls-cert", &certificate, "--tls-key", &key];
    let _api = serve(&served.world, &arguments, None);
    let url = format!("https://localhost:{}/healthz", address.port());
    wait_until("it answers by TLS", async || {
        let curl = ["--silent", "--fail", "--cacert", "cert.pem", &url];
        Command::new("curl").args(curl).current_dir(&folder).output().expect("curl").stdout == b"ok\n"
    })
    .await;
    let plain = move || exchange(address, "GET", "/healthz", &[], "");
    assert!(
        tokio::task::spawn_blocking(plain).await.expect("sent").is_err(),
        "it does not speak without TLS"
    );
}
