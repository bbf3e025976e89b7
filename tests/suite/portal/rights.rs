//! Callers without rights, on a real API server: they learn nothing, and change nothing.

use flashgate_testing::catalog::monthly;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::served;

/// The calls about an account, each with a valid body.
const CALLS: [(&str, &str, Option<&str>); 15] = [
    ("GET", "credits/balance", None),
    ("GET", "credits/transactions", None),
    ("GET", "credits/transactions?direction=out", None),
    ("GET", "credits/stats/monthly", None),
    ("POST", "credits/packs/buy", Some(r#"{"packId": "plus-100"}"#)),
    ("GET", "subscriptions/my", None),
    ("POST", "subscriptions/buy", Some(r#"{"subscriptionPeriodId": "growth-monthly"}"#)),
    ("GET", "subscriptions/payments", None),
    ("POST", "subscriptions/cancel", None),
    ("POST", "subscriptions/portal", None),
    ("GET", "subscriptions/checkout-session/change_1", None),
    ("GET", "subscriptions/pending-payment", None),
    ("DELETE", "subscriptions/pending-payment", None),
    ("GET", "v2/stats/credits?window=24h", None),
    ("GET", "v2/stats/credits/breakdown/models?window=24h", None),
];

async fn send_all(client: &Client) -> Vec<Answer> {
    let mut answers = Vec::new();
    for (method, path, body) in CALLS {
        let body: Option<Value> = body.map(|body| serde_json::from_str(body).expect("JSON"));
        answers.push(client.send(method, path, body.as_ref(), &[]).await);
    }
    answers
}

/// Checks that every call answers with this status, and without a figure of the account.
async fn learns_nothing(client: &Client, status: u16, secrets: &[&str]) {
    for (answer, (method, path, _)) in send_all(client).await.iter().zip(CALLS) {
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let text = format!("{answer:?}");
        for secret in secrets {
            assert!(!text.contains(secret), "{method} {path} shows {secret}: {text}");
        }
    }
}

#[tokio::test]
async fn a_caller_without_rights_learns_nothing_and_changes_nothing() {
    let served = served().await;
    let namespace = served.namespace("portal-rights").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let before = (account.ledger().await, account.get::<flashgate_api::Subscription>("acme").await);
    let invoice = account.invoice(0, "Settled").await;
    let secrets = ["1100", "starter", &invoice];
    let outsider = served.client("outsider", "portal-rights");
    learns_nothing(&outsider, 403, &secrets).await;
    learns_nothing(&outsider.anonymous(), 401, &secrets).await;
    let forged = outsider.clone().of("portal-rights", "f0rged");
    learns_nothing(&forged, 401, &[&secrets[..], &["f0rged"]].concat()).await;
    // A name that does not exist answers like one that does.
    learns_nothing(&served.client("outsider", "portal-nowhere"), 403, &secrets).await;
    assert_eq!((account.ledger().await, account.get::<flashgate_api::Subscription>("acme").await), before);
}

#[tokio::test]
async fn a_caller_with_fewer_rights_gets_what_they_allow() {
    let served = served().await;
    let namespace = served.namespace("portal-narrow").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let narrow = served.client("narrow", "portal-narrow");
    let balance = narrow.get("credits/balance").await.ok();
    assert_eq!(balance["data"], json!({"creditBalance": 1100, "dateBalance": null}));
    assert_eq!(balance["missingRights"], json!(["get creditledgers", "list usagereports"]));
    let transactions = narrow.get("credits/transactions").await.ok();
    assert_eq!(
        (&transactions["data"], &transactions["missingRights"]),
        (&json!([]), &json!(["get creditledgers"]))
    );
    assert_eq!(narrow.get("subscriptions/my").await.ok()["data"]["id"], "starter");
    let reader = served.client("reader", "portal-narrow");
    assert_eq!(reader.get("credits/balance").await.ok()["data"]["creditBalance"], 1100);
    for client in [narrow, reader] {
        let order = json!({"packId": "plus-100"});
        assert_eq!(client.post("credits/packs/buy", &order).await.error(), (403, "FORBIDDEN"));
        let change = json!({"subscriptionPeriodId": "growth-monthly"});
        assert_eq!(client.post("subscriptions/buy", &change).await.error(), (403, "FORBIDDEN"));
        assert_eq!(client.send("POST", "subscriptions/cancel", None, &[]).await.error(), (403, "FORBIDDEN"));
    }
    account.has_totals(&[("purchased", "0"), ("granted", "1100")]).await;
}

#[tokio::test]
async fn a_subscription_that_does_not_exist_is_404_for_a_caller_with_rights() {
    let served = served().await;
    served.namespace("portal-missing").await;
    let client = served.client("customer", "portal-missing");
    for (answer, (method, path, _)) in send_all(&client).await.iter().zip(CALLS) {
        let code = match path {
            "subscriptions/my" => "NO_ORGANIZATION",
            "subscriptions/portal" => "ORG_NOT_FOUND",
            _ => "SUBSCRIPTION_NOT_FOUND",
        };
        assert_eq!(answer.error(), (404, code), "{method} {path}");
    }
}

#[tokio::test]
async fn no_token_reaches_the_log() {
    let served = served().await;
    let client = served.client("customer", "portal-missing-log");
    send_all(&client).await;
    let forged = client.clone().of("portal-missing-log", "f0rged-t0ken");
    send_all(&forged).await;
    let log = std::fs::read_to_string(&served.log).expect("log");
    assert!(log.contains("request handled"), "the log is at the level trace");
    for token in [served.token("customer"), served.token("outsider"), "f0rged-t0ken".to_owned()] {
        assert!(!log.contains(&token), "a token is in the log");
    }
}
