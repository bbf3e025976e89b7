//! The API server takes what is rendered, in a namespace that enforces the restricted profile of Pod Security.

use serde_json::{Value, json};

use super::{RELEASE, examples, installed, list, object, render, values_of};
use crate::world::{Namespace, bare};

/// Makes a namespace where Pod Security enforces the restricted profile.
async fn restricted(name: &str) -> Namespace<'static> {
    let namespace = bare().await.namespace(name).await;
    let label = ["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"];
    namespace.kubectl(&label, None).await.succeeded().expect("labelled");
    namespace
}

/// Asks the API server to take objects, without keeping them.
async fn dry_run(objects: &[Value]) {
    let arguments = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--field-manager=test",
        "--force-conflicts",
        "-f",
        "-",
    ];
    let applied = bare().await.plane.kubectl(&arguments, Some(&list(objects))).await.expect("kubectl");
    assert!(applied.success, "{}", applied.stderr);
    assert!(!applied.stderr.contains("would violate PodSecurity"), "{}", applied.stderr);
}

/// Returns what a Pod of a rendered Deployment is.
fn pod(rendered: &[Value]) -> Value {
    let template = &object(rendered, "Deployment", RELEASE)["spec"]["template"];
    let mut spec = template["spec"].clone();
    // Accounts are the cluster's to make; that of the bare one are none.
    spec["priorityClassName"] = Value::Null;
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": spec})
}

#[tokio::test]
async fn what_the_chart_renders_passes_the_api_server() {
    let namespace = restricted("chart-dry-run").await;
    for team in ["team-a", "team-b"] {
        bare().await.namespace(team).await;
    }
    let examples = examples();
    let values = examples.iter().map(|file| values_of(file)).chain([json!({})]);
    for values in values {
        let rendered = render(&namespace.name, &values);
        // The kinds of the Prometheus operator are not installed here.
        let known = |object: &Value| object["apiVersion"] != "monitoring.coreos.com/v1";
        let rendered: Vec<Value> = rendered.into_iter().filter(known).collect();
        dry_run(&rendered).await;
    }
}

#[tokio::test]
async fn a_namespace_that_enforces_the_restricted_profile_admits_the_pods() {
    let namespace = restricted("chart-restricted").await;
    let create = ["create", "--dry-run=server", "-f", "-"];
    let rendered = render(&namespace.name, &json!({"payments": {"enabled": true, "existingSecret": "s"}}));
    let of_test = object(&rendered, "Pod", &format!("{RELEASE}-test")).clone();
    for pod in [pod(&rendered), of_test] {
        let created = namespace.kubectl(&create, Some(&pod.to_string())).await;
        assert!(created.success, "{}", created.stderr);
    }
    // And it does look: as root it is refused.
    let mut root = pod(&rendered);
    root["spec"]["securityContext"] = json!({"runAsUser": 0});
    root["spec"]["containers"][0]["securityContext"] = json!({});
    let refused = namespace.kubectl(&create, Some(&root.to_string())).await;
    assert!(!refused.success && refused.stderr.contains("violates PodSecurity"), "{}", refused.stderr);
}

#[tokio::test]
async fn an_installation_without_helm_passes_the_api_server() {
    let namespace = restricted("chart-kustomize").await;
    let built = namespace.kubectl(&["kustomize", "deploy/kustomize"], None).await;
    let built = built.succeeded().expect("built");
    let objects: Vec<Value> = installed(&super::documents(&built))
        .into_iter()
        .map(|mut object| {
            // The dry run makes no namespace that the others could lie in.
            if object["metadata"]["namespace"] == RELEASE {
                object["metadata"]["namespace"] = namespace.name.clone().into();
            }
            object
        })
        .collect();
    dry_run(&objects).await;
}
