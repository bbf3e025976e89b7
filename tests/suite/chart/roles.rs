//! The rights of the chart's roles, as the API server lists them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::pod::kubeconfig_of;
use super::{installed, list, render};
use crate::world::{World, root};

/// The roles. Each has a user with the same name.
const ROLES: [&str; 7] = [
    "flashgate-viewer",
    "flashgate-tenant",
    "flashgate-reporter",
    "flashgate-payments",
    "flashgate-admin",
    "flashgate-meter-admin",
    "flashgate-gate-admin",
];

/// A user without any role. Everybody has the rights of this user.
const STRANGER: &str = "stranger";

/// Returns the lines of `kubectl auth can-i --list`, one right on each, without padding.
pub fn rights(world: &World, kubeconfig: &Path, namespace: &str) -> BTreeSet<String> {
    let output = std::process::Command::new(world.plane.programs().join("kubectl"))
        .args(["auth", "can-i", "--list", "--no-headers", "--namespace", namespace])
        .env("KUBECONFIG", kubeconfig)
        .env("KUBECACHEDIR", world.plane.kubectl_cache())
        .output()
        .expect("kubectl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Compares rights with the committed list of a role.
fn assert_committed(role: &str, rights: &BTreeSet<String>) {
    let file = root().join(format!("tests/golden/chart/{role}.txt"));
    let text = rights.iter().fold(String::new(), |text, line| format!("{text}{line}\n"));
    let committed = fs::read_to_string(&file).expect("committed list");
    assert_eq!(text, committed, "rights of {role}: must be those of {}\n{text}", file.display());
}

#[tokio::test]
async fn each_role_has_exactly_its_documented_rights() {
    let users: Vec<&str> = ROLES.into_iter().chain([STRANGER]).collect();
    let world = World::start_with_users(&users).await;
    let namespace = world.namespace("acme").await;
    let rendered = installed(&render("acme", &json!({"crds": {"enabled": false}})));
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await;
    assert!(applied.success, "{}", applied.stderr);
    let kubeconfig = |user: &str| world.plane.kubeconfig_for(user).expect("user");
    let everybodys = rights(&world, &kubeconfig(STRANGER), "acme");
    for role in ROLES {
        let cluster_role = format!("--clusterrole={role}");
        let user = format!("--user={role}");
        let bind = ["create", "rolebinding", role, &cluster_role, &user];
        namespace.kubectl(&bind, None).await.succeeded().expect("bound");
        let rights = rights(&world, &kubeconfig(role), "acme");
        let granted: BTreeSet<String> = rights.difference(&everybodys).cloned().collect();
        assert!(!granted.iter().any(|right| right.contains("/status")), "{granted:#?}");
        assert_committed(role, &granted);
    }
}

#[tokio::test]
async fn the_operators_token_has_exactly_the_rights_that_it_uses() {
    let world = World::start().await;
    let namespace = world.namespace("billing").await;
    let rendered = installed(&render("billing", &json!({"crds": {"enabled": false}})));
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await;
    assert!(applied.success, "{}", applied.stderr);
    namespace.kubectl(&["create", "serviceaccount", STRANGER], None).await.succeeded().expect("account");
    let stranger = kubeconfig_of(&world, "billing", STRANGER).await;
    let operator = kubeconfig_of(&world, "billing", super::RELEASE).await;
    for (scope, file) in [("billing", "operator"), ("default", "operator-elsewhere")] {
        let everybodys = rights(&world, &stranger, scope);
        let granted = rights(&world, &operator, scope).difference(&everybodys).cloned().collect();
        assert_committed(file, &granted);
    }
}

#[tokio::test]
async fn the_roles_view_and_edit_can_view_accounts_but_not_buy() {
    let rendered = render("acme", &json!({}));
    let labels = |role: &str| {
        let role = super::object(&rendered, "ClusterRole", role);
        let labels = role["metadata"]["labels"].as_object().expect("labels").clone();
        labels
            .into_iter()
            .filter(|(name, _)| name.starts_with("rbac."))
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(labels("flashgate-viewer"), ["rbac.authorization.k8s.io/aggregate-to-view"]);
    for role in &ROLES[1..] {
        assert!(labels(role).is_empty(), "{role}");
    }
}
