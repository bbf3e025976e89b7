//! Answers that a server gives when it has too much to do, or no longer knows what is asked for.

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
use crate::relay::{self, Interference};
use crate::world::{World, wait_for, wait_until};

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
    let throttle = Arc::new(Throttle::default());
    let _operator = Watched::start_as(&world, &relay::start(&world, Arc::clone(&throttle)).await);
    let account = open_account(&world, "patience").await;
    account.adjust("goodwill", "10").await;
    account.balance("1110").await;
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
        give_small_pages(head);
        let mut pages = self.pages.lock().expect("pages");
        let page = pages.entry(kind.to_owned()).or_default();
        *page = if query.contains("continue=") { *page + 1 } else { 1 };
        if *page == Self::LOST_PAGE && self.forgets(&format!("list {kind}")) {
            return Some((StatusCode::GONE, gone().to_string()).into_response());
        }
        None
    }
}

/// Asks for a list by pages of one object.
fn give_small_pages(head: &mut request::Parts) {
    let query = head.uri.query().unwrap_or_default();
    let small = query.split('&').map(|part| if part.starts_with("limit=") { "limit=1" } else { part });
    let small = format!("{}?{}", head.uri.path(), small.collect::<Vec<_>>().join("&"));
    head.uri = small.parse().expect("address");
}

#[tokio::test]
async fn a_server_that_forgets_in_the_midst_of_lists_and_watches_is_asked_anew() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "forgetful").await;
    let count = i64::try_from(Forgetful::LOST_PAGE).expect("count") + 2;
    for index in 1..=count {
        let name = format!("early-{index}");
        account.create::<UsageReport>(&name, usage(&name, 1, 10)).await;
    }
    let forgetful = Arc::new(Forgetful::default());
    let operator = Watched::start_as(&world, &relay::start(&world, Arc::clone(&forgetful)).await);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance(&(1_100 - 10 * count).to_string()).await;
    wait_until("each watch has started again", async || {
        let forgotten = forgetful.forgotten.lock().expect("forgotten");
        forgotten.iter().filter(|what| what.starts_with("watch")).count() == 6
    })
    .await;
    assert!(
        forgetful.forgotten.lock().expect("forgotten").contains("list usagereports"),
        "{}",
        operator.said()
    );
    account.create::<UsageReport>("late", usage("late", 1, 10)).await;
    account.state_is::<UsageReport>("late", "Charged").await;
    account.balance(&(1_090 - 10 * count).to_string()).await;
}

/// Gives lists page by page, lets the first watch of pending reports find that it is too old, and stops in the midst of
/// the list that follows.
#[derive(Default)]
struct Halting {
    watches: AtomicUsize,
    lists: AtomicUsize,
    page: AtomicUsize,
    has_halted: AtomicBool,
}

impl Halting {
    /// The page of the second list that never comes.
    const LAST_PAGE: usize = 3;
}

impl Interference for Halting {
    async fn meet(&self, head: &mut request::Parts) -> Option<Response> {
        if asked_of_pending_reports(head)? == "watch" {
            let is_first = self.watches.fetch_add(1, Ordering::SeqCst) == 0;
            return is_first.then(|| json!({"type": "ERROR", "object": gone()}).to_string().into_response());
        }
        give_small_pages(head);
        if !head.uri.query().unwrap_or_default().contains("continue=") {
            self.lists.fetch_add(1, Ordering::SeqCst);
            self.page.store(0, Ordering::SeqCst);
        }
        let page = self.page.fetch_add(1, Ordering::SeqCst) + 1;
        if self.lists.load(Ordering::SeqCst) == 2 && page == Self::LAST_PAGE {
            self.has_halted.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        None
    }
}

#[tokio::test]
async fn an_operator_that_dies_in_the_midst_of_a_relist_leaves_nothing_uncharged_and_nothing_twice() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "relist").await;
    let count = i64::try_from(Halting::LAST_PAGE).expect("count") + 3;
    for index in 1..=count {
        let name = format!("early-{index}");
        account.create::<UsageReport>(&name, usage(&name, 1, 10)).await;
    }
    let halting = Arc::new(Halting::default());
    let kubeconfig = relay::start(&world, Arc::clone(&halting)).await;
    let Watched { operator, .. } = Watched::start_as(&world, &kubeconfig);
    let has_halted = async || halting.has_halted.load(Ordering::SeqCst).then_some(());
    wait_for("a relist is in its midst", has_halted).await;
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    // What it knew of before is charged while the relist hangs.
    account.balance(&(1_100 - 10 * count).to_string()).await;
    for name in ["late-1", "late-2", "late-3"] {
        account.create::<UsageReport>(name, usage(name, 1, 10)).await;
    }
    operator.kill();
    let _operator = Watched::start_as(&world, &kubeconfig);
    account.balance(&(1_100 - 10 * (count + 3)).to_string()).await;
    account.has_totals(&[("consumed", &(10 * (count + 3)).to_string())]).await;
}

/// Refuses all that is asked for, for a while.
#[derive(Default)]
struct Overloaded {
    until: Mutex<Option<Instant>>,
    /// How often each thing was asked for meanwhile.
    tries: Mutex<BTreeMap<String, usize>>,
}

impl Overloaded {
    /// How long everything is refused.
    const TIME: Duration = Duration::from_secs(15);

    /// How long it is asked to wait, in seconds.
    const PATIENCE: &str = "5";

    fn begin(&self) {
        *self.until.lock().expect("until") = Some(Instant::now() + Self::TIME);
    }

    fn is_over(&self) -> bool {
        self.until.lock().expect("until").is_some_and(|until| until < Instant::now())
    }
}

impl Interference for Overloaded {
    async fn meet(&self, head: &mut request::Parts) -> Option<Response> {
        if self.is_over() || self.until.lock().expect("until").is_none() {
            return None;
        }
        let is_watch = head.uri.query().unwrap_or_default().contains("watch=true");
        let what = format!("{} {}{}", head.method, head.uri.path(), if is_watch { " watch" } else { "" });
        *self.tries.lock().expect("tries").entry(what).or_default() += 1;
        let patience = [(header::RETRY_AFTER, Self::PATIENCE)];
        Some((StatusCode::TOO_MANY_REQUESTS, patience).into_response())
    }
}

#[tokio::test]
async fn a_server_that_refuses_everything_for_long_is_asked_few_times_and_nothing_is_lost() {
    let world = World::start().await;
    let overloaded = Arc::new(Overloaded::default());
    let kubeconfig = relay::start(&world, Arc::clone(&overloaded)).await;
    // Watches end soon, so that they are refused as well.
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
    // A watch is compared with the server's latest version before it resumes: that is refused already.
    assert!(tries.keys().any(|what| what.ends_with("v1alpha1/usagereports")), "{tries:?}");
    assert!(tries.keys().any(|what| what.contains("creditledgers/acme")), "{tries:?}");
    // Every five seconds, and watches more seldom each time.
    assert!(tries.values().all(|count| *count <= 6), "{tries:?}");
}
