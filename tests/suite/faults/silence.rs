//! An API server that is silent: requests without an answer, and watches without events.

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
use crate::relay::{self, Interceptor};
use crate::world::{World, wait_for};

/// Returns whether a request lists or watches pending reports.
pub fn asked_of_pending_reports(head: &request::Parts) -> Option<&'static str> {
    let query = head.uri.query().unwrap_or_default();
    // Only pending reports are selected by states that they do not have.
    let is_pending = head.uri.path().ends_with("/usagereports") && query.contains("%21%3D");
    let what = if query.contains("watch=true") { "watch" } else { "list" };
    (head.method == Method::GET && is_pending).then_some(what)
}

/// Never answers the first list and the first watch of pending reports.
#[derive(Default)]
struct NoAnswer {
    swallowed: Mutex<BTreeSet<&'static str>>,
}

impl Interceptor for NoAnswer {
    async fn on_request(&self, head: &mut request::Parts) -> Option<Response> {
        let asked = asked_of_pending_reports(head)?;
        let is_first = self.swallowed.lock().expect("swallowed").insert(asked);
        if is_first {
            std::future::pending::<()>().await;
        }
        None
    }
}

#[tokio::test]
async fn an_unanswered_list_or_watch_is_repeated() {
    let world = World::start().await;
    let no_answer = Arc::new(NoAnswer::default());
    let kubeconfig = relay::start(&world, Arc::clone(&no_answer)).await;
    let watched = Watched::start_with(&world, &kubeconfig, &["--reply-seconds", "2"]);
    let account = open_account(&world, "unanswered").await;
    assert_eq!(watched.operator.get("/readyz"), Some((200, "ok\n".to_owned())), "{}", watched.read_log());
    account.create::<UsageReport>("gw", usage("gw", 1, 10)).await;
    account.state_is::<UsageReport>("gw", "Charged").await;
    account.balance("1090").await;
    assert_eq!(no_answer.swallowed.lock().expect("swallowed").len(), 2);
    assert!(watched.read_log().contains("no reply within 2 seconds"), "{}", watched.read_log());
}

/// Accepts the first watch of pending reports, and drops its events.
#[derive(Default)]
struct SilentWatch {
    is_silent: AtomicBool,
}

impl Interceptor for SilentWatch {
    async fn on_request(&self, _: &mut request::Parts) -> Option<Response> {
        None
    }

    fn on_response(&self, head: &request::Parts, answer: Response) -> Response {
        if asked_of_pending_reports(head) != Some("watch") || self.is_silent.swap(true, Ordering::Relaxed) {
            return answer;
        }
        let nothing = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        answer.map(|_| Body::from_stream(nothing))
    }
}

#[tokio::test]
async fn a_silent_watch_is_restarted_and_no_event_is_missed() {
    let world = World::start().await;
    let silent = Arc::new(SilentWatch::default());
    let kubeconfig = relay::start(&world, Arc::clone(&silent)).await;
    let watched = Watched::start_with(&world, &kubeconfig, &["--silence-seconds", "4"]);
    let is_silent = async || silent.is_silent.load(Ordering::Relaxed).then_some(());
    wait_for("the watch of reports is silent", is_silent).await;
    let account = open_account(&world, "silent").await;
    account.create::<UsageReport>("meanwhile", usage("gw", 1, 10)).await;
    account.state_is::<UsageReport>("meanwhile", "Charged").await;
    account.balance("1090").await;
    assert!(watched.read_log().contains("a watch was silent for 4 seconds"), "{}", watched.read_log());
}
