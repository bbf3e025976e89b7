//! The portal of the chart: its rights, its token, and the server that the rendered container starts.

use std::process::{Child, Command, Stdio};

use flashgate_testing::catalog::monthly;
use serde_json::{Value, json};

use super::admitted::pod_of;
use super::pod::{Container, containers, kubeconfig_of, start_portal};
use super::roles::rights;
use super::{RELEASE, installed, list, object, render, selector_of, selects};
use crate::free_address::free_address;
use crate::suite::portal::client::Client;
use crate::suite::portal::token_of;
use crate::world::{GUARD, World, wait_for, wait_until};

/// Name of the portal's objects.
const PORTAL: &str = "flashgate-billing-portal";

/// A `ServiceAccount` without any role.
const STRANGER: &str = "stranger";

/// Folder in which the kubelet mounts a token by default.
const TOKEN_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Returns the rendered objects with the portal and a history of this mode, without the CRDs.
fn rendered(namespace: &str, mode: &str, mut values: Value) -> Vec<Value> {
    values["crds"] = json!({"enabled": false});
    values["history"] = json!({"mode": mode, "postgres": {"existingSecret": "db"}});
    values["portal"]["enabled"] = true.into();
    installed(&render(namespace, &values))
}

async fn apply(world: &World, objects: &[Value]) {
    let applied = world.plane.kubectl(&["apply", "-f", "-"], Some(&list(objects))).await.expect("kubectl");
    assert!(applied.success, "{}", applied.stderr);
}

/// Returns the sources of the volumes that a container of a pod mounts.
fn mounted_sources<'a>(pod: &'a Value, container: &'a Value) -> Vec<&'a Value> {
    let names: Vec<&Value> =
        container["volumeMounts"].as_array().expect("mounts").iter().map(|mount| &mount["name"]).collect();
    let volumes = pod["spec"]["volumes"].as_array().expect("volumes").iter();
    volumes
        .filter(|volume| names.contains(&&volume["name"]))
        .flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten())
        .collect()
}

/// Returns the names of the containers of a pod that have a token.
fn with_token(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["containers"].as_array().expect("containers").iter();
    containers
        .filter(|container| {
            mounted_sources(pod, container).iter().any(|source| !source["serviceAccountToken"].is_null())
        })
        .map(|container| container["name"].as_str().expect("name"))
        .collect()
}

#[tokio::test]
async fn the_service_account_of_the_portal_has_no_right_that_others_do_not_have() {
    let world = World::start().await;
    let namespace = world.namespace("billing").await;
    for mode in ["none", "postgres"] {
        let rendered = rendered("billing", mode, json!({}));
        for object in &rendered {
            let subjects = object["subjects"].as_array().into_iter().flatten();
            for subject in subjects {
                assert_ne!(subject["name"], PORTAL, "{mode}: a role is bound to the portal: {object}");
            }
        }
        apply(&world, &rendered).await;
    }
    namespace.kubectl(&["create", "serviceaccount", STRANGER], None).await.succeeded().expect("account");
    let stranger = kubeconfig_of(&world, "billing", STRANGER).await;
    let portal = kubeconfig_of(&world, "billing", PORTAL).await;
    for scope in ["billing", "default"] {
        assert_eq!(rights(&world, &portal, scope), rights(&world, &stranger, scope), "{scope}");
    }
    for right in
        ["get subscriptions", "list creditledgers", "create creditpacks", "get secrets", "create pods"]
    {
        let words = right.split_once(' ').expect("verb and resource");
        let can =
            ["auth", "can-i", words.0, words.1, "--as", &format!("system:serviceaccount:billing:{PORTAL}")];
        let said = namespace.kubectl(&can, None).await;
        assert_eq!(said.stdout.trim(), "no", "{right}");
    }
}

#[tokio::test]
async fn the_admitted_pods_have_a_token_for_the_operator_only() {
    // With this controller, the API server adds the volumes of a `ServiceAccount` to each new pod.
    let world = World::start_with_controllers(&["serviceaccount-controller"]).await;
    let namespace = world.namespace("chart-portal").await;
    let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    for (mode, deployment, expected) in [
        ("sqlite", RELEASE, vec!["operator"]),
        ("postgres", RELEASE, vec!["operator"]),
        ("none", RELEASE, vec!["operator"]),
        ("postgres", PORTAL, vec![]),
        ("none", PORTAL, vec![]),
    ] {
        let rendered = rendered(&namespace.name, mode, json!({}));
        let accounts: Vec<Value> =
            rendered.iter().filter(|object| object["kind"] == "ServiceAccount").cloned().collect();
        namespace.kubectl(&["apply", "-f", "-"], Some(&list(&accounts))).await.succeeded().expect("accounts");
        let pod = pod_of(&rendered, deployment);
        let created = namespace.kubectl(&create, Some(&pod.to_string())).await;
        assert!(created.success, "{mode} {deployment}: {}", created.stderr);
        let pod: Value = serde_json::from_str(&created.stdout).expect("JSON");
        assert_eq!(with_token(&pod), expected, "{mode} {deployment}");
        for container in pod["spec"]["containers"].as_array().expect("containers") {
            let sources = mounted_sources(&pod, container);
            let has = |pointer: &str, value: &str| {
                sources.iter().any(|source| source.pointer(pointer).is_some_and(|found| found == value))
            };
            let name = &container["name"];
            assert!(has("/configMap/items/0/path", "ca.crt"), "{mode} {deployment}: no CA in {name}");
            assert!(has("/downwardAPI/items/0/path", "namespace"), "{mode} {deployment}: {name}");
            let mounts = container["volumeMounts"].as_array().expect("mounts").iter();
            let of_token = mounts.filter(|mount| mount["mountPath"] == TOKEN_FOLDER);
            assert_eq!(of_token.count(), 1, "{mode} {deployment}: {name}");
        }
    }
}

#[test]
fn the_services_and_policies_of_one_pod_never_select_the_other() {
    let rendered = rendered("billing", "none", json!({}));
    let mut selectors = 0;
    for object in &rendered {
        let Some(selector) = selector_of(object) else { continue };
        selectors += 1;
        let of_portal = object["metadata"]["name"] == PORTAL;
        assert_eq!(selects(selector, &rendered, PORTAL), of_portal, "{object}");
        assert_eq!(selects(selector, &rendered, RELEASE), !of_portal, "{object}");
    }
    assert_eq!(selectors, 6);
}

#[tokio::test]
async fn the_rendered_portal_serves_an_account_to_its_tenant_and_to_no_other_user() {
    let world = World::start_with_users(&["tenant", "outsider"]).await;
    let namespace = world.namespace("team").await;
    let values = json!({"namespaces": ["team"], "deletionGuard": {"enabled": false}});
    let rendered = rendered("team", "sqlite", values);
    assert_eq!(containers(object(&rendered, "Deployment", RELEASE)).count(), 2);
    apply(&world, &rendered).await;
    let bind = ["create", "rolebinding", "tenant", "--clusterrole=flashgate-tenant", "--user=tenant"];
    namespace.kubectl(&bind, None).await.succeeded().expect("bound");
    let container = Container::of(&world, &rendered);
    let _operator = container.start(&world, &world.plane.folder().join("log")).await;
    let (address, _portal) = start_portal(&world, &rendered);
    let anybody = Client::at(address);
    wait_until("the history can be read", async || anybody.health().await == Some(200)).await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let token = |user: &str| token_of(&world, user);
    let tenant = anybody.clone().of("team", &token("tenant"));
    let balance = tenant.get("credits/balance").await.ok();
    assert_eq!(balance["data"]["realtimeBalance"], 1100, "{balance}");
    assert_eq!(balance.get("missingRights"), None, "the role has each right that the portal needs");
    let recorded = wait_for("the history has the grant", async || {
        let answer = tenant.get("credits/transactions").await.ok();
        (answer.get("historyAvailable").is_none() && answer["pagination"]["total"] == 1).then_some(answer)
    });
    assert_eq!(recorded.await["data"][0]["creditAmount"], 1100);
    let bought = tenant.post("credits/packs/buy", &json!({"packId": "plus-100"})).await.ok();
    assert_eq!(bought["status"], "complete", "{bought}");
    account.balance("1200").await;
    let outsider = anybody.of("team", &token("outsider"));
    assert_eq!(outsider.get("credits/balance").await.error(), (403, "FORBIDDEN"));
}

/// A process in a mount namespace of its own. It ends when this value is dropped.
struct Isolated(Child);

impl Drop for Isolated {
    fn drop(&mut self) {
        // The guard kills the process when its input ends.
        drop(self.0.stdin.take());
        self.0.wait().expect("guard");
    }
}

/// Returns the options of `unshare` with which this user can mount, or nothing if the machine does not allow it.
fn may_mount() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let mounts = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    ways.into_iter().find(|way| {
        let tried = Command::new("unshare").args(*way).args(mounts).output();
        tried.is_ok_and(|output| output.status.success())
    })
}

/// The kubelet mounts the volume of the history read-only into the container of the portal.
#[tokio::test]
async fn a_portal_reads_the_history_through_a_read_only_mount_while_the_operator_writes() {
    let Some(way) = may_mount() else {
        assert!(std::env::var_os("CI").is_none(), "CI must allow mounts");
        eprintln!("skipped: this machine allows no mounts");
        return;
    };
    let world = World::start().await;
    let folder = world.plane.folder().join("volume");
    std::fs::create_dir(&folder).expect("folder");
    let history = format!("sqlite:{}/history.db", folder.display());
    let address = free_address();
    // A write through this mount fails, also for root.
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit
        ! touch \"$1/written\" 2>/dev/null || exit
        shift && exec \"$@\"";
    let portal = Command::new("bash")
        .args(["-c", GUARD, "guard", "unshare"])
        .args(way)
        .args(["sh", "-c", script, "sh", &folder.display().to_string()])
        .args([env!("CARGO_BIN_EXE_flashgate-billing"), "serve", "--listen", &address.to_string()])
        .env("KUBECONFIG", world.plane.kubeconfig())
        .env("FLASHGATE_HISTORY", &history)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    let _portal = Isolated(portal.expect("guard"));
    let client = Client::at(address);
    wait_until("there is no file yet", async || client.health().await == Some(503)).await;
    let operator = world.operator(&["--history", &history]);
    wait_until("the file can be read", async || client.health().await == Some(200)).await;
    let account = world.namespace("mounted").await;
    let account = account.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    assert_eq!(client.health().await, Some(200), "while the operator writes");
    operator.kill();
    assert_eq!(client.health().await, Some(200), "after the operator was killed");
    let _operator = world.operator(&["--history", &history]);
    account.buy("top-up", "plus-100").await;
    account.balance("1200").await;
    assert_eq!(client.health().await, Some(200), "after the operator recovered the file");
}
