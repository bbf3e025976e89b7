//! The policy that binds the source of a report to its creator.

use flashgate_control_plane::Output;
use serde_json::json;

use super::pod::kubeconfig_of;
use super::{list, render};
use crate::world::{Namespace, World, wait_until};

/// Creates a report of `source` as a dry run, with the given kubeconfig.
async fn report(namespace: &Namespace<'_>, kubeconfig: &str, source: &str) -> Output {
    let report = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport",
        "metadata": {"name": "report"},
        "spec": {
            "subscriptionRef": {"name": "acme"}, "source": source,
            "window": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00Z"},
            "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"}],
        },
    });
    let kubeconfig = format!("--kubeconfig={kubeconfig}");
    namespace
        .kubectl(&[&kubeconfig, "create", "--dry-run=server", "-f", "-"], Some(&report.to_string()))
        .await
}

#[tokio::test]
async fn a_user_can_report_only_as_itself() {
    let world = World::start_with_users(&["gw-us-1"]).await;
    let namespace = world.namespace("guarded").await;
    let values = json!({
        "crds": {"enabled": false},
        "sourceGuard": {"enabled": true, "exemptUsers": ["system:serviceaccount:guarded:relay", "admin"]},
    });
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&render("guarded", &values)))).await;
    assert!(applied.success, "{}", applied.stderr);
    for account in ["gw-eu-1", "relay"] {
        namespace.kubectl(&["create", "serviceaccount", account], None).await.succeeded().expect("account");
    }
    let bind = "create rolebinding reporters --clusterrole=flashgate-reporter --user=gw-us-1 \
                --serviceaccount=guarded:gw-eu-1 --serviceaccount=guarded:relay";
    let bind: Vec<&str> = bind.split_whitespace().collect();
    namespace.kubectl(&bind, None).await.succeeded().expect("bound");
    let gateway = kubeconfig_of(&world, "guarded", "gw-eu-1").await.display().to_string();
    let relay = kubeconfig_of(&world, "guarded", "relay").await.display().to_string();
    let user = world.plane.kubeconfig_for("gw-us-1").expect("user").display().to_string();

    wait_until("the policy is in force", async || {
        let refused = report(&namespace, &gateway, "gw-us-1").await;
        !refused.success && refused.stderr.contains("must be 'gw-eu-1'")
    })
    .await;
    for (caller, source, is_its_own) in [
        (&gateway, "gw-eu-1", true),
        (&gateway, "gw-eu-1.2", true),
        (&gateway, "gw-eu-10", false),
        (&gateway, "other", false),
        (&user, "gw-us-1", true),
        (&user, "gw-us-1.b", true),
        (&user, "gw-eu-1", false),
        (&relay, "gw-eu-1", true),
    ] {
        let asked = report(&namespace, caller, source).await;
        assert_eq!(asked.success, is_its_own, "{caller} as {source}: {}", asked.stderr);
    }
}
