//! Admission: the API server's checks of manifests, the CEL rules of the ledger, and the output of `kubectl`.

use std::fs;
use std::path::PathBuf;

use flashgate_api::CreditLedger;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::world::{bare, root};

fn must_fail() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("tests/must-fail")).expect("folder");
    let mut files: Vec<PathBuf> = folder
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_must_fail_manifest_is_refused_with_its_expected_message() {
    let namespace = bare().await.namespace("must-fail").await;
    let files = must_fail();
    assert!(files.len() >= 25, "{} manifests", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("manifest");
        let file = file.display();
        let expected =
            text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).expect("# expect:");
        let is_status = text.lines().nth(1) == Some("# subresource: status");
        let documents: Vec<&str> = text.split("\n---\n").collect();
        let (last, first) = documents.split_last().expect("documents");
        for (index, document) in first.iter().enumerate() {
            if index == 0 && is_status {
                namespace.kubectl(&["apply", "-f", "-"], Some(document)).await.succeeded().expect("created");
            }
            let applied = if is_status { status(document) } else { vec!["apply", "-f", "-"] };
            let output = namespace.kubectl(&applied, Some(document)).await;
            assert!(output.success, "{file}: the first document must be accepted: {}", output.stderr);
        }
        let applied = if is_status { status(last) } else { vec!["apply", "-f", "-"] };
        let output = namespace.kubectl(&applied, Some(last)).await;
        assert!(!output.success, "{file} must be refused: {}", output.stdout);
        let said = output.stderr.replace('\n', " ");
        assert!(said.contains(expected), "{file}: expected {expected:?} in {said}");
    }
}

/// Returns the arguments that apply a document to its subresource.
fn status(_: &str) -> Vec<&'static str> {
    vec!["apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-"]
}

fn ledger(sequence: i64, hash: char) -> CreditLedger {
    let spec = json!({
        "formatVersion": 1, "sequence": sequence, "previousHash": "", "hash": hash.to_string().repeat(64),
        "writer": "test", "clockTime": "2026-03-01T10:00:00Z", "account": "1f3a9c2e",
        "subscription": {"uid": "6f1f0c9e-0000-4000-8000-000000000000", "generation": 1},
        "startTime": "2026-03-01T10:00:00Z", "period": {"number": 1}, "planOrigin": "Asked", "debt": "0",
        "nextInvoice": 1,
        "totals": {"granted": "0", "purchased": "0", "adjusted": "0", "consumed": "0", "expired": "0", "refunded": "0"},
    });
    let ledger = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "CreditLedger",
        "metadata": {"name": "fenced"}, "spec": spec,
    });
    serde_json::from_value(ledger).expect("ledger")
}

#[tokio::test]
async fn the_ledger_rule_accepts_annotations_identical_writes_and_deletion_but_no_lower_sequence() {
    let namespace = bare().await.namespace("fence").await;
    let ledgers = namespace.api::<CreditLedger>();
    let created = ledgers.create(&PostParams::default(), &ledger(5, 'a')).await.expect("created");
    let annotation = json!({"metadata": {"annotations": {"example.org/note": "seen"}}});
    ledgers.patch("fenced", &PatchParams::default(), &Patch::Merge(annotation)).await.expect("annotated");
    let held = ledgers.get("fenced").await.expect("read");
    ledgers.replace("fenced", &PostParams::default(), &held).await.expect("identical PUT");
    let put = |sequence: i64, hash: char| {
        let mut next = ledger(sequence, hash);
        next.metadata.resource_version = held.metadata.resource_version.clone();
        next
    };
    for (sequence, hash) in [(4, 'b'), (5, 'b'), (7, 'b')] {
        let refused = ledgers.replace("fenced", &PostParams::default(), &put(sequence, hash)).await;
        let message = refused.expect_err("must be refused").to_string();
        assert!(message.contains("must continue the ledger by exactly one commit"), "{sequence}: {message}");
    }
    ledgers.replace("fenced", &PostParams::default(), &put(6, 'b')).await.expect("next commit");
    let foreground = DeleteParams::foreground();
    ledgers.delete("fenced", &foreground).await.expect("foreground deletion");
    crate::world::wait_while("the ledger is gone", async || {
        let held = ledgers.get_opt("fenced").await.expect("read")?;
        (held.metadata.uid == created.metadata.uid).then_some(())
    })
    .await;
}

/// Valid and invalid times, as people and programs write them.
const TIMES: [&str; 20] = [
    "2026-01-31T10:00:00Z",
    "2026-01-31T10:00:00.000Z",
    "2026-01-31T10:00:00,0Z",
    "2026-01-31T10:00:00.0000000000Z",
    "2026-01-31T10:00:00.0000000001Z",
    "2026-01-31T12:00:00+02:00",
    "2026-01-31T10:00:00+24:00",
    "2026-01-31T10:00:00-00:00",
    "2026-01-31T10:00:00+25:00",
    "2026-12-31T23:59:60Z",
    "2026-01-31T24:00:00Z",
    "2026-02-30T10:00:00Z",
    "2026-01-31T10:00:00.5Z",
    "2026-01-31T10:00:00.000000001Z",
    "2026-01-31t10:00:00Z",
    "2026-01-31T10:00:00z",
    "2026-01-31 10:00:00Z",
    "2026-01-31T10:00:00",
    "2026-01-31",
    "1999-12-31T23:59:59Z",
];

#[tokio::test]
async fn offline_validation_of_times_matches_the_api_server() {
    let namespace = bare().await.namespace("times").await;
    let admission = flashgate_billing::admission::Admission::new().expect("admission");
    for text in TIMES {
        let subscription = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription",
            "metadata": {"name": "acme"}, "spec": {"plan": "starter", "startTime": text},
        });
        let applied = ["create", "--dry-run=server", "-f", "-"];
        let output = namespace.kubectl(&applied, Some(&subscription.to_string())).await;
        let offline = admission.admit(&subscription, None);
        assert_eq!(output.success, offline.is_ok(), "{text}: {} {offline:?}", output.stderr);
        let understood = serde_json::from_value::<flashgate_api::Subscription>(subscription);
        assert!(!output.success || understood.is_ok(), "{text}: {understood:?}");
        assert!(!output.stderr.contains('^'), "{text}: {}", output.stderr);
    }
}

#[tokio::test]
async fn kubectl_explain_reads_as_documentation() {
    let namespace = bare().await.namespace("explain").await;
    let text =
        namespace.kubectl(&["explain", "subscriptions.billing.flashgate.dev", "--recursive"], None).await;
    let text = text.succeeded().expect("explained");
    for field in ["plan", "billingPeriod", "pendingChange", "usedPercent", "nextAvailableTime"] {
        assert!(text.contains(field), "{field}");
    }
    for kind in
        ["subscriptions", "creditpacks", "usagereports", "payments", "creditadjustments", "creditledgers"]
    {
        let plain = format!("{kind}.billing.flashgate.dev");
        let text = namespace.kubectl(&["explain", &plain], None).await.succeeded().expect("explained");
        assert!(!text.contains("<empty>"), "{kind} has no description: {text}");
    }
}

#[tokio::test]
async fn a_new_object_shows_that_it_is_not_yet_observed() {
    let namespace = bare().await.namespace("unseen").await;
    let created = namespace.create::<flashgate_api::Subscription>("acme", json!({"plan": "starter"})).await;
    let created: Value = serde_json::to_value(created).expect("JSON");
    assert_eq!(created.pointer("/status/observedGeneration"), Some(&json!(-1)));
}
