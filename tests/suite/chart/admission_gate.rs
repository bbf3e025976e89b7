//! The admission gate of the chart: new workloads need credits, and running ones are left alone.

use flashgate_api::{API_KEY_PREFIX, CreditAdjustment, GATES_NAMESPACE, Subscription, UsageReport};
use flashgate_control_plane::Output;
use flashgate_testing::catalog::monthly;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{installed, list, render};
use crate::cluster_account::{LONG_AGO, now};
use crate::world::{Namespace, World, root, wait_for, wait_until};

/// The namespace of the release, which is not guarded.
const RELEASED: &str = "billing";

/// The policies.
const POLICIES: [&str; 2] = ["flashgate-billing-admission-gate", "flashgate-billing-gate-labels"];

/// The guarded kinds, with the API version and the plural of each.
const GUARDED: [(&str, &str, &str); 7] = [
    ("Pod", "v1", "pods"),
    ("ReplicationController", "v1", "replicationcontrollers"),
    ("Deployment", "apps/v1", "deployments"),
    ("StatefulSet", "apps/v1", "statefulsets"),
    ("DaemonSet", "apps/v1", "daemonsets"),
    ("ReplicaSet", "apps/v1", "replicasets"),
    ("Job", "batch/v1", "jobs"),
];

/// Part of each message of the admission gate.
const REJECTED: &str = "are not admitted in namespace";

/// Returns a world in which the policies are installed with their default values, and no operator runs.
async fn guarded() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    let start = || async {
        let controllers = ["validatingadmissionpolicy-status-controller"];
        let world = World::start_with(&["tenant", "platform"], &controllers).await;
        world.namespace(RELEASED).await;
        install(&world, json!({"admissionGate": {"enabled": true}})).await;
        let closed = labelled(&world, "in-force").await;
        set_gate(&closed, "acme", json!({"open": false, "reason": "CreditsExhausted"})).await;
        wait_until("the policy is in force", async || is_rejected(&create(&closed, "Pod", None).await)).await;
        world
    };
    WORLD.get_or_init(start).await
}

/// Applies the chart in the namespace of the release.
async fn install(world: &World, mut values: Value) {
    values["crds"] = json!({"enabled": false});
    let rendered = installed(&render(RELEASED, &values));
    let applied = world.plane.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await.expect("kubectl");
    assert!(applied.success, "{}", applied.stderr);
}

/// Creates a namespace with a labelled Subscription `acme`.
async fn labelled<'a>(world: &'a World, name: &str) -> Namespace<'a> {
    let namespace = world.namespace(name).await;
    subscribe(&namespace, "acme", "true").await;
    namespace
}

/// Creates a Subscription with this value of the label.
async fn subscribe(namespace: &Namespace<'_>, name: &str, label: &str) {
    let metadata = json!({"name": name, "labels": {GATES_NAMESPACE: label}});
    namespace.create_with::<Subscription>(metadata, json!({"plan": "starter"})).await;
}

/// Writes `status.gate` as the operator does.
async fn set_gate(namespace: &Namespace<'_>, name: &str, gate: Value) {
    set_status(namespace, name, json!({"gate": gate})).await;
}

async fn set_status(namespace: &Namespace<'_>, name: &str, status: Value) {
    let patch = json!([{"op": "add", "path": "/status", "value": status}]).to_string();
    let patch = ["patch", "subscription", name, "--subresource=status", "--type=json", "--patch", &patch];
    namespace.kubectl(&patch, None).await.succeeded().expect("patched");
}

/// Returns a workload with one container.
fn workload(kind: &str) -> Value {
    let (_, version, _) = GUARDED.into_iter().find(|(known, ..)| *known == kind).expect("a guarded kind");
    let labels = json!({"app": "web"});
    let mut pod = json!({"containers": [{"name": "main", "image": "example.org/main"}]});
    if kind == "Job" {
        pod["restartPolicy"] = "Never".into();
    }
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let spec = match kind {
        "Pod" => pod,
        "Job" => json!({"template": template}),
        "ReplicationController" => json!({"selector": labels, "template": template}),
        _ => json!({"selector": {"matchLabels": labels}, "template": template}),
    };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec})
}

/// Creates a workload as a dry run, as the administrator or as another user.
async fn create(namespace: &Namespace<'_>, kind: &str, user: Option<&str>) -> Output {
    let mut arguments = vec!["create".to_owned(), "--dry-run=server".to_owned(), "--filename=-".to_owned()];
    arguments.extend(user.map(|user| format!("--as={user}")));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    namespace.kubectl(&arguments, Some(&workload(kind).to_string())).await
}

fn is_rejected(output: &Output) -> bool {
    !output.success && output.stderr.contains(REJECTED)
}

/// Asserts that each guarded kind can be created.
async fn admits_all(namespace: &Namespace<'_>) {
    for (kind, ..) in GUARDED {
        let created = create(namespace, kind, None).await;
        assert!(created.success, "{kind} in {}: {}", namespace.name, created.stderr);
    }
}

/// Grants each `ServiceAccount` all rights in a namespace.
async fn may_do_all(namespace: &Namespace<'_>) {
    let bind = "create rolebinding accounts --clusterrole=cluster-admin --group=system:serviceaccounts";
    let bind: Vec<&str> = bind.split_whitespace().collect();
    namespace.kubectl(&bind, None).await.succeeded().expect("bound");
}

/// Returns the name of a controller of kube-system.
fn controller(name: &str) -> String {
    format!("system:serviceaccount:kube-system:{name}")
}

#[tokio::test]
async fn the_rules_of_the_policies_have_no_type_errors() {
    let world = guarded().await;
    for policy in POLICIES {
        let checked = wait_for("the rules are checked", async || {
            let get = ["get", "validatingadmissionpolicy", policy, "--output=json"];
            let policy = world.plane.kubectl(&get, None).await.expect("kubectl").succeeded().expect("policy");
            let policy: Value = serde_json::from_str(&policy).expect("JSON");
            let is_checked = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
            is_checked.then(|| policy["status"]["typeChecking"].clone())
        })
        .await;
        assert_eq!(checked, json!({}), "{policy}");
    }
}

#[tokio::test]
async fn new_workloads_without_credits_are_rejected_with_the_remedy_until_there_are_credits() {
    let namespace = labelled(guarded().await, "spent").await;
    let credits = json!({
        "balance": "-3.5", "plan": "0", "packs": "0", "adjustments": "0", "debt": "3.5", "settling": "0",
    });
    let status = json!({
        "plan": "starter", "renewalTime": "2099-12-01T00:00:00Z", "credits": credits,
        "gate": {"open": false, "reason": "CreditsExhausted", "since": "2026-11-30T00:00:00Z"},
    });
    set_status(&namespace, "acme", status).await;
    wait_until("the gate is closed", async || is_rejected(&create(&namespace, "Pod", None).await)).await;
    for (kind, _, plural) in GUARDED {
        let rejected = create(&namespace, kind, None).await;
        assert!(!rejected.success, "{kind} is admitted");
        let message = format!(
            "new {plural} are not admitted in namespace 'spent': Subscription 'acme' has no credits left \
             (CreditsExhausted), its balance is -3.5 credits. Buy a CreditPack, or change to a larger plan; \
             the next credits come with the renewal at 2099-12-01T00:00:00Z. Running workloads are not affected."
        );
        assert!(rejected.stderr.contains(&message), "{kind}: {}", rejected.stderr);
    }
    for (reason, message) in [
        (
            "NoPlan",
            "has no plan in force (NoPlan). Pay its open invoice, or set `spec.plan` to a plan of the",
        ),
        ("NotStarted", "has not started (NotStarted). Wait until its `status.plan` is set."),
        ("Deleting", "is being deleted (Deleting). Create another Subscription,"),
        (
            "CreditsExhausted",
            "has no credits left (CreditsExhausted). Buy a CreditPack, or change to a larger plan.",
        ),
    ] {
        set_gate(&namespace, "acme", json!({"open": false, "reason": reason})).await;
        wait_until(reason, async || create(&namespace, "Deployment", None).await.stderr.contains(message))
            .await;
    }
    set_gate(&namespace, "acme", json!({"open": true, "reason": "CreditsLeft"})).await;
    wait_until("the gate is open", async || create(&namespace, "Pod", None).await.success).await;
    admits_all(&namespace).await;
}

#[tokio::test]
async fn only_a_closed_gate_of_a_labelled_subscription_of_the_namespace_rejects() {
    let world = guarded().await;
    let closed = || json!({"open": false, "reason": "CreditsExhausted"});
    let open = || json!({"open": true, "reason": "InGrace", "since": "2026-11-30T00:00:00Z"});
    let without_subscription = world.namespace("without-subscription").await;
    let unlabelled = world.namespace("unlabelled").await;
    unlabelled.account("acme").subscribe(monthly("starter"), None).await;
    set_gate(&unlabelled, "acme", closed()).await;
    let label_of_false = world.namespace("label-of-false").await;
    subscribe(&label_of_false, "acme", "false").await;
    set_gate(&label_of_false, "acme", closed()).await;
    let new = labelled(world, "without-gate").await;
    let in_grace = labelled(world, "in-grace").await;
    set_gate(&in_grace, "acme", open()).await;
    let existing = async |name: &str| {
        let namespace = Namespace { world, name: name.to_owned(), client: world.client().await };
        subscribe(&namespace, "acme", "true").await;
        set_gate(&namespace, "acme", closed()).await;
        namespace
    };
    let system = existing("kube-system").await;
    let release = existing(RELEASED).await;
    let two = labelled(world, "two").await;
    subscribe(&two, "globex", "true").await;
    set_gate(&two, "globex", open()).await;
    // The API server sees the changes in this order, so it has seen the others with the last one.
    set_gate(&two, "acme", closed()).await;
    wait_until("one of two gates is closed", async || is_rejected(&create(&two, "Pod", None).await)).await;
    for namespace in [&without_subscription, &unlabelled, &label_of_false, &new, &in_grace, &system, &release]
    {
        admits_all(namespace).await;
    }
    set_gate(&two, "globex", closed()).await;
    set_gate(&two, "acme", open()).await;
    wait_until("the other gate is closed", async || {
        create(&two, "Job", None).await.stderr.contains("Subscription 'globex' has no credits left")
    })
    .await;
}

#[tokio::test]
async fn running_workloads_are_left_alone() {
    let namespace = labelled(guarded().await, "running").await;
    let running = [workload("Deployment"), workload("StatefulSet"), workload("Job")];
    let started = namespace.kubectl(&["create", "--filename=-"], Some(&list(&running))).await;
    assert!(started.success, "{}", started.stderr);
    set_gate(&namespace, "acme", json!({"open": false, "reason": "CreditsExhausted"})).await;
    wait_until("the gate is closed", async || is_rejected(&create(&namespace, "Pod", None).await)).await;
    // Controllers replace Pods, and the controller of Deployments replaces its ReplicaSet in a rollout.
    for (name, kind) in [
        ("replicaset-controller", "Pod"),
        ("statefulset-controller", "Pod"),
        ("daemon-set-controller", "Pod"),
        ("job-controller", "Pod"),
        ("deployment-controller", "ReplicaSet"),
    ] {
        let created = create(&namespace, kind, Some(&controller(name))).await;
        assert!(created.success, "{kind} by {name}: {}", created.stderr);
    }
    // The Job of a CronJob is new work.
    let job = create(&namespace, "Job", Some(&controller("cronjob-controller"))).await;
    assert!(is_rejected(&job), "{}", job.stderr);
    // Other users with such names are no controllers.
    may_do_all(&namespace).await;
    for user in [
        "system:serviceaccount:kube-system-2:replicaset-controller",
        "system:serviceaccount:running:kube-system",
    ] {
        wait_until(user, async || is_rejected(&create(&namespace, "Pod", Some(user)).await)).await;
    }
    for change in [
        "scale deployment web --replicas=3",
        "set image deployment/web main=example.org/other",
        "label statefulset web team=a",
        "delete deployment,statefulset,job web --wait=false",
    ] {
        let words: Vec<&str> = change.split_whitespace().collect();
        let changed = namespace.kubectl(&words, None).await;
        assert!(changed.success, "{change}: {}", changed.stderr);
    }
}

#[tokio::test]
async fn a_tenant_cannot_change_the_labels_that_gates_read() {
    let world = guarded().await;
    let namespace = labelled(world, "labels").await;
    let key = format!("{API_KEY_PREFIX}production");
    for (user, role) in
        [("tenant", "flashgate-tenant"), ("tenant", "flashgate-admin"), ("platform", "flashgate-gate-admin")]
    {
        let (role_flag, user_flag) = (format!("--clusterrole={role}"), format!("--user={user}"));
        let bind = ["create", "rolebinding", role, &role_flag, &user_flag];
        namespace.kubectl(&bind, None).await.succeeded().expect("bound");
    }
    let label = async |user: &str, change: String| {
        let kubeconfig =
            format!("--kubeconfig={}", world.plane.kubeconfig_for(user).expect("user").display());
        namespace.kubectl(&[&kubeconfig, "label", "--overwrite", "subscription", "acme", &change], None).await
    };
    let refused = async |change: String| {
        let said = label("tenant", change.clone()).await;
        let is_named =
            said.stderr.contains("by a user without the verb 'gate' on subscriptions in namespace 'labels'");
        assert!(!said.success && is_named, "{change}: {}", said.stderr);
    };
    for change in [format!("{GATES_NAMESPACE}-"), format!("{GATES_NAMESPACE}=false"), format!("{key}=abc")] {
        refused(change).await;
    }
    label("platform", format!("{key}=abc")).await.succeeded().expect("labelled");
    for change in [format!("{key}=abd"), format!("{key}-"), format!("{API_KEY_PREFIX}test=abc")] {
        refused(change).await;
    }
    label("tenant", "team=a".to_owned()).await.succeeded().expect("another label");
    let kubeconfig =
        format!("--kubeconfig={}", world.plane.kubeconfig_for("tenant").expect("user").display());
    let another = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription", "spec": {"plan": "starter"},
        "metadata": {"name": "globex", "labels": {GATES_NAMESPACE: "true"}},
    });
    let arguments = [&kubeconfig, "create", "--dry-run=server", "--filename=-"];
    let created = namespace.kubectl(&arguments, Some(&another.to_string())).await;
    assert!(!created.success && created.stderr.contains("label `billing.flashgate.dev/gates-namespace`"));
    let mut unlabelled = another;
    unlabelled["metadata"]["labels"] = json!({"team": "a"});
    let created = namespace.kubectl(&arguments, Some(&unlabelled.to_string())).await;
    assert!(created.success, "{}", created.stderr);
    // The operator's writes are not affected.
    set_gate(&namespace, "acme", json!({"open": true, "reason": "CreditsLeft"})).await;
    label("platform", format!("{GATES_NAMESPACE}-")).await.succeeded().expect("no longer labelled");
}

#[tokio::test]
async fn usage_closes_a_namespace_and_credits_open_it() {
    let world = guarded().await;
    let namespace = world.namespace("metered").await;
    let _operator = world.operator(&["--namespace", "metered"]);
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let label = ["label", "subscription", "acme", &format!("{GATES_NAMESPACE}=true")];
    namespace.kubectl(&label, None).await.succeeded().expect("labelled");
    account.balance("1100").await;
    namespace.expect::<Subscription>("acme", "/status/gate/open", true).await;
    admits_all(&namespace).await;
    let time = |second| Timestamp::from_second(second).expect("time").to_string();
    let usage = json!({
        "subscriptionRef": {"name": "acme"}, "source": "gw",
        "window": {"startTime": time(now() - 120), "endTime": time(now() - 60)},
        "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "1T"}],
    });
    namespace.create::<UsageReport>("spends", usage).await;
    wait_until("the gate is closed", async || {
        let said = create(&namespace, "Pod", None).await.stderr;
        said.contains("(CreditsExhausted), its balance is -8900 credits")
    })
    .await;
    let gift = json!({"subscriptionRef": {"name": "acme"}, "credits": "9000", "reason": "a top-up"});
    namespace.create::<CreditAdjustment>("top-up", gift).await;
    wait_until("the gate is open", async || create(&namespace, "Pod", None).await.success).await;
    account.balance("100").await;
}

/// Without the CRD, the API server cannot evaluate the policy.
#[tokio::test]
async fn a_failure_stops_only_the_namespaces_that_the_values_choose() {
    let world = World::empty().await;
    world.namespace(RELEASED).await;
    let [strict, other] = [world.namespace("strict").await, world.namespace("other").await];
    let named = |name: &str| json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
    // The default admits what it cannot judge.
    let values = json!({"enabled": true, "namespaceSelector": named("other")});
    install(&world, json!({"fullnameOverride": "lenient", "admissionGate": values})).await;
    let values = json!({
        "enabled": true, "failurePolicy": "Fail", "parameterNotFoundAction": "Deny",
        "namespaceSelector": named("strict"),
        "controllers": ["system:serviceaccount:strict:database"],
    });
    install(&world, json!({"fullnameOverride": "strict", "admissionGate": values})).await;
    let problem = async |kind: &'static str| create(&strict, kind, None).await.stderr;
    wait_until("the policy fails", async || problem("Pod").await.contains("failed to configure policy"))
        .await;
    admits_all(&other).await;
    world.plane.apply_crds(&root().join("crds")).await.expect("definitions");
    wait_until("a Subscription is required", async || problem("Pod").await.contains("no params found")).await;
    admits_all(&other).await;
    subscribe(&strict, "acme", "true").await;
    wait_until("a Subscription without a gate is enough", async || {
        create(&strict, "Pod", None).await.success
    })
    .await;
    only_the_stated_controller_replaces_pods(&strict).await;
}

/// The second part of the test above: the values name the user `database`, and no controller of kube-system.
async fn only_the_stated_controller_replaces_pods(namespace: &Namespace<'_>) {
    may_do_all(namespace).await;
    set_gate(namespace, "acme", json!({"open": false, "reason": "CreditsExhausted"})).await;
    for user in ["system:serviceaccount:strict:database-2", &controller("replicaset-controller")] {
        wait_until(user, async || is_rejected(&create(namespace, "Pod", Some(user)).await)).await;
    }
    let database = "system:serviceaccount:strict:database";
    let created = create(namespace, "Pod", Some(database)).await;
    assert!(created.success, "{}", created.stderr);
    assert!(is_rejected(&create(namespace, "Job", Some(database)).await), "a Job is new work");
}

#[tokio::test]
async fn a_trial_warns_and_admits() {
    let world = World::start().await;
    world.namespace(RELEASED).await;
    install(&world, json!({"admissionGate": {"enabled": true, "validationActions": ["Warn"]}})).await;
    let namespace = labelled(&world, "tried").await;
    set_gate(&namespace, "acme", json!({"open": false, "reason": "CreditsExhausted"})).await;
    wait_until("the policy warns", async || {
        let created = create(&namespace, "Deployment", None).await;
        assert!(created.success, "{}", created.stderr);
        created.stderr.contains("Warning:") && created.stderr.contains(REJECTED)
    })
    .await;
}
