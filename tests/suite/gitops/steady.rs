//! There is no diff after a sync: a spec is not changed, and its metadata is not copied.

use flashgate_api::{CreditLedger, CreditPack, Subscription};
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::{HOUR, at};
use serde_json::{Value, json};

use super::yaml;
use crate::cluster_account::{ClusterAccount, egress, now, seconds};
use crate::suite::installed::shared;
use crate::world::{Namespace, root};

async fn team(name: &str) -> Namespace<'static> {
    let namespace = shared().await.namespace(name).await;
    sync(&namespace, &["--field-manager=argocd-controller"]).await;
    namespace.state_is::<CreditPack>("acme-2026-11-1", "Granted").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1600").await;
    namespace
}

/// Applies the team's folder as Argo CD and Flux do.
async fn sync(namespace: &Namespace<'_>, arguments: &[&str]) {
    let folder = root().join("examples/argocd/team").display().to_string();
    let arguments: Vec<&str> = [&["apply", "--server-side", "--filename", &folder], arguments].concat();
    namespace.kubectl(&arguments, None).await.succeeded().expect("applied");
}

/// Returns the objects of a team from the API server.
async fn held(namespace: &Namespace<'_>) -> Vec<Value> {
    let get =
        ["get", "subscriptions.billing.flashgate.dev,creditpacks", "--show-managed-fields", "-o", "json"];
    let list = namespace.kubectl(&get, None).await.succeeded().expect("list");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let objects = list["items"].as_array().expect("items").clone();
    assert_eq!(objects.len(), 2);
    objects
}

#[tokio::test]
async fn a_second_sync_of_the_same_manifests_changes_nothing() {
    let namespace = team("gitops-steady").await;
    let before = held(&namespace).await;
    sync(&namespace, &["--field-manager=argocd-controller"]).await;
    assert_eq!(held(&namespace).await, before);
    let folder = root().join("examples/argocd/team").display().to_string();
    let diff = ["diff", "--server-side", "--field-manager=argocd-controller", "--filename", &folder];
    let diff = namespace.kubectl(&diff, None).await.succeeded().expect("no difference");
    assert_eq!(diff, "");
    // Another tool that takes over has no conflict, and changes no field of the operator or of a user.
    sync(&namespace, &["--field-manager=kustomize-controller"]).await;
    for (before, after) in before.iter().zip(held(&namespace).await) {
        for part in ["/spec", "/status", "/metadata/generation", "/metadata/annotations"] {
            assert_eq!(before.pointer(part), after.pointer(part), "{part}");
        }
    }
}

#[tokio::test]
async fn the_operator_owns_nothing_but_the_status() {
    let namespace = team("gitops-fields").await;
    for object in held(&namespace).await {
        let managers = object["metadata"]["managedFields"].as_array().expect("managers");
        let is_tools = |entry: &&Value| entry["manager"] == "argocd-controller";
        assert_eq!(managers.iter().filter(is_tools).count(), 1, "{managers:?}");
        let others: Vec<&Value> = managers.iter().filter(|entry| !is_tools(entry)).collect();
        assert!(!others.is_empty(), "{managers:?}");
        for other in others {
            assert_eq!(other["subresource"], "status", "{other}");
            let fields = other["fieldsV1"].as_object().expect("fields");
            assert_eq!(fields.keys().collect::<Vec<_>>(), ["f:status"], "{other}");
        }
    }
}

#[tokio::test]
async fn the_ledger_copies_no_label_annotation_or_owner_from_its_subscription() {
    let namespace = shared().await.namespace("gitops-copies").await;
    let metadata = json!({
        "name": "acme",
        "labels": {"app.kubernetes.io/instance": "acme-billing", "kustomize.toolkit.fluxcd.io/name": "billing"},
        "annotations": {"argocd.argoproj.io/tracking-id": "acme-billing:billing.flashgate.dev/Subscription:acme/acme"},
    });
    namespace.create_with::<Subscription>(metadata, json!({"plan": "starter"})).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    let ledger = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    for copied in ["labels", "annotations", "ownerReferences", "finalizers"] {
        assert_eq!(ledger["metadata"][copied], Value::Null, "{copied}");
    }
}

/// Returns an object without the fields that Argo CD is configured to ignore.
fn without_churn(mut object: Value) -> Value {
    let settings = yaml(&root().join("examples/argocd/argocd-cm.yaml"));
    let key = "resource.customizations.ignoreResourceUpdates.billing.flashgate.dev_Subscription";
    let ignored: Value =
        serde_yaml::from_str(settings["data"][key].as_str().expect("setting")).expect("YAML");
    for pointer in ignored["jsonPointers"].as_array().expect("pointers") {
        let (parent, field) = pointer.as_str().expect("pointer").rsplit_once('/').expect("parent");
        object.pointer_mut(parent).and_then(Value::as_object_mut).expect("parent").remove(field);
    }
    let messages = json!([
        r#".status.conditions[]? | select(.type == "CreditsLow" or .type == "CreditsExhausted") | .message"#
    ]);
    assert_eq!(ignored["jqPathExpressions"], messages);
    for condition in object["status"]["conditions"].as_array_mut().expect("conditions") {
        if condition["type"] == "CreditsLow" || condition["type"] == "CreditsExhausted" {
            condition["message"].take();
        }
    }
    // Argo CD ignores these by default.
    for field in ["resourceVersion", "managedFields", "generation"] {
        object["metadata"][field].take();
    }
    object
}

#[tokio::test]
async fn a_charge_changes_only_what_argo_cd_is_told_to_ignore() {
    let account = ClusterAccount::without_subscription(shared().await, "gitops-churn").await;
    let three_hours_ago = now() - 3 * HOUR;
    account.subscribe(monthly("starter"), Some(&at(three_hours_ago).to_string())).await;
    account.balance("1100").await;
    let before = account.get::<Subscription>("acme").await.expect("Subscription");
    account.report("acme-gw-eu-1-0001", seconds(three_hours_ago + HOUR, HOUR), egress("12G")).await;
    account.balance("980").await;
    let after = account.get::<Subscription>("acme").await.expect("Subscription");
    assert_ne!(before, after);
    assert_eq!(without_churn(before), without_churn(after));
}
