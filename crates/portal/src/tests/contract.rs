//! The OpenAPI document, and the check of every answer of the tests against it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fake::{Answered, Fake};
use super::{accounts, settings};
use crate::openapi;

/// Checks an answer against the response of its call in the document. Answers of paths without a call are errors, which
/// have the same body everywhere.
pub fn check_answer(method: &str, path: &str, answered: &Answered) {
    if answered.status == 304 || !path.starts_with("/api/") {
        return;
    }
    let schema = openapi::answer_schema(method, path, answered.status).expect("document");
    let schema = schema.unwrap_or_else(|| unreachable!("{method} {path}: not documented: {answered:?}"));
    let validator = jsonschema::draft202012::new(&schema).expect("schema");
    let errors: Vec<String> = validator
        .iter_errors(&answered.body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{method} {path}: {errors:#?}\n{:#}", answered.body);
}

/// Returns the document.
pub fn document() -> Value {
    serde_json::to_value(openapi::document()).expect("JSON")
}

#[test]
fn the_document_is_openapi_3_1_and_has_every_published_call() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    let operations: BTreeSet<&str> = paths
        .values()
        .flat_map(|path| path.as_object().expect("path").values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let expected: BTreeSet<&str> = [
        "getCreditsBalance",
        "getCreditsTransactions",
        "getCreditsMonthlyStats",
        "getCreditsPacks",
        "getCreditsRates",
        "buyCreditsPack",
        "getSubscriptions",
        "getMySubscription",
        "buySubscription",
        "getPayments",
        "cancelSubscription",
        "createBillingPortal",
        "getCheckoutSessionStatus",
        "getPendingPayment",
        "cancelPendingPayment",
        "getCreditStats",
        "getCreditBreakdown",
    ]
    .into();
    assert_eq!(operations, expected);
}

#[test]
fn every_reference_of_the_document_leads_somewhere_and_every_field_is_described() {
    let document = document();
    let mut problems = Vec::new();
    visit(&document, &mut |path, value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str)
            && document.pointer(reference.trim_start_matches('#')).is_none()
        {
            problems.push(format!("{path}: {reference} leads nowhere"));
        }
        if path.ends_with("/responses") {
            let responses = value.as_object().expect("responses");
            let undescribed = responses.iter().filter(|(_, response)| response["description"] == "");
            problems.extend(undescribed.map(|(status, _)| format!("{path}/{status} has no description")));
        }
    });
    assert!(problems.is_empty(), "{problems:#?}");
}

fn visit(value: &Value, look: &mut impl FnMut(&str, &Value)) {
    fn descend(path: &str, value: &Value, look: &mut impl FnMut(&str, &Value)) {
        look(path, value);
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| descend(&format!("{path}/{name}"), value, look));
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(index, value)| descend(&format!("{path}/{index}"), value, look));
            }
            _ => {}
        }
    }
    descend("", value, look);
}

#[tokio::test]
async fn every_documented_path_is_routed_and_other_paths_answer_404() {
    let fake = Fake::start(settings(), []);
    let document = document();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let uri = path.replace("{namespace}", "team").replace("{subscription}", "acme");
            let uri = uri.replace("{id}", "one").replace("{by}", "models");
            let request = http::Request::builder().method(method.to_uppercase().as_str()).uri(&uri);
            let answered = fake.send(request.body(axum::body::Body::empty()).expect("request")).await;
            // Without a token: the route exists, and learns nothing, or is a public list.
            assert!(matches!(answered.status, 200 | 401), "{method} {uri}: {answered:?}");
        }
    }
    for uri in ["/api", "/api/team/acme/credits", "/api/team/acme/credits/balance/x", "/api/"] {
        let request = http::Request::builder().uri(uri).body(axum::body::Body::empty()).expect("request");
        let answered = fake.send(request).await;
        assert_eq!((answered.status, &answered.body["error_code"]), (404, &json!("NOT_FOUND")), "{uri}");
    }
    let request = http::Request::builder().method("PUT").uri("/api/team/acme/credits/balance");
    let answered = fake.send(request.body(axum::body::Body::empty()).expect("request")).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (405, &json!("METHOD_NOT_ALLOWED")));
}

#[tokio::test]
async fn the_document_and_health_are_served_without_a_token() {
    let fake = Fake::start(settings(), []);
    let get = |uri: &str| http::Request::builder().uri(uri).body(axum::body::Body::empty()).expect("request");
    let served = fake.send(get("/openapi.json")).await;
    assert_eq!((served.status, served.body), (200, document()));
    assert_eq!(fake.send(get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn every_read_of_an_account_is_as_documented() {
    let test = flashgate_testing::TestAccount::on_plan("starter", "2026-01-31T10:00:00Z");
    let subscription = json!(accounts::subscription("starter", &accounts::status("1100")));
    let ledger = json!(accounts::ledger(&test));
    let fake =
        Fake::start(settings(), [("subscriptions/acme", subscription), ("creditledgers/acme", ledger)]);
    for (path, expected) in [
        ("credits/balance", 200),
        ("credits/transactions", 200),
        ("credits/transactions?direction=out&startDate=2026-01-01&endDate=2026-12-31&page=2&limit=10", 200),
        ("credits/transactions?startDate=soon", 400),
        ("credits/transactions?page=1&page=2", 400),
        ("credits/stats/monthly", 200),
        ("credits/stats/monthly?months=25", 400),
        ("credits/packs", 200),
        ("credits/rates", 200),
        ("subscriptions", 200),
        ("subscriptions/my", 200),
        ("subscriptions/payments", 200),
        ("subscriptions/payments?endDate=x", 400),
        ("subscriptions/checkout-session/acme-1f3a9c2e-0001", 200),
        ("subscriptions/checkout-session/acme-1f3a9c2e-0002", 400),
        ("subscriptions/checkout-session/pack_none", 400),
        ("subscriptions/checkout-session/change_1", 200),
        ("subscriptions/pending-payment", 404),
        ("v2/stats/credits?window=24h", 200),
        ("v2/stats/credits", 400),
        ("v2/stats/credits?window=7d&timeBucketSize=10m", 400),
        ("v2/stats/credits?window=24h&scope=repo", 400),
        ("v2/stats/credits/breakdown/models?window=24h&includeSeries=true", 200),
        ("v2/stats/credits/breakdown/models?window=365d&includeSeries=true&limit=500", 400),
        ("v2/stats/credits/breakdown/nodes?window=24h", 404),
    ] {
        let answered = fake.get(path).await;
        assert_eq!(answered.status, expected, "{path}: {answered:?}");
        assert_eq!(answered.body["success"], expected == 200, "{path}");
    }
}
