//! The gate of the chart: its rights, its token, its pods, and values that contradict each other.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::admitted::{pod_of, restricted};
use super::pod::{containers, kubeconfig_of};
use super::rendering::refused_naming;
use super::roles::rights;
use super::{RELEASE, installed, list, object, render, selector_of, selects};
use crate::world::{World, bare};

/// Name of the gate's objects.
const GATE: &str = "flashgate-billing-gate";

/// A `ServiceAccount` without any role.
const STRANGER: &str = "stranger";

/// Returns the rendered objects with these values of the gate, without the CRDs.
fn rendered(namespace: &str, gate: &Value, change: &Value) -> Vec<Value> {
    let mut values = json!({"crds": {"enabled": false}, "gate": gate});
    values["gate"]["enabled"] = true.into();
    values.as_object_mut().expect("values").extend(change.as_object().expect("change").clone());
    installed(&render(namespace, &values))
}

/// Returns the rights of the gate's `ServiceAccount` that a stranger does not have.
async fn granted(world: &World, account: &str, scope: &str) -> BTreeSet<String> {
    let stranger = kubeconfig_of(world, "billing", STRANGER).await;
    let gate = kubeconfig_of(world, "billing", account).await;
    rights(world, &gate, scope).difference(&rights(world, &stranger, scope)).cloned().collect()
}

#[tokio::test]
async fn the_gate_may_only_read_subscriptions() {
    let world = World::start().await;
    let namespace = world.namespace("billing").await;
    namespace.kubectl(&["create", "serviceaccount", STRANGER], None).await.succeeded().expect("account");
    let teams = [world.namespace("team-a").await, world.namespace("team-b").await];
    let read = BTreeSet::from(["subscriptions.billing.flashgate.dev [] [] [get list watch]".to_owned()]);
    // A role for all namespaces, and one for a single namespace.
    for (name, namespaces, elsewhere) in
        [("everywhere", json!([]), &read), ("somewhere", json!(["team-a"]), &BTreeSet::new())]
    {
        let change = json!({"namespaces": namespaces, "fullnameOverride": name});
        let rendered = rendered("billing", &json!({"grpc": {"enabled": true}}), &change);
        let applied =
            world.plane.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await.expect("kubectl");
        assert!(applied.success, "{}", applied.stderr);
        let account = format!("{name}-gate");
        assert_eq!(granted(&world, &account, &teams[0].name).await, read, "{name}");
        for scope in [&teams[1].name, "billing"] {
            assert_eq!(granted(&world, &account, scope).await, *elsewhere, "{name} in {scope}");
        }
    }
}

#[tokio::test]
async fn a_namespace_that_enforces_the_restricted_profile_admits_the_pods_of_the_gate() {
    let namespace = restricted("chart-gate-restricted").await;
    let rendered = rendered(&namespace.name, &json!({"grpc": {"enabled": true}}), &json!({}));
    let create = ["create", "--dry-run=server", "-f", "-"];
    let created = namespace.kubectl(&create, Some(&pod_of(&rendered, GATE).to_string())).await;
    assert!(created.success, "{}", created.stderr);
}

#[tokio::test]
async fn the_api_server_admits_each_form_of_the_gate() {
    let namespace = bare().await.namespace("chart-gate-forms").await;
    let apply = ["apply", "--server-side", "--dry-run=server", "--field-manager=test", "-f", "-"];
    for gate in [
        json!({"replicas": 1}),
        json!({"account": {"header": "x-account"}, "networkPolicy": {"from": [{"podSelector": {}}]}}),
        json!({"account": {"template": "ai/{path:2}"}, "grpc": {"enabled": true}}),
        json!({"account": {"apiKeyHeader": "authorization"}, "autoscaling": {"enabled": true}}),
    ] {
        let mut objects = rendered(&namespace.name, &gate, &json!({}));
        objects
            .retain(|object| object["metadata"]["name"].as_str().is_some_and(|name| name.contains("-gate")));
        assert!(objects.len() >= 6, "{objects:#?}");
        let applied = namespace.kubectl(&apply, Some(&list(&objects))).await;
        assert!(applied.success, "{gate}: {}", applied.stderr);
        assert!(!applied.stderr.contains("Warning:"), "{gate}: {}", applied.stderr);
    }
}

#[test]
fn the_services_and_policies_of_the_gate_select_only_its_pods() {
    let other = json!({
        "portal": {"enabled": true}, "history": {"mode": "none"},
        "meter": {"enabled": true, "servers": {"default": {"url": "http://prometheus"}}},
    });
    let rendered = rendered("billing", &json!({"replicas": 3}), &other);
    let others = [RELEASE, "flashgate-billing-portal", "flashgate-billing-meter"];
    let mut selectors = 0;
    for object in &rendered {
        let Some(selector) = selector_of(object) else { continue };
        let of_gate = object["metadata"]["name"] == GATE;
        selectors += usize::from(of_gate);
        assert_eq!(selects(selector, &rendered, GATE), of_gate, "{object}");
        for other in others {
            assert!(!of_gate || !selects(selector, &rendered, other), "{object} selects {other}");
        }
    }
    assert_eq!(selectors, 4);
}

#[test]
fn the_ports_of_the_service_lead_to_the_ports_of_the_container() {
    let gate = json!({"port": 9000, "metricsPort": 9002, "grpc": {"enabled": true, "port": 9001}});
    let rendered = rendered("billing", &gate, &json!({}));
    let container = containers(object(&rendered, "Deployment", GATE)).next().expect("a container");
    let opened: Vec<(&Value, &Value)> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| (&port["name"], &port["containerPort"]))
        .collect();
    let served: Vec<(&Value, &Value)> = object(&rendered, "Service", GATE)["spec"]["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| (&port["targetPort"], &port["port"]))
        .collect();
    assert_eq!(opened, served);
    assert_eq!(
        opened,
        [(&json!("http"), &json!(9000)), (&json!("grpc"), &json!(9001)), (&json!("metrics"), &json!(9002))]
    );
    let probed =
        [&container["readinessProbe"], &container["livenessProbe"]].map(|probe| &probe["httpGet"]["port"]);
    assert_eq!(probed, ["http", "metrics"]);
}

#[test]
fn values_that_contradict_each_other_are_rejected_with_the_remedy() {
    let gate = |gate: Value| json!({"gate": gate});
    let admission = |gate: Value| json!({"admissionGate": gate});
    let refused = [
        (
            gate(json!({"enabled": true, "account": {"header": "a", "template": "{path:1}/{path:2}"}})),
            "only one of",
        ),
        (gate(json!({"enabled": true, "account": {"template": "a/b"}})), "must have a placeholder"),
        (gate(json!({"enabled": true, "account": {"template": "{path:0}/b"}})), "N is 1 or more"),
        (gate(json!({"enabled": true, "account": {"template": "{path:1}"}})), "must have one '/'"),
        (gate(json!({"enabled": true, "staleAfter": "2s"})), "must be from 3s to 86400s"),
        (gate(json!({"enabled": true, "metricsPort": 8090})), "must differ"),
        (gate(json!({"grpc": {"enabled": true}})), "need gate.enabled"),
        (gate(json!({"staleAfter": "1m"})), "/gate/staleAfter"),
        (gate(json!({"unknown": "ask"})), "/gate/unknown"),
        (gate(json!({"account": {"header": "a b"}})), "/gate/account/header"),
        (gate(json!({"billingPage": "billing.example.com"})), "/gate/billingPage"),
        (gate(json!({"networkPolicy": {"form": []}})), "'form'"),
        (admission(json!({"enabled": true, "validationActions": ["Deny", "Warn"]})), "both Deny and Warn"),
        (
            admission(json!({"enabled": true, "parameterNotFoundAction": "Deny"})),
            "needs admissionGate.namespaceSelector",
        ),
        (admission(json!({"validationActions": []})), "/admissionGate/validationActions"),
        (admission(json!({"controllers": ["o'brien"]})), "/admissionGate/controllers/0"),
        (
            admission(json!({"resources": [{"apiGroups": [""], "resources": ["*"]}]})),
            "/admissionGate/resources/0",
        ),
        (admission(json!({"failurePolicy": "Deny"})), "/admissionGate/failurePolicy"),
    ];
    for (values, named) in refused {
        refused_naming(&values, named);
    }
}
