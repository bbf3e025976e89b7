//! `helm --wait` and `kubectl wait` return when they should, and fail fast when a request is refused.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::suite::chart::{ToolOutput, tool};
use crate::suite::installed::shared;
use crate::world::{Namespace, root};

/// Far above the time of an answer on a slow machine, and far below Helm's timeout.
const FAST: Duration = Duration::from_mins(2);

/// Returns a chart that installs the manifests of examples.
fn chart_of(name: &str, examples: &[&str]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gitops").join(name);
    fs::create_dir_all(folder.join("templates")).expect("folder");
    fs::write(folder.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n"))
        .expect("chart");
    for (index, example) in examples.iter().enumerate() {
        fs::copy(root().join(example), folder.join(format!("templates/{index}.yaml"))).expect("manifests");
    }
    folder
}

/// Installs or upgrades a release of the manifests of examples, with a Helm timeout of ten minutes. Returns
/// the result and the duration.
async fn helm(verb: &'static str, namespace: &Namespace<'_>, examples: &[&str]) -> (ToolOutput, Duration) {
    let chart = chart_of(&namespace.name, examples).display().to_string();
    let (name, kubeconfig) = (namespace.name.clone(), namespace.world.plane.kubeconfig());
    let begin = Instant::now();
    let done = tokio::task::spawn_blocking(move || {
        let arguments = [verb, "team", &chart, "--namespace", &name, "--wait", "--timeout", "10m"];
        tool("helm", &arguments, &kubeconfig, "")
    });
    (done.await.expect("helm"), begin.elapsed())
}

#[tokio::test]
async fn helm_waits_until_packs_of_an_upgrade_are_granted() {
    let namespace = shared().await.namespace("wait-granted").await;
    let account = "examples/flux/team/subscription.yaml";
    let (said, time) = helm("install", &namespace, &[account]).await;
    assert!(said.success && time < FAST, "{time:?} {}", said.stderr);
    let (said, time) = helm("upgrade", &namespace, &[account, "examples/flux/team/packs.yaml"]).await;
    assert!(said.success && time < FAST, "{time:?} {}", said.stderr);
    let ready = ["wait", "--for=condition=Ready", "--timeout=0", "creditpacks/acme-2026-11-1"];
    namespace.kubectl(&ready, None).await.succeeded().expect("ready when helm returned");
}

#[tokio::test]
async fn helm_fails_at_once_on_a_refused_pack_and_reports_why() {
    let namespace = shared().await.namespace("wait-refused").await;
    let (said, time) = helm("install", &namespace, &["examples/07-pack-refused.yaml"]).await;
    assert!(!said.success, "{}", said.stdout);
    assert!(time < FAST, "{time:?}");
    assert!(said.stderr.contains("soylent-top-up-1") && said.stderr.contains("Failed"), "{}", said.stderr);
    assert!(said.stderr.contains("which does not allow packs"), "{}", said.stderr);
}

#[tokio::test]
async fn kubectl_waits_for_ready_or_for_the_refusal() {
    let namespace = shared().await.namespace("wait-kubectl").await;
    let example = root().join("examples/04-packs.yaml").display().to_string();
    namespace.kubectl(&["apply", "-f", &example], None).await.succeeded().expect("applied");
    for (condition, object) in [
        ("condition=Ready", "subscriptions.billing.flashgate.dev/initech"),
        ("condition=Ready", "creditpacks/initech-top-up-1"),
        ("condition=Stalled", "creditpacks/initech-top-up-4"),
        ("jsonpath={.status.state}=Refused", "creditpacks/initech-top-up-4"),
        ("jsonpath={.status.credits.balance}=2700", "subscriptions.billing.flashgate.dev/initech"),
    ] {
        let wait = ["wait", &format!("--for={condition}"), "--timeout=60s", object];
        namespace.kubectl(&wait, None).await.succeeded().expect(condition);
    }
    let never = ["wait", "--for=condition=Ready", "--timeout=1s", "creditpacks/initech-top-up-4"];
    let never = namespace.kubectl(&never, None).await;
    assert!(!never.success && never.stderr.contains("timed out"), "{}", never.stderr);
}
