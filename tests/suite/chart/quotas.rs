//! The quotas of `examples/quotas/`, on an API server with the quota controller.

use std::fs;

use serde_json::json;

use crate::world::{Namespace, World, root, wait_for};

/// Applies the quotas of `examples/quotas/`, and waits until they are enforced. The world needs the
/// controller `resourcequota-controller`.
pub async fn apply_quotas(namespace: &Namespace<'_>) {
    let quotas: Vec<String> = fs::read_dir(root().join("examples/quotas"))
        .expect("folder")
        .map(|file| fs::read_to_string(file.expect("entry").path()).expect("manifest"))
        .collect();
    let quotas = quotas.join("---\n");
    // The controller looks for new kinds every 30 seconds, and counts a quota of an unknown one only when that is made.
    wait_for("the quotas count", async || {
        let made = namespace.kubectl(&["replace", "--force", "-f", "-"], Some(&quotas)).await;
        assert!(made.success, "{}", made.stderr);
        let wait = ["wait", "--for=jsonpath={.status.used}", "--timeout=3s", "resourcequotas", "--all"];
        namespace.kubectl(&wait, None).await.success.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_team_with_a_quota_has_one_subscription() {
    let world = World::start_with_controllers(&["resourcequota-controller"]).await;
    let namespace = world.namespace("team").await;
    apply_quotas(&namespace).await;
    let subscription = |name: &str| {
        let object = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription",
            "metadata": {"name": name}, "spec": {"plan": "starter"},
        });
        object.to_string()
    };
    let create = ["create", "-f", "-"];
    let first = subscription("acme");
    // Until the controller has counted, the API server accepts no object.
    let admitted = async || namespace.kubectl(&create, Some(&first)).await.success.then_some(());
    wait_for("the first is admitted", admitted).await;
    let refused = namespace.kubectl(&create, Some(&subscription("another"))).await;
    assert!(!refused.success && refused.stderr.contains("exceeded quota"), "{}", refused.stderr);
}
