//! An account with two months of usage, purchases and invoices, on a test clock.

use flashgate_api::{CreditAdjustment, CreditPack, Subscription, UsageReport};
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::{DAY, HOUR, at, time};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::served::served;
use crate::cluster_account::{ClusterAccount, seconds};
use crate::world::Namespace;

/// Namespace of the account.
pub const NAMESPACE: &str = "demo";

/// The first instant of the account.
const START: &str = "2026-07-06T09:00:00Z";

/// Days of usage.
const DAYS: i64 = 68;

/// The day on which a pack is bought.
const PACK_DAY: i64 = 21;

/// The day on which credits are given.
const GIFT_DAY: i64 = 30;

/// The day on which the plan becomes larger.
const UPGRADE_DAY: i64 = 50;

/// Node type, operation, quantity and labels of usage.
type Line = (&'static str, &'static str, i64, &'static [(&'static str, &'static str)]);

/// The usage of a day in the middle of the account's life.
const LINES: [Line; 4] = [
    ("Public", "StorageEgress", 1_450_000_000, &[("repo", "docs"), ("bucket", "public-assets")]),
    ("Private", "StorageEgress", 2_300_000_000, &[("repo", "api"), ("bucket", "builds")]),
    ("Public", "TokensOut", 7_400, &[("repo", "chat"), ("model", "large"), ("provider", "north")]),
    ("Public", "TokensOut", 4_100, &[("repo", "docs"), ("model", "small"), ("provider", "south")]),
];

/// Returns the account, with a client of the calling test. No test changes it.
pub async fn account() -> ClusterAccount<'static> {
    static LIVED: OnceCell<()> = OnceCell::const_new();
    LIVED.get_or_init(live).await;
    let world = &served().await.world;
    Namespace { world, name: NAMESPACE.to_owned(), client: world.client().await }.account("acme")
}

/// Lives the account until the time at which the tests see it.
async fn live() {
    let account = served().await.namespace(NAMESPACE).await.account("acme");
    account.subscribe_at(START, monthly("starter"), None).await;
    account.balance("1100").await;
    let details = json!({
        "name": "ACME GmbH", "email": "billing@acme.example", "taxID": "DE123456789",
        "address": "Example Street 1\n10115 Berlin\nGermany",
    });
    account
        .patch(json!({"spec": {"billingDetails": details, "alertThresholdsPercent": [50, 80, 100]}}))
        .await;
    for day in 0..DAYS {
        let now = time(START).as_second() + (day + 1) * DAY;
        account.clock(&at(now).to_string()).await;
        // The clock is in force, and the statement of a period that ended is written.
        let generation = account.get::<Subscription>("acme").await.expect("Subscription");
        account.status("/status/observedGeneration", generation["metadata"]["generation"].clone()).await;
        match day {
            PACK_DAY => {
                account.buy("sprint-credits", "plus-500").await;
                account.state_is::<CreditPack>("sprint-credits", "Granted").await;
            }
            GIFT_DAY => {
                let spec = json!({
                    "subscriptionRef": {"name": "acme"}, "credits": "75",
                    "reason": "Outage of the gateway on 4 August",
                });
                account.create::<CreditAdjustment>("outage", spec).await;
                account.state_is::<CreditAdjustment>("outage", "Granted").await;
            }
            UPGRADE_DAY => {
                account.edit(monthly("growth")).await;
                account.status("/status/plan", "growth").await;
            }
            _ => {}
        }
        use_a_day(&account, day, now).await;
    }
    account.edit(monthly("starter")).await;
    account.status("/status/pendingChange/plan", "starter").await;
}

/// Reports the usage of a day of 24 hours that ends an hour before a time, and waits until it is charged.
async fn use_a_day(account: &ClusterAccount<'_>, day: i64, now: i64) {
    let window = seconds(now - DAY - HOUR, DAY);
    // Less at the weekend, more with every week, and never twice the same.
    let share = |line: i64| {
        let workday = if matches!(day % 7, 5 | 6) { 25 } else { 100 };
        workday * (70 + day) / 100 + (day * 37 + line * 53) % 40
    };
    let larger = if day > UPGRADE_DAY { 6 } else { 1 };
    let lines = (0..).zip(LINES).map(|(number, (node_type, operation, quantity, labels))| {
        let labels: serde_json::Map<String, Value> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let quantity = (quantity * share(number) * larger / 100).to_string();
        json!({"nodeType": node_type, "operation": operation, "quantity": quantity, "labels": labels})
    });
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "source": "gateway",
        "window": {"startTime": window.start_time, "endTime": window.end_time},
        "usage": lines.collect::<Vec<_>>(),
    });
    let name = format!("gateway-{day:03}");
    account.create::<UsageReport>(&name, spec).await;
    account.report_is(&name, "Charged").await;
}
