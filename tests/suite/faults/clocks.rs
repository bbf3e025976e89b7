//! An API server whose clock differs from the operator's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use axum::http::{HeaderValue, header, request};
use axum::response::Response;
use flashgate_api::{CreditAdjustment, CreditLedger};
use flashgate_cluster::clock::Clock;
use flashgate_testing::catalog::monthly;
use jiff::SignedDuration;
use jiff::fmt::rfc2822::DateTimePrinter;
use k8s_openapi::ByteString;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{Watched, etcd};
use crate::cluster_account::{ClusterAccount, LONG_AGO};
use crate::relay::{self, Interceptor};
use crate::world::{World, wait_for};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Changes the date of answers by some seconds. If it oscillates, the sign alternates.
#[derive(Default)]
struct WrongClock {
    seconds: AtomicI64,
    oscillates: AtomicBool,
}

impl Interceptor for WrongClock {
    async fn on_request(&self, _: &mut request::Parts) -> Option<Response> {
        None
    }

    fn on_response(&self, _: &request::Parts, mut answer: Response) -> Response {
        let seconds = self.seconds.load(Ordering::Relaxed);
        if self.oscillates.load(Ordering::Relaxed) {
            self.seconds.store(-seconds, Ordering::Relaxed);
        }
        let date = Clock::system().now() + SignedDuration::from_secs(seconds);
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&date).expect("date");
        answer.headers_mut().insert(header::DATE, HeaderValue::from_str(&date).expect("header"));
        answer
    }
}

#[tokio::test]
async fn commits_stop_while_the_clocks_differ_and_continue_when_they_agree() {
    let world = World::start().await;
    let namespace = world.namespace("apart").await;
    let other = Arc::new(WrongClock::default());
    other.seconds.store(-HOUR, Ordering::Relaxed);
    let watched = Watched::start_as(&world, &relay::start(&world, Arc::clone(&other)).await);
    // Each account asks for a commit of its own, since one that failed is left alone for a while.
    for (name, seconds, oscillates) in
        [("behind", -HOUR, false), ("ahead", 400 * DAY, false), ("either-way", HOUR, true)]
    {
        other.seconds.store(seconds, Ordering::Relaxed);
        other.oscillates.store(oscillates, Ordering::Relaxed);
        namespace.account(name).subscribe(monthly("starter"), Some(LONG_AGO)).await;
        wait_for(&format!("the metric says {name}"), async || {
            let skew = watched.metrics(|line| line.starts_with("flashgate_billing_clock_skew_seconds"));
            let skew = skew.first().copied()?.to_string().parse::<i64>().ok()?;
            let off = if oscillates { skew.abs() - seconds } else { skew + seconds };
            (off.abs() <= 5).then_some(())
        })
        .await;
        let (status, said) = watched.operator.get("/readyz").expect("answer");
        assert!(status == 503 && said.starts_with("commits hold: the local clock is"), "{name}: {said}");
        let ledgers = namespace.api::<CreditLedger>().list(&ListParams::default()).await.expect("list");
        assert!(ledgers.items.is_empty(), "{name}: {:?}", ledgers.items);
    }
    other.oscillates.store(false, Ordering::Relaxed);
    other.seconds.store(0, Ordering::Relaxed);
    for name in ["behind", "ahead", "either-way", "agreed"] {
        if name == "agreed" {
            namespace.account(name).subscribe(monthly("starter"), Some(LONG_AGO)).await;
        }
        namespace.account(name).balance("1100").await;
    }
    assert_eq!(watched.operator.get("/readyz"), Some((200, "ok\n".to_owned())));
}

/// Copies the CreditAdjustment `of` to `name`, as created by an API server with a clock that is 400 days
/// ahead.
fn store_from_the_future(world: &World, of: &str, name: &str) {
    let bytes = |text: String| ByteString(text.into_bytes());
    let key = |name: &str| bytes(format!("/registry/billing.flashgate.dev/creditadjustments/ahead/{name}"));
    let stored = etcd(world, "/v3/kv/range", &json!({"key": key(of)}));
    let stored: ByteString = serde_json::from_value(stored["kvs"][0]["value"].clone()).expect("stored");
    let mut object: Value = serde_json::from_slice(&stored.0).expect("JSON");
    object["metadata"]["name"] = json!(name);
    object["metadata"]["uid"] = json!("11111111-2222-4333-8444-555555555555");
    let time = Clock::system().now() + SignedDuration::from_secs(400 * DAY);
    object["metadata"]["creationTimestamp"] = json!(time.to_string());
    object["status"] = json!({"observedGeneration": -1});
    etcd(world, "/v3/kv/put", &json!({"key": key(name), "value": bytes(object.to_string())}));
}

#[tokio::test]
async fn an_object_from_the_future_waits_and_its_account_continues() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "ahead").await;
    let _operator = world.operator(&[]);
    account.subscribe(monthly("starter"), None).await;
    account.adjust("today", "10").await;
    account.balance("1110").await;
    store_from_the_future(&world, "today", "in-400-days");
    let reason = "/status/conditions/0/reason";
    account.expect::<CreditAdjustment>("in-400-days", reason, "ArrivalInFuture").await;
    account.adjust("today-as-well", "10").await;
    account.balance("1120").await;
    account.status("/status/period/number", 1).await;
    let ledger = account.api::<CreditLedger>().get("acme").await.expect("ledger");
    let ahead = ledger.spec.clock_time.duration_since(Clock::system().now());
    assert!(ahead.as_secs() <= 60, "the clock of the account is {}", ledger.spec.clock_time);
}
