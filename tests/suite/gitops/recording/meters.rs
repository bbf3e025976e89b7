//! The meters whose states are recorded. They read a real Prometheus.

use std::process::Command;

use flashgate_testing::catalog::monthly;
use flashgate_testing::values::{HOUR, at};
use kube::api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::Recorder;
use super::lives::FINALIZER;
use crate::cluster_account::now;
use crate::suite::prometheus::Prometheus;

/// The namespace of the meters and their account.
pub const NAMESPACE: &str = "metered";

/// Meters by name, each with a change of their common spec.
fn meters() -> [(&'static str, Value); 5] {
    [
        ("tokens", json!({"selector": "{org=\"acme\"}"})),
        ("edited", json!({"selector": "{org=\"acme\"}"})),
        ("of-all", json!({"selector": "{org=\"stranger\"}"})),
        ("broken", json!({"prometheus": "broken"})),
        ("unnamed", json!({"prometheus": "thanos"})),
    ]
}

impl Recorder<'_> {
    async fn meter(&self, namespace: &str, name: &str, change: Value) {
        let mut spec = json!({
            "counter": "tokens_total", "account": {"label": "org"}, "delaySeconds": 0,
            "startTime": at((now() - 3 * HOUR) / HOUR * HOUR).to_string(),
            "usage": {"nodeType": {"value": "Public"}, "operation": {"value": "TokensOut"}},
        });
        spec.as_object_mut().expect("spec").extend(change.as_object().expect("change").clone());
        let objects = self.objects(namespace, "UsageMeter");
        let object = DynamicObject {
            types: Some(kube::api::TypeMeta {
                api_version: "billing.flashgate.dev/v1alpha1".to_owned(),
                kind: "UsageMeter".to_owned(),
            }),
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            data: json!({"spec": spec}),
        };
        objects.create(&PostParams::default(), &object).await.expect("created");
    }

    async fn record_meter(&mut self, name: &str, state: &str) {
        self.record(NAMESPACE, "UsageMeter", name, state).await;
    }
}

/// A meter that no process has seen.
pub async fn not_seen(recorder: &mut Recorder<'_>, namespace: &str) {
    recorder.meter(namespace, "tokens", json!({})).await;
    recorder.record(namespace, "UsageMeter", "tokens", "not_seen").await;
}

/// Meters after one look of `flashgate-billing meter`.
pub async fn looked_at(recorder: &mut Recorder<'_>) {
    recorder.account_in(NAMESPACE).subscribe(monthly("starter"), Some("2026-01-01T00:00:00Z")).await;
    for (name, change) in meters() {
        recorder.meter(NAMESPACE, name, change).await;
    }
    let start = (now() - 3 * HOUR) / HOUR * HOUR;
    let lines =
        ["acme", "stranger"].map(|org| format!("tokens_total{{org=\"{org}\"}} 1200 {}\n", start + 600));
    let folder = tempfile::tempdir().expect("folder");
    let prometheus = Prometheus::of_samples(folder.path(), &lines.concat(), &[]).await;
    let servers = [format!("default={}", prometheus.url()), "broken=http://127.0.0.1:1".to_owned()];
    let output = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"))
        .args(["meter", "--once", "--namespace", NAMESPACE, "--prometheus"])
        .args(servers)
        .env("KUBECONFIG", recorder.world.plane.kubeconfig())
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(1), "some meters cannot be read");
    recorder.record_meter("tokens", "reported").await;
    recorder.record_meter("of-all", "unknown_account").await;
    recorder.record_meter("broken", "source_unreachable").await;
    recorder.record_meter("unnamed", "unknown_server").await;
    let objects = recorder.objects(NAMESPACE, "UsageMeter");
    let (edit, hold) =
        (json!({"spec": {"delaySeconds": 60}}), json!({"metadata": {"finalizers": [FINALIZER]}}));
    objects.patch("edited", &PatchParams::default(), &Patch::Merge(edit)).await.expect("edited");
    recorder.record_meter("edited", "edit_not_seen").await;
    objects.patch("tokens", &PatchParams::default(), &Patch::Merge(hold)).await.expect("held");
    objects.delete("tokens", &DeleteParams::default()).await.expect("deleted");
    recorder.record_meter("tokens", "terminating").await;
}
