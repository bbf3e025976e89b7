//! A server whose clock tells another time than the operator's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use axum::http::{HeaderValue, header, request};
use axum::response::Response;
use flashgate_billing::api::{CreditLedger, Subscription};
use flashgate_billing::clock::Clock;
use jiff::SignedDuration;
use jiff::fmt::rfc2822::DateTimePrinter;
use kube::api::ListParams;
use serde_json::json;

use super::Watched;
use crate::relay::{self, Interference};
use crate::world::{World, eventually};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Answers with a date so many seconds from the right one; each answer the other way, if it is to oscillate.
#[derive(Default)]
struct OtherTime {
    seconds: AtomicI64,
    oscillates: AtomicBool,
}

impl Interference for OtherTime {
    async fn meet(&self, _: &mut request::Parts) -> Option<Response> {
        None
    }

    fn amend(&self, _: &request::Parts, mut answer: Response) -> Response {
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
async fn commits_hold_while_the_clocks_are_apart_and_go_on_when_they_agree() {
    let world = World::start().await;
    let namespace = world.namespace("apart").await;
    let other = Arc::new(OtherTime::default());
    other.seconds.store(-HOUR, Ordering::Relaxed);
    let watched = Watched::start_as(&world, &relay::start(&world, Arc::clone(&other)).await);
    // Each account asks for a commit of its own, since one that failed is left alone for a while.
    let spec = json!({"plan": "starter", "startTime": "2026-01-01T00:00:00Z"});
    for (name, seconds, oscillates) in
        [("behind", -HOUR, false), ("ahead", 400 * DAY, false), ("either-way", HOUR, true)]
    {
        other.seconds.store(seconds, Ordering::Relaxed);
        other.oscillates.store(oscillates, Ordering::Relaxed);
        namespace.create::<Subscription>(name, spec.clone()).await;
        eventually(&format!("the metric says {name}"), async || {
            let skew = watched.metrics(|line| line.starts_with("flashgate_billing_clock_skew_seconds"));
            let skew = skew.first().copied()?.to_string().parse::<i64>().ok()?;
            let off = if oscillates { skew.abs() - seconds } else { skew + seconds };
            (off.abs() <= 5).then_some(())
        })
        .await_some()
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
            namespace.create::<Subscription>(name, spec.clone()).await;
        }
        namespace.expect::<Subscription>(name, "/status/credits/balance", "1100").await;
    }
    assert_eq!(watched.operator.get("/readyz"), Some((200, "ok\n".to_owned())));
}
