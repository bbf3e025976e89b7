//! A reporter with the role `flashgate-reporter`. `chart::sources` tests that it cannot use another source.

use flashgate_api::{CreditLedger, Subscription, UsageReport};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{
    ADJUSTMENT, KINDS, PACK, PAYMENT, REPORT, SUBSCRIPTION, attacked, money, open_account, ready_reason,
    usage, wait_for_operator,
};

/// The namespace of the reporter.
pub const NAMESPACE: &str = "attacked-reporter";

/// The namespace of a reporter that keeps sending reports of zero.
pub const FLOODED: &str = "flooded-with-zeros";

/// Number of reports of zero: more than the maximum number of sources.
const ZEROS: usize = 1_100;

/// Maximum bytes of a ledger with one source and no history.
const SMALL_LEDGER: usize = 16 * 1_024;

/// Above the maximum request size of the API server.
const FAR_TOO_LONG: usize = 4_000_000;

/// Minutes in a year.
const YEAR: i64 = 365 * 24 * 60;

#[tokio::test]
async fn a_reporter_can_charge_each_window_once_and_do_nothing_else() {
    let attacked = attacked().await;
    let namespace = attacked.namespace(NAMESPACE, &["reporter"]).await;
    open_account(&namespace).await;
    let reporter = attacked.caller("reporter").await;
    let spec = usage("gw", (-30, -1), "10G");
    assert_eq!(reporter.create(NAMESPACE, REPORT, "first", spec.clone()).await.0, 201);
    namespace.state_is::<UsageReport>("first", "Charged").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1000").await;
    for name in ["again", "and-again", "first-2"] {
        assert_eq!(reporter.create(NAMESPACE, REPORT, name, spec.clone()).await.0, 201);
        ready_reason(&namespace, REPORT, name, "DuplicateWindow").await;
    }
    let mut part = spec.clone();
    part["window"] = usage("gw", (-29, -28), "1T")["window"].clone();
    part["usage"][0]["quantity"] = json!("1T");
    assert_eq!(reporter.create(NAMESPACE, REPORT, "part", part).await.0, 201);
    namespace.state_is::<UsageReport>("part", "Rejected").await;
    let path = format!("{}/first", REPORT.path(NAMESPACE));
    let more =
        json!({"spec": {"usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "0"}]}});
    assert_eq!(reporter.call("PATCH", &path, &more).await.0, 422, "what was stated does not change");
    assert_eq!(reporter.call("DELETE", &path, &Value::Null).await.0, 403, "nor does it go away");
    let forged = json!({"status": {"state": "Rejected"}});
    assert_eq!(reporter.call("PATCH", &format!("{path}/status"), &forged).await.0, 403);
    for kind in [SUBSCRIPTION, PACK, PAYMENT, ADJUSTMENT] {
        assert_eq!(reporter.create(NAMESPACE, kind, "forged", json!({})).await.0, 403, "{kind:?}");
    }
    for kind in KINDS.into_iter().filter(|kind| *kind != REPORT) {
        assert_eq!(reporter.call("GET", &kind.path(NAMESPACE), &Value::Null).await.0, 403, "{kind:?}");
    }
    let before = money(&namespace).await;
    assert_eq!(before["totals"]["consumed"], "100");
    // The operator refuses a window in the next year. Windows in the next century and huge reports fail
    // admission.
    assert_eq!(
        reporter.create(NAMESPACE, REPORT, "next-year", usage("gw", (YEAR, YEAR + 60), "1P")).await.0,
        201
    );
    ready_reason(&namespace, REPORT, "next-year", "TooEarly").await;
    assert_eq!(
        reporter.create(NAMESPACE, REPORT, "refused", usage("gw", (80 * YEAR, 80 * YEAR + 1), "1")).await.0,
        422
    );
    for (status, usage) in huge() {
        let mut spec = spec.clone();
        spec["usage"] = usage;
        assert_eq!(reporter.create(NAMESPACE, REPORT, "refused", spec).await.0, status);
    }
    wait_for_operator(&namespace, "mark").await;
    let after = money(&namespace).await;
    assert_eq!(after["totals"]["consumed"], before["totals"]["consumed"]);
}

#[tokio::test]
async fn a_flood_of_zero_reports_uses_no_source_and_no_space_in_the_ledger() {
    let attacked = attacked().await;
    let namespace = attacked.namespace(FLOODED, &["reporter"]).await;
    open_account(&namespace).await;
    let reporter = attacked.caller("reporter").await;
    let zeros = futures::stream::iter(0..ZEROS).map(|index| {
        let (reporter, name) = (&reporter, format!("zero-{index}"));
        let spec = usage(&format!("pod-{index:0>58}"), (-30, -1), "0");
        async move { assert_eq!(reporter.create(FLOODED, REPORT, &name, spec).await.0, 201, "{name}") }
    });
    zeros.buffer_unordered(16).collect::<Vec<()>>().await;
    for index in 0..ZEROS {
        namespace.state_is::<UsageReport>(&format!("zero-{index}"), "Charged").await;
    }
    let honest = usage("gw", (-30, -1), "10G");
    assert_eq!(reporter.create(FLOODED, REPORT, "honest", honest).await.0, 201);
    namespace.state_is::<UsageReport>("honest", "Charged").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1000").await;
    let ledger = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger["spec"]["coverage"].as_object().map(serde_json::Map::len), Some(1));
    assert!(ledger["spec"].to_string().len() < SMALL_LEDGER, "{ledger:#}");
}

/// Returns lists of lines that are too many or too long, with the HTTP status of the rejection.
fn huge() -> Vec<(u16, Value)> {
    let line = |operation: &str, label: &str| {
        json!({
            "nodeType": "Public", "operation": operation, "quantity": "1", "labels": {"repo": label},
        })
    };
    vec![
        (422, json!(vec![line("StorageEgress", "a"); 1_001])),
        (422, json!([line(&"S".repeat(1_000), "a")])),
        (422, json!([line("StorageEgress", &"a".repeat(1_000))])),
        (413, json!([line("StorageEgress", &"a".repeat(FAR_TOO_LONG))])),
    ]
}
