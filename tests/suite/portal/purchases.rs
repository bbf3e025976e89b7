//! Purchases of packs: once for each key, within the limit of the month, and with the verdict of the operator.

use flashgate_api::CreditPack;
use flashgate_testing::catalog::monthly;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::served;
use crate::cluster_account::ClusterAccount;

fn pack(name: &str) -> Value {
    json!({"packId": name})
}

async fn orders(account: &ClusterAccount<'_>) -> Vec<CreditPack> {
    account.api::<CreditPack>().list(&ListParams::default()).await.expect("list").items
}

#[tokio::test]
async fn ten_requests_with_one_key_at_once_buy_one_pack() {
    let served = served().await;
    let namespace = served.namespace("portal-buy").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let client = served.client("customer", "portal-buy");
    let order = pack("plus-500");
    let requests = (0..10).map(|_| client.post_once("credits/packs/buy", &order, "order 7"));
    let answers = futures::future::join_all(requests).await;
    let first = answers[0].clone().ok();
    assert_eq!((&first["checkoutUrl"], &first["status"]), (&Value::Null, &json!("complete")));
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &first));
    }
    let bought = orders(&account).await;
    assert_eq!(bought.len(), 1);
    let name = bought[0].metadata.name.clone().expect("name");
    assert!(name.starts_with("acme-") && name.len() == 37, "{name}");
    account.has_totals(&[("purchased", "500")]).await;
    assert_eq!(
        client.post_once("credits/packs/buy", &pack("plus-100"), "order 7").await.error(),
        (409, "IDEMPOTENCY_KEY_REUSED")
    );
    let session = first["sessionId"].as_str().expect("session");
    let state = client.get(&format!("subscriptions/checkout-session/{session}")).await.ok();
    assert_eq!((&state["status"], &state["payment_status"]), (&json!("complete"), &json!("paid")));
    let other = client.get("subscriptions/checkout-session/acme-00000000-0001").await;
    assert_eq!(other.error(), (400, "INVALID_SESSION"));
    // Another account's order is no session of this one.
    let elsewhere = json!({"subscriptionRef": {"name": "other"}, "pack": "plus-100"});
    namespace.create::<CreditPack>("elsewhere", elsewhere).await;
    let other = client.get("subscriptions/checkout-session/pack_elsewhere").await;
    assert_eq!(other.error(), (400, "INVALID_SESSION"));
}

#[tokio::test]
async fn the_fourth_pack_of_a_month_answers_429_with_the_next_time() {
    let served = served().await;
    let namespace = served.namespace("portal-limit").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let client = served.client("customer", "portal-limit");
    for key in ["one", "two", "three"] {
        client.post_once("credits/packs/buy", &pack("plus-100"), key).await.ok();
    }
    account.balance("1400").await;
    let refused = client.post("credits/packs/buy", &pack("plus-100")).await;
    assert_eq!(refused.error(), (429, "PACK_LIMIT_REACHED"));
    let status =
        account.get::<flashgate_api::Subscription>("acme").await.expect("Subscription")["status"].take();
    let next = status["packs"]["nextAvailableTime"].as_str().expect("time").replace('Z', ".000Z");
    assert_eq!(refused.body["nextAvailableAt"], next);
    // A repetition of an accepted order is not refused.
    client.post_once("credits/packs/buy", &pack("plus-100"), "one").await.ok();
    assert_eq!(orders(&account).await.len(), 3, "nothing is created that would be refused");
    assert_eq!(client.post("credits/packs/buy", &pack("plus-7")).await.error(), (404, "PACK_NOT_FOUND"));
    assert_eq!(client.post("credits/packs/buy", &json!({"pack": 1})).await.error(), (400, "INVALID_BODY"));
}

#[tokio::test]
async fn a_plan_without_packs_answers_403() {
    let served = served().await;
    let namespace = served.namespace("portal-free").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("individual"), None).await;
    account.balance("10").await;
    let client = served.client("customer", "portal-free");
    let refused = client.post("credits/packs/buy", &pack("plus-100")).await;
    assert_eq!(refused.error(), (403, "PLAN_NOT_ELIGIBLE"));
    assert_eq!(orders(&account).await.len(), 0);
}

#[tokio::test]
async fn a_pack_with_an_open_invoice_has_a_page_until_it_is_paid() {
    let served = served().await;
    let namespace = served.namespace("portal-paid-pack").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    let invoice = account.invoice(0, "Open").await;
    account.apply_payment("evt-1", &invoice, "Settled", "100").await;
    account.balance("1100").await;
    let client = served.paying_client("customer", "portal-paid-pack");
    let order = client.post_once("credits/packs/buy", &pack("plus-100"), "one").await.ok();
    let session = order["sessionId"].as_str().expect("session").to_owned();
    assert_eq!(order["checkoutUrl"], format!("https://pay.example.com/i/{session}"));
    assert_eq!(order["status"], "open");
    let path = format!("subscriptions/checkout-session/{session}");
    let state = client.get(&path).await.ok();
    assert_eq!((&state["status"], &state["payment_status"]), (&json!("open"), &json!("unpaid")));
    account.apply_payment("evt-2", &session, "Settled", "20").await;
    account.balance("1200").await;
    let state = client.get(&path).await.ok();
    assert_eq!((&state["status"], &state["payment_status"]), (&json!("complete"), &json!("paid")));
    let again = client.post_once("credits/packs/buy", &pack("plus-100"), "one").await.ok();
    assert_eq!((&again["sessionId"], &again["checkoutUrl"]), (&json!(session), &Value::Null));
}
