//! Tests of the watch with an API server whose answers the test writes. Time is virtual.

mod interruptions;
mod staleness;

use super::*;
use crate::configuration::Configuration;
use crate::gate::Gate;
use crate::lookup::named_by_path;
use crate::tests::api_server::{ApiServer, api_server, subscription};
use crate::tests::{configuration, until};
use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const SECOND: Duration = Duration::from_secs(1);

/// A gate that runs, and its API server.
struct Running {
    gate: Gate,
    server: ApiServer,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn with(configuration: Configuration) -> Self {
        let (client, server) = api_server();
        let gate = Gate::new(client, configuration).expect("gate");
        let running = gate.clone();
        Self { gate, server, task: tokio::spawn(async move { running.run().await }) }
    }

    fn new() -> Self {
        Self::with(configuration())
    }

    /// Returns a gate that has listed these objects at version 10.
    async fn listed(objects: &[Value]) -> Self {
        let mut running = Self::new();
        running.server.list().await.objects(10, objects);
        running.until_listed().await;
        running
    }

    async fn until_listed(&self) {
        until("the first list is complete", || self.gate.is_listed()).await;
    }

    /// Returns the status of the answer about an account.
    fn status(&self, name: &str) -> u16 {
        self.gate.answer(named_by_path(name)).status.as_u16()
    }

    /// Waits until the answer about an account has this status. No time passes.
    async fn until_status(&self, name: &str, status: u16) {
        until(&format!("{name} is answered by {status}"), || self.status(name) == status).await;
    }

    fn is_stale(&self) -> bool {
        self.gate.figures().is_stale
    }
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_listed_and_then_watched() {
    let mut running = Running::new();
    let path = "/apis/billing.flashgate.dev/v1alpha1/subscriptions";
    let call = running.server.list().await;
    assert_eq!((call.path.as_str(), call.query.len()), (path, 1), "{:?}", call.query);
    call.page(10, "second", &[subscription("a/1", 3, 5), subscription("a/2", 9, 0)]);
    let call = running.server.list().await;
    assert_eq!(call.query.get("continue").map(String::as_str), Some("second"));
    assert!(!running.gate.is_listed());
    call.page(10, "third", &[subscription("b/1", 4, 5)]);
    running.server.list().await.objects(12, &[subscription("b/2", 12, 5)]);
    let call = running.server.call().await;
    assert_eq!(call.path, path);
    let query: Vec<(&str, &str)> =
        call.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        query,
        [
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", "10"),
            ("timeoutSeconds", "20"),
            ("watch", "true")
        ]
    );
    let statuses = ["a/1", "a/2", "b/1", "b/2", "c/1"].map(|name| running.status(name));
    assert_eq!(statuses, [200, 402, 200, 200, 403]);
    let figures = running.gate.figures();
    assert_eq!((figures.accounts, figures.accounts_closed), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_is_visible_as_soon_as_it_is_read() {
    let mut running = Running::listed(&[subscription("a/1", 3, 0)]).await;
    let watch = running.server.watch(10).await;
    assert_eq!(running.status("a/1"), 402);
    watch.event("MODIFIED", &subscription("a/1", 11, 100));
    running.until_status("a/1", 200).await;
    watch.event("ADDED", &subscription("a/2", 12, 5));
    running.until_status("a/2", 200).await;
    watch.event("MODIFIED", &subscription("a/2", 13, -1));
    running.until_status("a/2", 402).await;
    watch.event("DELETED", &subscription("a/2", 14, -1));
    running.until_status("a/2", 403).await;
    assert_eq!(running.status("a/1"), 200);
    assert!(running.server.is_idle());
}

#[tokio::test(start_paused = true)]
async fn the_label_of_an_api_key_is_followed() {
    let lookup = crate::lookup::Lookup::api_key("x-key").expect("lookup");
    let mut running = Running::with(Configuration { lookup, ..configuration() });
    let mut object = subscription("a/1", 3, 5);
    object["metadata"]["labels"] =
        json!({"api-key.billing.flashgate.dev/x": "2c70e12b7a0646f92279f427c7b38e7334d8e538"});
    running.server.list().await.objects(10, &[object]);
    running.until_listed().await;
    let headers =
        http::HeaderMap::from_iter([(http::HeaderName::from_static("x-key"), "key".parse().expect("value"))]);
    let gate = running.gate.clone();
    let status = || gate.answer(gate.lookup().named(&headers, None)).status.as_u16();
    assert_eq!(status(), 200);
    let watch = running.server.watch(10).await;
    watch.event("MODIFIED", &subscription("a/1", 11, 5));
    until("the key is unknown", || status() == 403).await;
}

#[tokio::test(start_paused = true)]
async fn the_server_ends_each_watch_and_the_next_one_begins_at_the_last_version() {
    let mut running = Running::listed(&[]).await;
    let watch = running.server.watch(10).await;
    watch.event("ADDED", &subscription("a/1", 15, 5));
    watch.bookmark(20);
    sleep(20 * SECOND).await;
    drop(watch);
    let watch = running.server.watch(20).await;
    sleep(20 * SECOND).await;
    drop(watch);
    running.server.watch(20).await;
}

#[tokio::test(start_paused = true)]
async fn after_its_first_list_the_gate_only_watches() {
    let mut running = Running::listed(&[]).await;
    for _ in 0..180 {
        let watch = running.server.watch(10).await;
        sleep(20 * SECOND).await;
        assert!(!running.is_stale());
        drop(watch);
    }
}

#[tokio::test(start_paused = true)]
async fn an_odd_object_does_not_stop_the_watch_of_others() {
    let odd = json!({"metadata": {"namespace": 7, "resourceVersion": "3"}, "status": []});
    let closed = json!({"metadata": {"namespace": "a", "name": "1", "resourceVersion": "3"}, "status": {"gate": "odd"}});
    let mut running = Running::listed(&[odd.clone(), closed, json!("odd"), subscription("a/2", 3, 5)]).await;
    assert_eq!((running.status("a/1"), running.status("a/2")), (402, 200));
    let watch = running.server.watch(10).await;
    let mut odd = odd;
    for (version, kind) in [(11, "ADDED"), (12, "MODIFIED"), (13, "DELETED")] {
        odd["metadata"]["resourceVersion"] = json!(version.to_string());
        watch.event(kind, &odd);
    }
    let mut object = subscription("a/2", 14, 5);
    object["status"] = json!(null);
    watch.event("MODIFIED", &object);
    running.until_status("a/2", 402).await;
    watch.event("MODIFIED", &subscription("a/2", 15, 5));
    running.until_status("a/2", 200).await;
    assert!(running.server.is_idle());
}

#[tokio::test(start_paused = true)]
async fn each_namespace_has_its_own_list_and_watch() {
    let namespaces = ["b", "a"].map(str::to_owned).to_vec();
    let mut running = Running::with(Configuration { namespaces, ..configuration() });
    let path =
        |namespace| format!("/apis/billing.flashgate.dev/v1alpha1/namespaces/{namespace}/subscriptions");
    let calls = [running.server.list().await, running.server.list().await];
    for (call, (namespace, version)) in calls.into_iter().zip([("a", 10), ("b", 30)]) {
        assert_eq!(call.path, path(namespace));
        assert!(!running.gate.is_listed() && running.is_stale());
        call.objects(version, &[subscription(&format!("{namespace}/1"), 3, 5)]);
    }
    running.until_listed().await;
    let (a, b) = (running.server.watch(10).await, running.server.watch(30).await);
    b.event("ADDED", &subscription("b/2", 31, 5));
    running.until_status("b/2", 200).await;
    // A list of one namespace leaves the accounts of the other one alone.
    a.error(410);
    let call = running.server.list().await;
    assert_eq!(call.path, path("a"));
    call.objects(40, &[subscription("a/2", 35, 5)]);
    running.until_status("a/1", 403).await;
    assert_eq!(["a/2", "b/1", "b/2"].map(|name| running.status(name)), [200; 3]);
}

#[test]
fn the_times_follow_from_the_time_until_the_state_is_stale() {
    for (stale_after, server, client_millis, is_client_first, start_millis, pause_millis) in [
        (60_000, 20, 30_000, false, 20_000, 5_000),
        (30_000, 10, 15_000, false, 10_000, 5_000),
        (3_000, 1, 1_500, false, 1_000, 1_000),
        (2_000, 1, 666, true, 666, 666),
        (1_000, 1, 333, true, 333, 333),
        (7_200_000, 290, 300_000, false, 30_000, 5_000),
    ] {
        let times = Times::of(Duration::from_millis(stale_after));
        assert_eq!(times.server, server, "{stale_after}");
        assert_eq!(times.client.as_millis(), client_millis, "{stale_after}");
        assert_eq!(times.is_client_first, is_client_first, "{stale_after}");
        assert_eq!(times.start.as_millis(), start_millis, "{stale_after}");
        assert_eq!(times.longest_pause.as_millis(), pause_millis, "{stale_after}");
        assert!(times.client < Duration::from_millis(stale_after), "{stale_after}");
    }
}

#[test]
fn pauses_double_up_to_a_limit_and_begin_again() {
    let mut pauses = Pauses { longest: Duration::from_secs(5), count: 0 };
    let millis: Vec<u128> = (0..8).map(|_| pauses.next().as_millis()).collect();
    assert_eq!(millis, [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    pauses.reset();
    assert_eq!(pauses.next().as_millis(), 200);
    let mut pauses = Pauses { longest: Duration::from_millis(333), count: u32::MAX };
    assert_eq!([pauses.next().as_millis(), pauses.next().as_millis()], [333, 333]);
}
