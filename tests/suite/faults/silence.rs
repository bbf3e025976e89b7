//! A server that says nothing: calls that are never answered, and watches that bring nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::{Method, request};
use axum::response::Response;
use flashgate_api::UsageReport;

use super::sizes::usage;
use super::{Watched, open_account};
use crate::relay::{self, Interference};
use crate::world::{World, wait_for};

/// Says what is asked for of the pending reports: a list or a watch.
pub fn asked_of_pending_reports(head: &request::Parts) -> Option<&'static str> {
    let query = head.uri.query().unwrap_or_default();
    // Only what is pending is selected by what it is not.
    let is_pending = head.uri.path().ends_with("/usagereports") && query.contains("%21%3D");
    let what = if query.contains("watch=true") { "watch" } else { "list" };
    (head.method == Method::GET && is_pending).then_some(what)
}

/// Never answers the first list, nor the first start of a watch, of pending reports.
#[derive(Default)]
struct Hole {
    swallowed: Mutex<BTreeSet<&'static str>>,
}

impl Interference for Hole {
    async fn meet(&self, head: &mut request::Parts) -> Option<Response> {
        let asked = asked_of_pending_reports(head)?;
        let is_first = self.swallowed.lock().expect("swallowed").insert(asked);
        if is_first {
            std::future::pending::<()>().await;
        }
        None
    }
}

#[tokio::test]
async fn a_list_and_a_watch_that_are_never_answered_are_asked_for_again() {
    let world = World::start().await;
    let hole = Arc::new(Hole::default());
    let kubeconfig = relay::start(&world, Arc::clone(&hole)).await;
    let watched = Watched::start_with(&world, &kubeconfig, &["--reply-seconds", "2"]);
    let account = open_account(&world, "unanswered").await;
    assert_eq!(watched.operator.get("/readyz"), Some((200, "ok\n".to_owned())), "{}", watched.said());
    account.create::<UsageReport>("gw", usage("gw", 1, 10)).await;
    account.state_is::<UsageReport>("gw", "Charged").await;
    account.balance("1090").await;
    assert_eq!(hole.swallowed.lock().expect("swallowed").len(), 2);
    assert!(watched.said().contains("no reply within 2 seconds"), "{}", watched.said());
}

/// Lets the first watch of pending reports begin, and brings nothing of it.
#[derive(Default)]
struct Silent {
    is_silent: AtomicBool,
}

impl Interference for Silent {
    async fn meet(&self, _: &mut request::Parts) -> Option<Response> {
        None
    }

    fn amend(&self, head: &request::Parts, answer: Response) -> Response {
        if asked_of_pending_reports(head) != Some("watch") || self.is_silent.swap(true, Ordering::Relaxed) {
            return answer;
        }
        let nothing = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        answer.map(|_| Body::from_stream(nothing))
    }
}

#[tokio::test]
async fn a_watch_that_falls_silent_is_begun_again_and_nothing_is_missed() {
    let world = World::start().await;
    let silent = Arc::new(Silent::default());
    let kubeconfig = relay::start(&world, Arc::clone(&silent)).await;
    let watched = Watched::start_with(&world, &kubeconfig, &["--silence-seconds", "4"]);
    let is_silent = async || silent.is_silent.load(Ordering::Relaxed).then_some(());
    wait_for("the watch of reports is silent", is_silent).await;
    let account = open_account(&world, "silent").await;
    account.create::<UsageReport>("meanwhile", usage("gw", 1, 10)).await;
    account.state_is::<UsageReport>("meanwhile", "Charged").await;
    account.balance("1090").await;
    assert!(watched.said().contains("a watch was silent for 4 seconds"), "{}", watched.said());
}
