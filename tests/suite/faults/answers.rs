//! Replies of an API server that is overloaded, or whose watch cache has expired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Method, StatusCode, header, request};
use axum::response::{IntoResponse as _, Response};
use flashgate_api::{CreditAdjustment, UsageReport};
use flashgate_testing::catalog::monthly;
use serde_json::json;
use tokio::time::Instant;

use super::silence::asked_of_pending_reports;
use super::sizes::usage;
use super::{Watched, open_account};
use crate::cluster_account::{ClusterAccount, LONG_AGO};
use crate::relay::{self, Interceptor};
use crate::world::{World, wait_for, wait_until};

/// Rejects the first writes of each object with 429.
#[derive(Default)]
struct Throttle {
    /// The times of the writes to each object.
    tries: Mutex<BTreeMap<String, Vec<Instant>>>,
}

impl Throttle {
    /// Number of rejections for each object.
    const REJECTIONS: usize = 3;

    /// The requested delay.
    const RETRY_AFTER_DELAY: Duration = Duration::from_secs(3);
}

impl Interceptor for Throttle {
    async fn on_request(&self, head: &mut request::Parts) -> Option<Response> {
        let path = head.uri.path().to_owned();
        if head.method == Method::GET || !path.contains("billing.flashgate.dev") {
            return None;
        }
        let mut tries = self.tries.lock().expect("tries");
        let tries = tries.entry(path).or_default();
        tries.push(Instant::now());
        let patience = [(header::RETRY_AFTER, Self::RETRY_AFTER_DELAY.as_secs().to_string())];
        let refusal = || (StatusCode::TOO_MANY_REQUESTS, patience).into_response();
        (tries.len() <= Self::REJECTIONS).then(refusal)
    }
}

#[tokio::test]
async fn the_operator_obeys_retry_after_and_loses_nothing() {
    let world = World::start().await;
    let throttle = Arc::new(Throttle::default());
    let _operator = Watched::start_as(&world, &relay::start(&world, Arc::clone(&throttle)).await);
    let account = open_account(&world, "patience").await;
    account.adjust("goodwill", "10").await;
    account.balance("1110").await;
    let tries = throttle.tries.lock().expect("tries");
    assert!(tries.keys().any(|path| path.contains("creditledgers")), "{tries:?}");
    for (path, tries) in tries.iter() {
        let early = tries.windows(2).take(Throttle::REJECTIONS);
        for (nth, pair) in early.enumerate() {
            let waited = pair[1] - pair[0];
            assert!(waited >= Throttle::RETRY_AFTER_DELAY, "try {} of {path} came after {waited:?}", nth + 2);
        }
    }
}

/// Serves lists in pages, and the first list of each kind expires halfway. The first watches of each kind end
/// with the error that their version is too old.
#[derive(Default)]
struct Expiring {
    /// Lists and watches that were answered with 410.
    expired: Mutex<BTreeSet<String>>,
    /// Number of pages of each list.
    pages: Mutex<BTreeMap<String, usize>>,
}

impl Expiring {
    /// The page that is answered with 410.
    const LOST_PAGE: usize = 7;

    fn expires(&self, what: &str) -> bool {
        self.expired.lock().expect("expired").insert(what.to_owned())
    }
}

/// Returns the status `Expired`.
fn gone() -> serde_json::Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "The provided continue parameter is too old",
    })
}

impl Interceptor for Expiring {
    async fn on_request(&self, head: &mut request::Parts) -> Option<Response> {
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        let kind = path.rsplit('/').next().unwrap_or_default();
        if head.method != Method::GET || !path.starts_with("/apis/billing.flashgate.dev") {
            return None;
        }
        if query.contains("watch=true") {
            let event = json!({"type": "ERROR", "object": gone()}).to_string();
            return self.expires(&format!("watch {kind}")).then(|| event.into_response());
        }
        if !query.contains("limit=") {
            return None;
        }
        use_small_pages(head);
        let mut pages = self.pages.lock().expect("pages");
        let page = pages.entry(kind.to_owned()).or_default();
        *page = if query.contains("continue=") { *page + 1 } else { 1 };
        if *page == Self::LOST_PAGE && self.expires(&format!("list {kind}")) {
            return Some((StatusCode::GONE, gone().to_string()).into_response());
        }
        None
    }
}

/// Makes a list use pages of one object.
fn use_small_pages(head: &mut request::Parts) {
    let query = head.uri.query().unwrap_or_default();
    let small = query.split('&').map(|part| if part.starts_with("limit=") { "limit=1" } else { part });
    let small = format!("{}?{}", head.uri.path(), small.collect::<Vec<_>>().join("&"));
    head.uri = small.parse().expect("address");
}

#[tokio::test]
async fn expired_lists_and_watches_are_repeated() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "expiring").await;
    let count = i64::try_from(Expiring::LOST_PAGE).expect("count") + 2;
    for index in 1..=count {
        let name = format!("early-{index}");
        account.create::<UsageReport>(&name, usage(&name, 1, 10)).await;
    }
    let expiring = Arc::new(Expiring::default());
    let operator = Watched::start_as(&world, &relay::start(&world, Arc::clone(&expiring)).await);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance(&(1_100 - 10 * count).to_string()).await;
    wait_until("each watch has started again", async || {
        let expired = expiring.expired.lock().expect("expired");
        expired.iter().filter(|what| what.starts_with("watch")).count() == 6
    })
    .await;
    assert!(
        expiring.expired.lock().expect("expired").contains("list usagereports"),
        "{}",
        operator.read_log()
    );
    account.create::<UsageReport>("late", usage("late", 1, 10)).await;
    account.state_is::<UsageReport>("late", "Charged").await;
    account.balance(&(1_090 - 10 * count).to_string()).await;
}

/// Serves lists in pages. The first watch of pending reports expires, and the list after it stops halfway.
#[derive(Default)]
struct StuckRelist {
    watches: AtomicUsize,
    lists: AtomicUsize,
    page: AtomicUsize,
    is_stuck: AtomicBool,
}

impl StuckRelist {
    /// The page of the second list that never arrives.
    const LAST_PAGE: usize = 3;
}

impl Interceptor for StuckRelist {
    async fn on_request(&self, head: &mut request::Parts) -> Option<Response> {
        if asked_of_pending_reports(head)? == "watch" {
            let is_first = self.watches.fetch_add(1, Ordering::SeqCst) == 0;
            return is_first.then(|| json!({"type": "ERROR", "object": gone()}).to_string().into_response());
        }
        use_small_pages(head);
        if !head.uri.query().unwrap_or_default().contains("continue=") {
            self.lists.fetch_add(1, Ordering::SeqCst);
            self.page.store(0, Ordering::SeqCst);
        }
        let page = self.page.fetch_add(1, Ordering::SeqCst) + 1;
        if self.lists.load(Ordering::SeqCst) == 2 && page == Self::LAST_PAGE {
            self.is_stuck.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        None
    }
}

#[tokio::test]
async fn an_operator_killed_during_a_relist_charges_every_report_once() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "relist").await;
    let count = i64::try_from(StuckRelist::LAST_PAGE).expect("count") + 3;
    for index in 1..=count {
        let name = format!("early-{index}");
        account.create::<UsageReport>(&name, usage(&name, 1, 10)).await;
    }
    let relist = Arc::new(StuckRelist::default());
    let kubeconfig = relay::start(&world, Arc::clone(&relist)).await;
    let Watched { operator, .. } = Watched::start_as(&world, &kubeconfig);
    let is_stuck = async || relist.is_stuck.load(Ordering::SeqCst).then_some(());
    wait_for("a relist has stopped halfway", is_stuck).await;
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    // The reports of the first list are charged while the relist hangs.
    account.balance(&(1_100 - 10 * count).to_string()).await;
    for name in ["late-1", "late-2", "late-3"] {
        account.create::<UsageReport>(name, usage(name, 1, 10)).await;
    }
    operator.kill();
    let _operator = Watched::start_as(&world, &kubeconfig);
    account.balance(&(1_100 - 10 * (count + 3)).to_string()).await;
    account.has_totals(&[("consumed", &(10 * (count + 3)).to_string())]).await;
}

/// Rejects all requests for a while.
#[derive(Default)]
struct Overloaded {
    until: Mutex<Option<Instant>>,
    /// Number of requests by type during that time.
    tries: Mutex<BTreeMap<String, usize>>,
}

impl Overloaded {
    /// Duration of the rejections.
    const TIME: Duration = Duration::from_secs(15);

    /// The requested delay, in seconds.
    const RETRY_AFTER_DELAY: &str = "5";

    fn begin(&self) {
        *self.until.lock().expect("until") = Some(Instant::now() + Self::TIME);
    }

    fn is_over(&self) -> bool {
        self.until.lock().expect("until").is_some_and(|until| until < Instant::now())
    }
}

impl Interceptor for Overloaded {
    async fn on_request(&self, head: &mut request::Parts) -> Option<Response> {
        if self.is_over() || self.until.lock().expect("until").is_none() {
            return None;
        }
        let is_watch = head.uri.query().unwrap_or_default().contains("watch=true");
        let what = format!("{} {}{}", head.method, head.uri.path(), if is_watch { " watch" } else { "" });
        *self.tries.lock().expect("tries").entry(what).or_default() += 1;
        let patience = [(header::RETRY_AFTER, Self::RETRY_AFTER_DELAY)];
        Some((StatusCode::TOO_MANY_REQUESTS, patience).into_response())
    }
}

#[tokio::test]
async fn an_overloaded_server_gets_few_requests_and_nothing_is_lost() {
    let world = World::start().await;
    let overloaded = Arc::new(Overloaded::default());
    let kubeconfig = relay::start(&world, Arc::clone(&overloaded)).await;
    // Watches end quickly, so that they are rejected as well.
    let _operator = Watched::start_with(&world, &kubeconfig, &["--silence-seconds", "3"]);
    let account = open_account(&world, "overloaded").await;
    overloaded.begin();
    account.adjust("goodwill", "10").await;
    account.create::<UsageReport>("gw", usage("gw", 1, 10)).await;
    let is_over = async || overloaded.is_over().then_some(());
    wait_for("it no longer refuses", is_over).await;
    account.state_is::<UsageReport>("gw", "Charged").await;
    account.state_is::<CreditAdjustment>("goodwill", "Granted").await;
    account.balance("1100").await;
    account.has_totals(&[("adjusted", "10"), ("consumed", "10")]).await;
    let tries = overloaded.tries.lock().expect("tries");
    // Before a watch resumes, the operator reads the server's latest version. That request is rejected.
    assert!(tries.keys().any(|what| what.ends_with("v1alpha1/usagereports")), "{tries:?}");
    assert!(tries.keys().any(|what| what.contains("creditledgers/acme")), "{tries:?}");
    // Every five seconds, and watches with growing delays.
    assert!(tries.values().all(|count| *count <= 6), "{tries:?}");
}
