//! Tests of offline admission with the manifests that are also applied to a real server.

use std::path::Path;
use std::time::Duration;

use flashgate_api::{Quantity, Subscription};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admission;

/// Time limit to validate a thousand small reports, in an unoptimized build on a busy machine.
const A_THOUSAND_REPORTS: Duration = Duration::from_secs(2);

thread_local! {
    /// Compiled once for the many cases of a property.
    static ADMISSION: Admission = admission();
}

fn admission() -> Admission {
    Admission::new().expect("admission")
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("YAML"))
        .collect()
}

fn report(quantity: &Value) -> Value {
    json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1",
        "kind": "UsageReport",
        "metadata": { "name": "r1", "namespace": "default" },
        "spec": {
            "subscriptionRef": { "name": "acme" },
            "source": "gw-eu-1",
            "window": { "startTime": "2026-03-01T10:00:00Z", "endTime": "2026-03-01T11:00:00Z" },
            "usage": [{ "nodeType": "Public", "operation": "StorageEgress", "quantity": quantity }],
        },
    })
}

#[test]
fn every_must_fail_manifest_is_refused_with_its_message() {
    let admission = admission();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/must-fail");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("folder") {
        let path = file.expect("file").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("text");
        let expected =
            text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).expect("expected message");
        let documents = documents(&text);
        let (last, earlier) = documents.split_last().expect("document");
        let old = earlier.first().map(|old| {
            admission.admit(old, None).unwrap_or_else(|errors| unreachable!("{}: {errors:?}", path.display()))
        });
        let errors = admission.admit(last, old.as_ref()).expect_err(&path.display().to_string());
        let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(
            messages.iter().any(|message| message.contains(expected)),
            "{}: expected '{expected}' in {messages:#?}",
            path.display()
        );
        count += 1;
    }
    assert!(count >= 30, "{count}");
}

#[test]
fn defaults_are_filled_in_and_nulls_are_absent() {
    let subscription = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1",
        "kind": "Subscription",
        "metadata": { "name": "acme" },
        "spec": { "plan": "starter", "renewal": null, "startTime": null },
    });
    let admitted = admission().admit(&subscription, None).expect("admitted");
    assert_eq!(
        admitted["spec"],
        json!({ "plan": "starter", "renewal": "Automatic", "billingPeriod": "Monthly" })
    );
    assert_eq!(admitted["status"], json!({ "observedGeneration": -1 }));
}

#[test]
fn an_update_that_changes_nothing_passes_every_rule() {
    let admission = admission();
    let admitted = admission.admit(&report(&json!("12G")), None).expect("created");
    assert_eq!(admission.admit(&admitted, Some(&admitted)).expect("updated"), admitted);
}

#[test]
fn quantities_of_the_whole_grammar_are_admitted() {
    let admission = admission();
    for text in [
        "12G",
        "1.5Gi",
        "2500000",
        "2.5M",
        "1e3",
        "1E3",
        "1e+3",
        "1e-9",
        "500m",
        "5n",
        "7u",
        "+5",
        ".5",
        "5.",
        "0",
        "1P",
        "1000000000000000",
        "0.001E",
        "888Ti",
        "1e15",
        "0e99",
        ".0e99",
        "0.000000001e24",
        "909.494701772Ti",
        "0.888178419Pi",
        "1E",
    ] {
        let verdict = admission.admit(&report(&json!(text)), None);
        assert_eq!(verdict.is_ok(), text != "1E", "{text}: {verdict:?}");
    }
    for number in [json!(0), json!(2_500_000), json!(1e3), json!(1_000_000_000_000_000_i64)] {
        let admitted = admission.admit(&report(&number), None).expect("admitted");
        let quantity = admitted["spec"]["usage"][0]["quantity"].clone();
        serde_json::from_value::<Quantity>(quantity).expect("what is admitted is parsed");
    }
}

#[test]
fn quantities_outside_the_grammar_or_the_limit_are_refused() {
    let admission = admission();
    for text in [
        "",
        " ",
        "-1",
        "-0.5",
        "NaN",
        "Inf",
        "1e400",
        "1e99",
        "1e31",
        "1e30",
        "1e16",
        "1P1",
        "2P",
        "1.0000000001",
        "12GB",
        "12g",
        "0x10",
        "1_000",
        "1,5",
        ".",
        "+",
        "e3",
        "1e",
        "1e-10",
        "910Ti",
        "0.889Pi",
        "1000000000000000.1",
        "10000000000000001",
        "１２",
    ] {
        assert!(admission.admit(&report(&json!(text)), None).is_err(), "{text}");
    }
    for number in
        [json!(-1), json!(1.5), json!(1_000_000_000_000_001_i64), json!(1e300), json!(true), json!([])]
    {
        assert!(admission.admit(&report(&number), None).is_err(), "{number}");
    }
}

#[test]
fn every_time_that_is_admitted_is_parsed_and_in_whole_seconds() {
    let admission = admission();
    let admit = |text: &str| {
        let object = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1",
            "kind": "Subscription",
            "metadata": { "name": "acme" },
            "spec": { "plan": "starter", "startTime": text },
        });
        admission
            .admit(&object, None)
            .map(|object| serde_json::from_value::<Subscription>(object).expect("parsed"))
    };
    for text in [
        "2026-01-31T10:00:00Z",
        "2026-01-31T10:00:00.000Z",
        "2026-01-31T10:00:00+14:00",
        "2026-01-31T10:00:00-00:00",
        "2000-01-01T00:00:00Z",
        "2100-12-31T23:59:59Z",
        "2096-02-29T00:00:00Z",
    ] {
        let time = admit(text).expect(text).spec.start_time.expect("time");
        assert_eq!(time.subsec_nanosecond(), 0, "{text}");
    }
    for text in [
        "",
        "2026-01-31t10:00:00z",
        "2026-01-31 10:00:00Z",
        "2026-01-31T10:00:00",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "2026-01-31T10:00:00.5Z",
        "2026-01-31T10:00:00.000000001Z",
        "2026-01-31T10:00:00.Z",
        "2026-01-31T10:00:00+24:01:00",
        "2026-01-31T10:00:00+25:00",
        "1999-12-31T23:59:59Z",
        "2101-01-01T00:00:00Z",
        "2000-01-01T00:00:00+01:00",
        "2026-01-31",
        "now",
    ] {
        assert!(admit(text).is_err(), "{text}");
    }
}

#[test]
fn metadata_and_kinds_are_judged_too() {
    let admission = admission();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut object = report(&json!("12G"));
        change(&mut object);
        admission.admit(&object, None).expect_err("refused")[0].to_string()
    };
    assert_eq!(refused(&|object| object["metadata"] = json!({})), "metadata.name: Required value");
    assert!(
        refused(&|object| object["metadata"]["name"] = json!("Acme"))
            .contains("a lowercase RFC 1123 subdomain must")
    );
    assert!(
        refused(&|object| object["metadata"]["annotations"] = json!({ "a": 1 }))
            .contains("must be of type string")
    );
    assert_eq!(refused(&|object| object["spce"] = json!({})), "spce: unknown field \"spce\"");
    assert!(
        refused(&|object| object["kind"] = json!("Usage"))
            .contains("must be 'billing.flashgate.dev/v1alpha1'")
    );
}

#[tokio::test]
async fn small_reports_are_judged_in_microseconds() {
    let admission = admission();
    let report = report(&json!("12G"));
    let start = tokio::time::Instant::now();
    for _ in 0..1000 {
        admission.admit(&report, None).expect("admitted");
    }
    let taken = start.elapsed();
    assert!(taken < A_THOUSAND_REPORTS, "{taken:?}");
    println!("{:?} a report", taken / 1000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Law 2: the operator parses exactly the quantities that admission accepts.
    #[test]
    fn quantities_are_admitted_exactly_where_the_ledger_parses_them(
        text in r"[-+]?[0-9]{0,17}(\.[0-9]{0,10})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|K|g|[eE][-+]?[0-9]{0,3})?",
    ) {
        let admitted = ADMISSION.with(|admission| admission.admit(&report(&json!(text)), None));
        let parsed = text.parse::<flashgate_ledger::quantity::Quantity>();
        prop_assert_eq!(admitted.is_ok(), parsed.is_ok(), "{}: {:?} {:?}", text, admitted, parsed);
    }
}
