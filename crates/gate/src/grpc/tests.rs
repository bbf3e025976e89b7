//! Tests over a real connection, with the client that Envoy's definition gives.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::HeaderMap;
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::Request as ContextRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::*;
use crate::configuration::{Configuration, Policies, Policy};
use crate::lookup::Lookup;
use crate::tests::{configuration, listed_gate};

/// A gate that is served, and a client of it.
struct Served {
    client: AuthorizationClient<Channel>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// An answer: code, status of the refusal or 200, headers, headers to remove, and the body.
#[derive(Debug, PartialEq)]
struct Got {
    code: i32,
    status: i32,
    headers: Vec<(String, String)>,
    removed: Vec<String>,
    body: Value,
}

impl Served {
    async fn new(configuration: Configuration) -> Self {
        let gate = listed_gate(configuration);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let address = listener.local_addr().expect("address");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move { gate.serve_grpc(listener, stopped.map(|_| ())).await });
        let client = AuthorizationClient::connect(format!("http://{address}")).await.expect("client");
        Self { client, stop: Some(stop), serving }
    }

    async fn check(&mut self, http: impl Into<Option<HttpRequest>>) -> Got {
        let request = ContextRequest { http: http.into(), ..ContextRequest::default() };
        let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
        self.check_raw(CheckRequest { attributes: Some(attributes) }).await
    }

    async fn check_raw(&mut self, request: CheckRequest) -> Got {
        let response = self.client.check(request).await.expect("response").into_inner();
        let code = response.status.expect("status").code;
        let header = |option: &HeaderValueOption| {
            assert_eq!(option.append_action, i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd));
            let header = option.header.as_ref().expect("header");
            (header.key.clone(), header.value.clone())
        };
        match response.http_response.expect("response") {
            HttpResponse::OkResponse(ok) => Got {
                code,
                status: 200,
                headers: sorted(ok.headers.iter().map(header)),
                removed: ok.headers_to_remove,
                body: Value::Null,
            },
            HttpResponse::DeniedResponse(denied) => Got {
                code,
                status: denied.status.expect("status").code,
                headers: sorted(denied.headers.iter().map(header)),
                removed: Vec::new(),
                body: serde_json::from_str(&denied.body).expect("JSON"),
            },
            HttpResponse::ErrorResponse(_) => {
                Got { code, status: 0, headers: Vec::new(), removed: Vec::new(), body: Value::Null }
            }
        }
    }
}

fn sorted(headers: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut headers: Vec<_> = headers.collect();
    headers.sort_unstable();
    headers
}

/// Returns a request as Envoy describes it, with joined headers.
fn request(path: &str, headers: &[(&str, &str)]) -> HttpRequest {
    let headers: HashMap<_, _> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HttpRequest { method: "POST".to_owned(), path: path.to_owned(), headers, ..HttpRequest::default() }
}

/// Returns a request as Envoy describes it with `encode_raw_headers`.
fn raw_request(headers: &[(&str, &[u8])]) -> HttpRequest {
    let header = |(name, value): &(&str, &[u8])| HeaderValue {
        key: (*name).to_owned(),
        raw_value: value.to_vec(),
        ..HeaderValue::default()
    };
    let header_map = Some(HeaderMap { headers: headers.iter().map(header).collect() });
    HttpRequest { header_map, ..HttpRequest::default() }
}

fn headers(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn an_open_account_passes_and_its_headers_replace_those_of_the_client() {
    let mut served = Served::new(configuration()).await;
    let client =
        [("x-flashgate-account", "team/acme"), ("x-flashgate-low", "false"), ("x-flashgate-balance", "9")];
    let got = served.check(request("/v1/chat", &client)).await;
    let expected = Got {
        code: 0,
        status: 200,
        headers: headers(&[
            ("x-flashgate-account", "team/acme"),
            ("x-flashgate-balance", "12.5"),
            ("x-flashgate-plan", "starter"),
            ("x-flashgate-reason", "CreditsLeft"),
        ]),
        removed: vec!["x-flashgate-low".to_owned()],
        body: Value::Null,
    };
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_spent_account_is_refused_with_402_and_the_remedy() {
    let mut served = Served::new(configuration()).await;
    let got = served.check(request("/v1/chat?denied=403", &[("x-flashgate-account", "team/spent")])).await;
    let expected = Got {
        code: 7,
        status: 402,
        headers: headers(&[
            ("content-type", "application/json"),
            ("x-flashgate-account", "team/spent"),
            ("x-flashgate-balance", "-3.5"),
            ("x-flashgate-reason", "CreditsExhausted"),
        ]),
        removed: Vec::new(),
        body: json!({
            "account": "team/spent", "reason": "CreditsExhausted", "balance": "-3.5", "plan": "starter",
            "renewalTime": "2026-12-01T00:00:00Z", "message": "the credits are exhausted: the balance is -3.5",
            "remedy": "buy a credit pack or upgrade the plan; the credits renew at 2026-12-01T00:00:00Z",
        }),
    };
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_request_in_doubt_is_unknown() {
    let mut served = Served::new(configuration()).await;
    let name = "x-flashgate-account";
    let first = served.check(request("/", &[])).await;
    assert_eq!((first.code, first.status, &first.body["reason"]), (7, 403, &json!("UnknownAccount")));
    for http in [
        request("/check/team/acme", &[]),
        request("/", &[(name, "team/other")]),
        request("/", &[(name, "team/acme,team/acme")]),
        request("/", &[(name, "team/acme"), ("X-Flashgate-Account", "team/spent")]),
        raw_request(&[(name, b"team/acme"), (name, b"team/acme")]),
        raw_request(&[(name, b"team/acme"), ("X-Flashgate-Account", b"team/spent")]),
        raw_request(&[(name, b"team/\xff")]),
    ] {
        assert_eq!(served.check(http.clone()).await, first, "{http:?}");
    }
    assert_eq!(served.check(None).await, first);
    assert_eq!(served.check_raw(CheckRequest { attributes: None }).await, first);
}

#[tokio::test]
async fn raw_headers_are_read_too() {
    let mut served = Served::new(configuration()).await;
    assert_eq!(served.check(raw_request(&[("x-flashgate-account", b"team/acme")])).await.status, 200);
    assert_eq!(served.check(raw_request(&[("X-Flashgate-Account", b"team/spent")])).await.status, 402);
}

#[tokio::test]
async fn the_path_and_api_keys_are_looked_up() {
    let lookup = Lookup::template("team/{path:2}").expect("lookup");
    let mut served = Served::new(Configuration { lookup, ..configuration() }).await;
    for (path, status) in
        [("/ai/acme?x=/spent", 200), ("/ai/spent", 402), ("/ai/../acme", 403), ("ai/acme", 403), ("", 403)]
    {
        assert_eq!(
            served.check(request(path, &[("x-original-uri", "/ai/acme")])).await.status,
            status,
            "{path}"
        );
    }
    let lookup = Lookup::api_key("authorization").expect("lookup");
    let mut served = Served::new(Configuration { lookup, ..configuration() }).await;
    for (key, status) in [("Bearer sk-acme", 200), ("sk-spent", 402), ("Bearer sk-both", 403), ("sk-x", 403)]
    {
        assert_eq!(served.check(request("/", &[("authorization", key)])).await.status, status, "{key}");
    }
}

#[tokio::test]
async fn an_unknown_account_passes_without_the_gates_headers_if_the_owner_chose_so() {
    let policies = Policies { unknown: Policy::Allow, stale: Policy::Deny };
    let mut served = Served::new(Configuration { policies, ..configuration() }).await;
    let got = served.check(request("/", &[("x-flashgate-plan", "enterprise")])).await;
    let expected = Got {
        code: 0,
        status: 200,
        headers: headers(&[("x-flashgate-reason", "UnknownAccount")]),
        removed: ["x-flashgate-balance", "x-flashgate-plan", "x-flashgate-low"].map(str::to_owned).to_vec(),
        body: Value::Null,
    };
    assert_eq!(got, expected);
}

#[tokio::test]
async fn the_server_stops_although_a_client_is_connected() {
    let mut served = Served::new(configuration()).await;
    served.check(None).await;
    drop(served.stop.take());
    served.serving.await.expect("task").expect("served");
    served.client.check(CheckRequest::default()).await.expect_err("stopped");
}
