//! Tests of the routes, as a proxy calls them.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request as HttpRequest};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::configuration::{Configuration, Policies, Policy};
use crate::lookup::Lookup;
use crate::tests::api_server::api_server;
use crate::tests::{configuration, listed_gate};

/// An answer: status, the header with the reason, the header with the account, and the body.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    status: u16,
    reason: String,
    account: String,
    body: String,
}

async fn send(gate: &Gate, request: HttpRequest<Body>) -> Got {
    let response = gate.router().oneshot(request).await.expect("infallible");
    let header = |name: &str| {
        response.headers().get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
    };
    let (reason, account) = (header("x-flashgate-reason"), header("x-flashgate-account"));
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 10_000).await.expect("body");
    Got { status, reason, account, body: String::from_utf8(body.to_vec()).expect("text") }
}

async fn get(gate: &Gate, path: &str, headers: &[(&str, &str)]) -> Got {
    let mut request = HttpRequest::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(gate, request.body(Body::empty()).expect("request")).await
}

/// Returns the status and the account of an answer.
async fn account(gate: &Gate, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let got = get(gate, path, headers).await;
    (got.status, got.account)
}

fn gate_with(lookup: Result<Lookup, crate::lookup::LookupError>) -> Gate {
    listed_gate(Configuration { lookup: lookup.expect("lookup"), ..configuration() })
}

fn known(status: u16, account: &str) -> (u16, String) {
    (status, account.to_owned())
}

#[test]
fn paths_are_not_normalized() {
    for (path, target) in [
        ("/check", Target::Check),
        ("/check/", Target::Account("")),
        ("/check/a/b", Target::Account("a/b")),
        ("/check//a/b", Target::Account("/a/b")),
        ("/check/../check-path/x", Target::Account("../check-path/x")),
        ("/check-path", Target::CheckPath("/")),
        ("/check-path/", Target::CheckPath("/")),
        ("/check-path//a", Target::CheckPath("//a")),
        ("/check-path/../check/a/b", Target::CheckPath("/../check/a/b")),
        ("/check-path/%2e%2e/check/a/b", Target::CheckPath("/%2e%2e/check/a/b")),
        ("/check-path/healthz", Target::CheckPath("/healthz")),
        ("/healthz", Target::Health),
        ("/healthz/", Target::Other),
        ("/checks", Target::Other),
        ("/check-paths/x", Target::Other),
        ("/CHECK", Target::Other),
        ("//check", Target::Other),
        ("/%63heck", Target::Other),
        ("/", Target::Other),
        ("", Target::Other),
        ("*", Target::Other),
    ] {
        assert_eq!(Target::of(path), target, "{path}");
    }
}

#[tokio::test]
async fn an_account_is_found_by_header_and_by_path() {
    let gate = listed_gate(configuration());
    let header = |name| [("x-flashgate-account", name)];
    for path in [
        "/check",
        "/check-path",
        "/check-path/",
        "/check-path/v1/chat?x=1",
        "/check-path/../check/team/spent",
    ] {
        assert_eq!(account(&gate, path, &header("team/acme")).await, known(200, "team/acme"), "{path}");
        assert_eq!(account(&gate, path, &header("team/spent")).await, known(402, "team/spent"), "{path}");
        assert_eq!(account(&gate, path, &[]).await, known(403, ""), "{path}");
    }
    for (path, expected) in [
        ("/check/team/acme", known(200, "team/acme")),
        ("/check/team/acme?x=1", known(200, "team/acme")),
        ("/check/team/%61cme", known(200, "team/acme")),
        ("/check/team/spent", known(402, "team/spent")),
        ("/check/team/other", known(403, "")),
        ("/check/team%2Facme", known(403, "")),
        ("/check/team/acme/", known(403, "")),
        ("/check//team/acme", known(403, "")),
        ("/check/", known(403, "")),
        ("/check/../check/team/acme", known(403, "")),
    ] {
        assert_eq!(account(&gate, path, &header("team/acme")).await, expected, "{path}");
    }
}

#[tokio::test]
async fn every_method_is_answered_and_bodies_are_ignored() {
    let gate = listed_gate(configuration());
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::from_bytes(b"PROPFIND").expect("method"),
    ];
    for method in methods {
        for (path, status) in [("/check", 200), ("/check-path/x", 200), ("/check/team/spent", 402)] {
            let request = HttpRequest::builder().method(&method).uri(path);
            let request =
                request.header("x-flashgate-account", "team/acme").body(Body::from("x".repeat(100_000)));
            assert_eq!(send(&gate, request.expect("request")).await.status, status, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_body_has_no_content_type() {
    let gate = listed_gate(configuration());
    let request = |path: &str| HttpRequest::get(path).body(Body::empty()).expect("request");
    let response = gate.router().oneshot(request("/check/team/acme")).await.expect("infallible");
    let mut names: Vec<&str> = response.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let own = ["account", "balance", "plan", "reason"].map(|name| format!("x-flashgate-{name}"));
    assert_eq!(names[0], "content-length");
    assert_eq!(names[1..], own);
    assert_eq!(response.headers()["content-length"], "0");
    let response = gate.router().oneshot(request("/check/team/spent")).await.expect("infallible");
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn all_requests_without_a_known_account_get_the_same_answer() {
    for (policy, status) in [(Policy::Deny, 403), (Policy::Allow, 200)] {
        let policies = Policies { unknown: policy, stale: Policy::Deny };
        let gate = listed_gate(Configuration { policies, ..configuration() });
        let name = "x-flashgate-account";
        let first = get(&gate, "/check", &[]).await;
        assert_eq!(
            (first.status, first.reason.as_str(), first.account.as_str()),
            (status, "UnknownAccount", "")
        );
        let twice = [(name, "team/acme"), (name, "team/acme")];
        for headers in [
            &[(name, "team/other")][..],
            &[(name, "other/acme")],
            &[(name, "acme")],
            &[(name, "")],
            &[(name, "a,b")],
            &twice,
        ] {
            assert_eq!(get(&gate, "/check", headers).await, first, "{headers:?}");
        }
        for path in ["/check/team/other", "/check/other/acme", "/check/acme", "/check/a/b/c", "/check/%ff/x"]
        {
            assert_eq!(get(&gate, path, &[]).await, first, "{path}");
        }
        if policy == Policy::Deny {
            let body: Value = serde_json::from_str(&first.body).expect("JSON");
            assert_eq!(body["reason"], "UnknownAccount");
        } else {
            assert_eq!(first.body, "");
        }
    }
}

#[tokio::test]
async fn nginx_can_ask_for_403() {
    let gate = listed_gate(configuration());
    let spent = get(&gate, "/check/team/spent", &[]).await;
    for path in [
        "/check/team/spent?denied=403",
        "/check/team/spent?x=1&denied=403",
        "/check?denied=403&x",
        "/check-path/x?denied=403",
    ] {
        let got = get(&gate, path, &[("x-flashgate-account", "team/spent")]).await;
        assert_eq!((got.status, &got.reason, &got.body), (403, &spent.reason, &spent.body), "{path}");
    }
    for path in ["/check/team/spent?denied=402", "/check/team/spent?denied", "/check/team/spent?xdenied=403"]
    {
        assert_eq!(get(&gate, path, &[]).await.status, 402, "{path}");
    }
    assert_eq!(get(&gate, "/check/team/acme?denied=403", &[]).await.status, 200);
}

#[tokio::test]
async fn a_template_uses_the_path_that_the_client_requested() {
    let gate = gate_with(Lookup::template("team/{path:2}"));
    let (original, forwarded) = ("x-original-uri", "x-forwarded-uri");
    for (path, headers, expected) in [
        ("/check-path/ai/acme/chat?x=/spent", &[][..], known(200, "team/acme")),
        ("/check-path/ai/spent", &[(original, "/ai/acme")], known(402, "team/spent")),
        ("/check-path/ai/../acme", &[], known(403, "")),
        ("/check-path/ai", &[(original, "/ai/acme")], known(403, "")),
        ("/check", &[(original, "/ai/acme/chat?x=1")], known(200, "team/acme")),
        ("/check", &[(forwarded, "/ai/spent")], known(402, "team/spent")),
        ("/check", &[(original, "/ai/spent"), (forwarded, "/ai/acme")], known(403, "")),
        ("/check", &[(original, "/ai/acme"), (original, "/ai/acme")], known(200, "team/acme")),
        ("/check", &[], known(403, "")),
        ("/check?/ai/acme", &[], known(403, "")),
    ] {
        assert_eq!(account(&gate, path, headers).await, expected, "{path} {headers:?}");
    }
}

#[tokio::test]
async fn an_api_key_leads_to_its_account() {
    let gate = gate_with(Lookup::api_key("authorization"));
    for (value, expected) in [
        ("Bearer sk-acme", known(200, "team/acme")),
        ("sk-spent", known(402, "team/spent")),
        ("Bearer sk-both", known(403, "")),
        ("Bearer sk-other", known(403, "")),
        ("team/acme", known(403, "")),
        ("sk-acme, sk-acme", known(403, "")),
    ] {
        assert_eq!(account(&gate, "/check", &[("authorization", value)]).await, expected, "{value}");
    }
    assert_eq!(account(&gate, "/check", &[("x-flashgate-account", "team/acme")]).await, known(403, ""));
}

#[tokio::test(start_paused = true)]
async fn a_stale_state_leaves_unknown_api_keys_unknown() {
    for (stale, status) in [(Policy::Allow, 200), (Policy::Deny, 403)] {
        let lookup = Lookup::api_key("authorization").expect("lookup");
        let policies = Policies { unknown: Policy::Deny, stale };
        let gate = listed_gate(Configuration { lookup, policies, ..configuration() });
        tokio::time::advance(std::time::Duration::from_mins(2)).await;
        for (value, expected) in [
            ("sk-acme", (status, "Stale")),
            ("sk-spent", (status, "Stale")),
            ("sk-both", (403, "UnknownAccount")),
            ("sk-other", (403, "UnknownAccount")),
        ] {
            let got = get(&gate, "/check", &[("authorization", value)]).await;
            assert_eq!((got.status, got.reason.as_str()), expected, "{stale} {value}");
        }
    }
}

#[tokio::test]
async fn the_gate_is_healthy_as_soon_as_the_first_list_is_complete() {
    let (client, _server) = api_server();
    let gate = Gate::new(client, configuration()).expect("gate");
    let got = get(&gate, "/healthz", &[]).await;
    assert_eq!((got.status, got.body.as_str()), (503, "the first list of Subscriptions is not complete\n"));
    gate.inner().1.listed(0);
    assert_eq!(get(&gate, "/healthz", &[]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_was_listed_once_stays_healthy() {
    let gate = listed_gate(configuration());
    tokio::time::advance(std::time::Duration::from_hours(1)).await;
    assert!(gate.figures().is_stale);
    assert_eq!(get(&gate, "/healthz", &[]).await.status, 200);
    let got = get(&gate, "/check/team/acme", &[]).await;
    assert_eq!((got.status, got.reason.as_str()), (403, "Stale"));
}

#[tokio::test]
async fn other_paths_are_not_found_and_not_counted() {
    let gate = listed_gate(configuration());
    for path in ["/", "/checks", "/metrics", "/check-paths/x"] {
        assert_eq!(get(&gate, path, &[("x-flashgate-account", "team/acme")]).await.status, 404, "{path}");
    }
    let results = crate::figures::DecisionResult::ALL;
    assert_eq!(results.map(|result| gate.figures().decisions(result)), [0; 6]);
    for path in ["/check/team/acme", "/check/team/spent", "/check/team/spent", "/check/x/y"] {
        get(&gate, path, &[]).await;
    }
    assert_eq!(results.map(|result| gate.figures().decisions(result)), [1, 2, 0, 1, 0, 0]);
}
