//! Large inputs: lines of a report, sources of an account, and unused grants.

use flashgate_api::{CreditAdjustment, CreditLedger, UsageReport};
use flashgate_testing::catalog::monthly;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::open_account;
use crate::cluster_account::ClusterAccount;
use crate::suite::installed::shared;

/// Returns the spec of a report over a minute that ended some minutes ago, with `lines` lines of 100 MB.
pub fn usage(source: &str, minutes_ago: i64, lines: usize) -> Value {
    let now = flashgate_cluster::clock::Clock::system().now().as_second();
    let time = |minutes: i64| jiff::Timestamp::from_second(now - minutes * 60).expect("time").to_string();
    let line = json!({
        "nodeType": "Public", "operation": "StorageEgress", "quantity": "100M",
        "labels": {"repo": "media", "bucket": "video"},
    });
    json!({
        "subscriptionRef": {"name": "acme"}, "source": source,
        "window": {"startTime": time(minutes_ago), "endTime": time(minutes_ago - 1)},
        "usage": vec![line; lines],
    })
}

async fn count(account: &ClusterAccount<'_>, pointer: &str) -> usize {
    let ledger = account.get::<CreditLedger>("acme").await.expect("ledger");
    let found = ledger.pointer(pointer).expect("field");
    found
        .as_array()
        .map(Vec::len)
        .or_else(|| found.as_object().map(serde_json::Map::len))
        .expect("collection")
}

#[tokio::test]
async fn a_report_of_a_thousand_lines_is_charged() {
    let account = open_account(shared().await, "thousand-lines").await;
    account.create::<UsageReport>("full", usage("gw", 1, 1_000)).await;
    account.state_is::<UsageReport>("full", "Charged").await;
    account.expect::<UsageReport>("full", "/status/credits", "1000").await;
    account.balance("100").await;
}

#[tokio::test]
async fn the_1025th_source_is_refused_and_the_others_are_charged() {
    let account = open_account(shared().await, "many-sources").await;
    let reports = futures::stream::iter(0..1_024).map(|index| {
        let account = &account;
        async move {
            let source = format!("gw-{index}");
            account.create::<UsageReport>(&source, usage(&source, 1, 1)).await;
            account.state_is::<UsageReport>(&source, "Charged").await;
        }
    });
    reports.buffer_unordered(16).collect::<Vec<()>>().await;
    account.create::<UsageReport>("one-more", usage("one-more", 1, 1)).await;
    account.state_is::<UsageReport>("one-more", "Rejected").await;
    let report = account.get::<UsageReport>("one-more").await.expect("report");
    assert!(report.to_string().contains("TooManySources"), "{report:#}");
    // On a busy machine the reports above take longer than a minute.
    account.create::<UsageReport>("known", usage("gw-7", 90, 1)).await;
    account.state_is::<UsageReport>("known", "Charged").await;
    account.balance("75").await;
    assert_eq!(count(&account, "/spec/coverage").await, 1_024);
}

#[tokio::test]
async fn unused_grants_are_refused_when_they_would_leave_no_room_for_a_plan() {
    let account = open_account(shared().await, "many-grants").await;
    for index in 0..60 {
        account.adjust(&format!("gift-{index:02}"), "10").await;
    }
    let mut granted = 0;
    for index in 0..60 {
        let name = format!("gift-{index:02}");
        let state = crate::world::wait_for("the gift has its verdict", async || {
            let gift = account.get::<CreditAdjustment>(&name).await?;
            gift.pointer("/status/state").and_then(Value::as_str).map(str::to_owned)
        })
        .await;
        granted += usize::from(state == "Granted");
    }
    assert!((50..=56).contains(&granted), "{granted}");
    let balance = 1_100 + 10 * granted;
    account.balance(&balance.to_string()).await;
    // The plan still changes, and its credits have their place.
    account.edit(monthly("growth")).await;
    account.balance(&(balance + 9_500).to_string()).await;
    assert_eq!(count(&account, "/spec/grants").await, granted + 2);
}
