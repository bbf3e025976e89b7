//! Tests of the contact with the API server: when the state is stale, and when it is fresh again.

use super::*;
use crate::configuration::{Policies, Policy};
use crate::figures::DecisionResult;

/// Returns the value of the header with the reason of the answer about an account.
fn reason(running: &Running, name: &str) -> String {
    let answer = running.gate.answer(named_by_path(name));
    answer.headers["x-flashgate-reason"].to_str().expect("text").to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_state_is_stale_before_the_first_list() {
    let mut running = Running::new();
    let call = running.server.list().await;
    assert_eq!((running.status("a/1"), reason(&running, "a/1")), (403, "Stale".to_owned()));
    assert_eq!(reason(&running, "not an account"), "UnknownAccount");
    call.objects(10, &[subscription("a/1", 3, 5)]);
    running.until_status("a/1", 200).await;
    assert!(!running.is_stale());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_hangs_makes_the_state_stale_until_it_works_again() {
    let mut running = Running::listed(&[subscription("a/1", 3, 5), subscription("a/2", 3, 0)]).await;
    let begin = Instant::now();
    // The watch is open, but nothing arrives.
    let watch = running.server.watch(10).await;
    sleep(25 * SECOND).await;
    assert!(!watch.is_closed());
    let _hanging = running.server.comparison().await;
    assert_eq!(begin.elapsed().as_secs(), 30);
    assert!(watch.is_closed());
    sleep(29 * SECOND).await;
    assert_eq!(running.gate.figures().contact_age.as_secs(), 59);
    assert_eq!(["a/1", "a/2", "a/3"].map(|name| running.status(name)), [200, 402, 403]);
    sleep(SECOND).await;
    assert!(running.is_stale() && running.gate.is_listed());
    for name in ["a/1", "a/2", "a/3"] {
        assert_eq!((running.status(name), reason(&running, name)), (403, "Stale".to_owned()), "{name}");
    }
    running.server.comparison().await.objects(10, &[]);
    let watch = running.server.watch(10).await;
    running.until_status("a/1", 200).await;
    assert_eq!((running.status("a/2"), running.is_stale()), (402, false));
    drop(watch);
}

#[tokio::test(start_paused = true)]
async fn requests_pass_while_the_state_is_stale_if_the_owner_chose_so() {
    let policies = Policies { unknown: Policy::Deny, stale: Policy::Allow };
    let mut running = Running::with(Configuration { policies, ..configuration() });
    let call = running.server.list().await;
    for name in ["a/1", "a/2"] {
        assert_eq!((running.status(name), reason(&running, name)), (200, "Stale".to_owned()), "{name}");
    }
    assert_eq!(running.status("not an account"), 403);
    call.objects(10, &[subscription("a/1", 3, 0)]);
    running.until_status("a/1", 402).await;
    let figures = running.gate.figures();
    assert!(figures.fails_open_when_stale && !figures.fails_open_when_unknown);
    assert_eq!(figures.decisions(DecisionResult::UnknownDenied), 1);
    assert!(figures.decisions(DecisionResult::StaleAllowed) >= 4);
}

#[tokio::test(start_paused = true)]
async fn each_event_and_each_watch_is_a_contact() {
    let mut running = Running::listed(&[]).await;
    let watch = running.server.watch(10).await;
    let age = |running: &Running| running.gate.figures().contact_age.as_secs();
    sleep(10 * SECOND).await;
    assert_eq!(age(&running), 10);
    watch.bookmark(11);
    until("a bookmark is a contact", || age(&running) == 0).await;
    sleep(5 * SECOND).await;
    watch.event("ADDED", &subscription("a/1", 12, 5));
    until("an event is a contact", || age(&running) == 0).await;
    sleep(5 * SECOND).await;
    assert_eq!(age(&running), 5);
    drop(watch);
    running.server.watch(12).await;
    until("the start of a watch is a contact", || age(&running) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_never_complete_and_a_comparison_are_no_contact() {
    let mut running = Running::listed(&[subscription("a/1", 3, 5)]).await;
    running.server.watch(10).await.error(410);
    let begin = Instant::now();
    while begin.elapsed() < 60 * SECOND {
        running.server.list().await.page(50, "second", &[]);
        running.server.list().await.refuse(500);
    }
    assert!(running.is_stale());
    running.server.list().await.objects(50, &[]);
    until("a complete list is a contact", || !running.is_stale()).await;
    running.server.watch(50).await.reset();
    let begin = Instant::now();
    while begin.elapsed() < 60 * SECOND {
        running.server.comparison().await.objects(50, &[]);
        running.server.call().await.refuse(500);
    }
    assert!(running.is_stale());
}

#[tokio::test(start_paused = true)]
async fn the_state_is_stale_if_one_namespace_is() {
    let namespaces = ["a", "b"].map(str::to_owned).to_vec();
    let mut running = Running::with(Configuration { namespaces, ..configuration() });
    for namespace in ["a/1", "b/1"] {
        running.server.list().await.objects(10, &[subscription(namespace, 3, 5)]);
    }
    running.until_listed().await;
    let (a, _b) = (running.server.watch(10).await, running.server.watch(10).await);
    for version in 11..18 {
        assert!(!running.is_stale());
        sleep(9 * SECOND).await;
        if !a.is_closed() {
            a.bookmark(version);
        }
        while let Some(call) = running.server.call().now_or_never() {
            if call.path.contains("/a/") && call.query.contains_key("limit") {
                call.objects(version, &[]);
            }
        }
    }
    assert!(running.is_stale());
    assert_eq!(["a/1", "b/1"].map(|name| running.status(name)), [403; 2]);
}

#[tokio::test(start_paused = true)]
async fn the_shortest_time_is_kept_without_becoming_stale() {
    for (millis, rounds) in [(1_000, 60), (3_000, 30)] {
        let stale_after = Duration::from_millis(millis);
        let mut running = Running::with(Configuration { stale_after, ..configuration() });
        running.server.list().await.objects(10, &[]);
        running.until_listed().await;
        for _ in 0..rounds {
            let call = running.server.call().await;
            assert!(!running.is_stale());
            assert_eq!(call.query.get("timeoutSeconds").map(String::as_str), Some("1"));
            let watch = call.watch();
            // The server ends a watch after one second, unless the gate has ended it before.
            let ended = async {
                sleep(SECOND).await;
                drop(watch);
            };
            let _ending = tokio::spawn(ended);
        }
    }
}
