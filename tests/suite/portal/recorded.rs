//! The API with the history that a running operator records.

use flashgate_api::UsageReport;
use flashgate_ledger::Credits;
use flashgate_ledger::period::Window;
use flashgate_testing::catalog::monthly;
use serde_json::{Value, json};

use super::client::Client;
use super::{role, serve, token_of};
use crate::cluster_account::{ClusterAccount, LONG_AGO, now, seconds};
use crate::free_address::free_address;
use crate::world::{World, wait_for, wait_until};

/// Creates a report of two models for the hour from a start time, and waits until it is charged.
async fn report(account: &ClusterAccount<'_>, name: &str, start: i64) {
    let line = |model: &str, tokens: &str| {
        json!({
            "nodeType": "Public", "operation": "TokensOut", "quantity": tokens,
            "labels": {"model": model, "repo": "chat"},
        })
    };
    let Window { start_time, end_time } = seconds(start, 3_600);
    let egress = json!({"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"});
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "source": "gw-1",
        "window": {"startTime": start_time, "endTime": end_time},
        "usage": [line("small", "1000"), line("large", "3000"), egress],
    });
    account.create::<UsageReport>(name, spec).await;
    account.report_is(name, "Charged").await;
}

/// Returns the sum of a field of a list.
fn sum(list: &Value, field: &str) -> Credits {
    let items = list.as_array().expect("list").iter();
    Credits::sum(items.map(|item| item[field].to_string().parse::<Credits>().expect("amount"))).expect("sum")
}

#[tokio::test]
async fn transactions_months_and_statistics_add_up_to_the_totals_of_the_ledger() {
    let world = World::start_with_users(&["reader"]).await;
    let file = world.plane.folder().join("history.db");
    let history = format!("sqlite:{}", file.display());
    let address = free_address();
    // The API starts before there is a file.
    let _api = serve(&world, &["--listen", &address.to_string(), "--history", &history], None);
    let client = Client::at(address).of("portal-recorded", &token_of(&world, "reader"));
    wait_until("the API answers", async || client.health().await == Some(503)).await;
    let _operator = world.operator(&["--history", &history]);
    wait_until("the history can be read", async || client.health().await == Some(200)).await;
    let rules: [(&str, &[&str]); 3] =
        [("subscriptions", &["get"]), ("creditledgers", &["get"]), ("usagereports", &["list"])];
    let applied = world.plane.kubectl(&["apply", "-f", "-"], Some(&role("reader", &rules).to_string())).await;
    assert!(applied.expect("kubectl").success);
    let account = ClusterAccount::without_subscription(&world, "portal-recorded").await;
    let bind = ["create", "rolebinding", "reader", "--clusterrole=portal-reader", "--user=reader"];
    account.kubectl(&bind, None).await.succeeded().expect("bound");
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.buy("top-up", "plus-100").await;
    account.adjust("outage", "5.5").await;
    let first = now() - 12 * 3_600;
    for hour in 0..10 {
        report(&account, &format!("gw-1-{hour}"), first + hour * 3_600).await;
    }
    // More entries than a ledger keeps without a history, and three lines of each report.
    let all = wait_for("the history is complete", async || {
        let answer = client.get("credits/transactions?limit=100").await.ok();
        (answer["pagination"]["total"] == 33).then_some(answer)
    });
    let all = all.await;
    assert_eq!(all.get("historyAvailable"), None);
    let totals = account.ledger().await["totals"].take();
    let total = |name: &str| totals[name].as_str().expect("total").parse::<Credits>().expect("amount");
    let consumed = client.get("credits/transactions?direction=out&limit=100").await.ok();
    assert_eq!(sum(&consumed["data"], "creditAmount").negated(), total("consumed"));
    let arrived = client.get("credits/transactions?direction=in").await.ok();
    let credits = Credits::sum([total("granted"), total("purchased"), total("adjusted")]).expect("sum");
    assert_eq!(sum(&arrived["data"], "creditAmount"), credits);
    let chat = client.get("credits/transactions?repoId=chat&limit=7").await.ok();
    assert_eq!((&chat["pagination"]["total"], chat["data"].as_array().map(Vec::len)), (&json!(20), Some(7)));
    assert!(chat["data"].as_array().expect("list").iter().all(|item| item["repoId"] == "chat"));
    let mut pages = Vec::new();
    for page in 1..=7 {
        let page = client.get(&format!("credits/transactions?limit=5&page={page}")).await.ok();
        pages.extend(page["data"].as_array().expect("list").clone());
    }
    assert_eq!(json!(pages), all["data"], "pages join without a gap");
    let months = client.get("credits/stats/monthly").await.ok();
    assert_eq!(sum(&months["data"], "consumption"), total("consumed"));
    assert_eq!(sum(&months["data"], "purchases"), total("purchased"));
    assert_eq!(sum(&months["data"], "grants"), total("granted").checked_add(total("adjusted")).expect("sum"));
    let stats = client.get("v2/stats/credits?window=24h").await.ok();
    assert_eq!(sum(&stats["series"], "creditsTotal"), total("consumed"));
    assert_eq!(sum(&stats["series"], "creditsStorage"), "100".parse().expect("amount"));
    let models = client.get("v2/stats/credits/breakdown/models?window=7d").await.ok();
    let names: Vec<&Value> =
        models["entities"].as_array().expect("list").iter().map(|entity| &entity["entityId"]).collect();
    assert_eq!((json!(names), &models["summary"]["total"]), (json!(["large", "small"]), &json!(40)));
}
