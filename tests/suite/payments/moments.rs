//! Changes at a time take effect within two seconds of it, by timers and not by polling.
//!
//! These run on the machine's clock. A boundary that comes in a few seconds needs no long wait: an account that started
//! some months before that instant crosses a boundary at it. What is measured is the whole way to the object's status as
//! a client sees it.

use std::time::Duration;

use flashgate_api::Subscription;
use flashgate_cluster::clock::Clock;
use flashgate_testing::catalog::monthly;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::starter;
use crate::cluster_account::ClusterAccount;
use crate::suite::installed::shared;
use crate::world::Namespace;

/// The largest delay of an effect after its time.
const LATEST: Duration = Duration::from_secs(2);

/// The time from the creation of an account to its effect, long enough to detect an early effect.
const AHEAD_SECONDS: i64 = 8;

/// Returns an instant that is near, and a start that has a monthly boundary there.
fn near_boundary() -> (Timestamp, Timestamp) {
    let boundary = Timestamp::from_second(Clock::system().now().as_second() + AHEAD_SECONDS).expect("time");
    let there = boundary.to_zoned(TimeZone::UTC);
    // Not every month has the day: the start must be on one that has, or its boundaries would be clamped.
    let start = (1..=2)
        .map(|months| &there - months.months())
        .find(|start| start.day() == there.day())
        .expect("of two months in a row one has 31 days");
    (boundary, start.timestamp())
}

/// Waits until `pointer` of the account is `expected`; returns how long after `time` that was seen.
async fn seen_after(namespace: &Namespace<'_>, time: Timestamp, pointer: &str, expected: Value) -> Duration {
    let due = Instant::now() + Clock::system().until(time);
    let before = namespace.get::<Subscription>("acme").await.expect("Subscription");
    assert_ne!(before.pointer(pointer), Some(&expected), "too early: {before:#}");
    namespace.expect::<Subscription>("acme", pointer, expected).await;
    let seen = Instant::now();
    assert!(seen >= due, "{pointer} was there {:?} too early", due - seen);
    seen - due
}

#[tokio::test]
async fn a_boundary_takes_effect_within_two_seconds_of_its_time() {
    let namespace = shared().await.namespace("boundary").await;
    let (boundary, start) = near_boundary();
    let spec = json!({"plan": "starter", "startTime": start.to_string()});
    namespace.create::<Subscription>("acme", spec).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    namespace.expect::<Subscription>("acme", "/status/period/endTime", boundary.to_string()).await;
    let start_time = "/status/period/startTime";
    let after = seen_after(&namespace, boundary, start_time, json!(boundary.to_string())).await;
    println!("a boundary was seen {after:?} after its time");
    assert!(after < LATEST, "{after:?}");
    namespace.expect::<Subscription>("acme", "/status/thisPeriod/granted", "1100").await;
}

#[tokio::test]
async fn a_lapse_takes_effect_within_two_seconds_of_its_time() {
    let namespace = shared().await.namespace("lapse").await;
    let (boundary, start) = near_boundary();
    let spec = json!({"plan": "starter", "startTime": start.to_string(), "renewal": "None"});
    namespace.create::<Subscription>("acme", spec).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    let after = seen_after(&namespace, boundary, "/status/plan", json!("organization-free")).await;
    println!("a lapse was seen {after:?} after its time");
    assert!(after < LATEST, "{after:?}");
    namespace.expect::<Subscription>("acme", "/status/period/startTime", boundary.to_string()).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "40").await;
}

#[tokio::test]
async fn an_upgrade_takes_effect_within_two_seconds_of_being_asked_or_paid() {
    let account = ClusterAccount::subscribed(shared().await, "upgrade-soon", monthly("starter")).await;
    account.balance("1100").await;
    let asked = Instant::now();
    account.edit(monthly("growth")).await;
    account.status("/status/plan", "growth").await;
    println!("an upgrade was seen {:?} after it was asked", asked.elapsed());
    assert!(asked.elapsed() < LATEST, "{:?}", asked.elapsed());
    let account = starter("paid-soon").await;
    let invoice = account.invoice(0, "Open").await;
    let paid = Instant::now();
    account.pay("evt-1", &invoice, "Settled", "100").await;
    account.balance("1100").await;
    println!("a payment was seen {:?} after it was stated", paid.elapsed());
    assert!(paid.elapsed() < LATEST, "{:?}", paid.elapsed());
}
