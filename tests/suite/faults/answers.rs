//! Answers that a server gives when it has too much to do, or no longer knows what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Method, StatusCode, header, request};
use axum::response::{IntoResponse as _, Response};
use flashgate_billing::api::{Subscription, UsageReport};
use serde_json::json;
use tokio::time::Instant;

use super::sizes::usage;
use super::{Watched, adjust, balance_is, open_account};
use crate::relay::{self, Interference};
use crate::world::{World, eventually};

/// Refuses the first writes of each object with 429.
#[derive(Default)]
struct Throttle {
    /// When each object was to be written.
    tries: Mutex<BTreeMap<String, Vec<Instant>>>,
}

impl Throttle {
    /// How often the write of an object is refused.
    const REFUSALS: usize = 3;

    /// How long it is asked to wait.
    const PATIENCE: Duration = Duration::from_secs(3);
}

impl Interference for Throttle {
    async fn meet(&self, head: &mut request::Parts) -> Option<Response> {
        let path = head.uri.path().to_owned();
        if head.method == Method::GET || !path.contains("billing.flashgate.dev") {
            return None;
        }
        let mut tries = self.tries.lock().expect("tries");
        let tries = tries.entry(path).or_default();
        tries.push(Instant::now());
        let patience = [(header::RETRY_AFTER, Self::PATIENCE.as_secs().to_string())];
        let refusal = || (StatusCode::TOO_MANY_REQUESTS, patience).into_response();
        (tries.len() <= Self::REFUSALS).then(refusal)
    }
}

#[tokio::test]
async fn a_server_that_asks_for_patience_is_given_it_and_nothing_is_lost() {
    let world = World::start().await;
    let namespace = world.namespace("patience").await;
    let throttle = Arc::new(Throttle::default());
    let _operator = Watched::start_as(&world, &relay::start(&world, Arc::clone(&throttle)).await);
    open_account(&namespace).await;
    adjust(&namespace, "goodwill").await;
    balance_is(&namespace, "1110").await;
    let tries = throttle.tries.lock().expect("tries");
    assert!(tries.keys().any(|path| path.contains("creditledgers")), "{tries:?}");
    for (path, tries) in tries.iter() {
        let early = tries.windows(2).take(Throttle::REFUSALS);
        for (nth, pair) in early.enumerate() {
            let waited = pair[1] - pair[0];
            assert!(waited >= Throttle::PATIENCE, "try {} of {path} came after {waited:?}", nth + 2);
        }
    }
}

/// Gives lists page by page and forgets in the midst of the first one of each kind; ends the first watches of each kind
/// with the word that what they ask for is too old.
#[derive(Default)]
struct Forgetful {
    /// Lists and watches that were answered with 410.
    forgotten: Mutex<BTreeSet<String>>,
    /// Pages of each list so far.
    pages: Mutex<BTreeMap<String, usize>>,
}

impl Forgetful {
    /// The page that is asked for in vain.
    const LOST_PAGE: usize = 7;

    fn forgets(&self, what: &str) -> bool {
        self.forgotten.lock().expect("forgotten").insert(what.to_owned())
    }
}

/// What a server says of what it no longer knows.
fn gone() -> serde_json::Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "The provided continue parameter is too old",
    })
}

impl Interference for Forgetful {
    async fn meet(&self, head: &mut request::Parts) -> Option<Response> {
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        let kind = path.rsplit('/').next().unwrap_or_default();
        if head.method != Method::GET || !path.starts_with("/apis/billing.flashgate.dev") {
            return None;
        }
        if query.contains("watch=true") {
            let event = json!({"type": "ERROR", "object": gone()}).to_string();
            return self.forgets(&format!("watch {kind}")).then(|| event.into_response());
        }
        if !query.contains("limit=") {
            return None;
        }
        let mut pages = self.pages.lock().expect("pages");
        let page = pages.entry(kind.to_owned()).or_default();
        *page = if query.contains("continue=") { *page + 1 } else { 1 };
        if *page == Self::LOST_PAGE && self.forgets(&format!("list {kind}")) {
            return Some((StatusCode::GONE, gone().to_string()).into_response());
        }
        let small = query.split('&').map(|part| if part.starts_with("limit=") { "limit=1" } else { part });
        let small = format!("{path}?{}", small.collect::<Vec<_>>().join("&"));
        head.uri = small.parse().expect("address");
        None
    }
}

#[tokio::test]
async fn a_server_that_forgets_in_the_midst_of_lists_and_watches_is_asked_anew() {
    let world = World::start().await;
    let namespace = world.namespace("forgetful").await;
    let count = i64::try_from(Forgetful::LOST_PAGE).expect("count") + 2;
    for index in 1..=count {
        let name = format!("early-{index}");
        namespace.create::<UsageReport>(&name, usage(&name, 1, 10)).await;
    }
    let forgetful = Arc::new(Forgetful::default());
    let operator = Watched::start_as(&world, &relay::start(&world, Arc::clone(&forgetful)).await);
    let spec = json!({"plan": "starter", "startTime": "2026-01-01T00:00:00Z"});
    namespace.create::<Subscription>("acme", spec).await;
    balance_is(&namespace, &(1_100 - 10 * count).to_string()).await;
    eventually("each watch has been asked anew", async || {
        let forgotten = forgetful.forgotten.lock().expect("forgotten");
        (forgotten.iter().filter(|what| what.starts_with("watch")).count() == 6).then_some(())
    })
    .await_some()
    .await;
    assert!(
        forgetful.forgotten.lock().expect("forgotten").contains("list usagereports"),
        "{}",
        operator.said()
    );
    namespace.create::<UsageReport>("late", usage("late", 1, 10)).await;
    namespace.expect::<UsageReport>("late", "/status/state", "Charged").await;
    balance_is(&namespace, &(1_090 - 10 * count).to_string()).await;
}
