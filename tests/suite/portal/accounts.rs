//! Reads of an account: they equal its ledger and its status.

use flashgate_ledger::Credits;
use flashgate_testing::action::UsageLine;
use flashgate_testing::catalog::monthly;
use serde_json::{Value, json};

use super::served;
use crate::cluster_account::{LONG_AGO, egress};

/// Returns a text of the ledger as a number of an answer.
fn number(text: &Value) -> Value {
    let text = text.as_str().expect("amount");
    serde_json::from_str(text).expect("number")
}

#[tokio::test]
async fn balance_and_transactions_equal_the_ledger() {
    let served = served().await;
    let namespace = served.namespace("portal-account").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    account.buy("top-up", "plus-100").await;
    account.adjust("outage", "5.5").await;
    account.report_hour("gw-0", 2, egress("12G")).await;
    account.report_hour("gw-1", 1, vec![UsageLine::new("Private", "TokensOut", "250k")]).await;
    account.balance("1073").await;
    let client = served.client("customer", "portal-account");
    let balance = client.get("credits/balance").await.ok();
    assert_eq!(
        balance["data"],
        json!({
            "creditBalance": 1073, "dateBalance": balance["data"]["dateBalance"], "realtimeBalance": 1073,
            "pendingConsumption": 0, "breakdown": {"storage": 0, "ai": 0},
        })
    );
    let ledger = account.ledger().await;
    let transactions = client.get("credits/transactions").await.ok();
    let amounts = |kind: &str| -> Credits {
        let items = transactions["data"].as_array().expect("list").iter().filter(|item| item["type"] == kind);
        Credits::sum(items.map(|item| item["creditAmount"].to_string().parse::<Credits>().expect("amount")))
            .expect("sum")
    };
    let total =
        |name: &str| ledger["totals"][name].as_str().expect("total").parse::<Credits>().expect("amount");
    assert_eq!(amounts("consumption").negated(), total("consumed"));
    assert_eq!(amounts("purchase"), total("purchased"));
    assert_eq!(amounts("grant"), total("granted").checked_add(total("adjusted")).expect("sum"));
    assert_eq!(
        (&transactions["pagination"]["total"], &transactions["historyAvailable"]),
        (&json!(5), &json!(false))
    );
    let page = client.get("credits/transactions?page=2&limit=2").await.ok();
    assert_eq!(page["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(page["data"], json!(transactions["data"].as_array().expect("list")[2..4]));
    let consumption = client.get("credits/transactions?direction=out").await.ok();
    assert_eq!(consumption["pagination"]["total"], 2);
    let before = client.get("credits/transactions?endDate=2020-01-01").await.ok();
    assert_eq!(before["data"], json!([]));
}

#[tokio::test]
async fn the_other_reads_equal_the_status() {
    let served = served().await;
    let namespace = served.namespace("portal-history").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    // A report whose window is not over arrived, and is not charged.
    let hour = crate::cluster_account::now() / 3_600 * 3_600;
    account.report("pending", crate::cluster_account::seconds(hour, 7_200), egress("2.5G")).await;
    account.expect::<flashgate_api::UsageReport>("pending", "/status/observedGeneration", 1).await;
    let client = served.client("customer", "portal-history");
    let balance = client.get("credits/balance").await.ok();
    assert_eq!(
        (&balance["data"]["pendingConsumption"], &balance["data"]["realtimeBalance"]),
        (&json!(25), &json!(1075))
    );
    assert_eq!(balance["data"]["breakdown"], json!({"storage": 25, "ai": 0}));
    let status =
        account.get::<flashgate_api::Subscription>("acme").await.expect("Subscription")["status"].take();
    let my = client.get("subscriptions/my").await.ok();
    let instant = |text: &Value| text.as_str().expect("time").replace('Z', ".000Z");
    assert_eq!(my["data"]["dateFrom"], instant(&status["period"]["startTime"]));
    assert_eq!(my["data"]["dateTo"], instant(&status["period"]["endTime"]));
    assert_eq!((&my["data"]["periodId"], &my["data"]["price"]), (&json!("starter-monthly"), &json!(100)));
    let payments = client.get("subscriptions/payments").await.ok();
    let invoice = &status["invoices"][0];
    assert_eq!(payments["data"][0]["id"], invoice["number"]);
    let cents = invoice["amount"].as_str().expect("amount").parse::<i64>().expect("number") * 100;
    assert_eq!(
        (&payments["data"][0]["amount"], &payments["data"][0]["status"]),
        (&json!(cents), &json!("COMPLETED"))
    );
    let number = invoice["number"].as_str().expect("number");
    let session = client.get(&format!("subscriptions/checkout-session/{number}")).await.ok();
    assert_eq!((&session["status"], &session["payment_status"]), (&json!("complete"), &json!("paid")));
    assert_eq!(session["subscriptionId"], "starter");
    assert_eq!(client.get("subscriptions/pending-payment").await.error(), (404, "NO_PENDING_PAYMENT"));
    let months = client.get("credits/stats/monthly?months=3").await.ok();
    assert_eq!(months["data"].as_array().map(Vec::len), Some(3));
    let series = client.get("v2/stats/credits?window=24h").await.ok();
    assert_eq!((&series["series"], &series["historyAvailable"]), (&json!([]), &json!(false)));
    let url = client.send("POST", "subscriptions/portal", None, &[]).await.ok();
    assert_eq!(url["url"], format!("http://{}/portal-history/acme/", served.internal));
}

#[tokio::test]
async fn the_lists_are_those_of_the_catalog_and_need_no_token() {
    let served = served().await;
    let client = served.client("outsider", "none").anonymous();
    let rates = client.get("credits/rates").await.ok();
    let numbers: Vec<&Value> =
        rates["data"].as_array().expect("list").iter().map(|item| &item["rate"]).collect();
    assert_eq!(json!(numbers), json!([10, 1, 1000, 50]));
    let packs = client.get("credits/packs").await.ok();
    assert_eq!(packs["data"][0]["price"], number(&json!("20")));
    let first = client.get("subscriptions").await;
    let tag = first.headers["etag"].clone();
    assert_eq!(first.ok()["data"].as_array().map(Vec::len), Some(5));
    let again = client.send("GET", "subscriptions", None, &[("If-None-Match", &tag)]).await;
    assert_eq!(again.status, 304);
}
