//! Tests of interruptions: which of them need a list.

use super::*;

/// Expects a list, during which the known state stays in use, and answers that `a/1` is gone.
async fn expect_list(running: &mut Running) {
    let call = running.server.list().await;
    assert_eq!(running.status("a/1"), 200);
    call.objects(50, &[subscription("a/2", 40, 5)]);
    running.until_status("a/1", 403).await;
    assert_eq!(running.status("a/2"), 200);
    running.server.watch(50).await;
}

/// Interrupts the watch of a gate with an account `a/1`, and expects that everything is listed again.
async fn expect_list_after(interrupt: impl Fn(&crate::tests::api_server::Watch)) {
    let mut running = Running::listed(&[subscription("a/1", 3, 5)]).await;
    let watch = running.server.watch(10).await;
    watch.event("ADDED", &subscription("a/3", 20, 5));
    running.until_status("a/3", 200).await;
    interrupt(&watch);
    expect_list(&mut running).await;
    assert!(watch.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_version_that_the_server_no_longer_has_needs_a_list() {
    expect_list_after(|watch| watch.error(410)).await;
    let mut running = Running::listed(&[subscription("a/1", 3, 5)]).await;
    running.server.call().await.refuse(410);
    expect_list(&mut running).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_watch_in_the_server_needs_a_list() {
    expect_list_after(|watch| watch.error(500)).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_that_goes_back_needs_a_list() {
    expect_list_after(|watch| watch.event("MODIFIED", &subscription("a/3", 19, 5))).await;
    expect_list_after(|watch| watch.event("DELETED", &subscription("a/1", 5, 5))).await;
    expect_list_after(|watch| watch.bookmark(19)).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_decoded_needs_a_list() {
    let versionless = json!({"metadata": {"namespace": "a", "name": "1"}});
    expect_list_after(|watch| watch.event("MODIFIED", &versionless)).await;
    let odd = json!({"metadata": {"namespace": "a", "name": "1", "resourceVersion": "x2"}});
    expect_list_after(|watch| watch.event("MODIFIED", &odd)).await;
    expect_list_after(|watch| watch.event("BOOKMARK", &json!({"metadata": {}}))).await;
    expect_list_after(|watch| watch.event("OTHER", &subscription("a/3", 30, 5))).await;
    expect_list_after(|watch| watch.line("{\"type\": \"MODIFIED\", \"object\": nothing}")).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_version_again_is_no_interruption() {
    let mut running = Running::listed(&[]).await;
    let watch = running.server.watch(10).await;
    watch.bookmark(10);
    watch.event("ADDED", &subscription("a/1", 11, 5));
    watch.bookmark(11);
    watch.event("MODIFIED", &subscription("a/1", 12, 0));
    running.until_status("a/1", 402).await;
    assert!(!watch.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_resumed_at_the_last_version() {
    let mut running = Running::listed(&[]).await;
    let watch = running.server.watch(10).await;
    watch.event("ADDED", &subscription("a/1", 11, 5));
    running.until_status("a/1", 200).await;
    watch.reset();
    running.server.comparison().await.objects(11, &[]);
    // The client cannot reach the server.
    drop(running.server.call().await);
    running.server.comparison().await.refuse(503);
    running.server.comparison().await.objects(30, &[]);
    let watch = running.server.watch(11).await;
    watch.event("DELETED", &subscription("a/1", 12, 5));
    running.until_status("a/1", 403).await;
}

#[tokio::test(start_paused = true)]
async fn versions_that_went_back_while_the_connection_was_broken_need_a_list() {
    let mut running = Running::listed(&[subscription("a/1", 3, 5)]).await;
    running.server.watch(10).await.reset();
    running.server.comparison().await.objects(9, &[]);
    expect_list(&mut running).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_accepted_but_ends_at_once_needs_a_list() {
    let mut running = Running::listed(&[subscription("a/1", 3, 5)]).await;
    drop(running.server.watch(10).await);
    expect_list(&mut running).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_early_is_resumed_after_a_comparison() {
    let mut running = Running::listed(&[]).await;
    let watch = running.server.watch(10).await;
    sleep(5 * SECOND).await;
    drop(watch);
    running.server.comparison().await.objects(10, &[]);
    let watch = running.server.watch(10).await;
    watch.bookmark(11);
    drop(watch);
    running.server.comparison().await.objects(11, &[]);
    running.server.watch(11).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_interrupted_starts_over() {
    let mut running = Running::listed(&[subscription("a/1", 3, 5)]).await;
    running.server.watch(10).await.error(410);
    running.server.list().await.page(50, "second", &[subscription("a/1", 3, 5), subscription("a/2", 4, 5)]);
    let call = running.server.list().await;
    assert_eq!(call.query.get("continue").map(String::as_str), Some("second"));
    call.refuse(410);
    let call = running.server.list().await;
    assert_eq!(call.query.get("continue"), None);
    assert_eq!(["a/1", "a/2"].map(|name| running.status(name)), [200; 2]);
    call.page(60, "second", &[subscription("a/2", 4, 5)]);
    running.server.list().await.text("{}");
    running.server.list().await.text("odd");
    drop(running.server.list().await);
    running.server.list().await.objects(70, &[subscription("a/2", 4, 5)]);
    running.until_status("a/1", 403).await;
    running.server.watch(70).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_arrive_is_given_up() {
    let mut running = Running::new();
    let begin = Instant::now();
    // The first call is never answered.
    let _first = running.server.list().await;
    running.server.list().await.objects(10, &[]);
    assert_eq!(begin.elapsed().as_secs(), 30);
    let _watch = running.server.call().await;
    let _comparison = running.server.comparison().await;
    assert_eq!(begin.elapsed().as_secs(), 50);
    running.server.comparison().await.objects(10, &[]);
    assert_eq!(begin.elapsed().as_secs(), 81);
}

#[tokio::test(start_paused = true)]
async fn pauses_between_tries_double_and_begin_again_after_an_event() {
    let mut running = Running::listed(&[]).await;
    let mut waited = Vec::new();
    let mut watch = running.server.watch(10).await;
    for round in 0..5_u64 {
        if round == 3 {
            watch.bookmark(11);
            until("the bookmark is read", || running.gate.figures().contact_age == Duration::ZERO).await;
        }
        let begin = Instant::now();
        watch.error(410);
        running.server.list().await.objects(10, &[]);
        waited.push(begin.elapsed().as_millis());
        watch = running.server.watch(10).await;
    }
    assert_eq!(waited, [200, 400, 800, 200, 400]);
}
