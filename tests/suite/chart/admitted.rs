//! The API server accepts the rendered objects, also under the restricted profile of Pod Security.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{RELEASE, documents, examples, installed, list, object, render, values_of};
use crate::suite::gitops::TOOLS;
use crate::world::{Namespace, bare, root};

/// Creates a namespace in which Pod Security enforces the restricted profile.
pub async fn restricted(name: &str) -> Namespace<'static> {
    let namespace = bare().await.namespace(name).await;
    let label = ["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"];
    namespace.kubectl(&label, None).await.succeeded().expect("labelled");
    namespace
}

/// Sends objects to the API server as a dry run.
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

/// Returns a Pod from the template of the operator's rendered Deployment.
fn pod(rendered: &[Value]) -> Value {
    pod_of(rendered, RELEASE)
}

/// Returns a Pod from the template of a rendered Deployment.
pub fn pod_of(rendered: &[Value], deployment: &str) -> Value {
    let template = &object(rendered, "Deployment", deployment)["spec"]["template"];
    let mut spec = template["spec"].clone();
    // The bare control plane has no such priority class.
    spec["priorityClassName"] = Value::Null;
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec})
}

#[tokio::test]
async fn the_api_server_accepts_the_rendered_chart() {
    let namespace = restricted("chart-dry-run").await;
    for team in ["team-a", "team-b"] {
        bare().await.namespace(team).await;
    }
    for (group, kind) in [
        ("monitoring.coreos.com", "prometheusrules"),
        ("monitoring.coreos.com", "servicemonitors"),
        ("gateway.networking.k8s.io", "httproutes"),
    ] {
        let file = TOOLS.join(format!("definitions/{group}_{kind}.yaml"));
        let apply = ["apply", "--server-side", "-f", &file.display().to_string()];
        namespace.kubectl(&apply, None).await.succeeded().expect("definition");
        let crd = format!("crd/{kind}.{group}");
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", &crd];
        namespace.kubectl(&wait, None).await.succeeded().expect("established");
    }
    let examples = examples();
    let values = examples.iter().map(|file| values_of(file)).chain([json!({})]);
    let mut kinds = Vec::new();
    for values in values {
        let rendered = render(&namespace.name, &values);
        kinds.extend(rendered.iter().map(|object| object["kind"].clone()));
        dry_run(&rendered).await;
    }
    for kind in ["ServiceMonitor", "PrometheusRule", "Ingress", "HTTPRoute", "PodDisruptionBudget"] {
        assert!(kinds.contains(&kind.into()), "no example has a {kind}");
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
    // The check is active: a pod that runs as root is rejected.
    let mut root = pod(&rendered);
    root["spec"]["securityContext"] = json!({"runAsUser": 0});
    root["spec"]["containers"][0]["securityContext"] = json!({});
    let refused = namespace.kubectl(&create, Some(&root.to_string())).await;
    assert!(!refused.success && refused.stderr.contains("violates PodSecurity"), "{}", refused.stderr);
}

#[tokio::test]
async fn the_api_server_accepts_an_installation_without_helm() {
    let namespace = restricted("chart-kustomize").await;
    let built = namespace.kubectl(&["kustomize", "deploy/kustomize"], None).await;
    let built = built.succeeded().expect("built");
    dry_run(&moved(documents(&built), &namespace.name)).await;
}

#[tokio::test]
async fn a_kustomization_can_move_the_operator_to_another_namespace() {
    let namespace = bare().await.namespace("chart-overlay").await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("overlay");
    fs::create_dir_all(folder.join("base")).expect("folder");
    for file in fs::read_dir(root().join("deploy/kustomize")).expect("base") {
        let file = file.expect("file");
        fs::copy(file.path(), folder.join("base").join(file.file_name())).expect("copied");
    }
    let overlay = json!({"namespace": namespace.name, "resources": ["base"]});
    fs::write(folder.join("kustomization.yaml"), overlay.to_string()).expect("written");
    let built = namespace.kubectl(&["kustomize", &folder.display().to_string()], None).await;
    let objects = documents(&built.succeeded().expect("built"));
    for object in &objects {
        let subjects = object["subjects"].as_array().into_iter().flatten();
        let places = subjects.map(|subject| &subject["namespace"]).chain([&object["metadata"]["namespace"]]);
        for place in places.filter(|place| !place.is_null()) {
            assert_eq!(*place, namespace.name, "{} {}", object["kind"], object["metadata"]["name"]);
        }
    }
    // The namespace of the Lease needs no configuration.
    let container = &object(&objects, "Deployment", RELEASE)["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].to_string();
    assert!(arguments.contains("--leader-elect\"") && !arguments.contains("namespace"), "{arguments}");
    let elsewhere = |object: &Value| object["kind"] != "Namespace";
    dry_run(&objects.into_iter().filter(elsewhere).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn the_api_server_accepts_the_single_file_of_a_release() {
    let namespace = restricted("chart-one-file").await;
    let rendered = std::process::Command::new(root().join("deploy/render.sh")).arg("everything").output();
    let rendered = rendered.expect("render.sh");
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let objects = documents(&String::from_utf8(rendered.stdout).expect("text"));
    assert_eq!(objects[0]["kind"], "Namespace", "what the others lie in comes first");
    let definitions = objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition");
    assert_eq!(definitions.count(), 7);
    assert_eq!(installed(&objects).len(), objects.len(), "there is no Helm that would run a test");
    dry_run(&moved(objects, &namespace.name)).await;
}

/// Returns objects moved to an existing namespace, because a dry run does not create the new one.
fn moved(mut objects: Vec<Value>, namespace: &str) -> Vec<Value> {
    for object in &mut objects {
        if object["metadata"]["namespace"] == RELEASE {
            object["metadata"]["namespace"] = namespace.into();
        }
    }
    objects
}
