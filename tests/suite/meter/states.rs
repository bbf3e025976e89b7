//! The status of a meter in each state, and the meters that admission refuses.

use flashgate_testing::catalog::monthly;
use flashgate_testing::values::HOUR;
use jiff::Timestamp;
use serde_json::json;

use super::{Samples, close_windows, condition_of, create_meter, log_of, once, spec};
use crate::cluster_account::{LONG_AGO, now};
use crate::suite::billed::billed;
use crate::suite::prometheus::Prometheus;
use crate::world::bare;

#[tokio::test]
async fn a_meter_that_cannot_be_read_says_why_and_the_command_fails() {
    let world = &billed().await.world;
    let namespace = world.namespace("meter-states").await;
    namespace.account("acme").subscribe(monthly("starter"), Some(LONG_AGO)).await;
    create_meter(&namespace, "tokens", spec(|_| ())).await.expect("created");
    create_meter(&namespace, "other", spec(|spec| spec["prometheus"] = "thanos".into()))
        .await
        .expect("created");
    create_meter(&namespace, "wrong", spec(|spec| spec["selector"] = "{org=}".into()))
        .await
        .expect("created");
    let kubeconfig = world.plane.kubeconfig();
    let output = once(&kubeconfig, "http://127.0.0.1:1", &["meter-states"]).output().expect("started");
    assert_eq!(output.status.code(), Some(1), "{}", log_of(&output));
    let (status, reason, message) = condition_of(&namespace, "tokens", "Stalled").await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "SourceUnreachable"), "{message}");
    assert!(message.contains("check the server, the network policy and the credentials"), "{message}");
    let (_, reason, message) = condition_of(&namespace, "other", "Ready").await;
    assert_eq!(reason, "UnknownServer");
    assert!(message.contains("no server 'thanos'; it has default"), "{message}");

    let folder = tempfile::tempdir().expect("folder");
    let mut samples = Samples::default();
    let time = Timestamp::from_second(now() - HOUR).expect("time");
    samples.add("tokens_total{org=\"stranger\"}", 5, time);
    let prometheus = Prometheus::of_samples(folder.path(), &samples.text, &[]).await;
    let output = once(&kubeconfig, &prometheus.url(), &["meter-states"]).output().expect("started");
    assert_eq!(output.status.code(), Some(1), "{}", log_of(&output));
    let (status, reason, message) = condition_of(&namespace, "wrong", "Stalled").await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "QueryFailed"), "{message}");
    assert!(message.contains("bad_data"), "{message}");
    let (_, reason, message) = condition_of(&namespace, "tokens", "Ready").await;
    assert_eq!(reason, "UnknownAccount");
    assert!(message.contains("'stranger'"), "{message}");
    let columns = namespace.kubectl(&["get", "fgmeter", "tokens", "--output", "wide"], None).await;
    let columns = columns.succeeded().expect("columns");
    assert!(columns.contains("tokens_total") && columns.contains("UnknownAccount"), "{columns}");
}

#[tokio::test]
async fn a_server_with_a_small_limit_of_samples_is_read_in_parts() {
    let world = &billed().await.world;
    let namespace = world.namespace("meter-parts").await;
    namespace.account("acme").subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let start = (now() - 3 * HOUR) / HOUR * HOUR;
    let time = |second: i64| Timestamp::from_second(start + second).expect("time");
    let mut samples = Samples::default();
    for second in (0..HOUR).step_by(15) {
        samples.add("tokens_total{org=\"acme\"}", second, time(second));
    }
    let folder = tempfile::tempdir().expect("folder");
    let prometheus = Prometheus::of_samples(folder.path(), &samples.text, &["--query.max-samples=50"]).await;
    create_meter(&namespace, "tokens", spec(|spec| spec["startTime"] = time(0).to_string().into()))
        .await
        .expect("created");
    close_windows(world, &prometheus.url(), &["meter-parts"]).await;
    let reports = super::charged_reports(&namespace, "tokens").await;
    let sums = super::quantities(&reports);
    assert_eq!(sums.get("acme"), Some(&(HOUR - 15).into()));
}

#[tokio::test]
async fn admission_refuses_meters_that_could_not_be_read() {
    let namespace = bare().await.namespace("meter-refused").await;
    for (change, expected) in [
        (json!({"counter": "no counter"}), "must be the name of a metric"),
        (json!({"selector": "org=acme"}), "must be a selector in braces"),
        (json!({"account": {"label": "a-b"}}), "must be the name of a label"),
        (json!({"account": {"label": "org", "namespace": {}}}), "must have either `label` or `value`"),
        (json!({"window": {"length": "10s"}}), "must be a duration from 1m to 24h"),
        (json!({"window": {"length": "1m", "shortest": "5m"}}), "must be at most `length`"),
        (json!({"window": {"length": "soon"}}), "must be a duration from 1m to 24h"),
        (json!({"labels": {"a": "x", "b": "x", "c": "x", "d": "x", "e": "x"}}), "at most 4"),
        (
            json!({"usage": {"nodeType": {}, "operation": {"value": "TokensOut"}}}),
            "must have either `value` or `label`",
        ),
        (
            json!({"usage": {"nodeType": {"value": "Public"}, "operation": {"value": "TokensOut"}, "multiplier": "0"}}),
            "must be a decimal above 0",
        ),
        (json!({"prometheus": "http://prometheus"}), "must be lower-case letters"),
        (json!({"newSeriesLimit": 0}), "greater than or equal to 1"),
    ] {
        let changed = spec(|spec| {
            spec.as_object_mut().expect("spec").extend(change.as_object().expect("change").clone());
        });
        let error = create_meter(&namespace, "refused", changed).await.expect_err("refused").to_string();
        assert!(error.contains(expected), "{change}: {error}");
    }
    for name in ["a.b", &"m".repeat(64)] {
        let error = create_meter(&namespace, name, spec(|_| ())).await.expect_err("refused").to_string();
        assert!(error.contains("the name of a UsageMeter must have"), "{error}");
    }
    create_meter(
        &namespace,
        "accepted",
        spec(|spec| spec["window"] = json!({"length": "1h30m", "shortest": "90s"})),
    )
    .await
    .expect("accepted");
}
