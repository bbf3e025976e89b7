//! Requests that many tests make: accounts, packs and reports.

use flashgate_api::{CreditPack, Subscription};
use flashgate_cluster::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world::Namespace;

/// Creates an account on a plan. It starts in the past, so that earlier usage can be charged.
pub async fn create_account(namespace: &Namespace<'_>, name: &str, plan: &str) {
    let spec = json!({"plan": plan, "startTime": "2026-01-01T00:00:00Z"});
    namespace.create::<Subscription>(name, spec).await;
}

/// Creates the account `acme` on the plan `starter`, and waits for its first commit.
pub async fn open_account(namespace: &Namespace<'_>) {
    create_account(namespace, "acme", "starter").await;
    balance_is(namespace, "1100").await;
    namespace.expect::<Subscription>("acme", "/status/ledger/sequence", 1).await;
}

/// Waits until the account `acme` has this balance.
pub async fn balance_is(namespace: &Namespace<'_>, balance: &str) {
    namespace.expect::<Subscription>("acme", "/status/credits/balance", balance).await;
}

/// Buys a pack of 100 credits, and waits until it is granted.
pub async fn buy_pack(namespace: &Namespace<'_>, account: &str, name: &str) {
    let spec = json!({"subscriptionRef": {"name": account}, "pack": "plus-100"});
    namespace.create::<CreditPack>(name, spec).await;
    namespace.expect::<CreditPack>(name, "/status/state", "Granted").await;
}

/// Returns the last hour.
pub fn last_hour() -> [Timestamp; 2] {
    hour_until(Clock::system().now())
}

/// Returns the hour that ends at `end`.
pub fn hour_until(end: Timestamp) -> [Timestamp; 2] {
    [end - SignedDuration::from_hours(1), end]
}

/// Returns the spec of a report with one line of usage of public nodes.
pub fn usage(account: &str, source: &str, window: [Timestamp; 2], operation: &str, quantity: &str) -> Value {
    let [start, end] = window.map(|time| time.to_string());
    json!({
        "subscriptionRef": {"name": account}, "source": source, "window": {"startTime": start, "endTime": end},
        "usage": [{"nodeType": "Public", "operation": operation, "quantity": quantity}],
    })
}
