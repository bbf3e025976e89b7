//! Callers without rights: they learn nothing.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use super::fake::{Answered, Fake, TOKEN};
use super::{accounts, settings};

/// The calls about an account, each with its method and a valid body.
pub const CALLS: [(&str, &str, &str); 15] = [
    ("GET", "credits/balance", ""),
    ("GET", "credits/transactions", ""),
    ("GET", "credits/stats/monthly", ""),
    ("POST", "credits/packs/buy", r#"{"packId": "plus-100"}"#),
    ("GET", "subscriptions/my", ""),
    ("POST", "subscriptions/buy", r#"{"subscriptionPeriodId": "growth-monthly"}"#),
    ("GET", "subscriptions/payments", ""),
    ("POST", "subscriptions/cancel", ""),
    ("POST", "subscriptions/portal", ""),
    ("GET", "subscriptions/checkout-session/acme-1f3a9c2e-0001", ""),
    ("GET", "subscriptions/pending-payment", ""),
    ("DELETE", "subscriptions/pending-payment", ""),
    ("GET", "v2/stats/credits?window=24h", ""),
    ("GET", "v2/stats/credits/breakdown/models?window=24h", ""),
    ("GET", "credits/transactions?direction=out", ""),
];

fn started() -> Fake {
    let test = flashgate_testing::TestAccount::on_plan("starter", "2026-01-31T10:00:00Z");
    let subscription = json!(accounts::subscription("starter", &accounts::status("1100")));
    let ledger = json!(accounts::ledger(&test));
    Fake::start(settings(), [("subscriptions/acme", subscription), ("creditledgers/acme", ledger)])
}

/// Sends each call with this header `Authorization`.
async fn send_all(fake: &Fake, account: &str, authorization: Option<&str>) -> Vec<Answered> {
    let mut answers = Vec::new();
    for (method, path, body) in CALLS {
        let request = Request::builder().method(method).uri(format!("/api/{account}/{path}"));
        let request = match authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        };
        answers.push(fake.send(request.body(Body::from(body)).expect("request")).await);
    }
    answers
}

/// Checks that an answer is an error without any figure of the account.
fn learns_nothing(answered: &Answered, status: u16) {
    assert_eq!((answered.status, &answered.body["success"]), (status, &json!(false)), "{answered:?}");
    let text = answered.body.to_string();
    for figure in ["1100", "starter", "1f3a9c2e", "t0ken", "s3cret"] {
        assert!(!text.contains(figure), "{text} has {figure}");
    }
    let fields: Vec<&String> = answered.body.as_object().expect("object").keys().collect();
    assert_eq!(fields, ["error_code", "message", "success"]);
}

#[tokio::test]
async fn without_a_token_every_call_answers_401_and_asks_kubernetes_nothing() {
    let fake = started();
    for authorization in [None, Some("Basic s3cret"), Some("Bearer"), Some("Bearer a b")] {
        for answered in send_all(&fake, "team/acme", authorization).await {
            learns_nothing(&answered, 401);
            assert_eq!(answered.headers[header::WWW_AUTHENTICATE], "Bearer");
        }
    }
    assert_eq!(fake.content().calls, Vec::<String>::new());
}

#[tokio::test]
async fn a_forged_token_answers_401_after_the_first_call_to_kubernetes() {
    let fake = started();
    for answered in send_all(&fake, "team/acme", Some("Bearer s3cret")).await {
        learns_nothing(&answered, 401);
    }
    assert!(fake.content().calls.iter().all(|call| call == "get subscriptions/acme"));
    assert_eq!(fake.content().writes, Vec::<Value>::new());
}

#[tokio::test]
async fn a_caller_that_may_not_get_the_subscription_gets_403_and_nothing_is_written() {
    let fake = started();
    fake.content().forbidden = vec!["get subscriptions"];
    for answered in send_all(&fake, "team/acme", Some(&format!("Bearer {TOKEN}"))).await {
        learns_nothing(&answered, 403);
    }
    assert_eq!(fake.content().writes, Vec::<Value>::new());
}

#[tokio::test]
async fn a_subscription_that_does_not_exist_is_404_with_the_code_of_the_call() {
    let fake = started();
    let token = format!("Bearer {TOKEN}");
    for account in ["team/other", "team/..%2f..%2facme", "TEAM/acme", "team/a%00b"] {
        for (answered, (method, path, _)) in send_all(&fake, account, Some(&token)).await.iter().zip(CALLS) {
            learns_nothing(answered, 404);
            let code = match path {
                "subscriptions/my" => "NO_ORGANIZATION",
                "subscriptions/portal" => "ORG_NOT_FOUND",
                _ => "SUBSCRIPTION_NOT_FOUND",
            };
            // A name that cannot exist is refused before the call is known.
            let expected = if account == "team/other" { code } else { "SUBSCRIPTION_NOT_FOUND" };
            assert_eq!(answered.body["error_code"], expected, "{method} {path} of {account}");
        }
    }
    assert!(
        fake.content().calls.iter().all(|call| call == "get subscriptions/other"),
        "{:?}",
        fake.content().calls
    );
}

#[tokio::test]
async fn every_request_reads_the_subscription_first_and_again() {
    let fake = started();
    for _ in 0..2 {
        fake.get("credits/balance").await;
    }
    let expected = ["get subscriptions/acme", "get creditledgers/acme", "list usagereports"];
    assert_eq!(fake.content().calls, [expected, expected].concat());
    // A right that was taken away is missing at the next request.
    fake.content().forbidden = vec!["get subscriptions"];
    assert_eq!(fake.get("credits/balance").await.status, 403);
}

#[tokio::test]
async fn parts_that_need_another_right_are_left_out_and_named() {
    let fake = started();
    fake.content().forbidden = vec!["get creditledgers", "list usagereports"];
    let answered = fake.get("credits/balance").await;
    assert_eq!(answered.body["missingRights"], json!(["get creditledgers", "list usagereports"]));
    assert_eq!(answered.body["data"], json!({"creditBalance": 1100, "dateBalance": null}));
    let answered = fake.get("credits/stats/monthly").await;
    assert_eq!((answered.status, &answered.body["data"]), (200, &json!([])));
}

#[tokio::test]
async fn a_caller_that_may_not_write_gets_403_from_kubernetes() {
    let fake = started();
    fake.content().forbidden = vec!["create creditpacks", "patch subscriptions"];
    for (path, body) in [
        ("credits/packs/buy", json!({"packId": "plus-100"})),
        ("subscriptions/buy", json!({"subscriptionPeriodId": "growth-monthly"})),
        ("subscriptions/cancel", Value::Null),
    ] {
        let answered = fake.post(path, &body).await;
        assert_eq!((answered.status, &answered.body["error_code"]), (403, &json!("FORBIDDEN")), "{path}");
    }
}
