//! The lifecycle of a release: installation, upgrade from an older chart, rollback, and uninstallation.
//! Ledgers do not change.

use flashgate_api::{CreditLedger, CreditPack, Subscription};
use serde_json::{Value, json};

use super::definitions::OLDER;
use super::pod::{Container, kubeconfig_of};
use super::{RELEASE, chart, documents, helm_in, object, tool};
use crate::world::{Namespace, World, root, wait_for};

/// Returns the parts of an account that an upgrade must not change.
async fn account_state(namespace: &Namespace<'_>) -> [Option<Value>; 3] {
    [
        namespace.get::<CreditLedger>("acme").await,
        namespace.get::<Subscription>("acme").await,
        namespace.get::<CreditPack>("order-1").await,
    ]
}

/// Removes what an operator of this version adds to the status of an account of an older one.
fn without_gate(mut state: [Option<Value>; 3]) -> [Option<Value>; 3] {
    if let Some(subscription) = &mut state[1] {
        subscription["status"].as_object_mut().expect("status").remove("gate");
        for field in ["resourceVersion", "managedFields"] {
            subscription["metadata"].as_object_mut().expect("metadata").remove(field);
        }
    }
    state
}

/// Returns the chart version of the installed CRDs.
async fn chart_of_definitions(world: &World) -> String {
    let get = ["get", "crd", "creditledgers.billing.flashgate.dev", "-o"];
    let label = "jsonpath={.metadata.labels.helm\\.sh/chart}";
    let arguments: Vec<&str> = get.into_iter().chain([label]).collect();
    world.plane.kubectl(&arguments, None).await.expect("kubectl").succeeded().expect("definition")
}

/// Returns whether the CRDs have a field that the older chart did not have.
async fn references_are_known(world: &World) -> bool {
    let get = ["get", "crd", "payments.billing.flashgate.dev", "-o", "json"];
    let definition = world.plane.kubectl(&get, None).await.expect("kubectl").succeeded().expect("definition");
    let definition: Value = serde_json::from_str(&definition).expect("JSON");
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    definition.pointer(&format!("{spec}/state")).expect("fields of the older chart");
    definition.pointer(&format!("{spec}/reference")).is_some()
}

/// Buys a pack. Returns the increase of the ledger's sequence.
async fn buy(namespace: &Namespace<'_>, order: &str) -> i64 {
    let account = namespace.account("acme");
    let sequence = async || account.ledger().await["sequence"].as_i64().expect("sequence");
    let before = sequence().await;
    account.buy(order, "plus-100").await;
    account.pack_is(order, "Granted").await;
    sequence().await - before
}

/// Returns the number of our CRDs, and the number of those that are being deleted.
async fn definitions(world: &World) -> (usize, usize) {
    let get = ["get", "crd", "--selector", "app.kubernetes.io/part-of=flashgate-billing", "-o", "json"];
    let list = world.plane.kubectl(&get, None).await.expect("kubectl").succeeded().expect("definitions");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let items = list["items"].as_array().expect("items");
    let go = items.iter().filter(|item| !item["metadata"]["deletionTimestamp"].is_null());
    (items.len(), go.count())
}

#[tokio::test]
async fn upgrade_rollback_and_uninstall_change_no_ledger() {
    let world = World::empty().await;
    let namespace = world.namespace("acme").await;
    let older = root().join(OLDER).display().to_string();
    let newer = chart().display().to_string();
    let none = json!({});
    let release = |verb: &'static str, chart: &str| {
        let arguments =
            [verb, RELEASE, chart, "--namespace", "billing", "--create-namespace", "--values", "-"];
        helm_in(&world, &arguments, &json!({"commonLabels": {"step": verb}}))
    };
    release("install", &older);
    assert_eq!(chart_of_definitions(&world).await, "flashgate-billing-0.0.1");
    assert!(!references_are_known(&world).await);
    let manifest =
        || documents(&helm_in(&world, &["get", "manifest", RELEASE, "--namespace", "billing"], &none));
    let log = world.plane.folder().join("log");
    let operator = Container::of(&world, &manifest()).start(&world, &log).await;
    namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    buy(&namespace, "order-1").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
    operator.terminate().await;
    let before = account_state(&namespace).await;
    assert!(before.iter().all(Option::is_some), "{before:?}");

    release("upgrade", &newer);
    let version = format!("flashgate-billing-{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(chart_of_definitions(&world).await, version);
    assert!(references_are_known(&world).await);
    assert_eq!(object(&manifest(), "Deployment", RELEASE)["metadata"]["labels"]["step"], "upgrade");
    assert_eq!(account_state(&namespace).await, before);
    // The upgraded operator adds the gate, and has nothing else to do.
    let operator = Container::of(&world, &manifest()).start(&world, &log).await;
    let another = json!({"plan": "individual"});
    namespace.create::<Subscription>("jane", another).await;
    namespace.expect::<Subscription>("jane", "/status/credits/balance", "10").await;
    operator.terminate().await;
    let upgraded = account_state(&namespace).await;
    assert_eq!(without_gate(upgraded.clone()), without_gate(before));

    helm_in(&world, &["rollback", RELEASE, "1", "--namespace", "billing"], &none);
    assert_eq!(chart_of_definitions(&world).await, "flashgate-billing-0.0.1");
    assert!(!references_are_known(&world).await);
    assert_eq!(without_gate(account_state(&namespace).await), without_gate(upgraded));
    // It can continue the ledger.
    let operator = Container::of(&world, &manifest()).start(&world, &log).await;
    assert_eq!(buy(&namespace, "order-2").await, 1);
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1300").await;
    operator.terminate().await;
    let before = account_state(&namespace).await;

    release("upgrade", &newer);
    helm_in(&world, &["uninstall", RELEASE, "--namespace", "billing"], &none);
    assert_eq!(definitions(&world).await, (7, 0));
    assert_eq!(account_state(&namespace).await, before);
    let rest = world
        .plane
        .kubectl(&["get", "deployments,roles,serviceaccounts", "--all-namespaces", "-o", "name"], None);
    let rest = rest.await.expect("kubectl").succeeded().expect("list");
    assert!(!rest.contains(RELEASE), "{rest}");

    // A new installation uses the objects that the old one left.
    release("install", &newer);
    assert_eq!(chart_of_definitions(&world).await, version);
    assert_eq!(account_state(&namespace).await, before);
}

#[tokio::test]
async fn the_test_of_a_release_passes_with_an_operator_and_leaves_no_objects() {
    let world = World::start().await;
    let namespace = world.namespace("billing").await;
    let values = json!({"crds": {"enabled": false}});
    let rendered = super::render("billing", &values);
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&super::list(&rendered))).await;
    assert!(applied.success, "{}", applied.stderr);
    let operator = Container::of(&world, &rendered);
    let _operator = operator.start(&world, &world.plane.folder().join("log")).await;
    let name = format!("{RELEASE}-test");
    let kubeconfig = format!("--kubeconfig={}", kubeconfig_of(&world, "billing", &name).await.display());
    let pod = object(&rendered, "Pod", &name);
    let steps = ["initContainers", "containers"]
        .map(|kind| pod["spec"][kind].as_array().expect("containers").clone());
    assert_eq!(steps.concat().len(), 2);
    for step in steps.concat() {
        let arguments = step["args"].as_array().expect("arguments").iter();
        let arguments = arguments.map(|argument| argument.as_str().expect("text"));
        let arguments: Vec<&str> = arguments.chain([kubeconfig.as_str()]).collect();
        let done = namespace.kubectl(&arguments, None).await;
        assert!(done.success, "{arguments:?}: {}", done.stderr);
    }
    assert!(namespace.get::<Subscription>(&name).await.is_none());
    assert!(namespace.get::<CreditLedger>(&name).await.is_none());
}

#[tokio::test]
async fn the_test_of_a_release_deletes_its_subscription_when_it_fails() {
    let world = World::empty().await;
    let chart = chart().display().to_string();
    let install = ["install", RELEASE, &chart, "--namespace", "billing", "--create-namespace"];
    helm_in(&world, &install, &json!({}));
    let name = format!("{RELEASE}-test");
    let kubeconfig = world.plane.kubeconfig();
    let test = tokio::task::spawn_blocking(move || {
        tool("helm", &["test", RELEASE, "--namespace", "billing", "--timeout", "2m"], &kubeconfig, "")
    });
    let get = async |kind: &str| {
        let get = ["get", kind, &name, "--namespace", "billing", "--ignore-not-found", "-o", "name"];
        world.plane.kubectl(&get, None).await.expect("kubectl").succeeded().expect("read")
    };
    let pod = async || (!get("pods").await.is_empty()).then_some(());
    wait_for("the pod of the test is there", pod).await;
    assert!(!get("subscriptions.billing.flashgate.dev").await.is_empty());
    // A kubelet would report this if the Subscription did not become ready.
    let failed = r#"{"status": {"phase": "Failed"}}"#;
    let patch = ["patch", "pod", &name, "--namespace", "billing", "--subresource=status", "--patch", failed];
    world.plane.kubectl(&patch, None).await.expect("kubectl").succeeded().expect("failed");
    let said = test.await.expect("helm");
    assert!(!said.success, "{}", said.stdout);
    assert_eq!(get("subscriptions.billing.flashgate.dev").await, "");
    assert!(!get("pods").await.is_empty(), "the pod stays, so that its log can be read");
}

/// Returns the commands in the notes that Helm prints after an installation.
fn pasted(notes: &str) -> String {
    let lines = notes.lines().skip_while(|line| !line.starts_with("  kubectl apply"));
    let lines = lines.take_while(|line| !line.is_empty());
    lines.map(|line| line.strip_prefix("  ").expect("indented").to_owned() + "\n").collect()
}

#[tokio::test]
async fn the_command_in_the_notes_opens_an_account_with_any_catalog() {
    let world = World::start().await;
    let yearly = json!({"name": "yearly", "yearly": {"credits": "10", "price": "5"}});
    let free = json!({"name": "free", "monthly": {"credits": "1"}});
    let from_outside = json!({"payments": {"mode": "External"}});
    for (name, catalog, plan) in [
        ("shipped", json!({}), "starter"),
        ("with-free", json!({"currency": "EUR", "plans": [yearly, free], "policies": from_outside}), "free"),
        ("yearly-paid", json!({"currency": "EUR", "plans": [yearly], "policies": from_outside}), "yearly"),
    ] {
        let namespace = world.namespace(name).await;
        let values = json!({
            "catalog": catalog, "crds": {"enabled": false}, "namespaces": [name], "userRoles": {"create": false},
            "deletionGuard": {"enabled": false},
        });
        let (chart, of_release) = (chart().display().to_string(), format!("{name}-operator"));
        let install = ["install", RELEASE, &chart, "--namespace", &of_release, "--create-namespace"];
        let notes = helm_in(&world, &[&install[..], &["--values", "-"]].concat(), &values);
        let manifest = helm_in(&world, &["get", "manifest", RELEASE, "--namespace", &of_release], &json!({}));
        let container = Container::of(&world, &documents(&manifest));
        let _operator = container.start(&world, &world.plane.folder().join(format!("{name}.log"))).await;
        let script = format!("set -euo pipefail\n{}", pasted(&notes));
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .env("PATH", format!("{}:/usr/bin:/bin", world.plane.programs().display()))
            .env("KUBECONFIG", world.plane.kubeconfig())
            .env("KUBECACHEDIR", world.plane.kubectl_cache())
            .output()
            .expect("bash");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{script}{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.lines().any(|line| line.starts_with("acme")), "{said}");
        let account = namespace.get::<Subscription>("acme").await.expect("account");
        assert_eq!(account["spec"]["plan"], plan);
    }
}

#[tokio::test]
async fn helm_waits_for_a_release_without_pods_and_for_its_upgrade() {
    let controllers = ["deployment-controller", "replicaset-controller"];
    let builder = flashgate_control_plane::ControlPlane::builder().controllers(&controllers);
    let world = World::start_with_builder(builder).await;
    let chart = chart().display().to_string();
    for verb in ["install", "upgrade"] {
        let arguments = [verb, RELEASE, &chart, "--namespace", "billing", "--create-namespace", "--wait"];
        // No controller of this control plane binds a PersistentVolumeClaim.
        let values = json!({"replicaCount": 0, "podLabels": {"step": verb}, "history": {"mode": "none"}});
        helm_in(&world, &[&arguments[..], &["--timeout", "60s", "--values", "-"]].concat(), &values);
    }
    // Helm did wait: without a kubelet the pods do not run, so the release does not complete.
    let pods =
        ["upgrade", RELEASE, &chart, "--namespace", "billing", "--wait", "--timeout", "2s", "--values", "-"];
    let one = json!({"replicaCount": 1, "history": {"mode": "none"}});
    let said = tool("helm", &pods, &world.plane.kubeconfig(), &one.to_string());
    assert!(!said.success, "{}", said.stdout);
    assert!(said.stderr.contains(RELEASE), "{}", said.stderr);
}
