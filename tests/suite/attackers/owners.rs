//! A tenant without the right to delete tries to make a controller delete for it.

use flashgate_api::{CreditPack, Subscription, UsageReport};
use serde_json::{Value, json};

use super::{Caller, PACK, SUBSCRIPTION, open_account, usage};
use crate::suite::chart::quotas::apply_quotas;
use crate::suite::chart::{installed, list, render};
use crate::world::{Namespace, World, wait_until, wait_while};

/// The namespace of the tenant.
const NAMESPACE: &str = "attacked-owners";

/// The number of packs that `examples/quotas/tenant.yaml` allows.
const PACKS: usize = 40;

/// Returns metadata with an owner that does not exist.
fn owned_by_nothing() -> Value {
    json!({"ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "nothing",
        "uid": "6f1f0c9e-0000-4000-8000-000000000000",
    }]})
}

/// Returns the objects of these kinds that the chart installs by default.
fn installed_of(kinds: &[&str]) -> Vec<Value> {
    let rendered = installed(&render("default", &json!({"crds": {"enabled": false}})));
    let is_one = |object: &Value| kinds.iter().any(|kind| object["kind"] == *kind);
    rendered.into_iter().filter(is_one).collect()
}

async fn apply(world: &World, objects: &[Value]) {
    let applied = world.plane.kubectl(&["apply", "-f", "-"], Some(&list(objects))).await.expect("kubectl");
    assert!(applied.success, "{}", applied.stderr);
}

async fn bind(namespace: &Namespace<'_>, role: &str) {
    let role_flag = format!("--clusterrole={role}");
    let bind = ["create", "rolebinding", role, &role_flag, "--user=tenant"];
    namespace.kubectl(&bind, None).await.succeeded().expect("bound");
}

/// Applies the policy of the chart, and waits until it is enforced.
async fn enforce_deletion_guard(world: &World, tenant: &Caller) {
    apply(world, &installed_of(&["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"])).await;
    let path = format!("{}/fresh?dryRun=All", SUBSCRIPTION.path(NAMESPACE));
    wait_until("the policy is in force", async || {
        let (status, _) = tenant.call("PATCH", &path, &json!({"metadata": owned_by_nothing()})).await;
        status == 403
    })
    .await;
}

#[tokio::test]
async fn a_tenant_cannot_make_the_garbage_collector_delete_its_subscription_or_packs() {
    let world = World::start_with(&["tenant"], &["resourcequota-controller"]).await;
    apply(&world, &installed_of(&["ClusterRole"])).await;
    let namespace = world.namespace(NAMESPACE).await;
    bind(&namespace, "flashgate-tenant").await;
    let _operator = world.operator(&[]);
    open_account(&namespace).await;
    apply_quotas(&namespace).await;
    namespace.create::<UsageReport>("owed", usage("gw", (-60, 0), "1T")).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "-8900").await;
    let tenant = Caller { client: world.client_of("tenant").await };

    // Without the policy, the garbage collector deletes for the tenant. The quota then has room for an
    // account without debt.
    let acme = format!("{}/acme", SUBSCRIPTION.path(NAMESPACE));
    assert_eq!(tenant.call("DELETE", &acme, &Value::Null).await.0, 403);
    let (status, answer) = tenant.call("PATCH", &acme, &json!({"metadata": owned_by_nothing()})).await;
    assert_eq!(status, 200, "{answer}");
    wait_while("the Subscription is gone", async || namespace.get::<Subscription>("acme").await).await;
    let starter = json!({"plan": "starter"});
    wait_until("the quota has room", async || {
        let (status, _) = tenant.create(NAMESPACE, SUBSCRIPTION, "fresh", starter.clone()).await;
        status == 201
    })
    .await;
    namespace.expect::<Subscription>("fresh", "/status/credits/balance", "1100").await;

    // With the policy, the write is rejected and the account stays.
    enforce_deletion_guard(&world, &tenant).await;
    metadata_that_can_delete_is_rejected(&tenant).await;
    other_metadata_is_admitted(&namespace, &tenant).await;
    no_pack_is_freed_from_the_quota(&tenant).await;
    an_administrator_may_set_it(&namespace).await;
}

/// Tries all metadata that can delete an object or block its deletion, with every type of write.
async fn metadata_that_can_delete_is_rejected(tenant: &Caller) {
    let fresh = format!("{}/fresh", SUBSCRIPTION.path(NAMESPACE));
    let pack = json!({"subscriptionRef": {"name": "fresh"}, "pack": "plus-100"});
    for (metadata, named) in [
        (owned_by_nothing(), "`metadata.ownerReferences`"),
        (json!({"finalizers": ["example.org/never"]}), "`metadata.finalizers`"),
        (
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "app:billing.flashgate.dev/Subscription:a/b"}}),
            "annotation `argocd.argoproj.io/tracking-id`",
        ),
    ] {
        let (status, answer) = tenant.call("PATCH", &fresh, &json!({"metadata": metadata})).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert_eq!(status, 403, "{metadata}: {answer}");
        assert!(message.contains(named) && message.contains("may not delete subscriptions"), "{message}");
        let mut created = PACK.object("order", &pack);
        created["metadata"] = metadata.clone();
        created["metadata"]["name"] = json!("order");
        let (status, answer) = tenant.call("POST", &PACK.path(NAMESPACE), &created).await;
        assert_eq!(status, 403, "{metadata}: {answer}");
        created["metadata"]["name"] = Value::Null;
        created["metadata"]["generateName"] = json!("order-");
        let (status, answer) = tenant.call("POST", &PACK.path(NAMESPACE), &created).await;
        assert_eq!(status, 403, "{metadata}: {answer}");
    }
}

/// Edits and creates objects as tenants normally do.
async fn other_metadata_is_admitted(namespace: &Namespace<'_>, tenant: &Caller) {
    let fresh = format!("{}/fresh", SUBSCRIPTION.path(NAMESPACE));
    let edit = json!({
        "metadata": {"labels": {"team": "a"}, "annotations": {"example.org/note": "b"}},
        "spec": {"billingDetails": {"name": "Acme"}},
    });
    let (status, answer) = tenant.call("PATCH", &fresh, &edit).await;
    assert_eq!(status, 200, "{answer}");
    let pack = json!({"subscriptionRef": {"name": "fresh"}, "pack": "plus-100"});
    assert_eq!(tenant.create(NAMESPACE, PACK, "order-1", pack).await, (201, String::new()));
    // The operator writes statuses and the ledger, which change none of it.
    namespace.state_is::<CreditPack>("order-1", "Granted").await;
    namespace.expect::<Subscription>("fresh", "/status/credits/balance", "1200").await;
}

/// Creates more packs than the quota allows, and tries to have each deleted to make room.
async fn no_pack_is_freed_from_the_quota(tenant: &Caller) {
    let spec = json!({"subscriptionRef": {"name": "fresh"}, "pack": "plus-100"});
    let mut made = 1;
    loop {
        let name = format!("flood-{made}");
        let (status, message) = tenant.create(NAMESPACE, PACK, &name, spec.clone()).await;
        if status == 403 {
            assert!(message.contains("exceeded quota"), "{message}");
            break;
        }
        assert_eq!(status, 201, "{message}");
        let path = format!("{}/{name}", PACK.path(NAMESPACE));
        assert_eq!(tenant.call("PATCH", &path, &json!({"metadata": owned_by_nothing()})).await.0, 403);
        made += 1;
        assert!(made <= PACKS, "{made} packs passed a quota of {PACKS}");
    }
    assert_eq!(made, PACKS);
}

/// Sets owners and finalizers as an administrator, who may delete. The tenant may keep them, but not remove
/// them.
async fn an_administrator_may_set_it(namespace: &Namespace<'_>) {
    let administrator = Caller { client: namespace.client.clone() };
    let tenant = Caller { client: namespace.world.client_of("tenant").await };
    let order = format!("{}/order-1", PACK.path(NAMESPACE));
    let held = json!({"metadata": {"finalizers": ["example.org/held"]}});
    assert_eq!(administrator.call("PATCH", &order, &held).await.0, 200);
    let labelled = json!({"metadata": {"labels": {"team": "a"}}});
    assert_eq!(tenant.call("PATCH", &order, &labelled).await.0, 200);
    let removed = json!({"metadata": {"finalizers": null}});
    assert_eq!(tenant.call("PATCH", &order, &removed).await.0, 403);
    assert_eq!(administrator.call("PATCH", &order, &removed).await.0, 200);
    // Foreground deletion sets a finalizer, which the garbage collector removes.
    let foreground = json!({"propagationPolicy": "Foreground"});
    assert_eq!(administrator.call("DELETE", &order, &foreground).await.0, 200);
    wait_while("the pack is gone", async || namespace.get::<CreditPack>("order-1").await).await;
    let owned = json!({"metadata": owned_by_nothing()});
    let fresh = format!("{}/fresh", SUBSCRIPTION.path(NAMESPACE));
    assert_eq!(administrator.call("PATCH", &fresh, &owned).await.0, 200);
    wait_while("the Subscription is gone", async || namespace.get::<Subscription>("fresh").await).await;
}
