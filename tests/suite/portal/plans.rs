//! Changes of the plan, cancellation, and open invoices.

use flashgate_api::Subscription;
use flashgate_testing::catalog::monthly;
use serde_json::{Value, json};

use super::served;
use crate::cluster_account::ClusterAccount;

fn period(id: &str) -> Value {
    json!({"subscriptionPeriodId": id})
}

async fn generation(account: &ClusterAccount<'_>) -> i64 {
    let subscription = account.get::<Subscription>("acme").await.expect("Subscription");
    subscription["metadata"]["generation"].as_i64().expect("generation")
}

#[tokio::test]
async fn upgrades_downgrades_and_cancellations_follow_the_laws() {
    let served = served().await;
    let namespace = served.namespace("portal-plans").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let client = served.client("customer", "portal-plans");
    let upgrade = client.post_once("subscriptions/buy", &period("growth-monthly"), "up").await.ok();
    account.balance("10600").await;
    assert_eq!(upgrade["previousSubscription"], json!({"id": "starter", "name": "Starter"}));
    assert_eq!((&upgrade["isSubscriptionChange"], &upgrade["checkoutUrl"]), (&json!(true), &Value::Null));
    let invoice = account.invoice(1, "Settled").await;
    assert_eq!((&upgrade["sessionId"], &upgrade["status"]), (&json!(invoice), &json!("complete")));
    // A repetition changes nothing, even after a later change.
    let downgrade =
        client.post_once("subscriptions/buy", &period("organization-free-monthly"), "down").await.ok();
    let made = generation(&account).await;
    assert_eq!(downgrade["sessionId"], format!("free_sub_{made}"));
    assert_eq!(downgrade["isFreeSubscription"], true);
    let again = client.post_once("subscriptions/buy", &period("growth-monthly"), "up").await.ok();
    assert_eq!(
        (&again["sessionId"], &again["previousSubscription"]["id"]),
        (&json!(invoice), &json!("starter"))
    );
    assert_eq!(generation(&account).await, made);
    let reused = client.post_once("subscriptions/buy", &period("scale-monthly"), "up").await;
    assert_eq!(reused.error(), (409, "IDEMPOTENCY_KEY_REUSED"));
    account.status("/status/pendingChange/plan", "organization-free").await;
    let cancelled = client.send("POST", "subscriptions/cancel", None, &[]).await.ok();
    assert!(
        cancelled["message"].as_str().is_some_and(|message| message.contains("in force until")),
        "{cancelled}"
    );
    account.status("/spec/renewal", "None").await;
    assert_eq!(client.get("subscriptions/my").await.ok()["data"]["autoRenew"], false);
    let unknown = client.post("subscriptions/buy", &period("platinum-monthly")).await;
    assert_eq!(unknown.error(), (400, "SUBSCRIPTION_PERIOD_NOT_FOUND"));
    account.has_totals(&[("granted", "10600")]).await;
}

#[tokio::test]
async fn a_first_period_is_paid_on_the_page_of_its_invoice() {
    let served = served().await;
    let namespace = served.namespace("portal-checkout").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    let invoice = account.invoice(0, "Open").await;
    let client = served.paying_client("customer", "portal-checkout");
    let my = client.get("subscriptions/my").await.ok();
    assert_eq!((&my["data"], my["message"].is_string()), (&Value::Null, true));
    let pending = client.get("subscriptions/pending-payment").await.ok();
    let page = format!("https://pay.example.com/i/{invoice}");
    assert_eq!((&pending["data"]["id"], &pending["data"]["checkoutUrl"]), (&json!(invoice), &json!(page)));
    assert_eq!((&pending["data"]["amount"], &pending["data"]["currency"]), (&json!(100), &json!("usd")));
    assert_eq!(pending["data"]["subscriptionPeriod"]["id"], "starter-monthly");
    // The same plan is requested again: its open invoice is the session.
    let bought = client.post("subscriptions/buy", &period("starter-monthly")).await.ok();
    assert_eq!((&bought["sessionId"], &bought["checkoutUrl"]), (&json!(invoice), &json!(page)));
    assert_eq!((&bought["previousSubscription"], &bought["status"]), (&Value::Null, &json!("open")));
    let cancelled = client.send("DELETE", "subscriptions/pending-payment", None, &[]).await;
    assert_eq!(cancelled.error(), (400, "PAYMENT_NOT_CANCELLABLE"));
    account.apply_payment("evt-1", &invoice, "Settled", "100").await;
    account.balance("1100").await;
    assert_eq!(client.get("subscriptions/my").await.ok()["data"]["id"], "starter");
}

#[tokio::test]
async fn an_upgrade_that_is_not_paid_can_be_taken_back() {
    let served = served().await;
    let namespace = served.namespace("portal-upgrade").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    let first = account.invoice(0, "Open").await;
    account.apply_payment("evt-1", &first, "Settled", "100").await;
    account.balance("1100").await;
    let client = served.paying_client("customer", "portal-upgrade");
    let bought = client.post("subscriptions/buy", &period("growth-yearly")).await.ok();
    let invoice = account.invoice(1, "Open").await;
    assert_eq!(bought["sessionId"], invoice.as_str());
    assert_eq!(bought["checkoutUrl"], format!("https://pay.example.com/i/{invoice}"));
    let pending = client.get("subscriptions/pending-payment").await.ok();
    assert_eq!(
        (&pending["data"]["amount"], &pending["data"]["subscription"]["id"]),
        (&json!(3000), &json!("growth"))
    );
    let cancelled = client.send("DELETE", "subscriptions/pending-payment", None, &[]).await.ok();
    assert_eq!(cancelled["data"]["paymentId"], invoice.as_str());
    account.status("/status/invoices/1/state", "Void").await;
    account.status("/spec/plan", "starter").await;
    account.status("/spec/billingPeriod", "Monthly").await;
    assert_eq!(client.get("subscriptions/pending-payment").await.error(), (404, "NO_PENDING_PAYMENT"));
    let state = client.get(&format!("subscriptions/checkout-session/{invoice}")).await.ok();
    assert_eq!((&state["status"], &state["payment_status"]), (&json!("expired"), &json!("unpaid")));
    let payments = client.get("subscriptions/payments").await.ok();
    let states: Vec<&Value> =
        payments["data"].as_array().expect("list").iter().map(|item| &item["status"]).collect();
    assert_eq!(json!(states), json!(["CANCELLED", "COMPLETED"]), "newest first");
}

#[tokio::test]
async fn a_plan_whose_invoice_became_void_can_be_bought_again() {
    let served = served().await;
    let namespace = served.namespace("portal-asks-again").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    let first = account.invoice(0, "Open").await;
    account.apply_payment("evt-1", &first, "Cancelled", "100").await;
    account.status("/status/invoices/0/state", "Void").await;
    let client = served.paying_client("customer", "portal-asks-again");
    let bought = client.post("subscriptions/buy", &period("starter-monthly")).await.ok();
    let second = account.invoice(1, "Open").await;
    assert_eq!((&bought["sessionId"], &bought["status"]), (&json!(second), &json!("open")));
    account.status("/spec/renewal", "Automatic").await;
}
