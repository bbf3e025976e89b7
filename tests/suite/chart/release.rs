//! The life of a release: installed, upgraded from an older chart, rolled back, uninstalled. The books stay as they are.

use flashgate_billing::api::{CreditLedger, CreditPack, Subscription};
use serde_json::{Value, json};

use super::pod::{Container, kubeconfig_of};
use super::{RELEASE, chart, documents, helm_in, object};
use crate::world::{Namespace, World, root};

/// The chart as it was, packaged.
const OLDER: &str = "tests/golden/chart/flashgate-billing-0.0.1.tgz";

/// Returns all that an account is: every byte that an upgrade must leave alone.
async fn books(namespace: &Namespace<'_>) -> [Option<Value>; 3] {
    [
        namespace.get::<CreditLedger>("acme").await,
        namespace.get::<Subscription>("acme").await,
        namespace.get::<CreditPack>("order-1").await,
    ]
}

/// Returns the chart that a definition came with.
async fn chart_of_definitions(world: &World) -> String {
    let get = ["get", "crd", "creditledgers.billing.flashgate.dev", "-o"];
    let label = "jsonpath={.metadata.labels.helm\\.sh/chart}";
    let arguments: Vec<&str> = get.into_iter().chain([label]).collect();
    world.plane.kubectl(&arguments, None).await.expect("kubectl").succeeded().expect("definition")
}

/// Returns how many definitions of ours there are, and how many of them are about to go.
async fn definitions(world: &World) -> (usize, usize) {
    let get = ["get", "crd", "--selector", "app.kubernetes.io/part-of=flashgate-billing", "-o", "json"];
    let list = world.plane.kubectl(&get, None).await.expect("kubectl").succeeded().expect("definitions");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let items = list["items"].as_array().expect("items");
    let go = items.iter().filter(|item| !item["metadata"]["deletionTimestamp"].is_null());
    (items.len(), go.count())
}

#[tokio::test]
async fn upgrade_rollback_and_uninstall_leave_every_ledger_as_it_was() {
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
    let manifest =
        || documents(&helm_in(&world, &["get", "manifest", RELEASE, "--namespace", "billing"], &none));
    let log = world.plane.folder().join("log");
    let operator = Container::of(&world, &manifest()).start(&world, &log).await;
    namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
    let pack = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    namespace.create::<CreditPack>("order-1", pack).await;
    namespace.expect::<CreditPack>("order-1", "/status/state", "Granted").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
    operator.terminate().await;
    let before = books(&namespace).await;
    assert!(before.iter().all(Option::is_some), "{before:?}");

    release("upgrade", &newer);
    let version = format!("flashgate-billing-{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(chart_of_definitions(&world).await, version);
    assert_eq!(object(&manifest(), "Deployment", RELEASE)["metadata"]["labels"]["step"], "upgrade");
    assert_eq!(books(&namespace).await, before);
    // The upgraded operator finds nothing to do.
    let operator = Container::of(&world, &manifest()).start(&world, &log).await;
    let another = json!({"plan": "individual"});
    namespace.create::<Subscription>("jane", another).await;
    namespace.expect::<Subscription>("jane", "/status/credits/balance", "10").await;
    operator.terminate().await;
    assert_eq!(books(&namespace).await, before);

    helm_in(&world, &["rollback", RELEASE, "1", "--namespace", "billing"], &none);
    assert_eq!(chart_of_definitions(&world).await, "flashgate-billing-0.0.1");
    assert_eq!(books(&namespace).await, before);

    release("upgrade", &newer);
    helm_in(&world, &["uninstall", RELEASE, "--namespace", "billing"], &none);
    assert_eq!(definitions(&world).await, (6, 0));
    assert_eq!(books(&namespace).await, before);
    let rest = world
        .plane
        .kubectl(&["get", "deployments,roles,serviceaccounts", "--all-namespaces", "-o", "name"], None);
    let rest = rest.await.expect("kubectl").succeeded().expect("list");
    assert!(!rest.contains(RELEASE), "{rest}");

    // And it comes back over what it left.
    release("install", &newer);
    assert_eq!(chart_of_definitions(&world).await, version);
    assert_eq!(books(&namespace).await, before);
}

#[tokio::test]
async fn the_test_of_a_release_passes_with_an_operator_and_leaves_nothing() {
    let world = World::start().await;
    let namespace = world.namespace("billing").await;
    let values = json!({"crds": {"enabled": false}});
    let rendered = super::render("billing", &values);
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&super::list(&rendered))).await;
    assert!(applied.success, "{}", applied.stderr);
    let operator = Container::of(&world, &rendered);
    let _operator = operator.start(&world, &world.plane.folder().join("log")).await;
    let name = format!("{RELEASE}-test");
    let manifest = world.plane.folder().join("subscription.yaml");
    let text = object(&rendered, "ConfigMap", &name)["data"]["subscription.yaml"].as_str().expect("manifest");
    std::fs::write(&manifest, text).expect("written");
    let kubeconfig = format!("--kubeconfig={}", kubeconfig_of(&world, "billing", &name).await.display());
    let pod = object(&rendered, "Pod", &name);
    let steps = ["initContainers", "containers"]
        .map(|kind| pod["spec"][kind].as_array().expect("containers").clone());
    assert_eq!(steps.concat().len(), 3);
    for step in steps.concat() {
        let arguments = step["args"].as_array().expect("arguments").iter();
        let arguments: Vec<String> = arguments
            .map(|argument| argument.as_str().expect("text"))
            .map(|argument| argument.replace("/manifests/subscription.yaml", &manifest.display().to_string()))
            .chain([kubeconfig.clone()])
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let done = namespace.kubectl(&arguments, None).await;
        assert!(done.success, "{arguments:?}: {}", done.stderr);
    }
    assert!(namespace.get::<Subscription>(&name).await.is_none());
    assert!(namespace.get::<CreditLedger>(&name).await.is_none());
}
