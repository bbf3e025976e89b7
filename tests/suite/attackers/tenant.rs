//! A tenant with the role `flashgate-tenant` and the Kubernetes role `edit`.

use flashgate_api::{CreditPack, Subscription};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{
    ADJUSTMENT, Caller, KINDS, LEDGER, PACK, PAYMENT, REPORT, SUBSCRIPTION, attacked, money, open_account,
    ready_reason, usage, wait_for_operator,
};
use crate::world::{Namespace, wait_until, wait_while};

/// The namespace of the tenant.
pub const NAMESPACE: &str = "attacked-tenant";

/// The namespace of another tenant.
pub const OTHER: &str = "attacked-other";

/// A namespace whose owner may delete objects.
pub const OWNED: &str = "attacked-owned";

/// A namespace with a flood of refused packs.
pub const FLOODED: &str = "attacked-events";

fn pack(pack: &str) -> Value {
    json!({"subscriptionRef": {"name": "acme"}, "pack": pack})
}

/// Returns the number of Events with this reason in a namespace.
async fn events(namespace: &Namespace<'_>, reason: &str) -> usize {
    let events = namespace.api::<Event>().list(&ListParams::default()).await.expect("list").items;
    events.iter().filter(|event| event.reason.as_deref() == Some(reason)).count()
}

#[tokio::test]
async fn a_flood_of_refused_packs_creates_few_events() {
    let attacked = attacked().await;
    let namespace = attacked.namespace(FLOODED, &["tenant"]).await;
    namespace.create::<Subscription>("acme", json!({"plan": "individual"})).await;
    namespace.expect::<Subscription>("acme", "/status/plan", "individual").await;
    let tenant = attacked.caller("tenant").await;
    let (started, flood) = (tokio::time::Instant::now(), 60);
    for number in 0..flood {
        let name = format!("refused-{number}");
        assert_eq!(tenant.create(FLOODED, PACK, &name, pack("plus-100")).await.0, 201);
    }
    for number in 0..flood {
        namespace.state_is::<CreditPack>(&format!("refused-{number}"), "Refused").await;
    }
    wait_until("the burst is published", async || events(&namespace, "PlanNotEligible").await >= 10).await;
    let minutes = usize::try_from(started.elapsed().as_secs() / 60).expect("a few");
    let published = events(&namespace, "PlanNotEligible").await;
    assert!(published <= 10 + minutes, "{published} Events in {minutes} minutes");
}

/// Waits until the aggregated role `edit` is in force.
async fn may_edit(tenant: &Caller, namespace: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}});
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    wait_until("the tenant edits the namespace", async || {
        let (status, _) = tenant.call("POST", &path, &object).await;
        matches!(status, 201 | 409)
    })
    .await;
}

/// Tries all writes that are reserved for other roles, in a billed namespace.
async fn try_writes_of_other_roles(tenant: &Caller, namespace: &str) {
    let adjustment = json!({"subscriptionRef": {"name": "acme"}, "credits": "1000000", "reason": "please"});
    let payment = json!({
        "subscriptionRef": {"name": "acme"}, "invoice": "acme-00000000-0001", "state": "Refunded",
        "amount": "100", "currency": "USD",
    });
    let stated = [(REPORT, usage("gw", (-60, 0), "1G")), (PAYMENT, payment), (ADJUSTMENT, adjustment)];
    for (kind, spec) in stated {
        assert_eq!(tenant.create(namespace, kind, "forged", spec).await.0, 403, "{kind:?}");
    }
    let (_, book) = tenant.call("GET", &format!("{}/acme", LEDGER.path(namespace)), &Value::Null).await;
    let mut forged = book.clone();
    forged["spec"]["sequence"] = json!(2);
    forged["spec"]["totals"]["granted"] = json!("1000000");
    let ledgers = LEDGER.path(namespace);
    assert_eq!(tenant.call("PUT", &format!("{ledgers}/acme"), &forged).await.0, 403);
    forged["metadata"] = json!({"name": "another"});
    assert_eq!(tenant.call("POST", &ledgers, &forged).await.0, 403);
    let accept = json!({"metadata": {"annotations": {"billing.flashgate.dev/accept-sequence": "1"}}});
    assert_eq!(tenant.call("PATCH", &format!("{ledgers}/acme"), &accept).await.0, 403);
}

#[tokio::test]
async fn a_tenant_can_write_only_specs_of_its_own_objects() {
    let attacked = attacked().await;
    let namespace = attacked.namespace(NAMESPACE, &["tenant"]).await;
    open_account(&namespace).await;
    let tenant = attacked.caller("tenant").await;
    may_edit(&tenant, NAMESPACE).await;
    assert_eq!(tenant.create(NAMESPACE, PACK, "top-up", pack("plus-100")).await.0, 201);
    namespace.state_is::<CreditPack>("top-up", "Granted").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
    let before = money(&namespace).await;
    try_writes_of_other_roles(&tenant, NAMESPACE).await;
    for kind in KINDS {
        for (verb, path) in [
            ("PATCH", format!("{}/acme/status", kind.path(NAMESPACE))),
            ("PATCH", format!("{}/top-up/status", kind.path(NAMESPACE))),
            ("PUT", format!("{}/acme/status", kind.path(NAMESPACE))),
            ("DELETE", format!("{}/acme", kind.path(NAMESPACE))),
            ("DELETE", format!("{}/top-up", kind.path(NAMESPACE))),
            ("DELETE", kind.path(NAMESPACE)),
        ] {
            let forged = json!({"status": {"credits": {"balance": "1000000"}, "ledger": null}});
            let (status, answer) = tenant.call(verb, &path, &forged).await;
            assert_eq!(status, 403, "{verb} {path}: {answer}");
        }
    }
    // The tenant cannot grant itself more rights.
    let bind = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "more"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "flashgate-admin"},
        "subjects": [{"kind": "User", "name": "tenant", "apiGroup": "rbac.authorization.k8s.io"}],
    });
    let bindings = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings");
    assert_eq!(tenant.call("POST", &bindings, &bind).await.0, 403);
    assert_eq!(money(&namespace).await, before);
    writes_to_own_objects_change_no_balance(&namespace, &tenant).await;
}

/// The second part of the test above, with the same account.
async fn writes_to_own_objects_change_no_balance(namespace: &Namespace<'_>, tenant: &Caller) {
    let before = money(namespace).await;
    let flood: serde_json::Map<String, Value> =
        (0..1_000).map(|index| (format!("flood.example.org/{index}"), json!("x".repeat(60)))).collect();
    let acme = format!("{}/acme", SUBSCRIPTION.path(NAMESPACE));
    // `owners` tests owner references, with and without the policy of the chart.
    for metadata in [
        json!({"annotations": {"billing.flashgate.dev/test-clock": "2099-01-01T00:00:00Z"}}),
        json!({"annotations": {"billing.flashgate.dev/at": "2099-01-01T00:00:00Z"}}),
        json!({"annotations": {"billing.flashgate.dev/delete": "true"}}),
        json!({"annotations": {"billing.flashgate.dev/accept-sequence": "1"}}),
        json!({"labels": flood.clone()}),
        json!({"annotations": flood}),
        json!({"finalizers": ["example.org/never"]}),
    ] {
        for path in [&acme, &format!("{}/top-up", PACK.path(NAMESPACE))] {
            let (status, answer) = tenant.call("PATCH", path, &json!({"metadata": metadata.clone()})).await;
            assert!(matches!(status, 200 | 422), "{path} {metadata}: {answer}");
        }
    }
    // The API server drops a status and a creation time in a new object.
    let mut forged = PACK.object("forged", &pack("plus-1000"));
    forged["status"] = json!({"state": "Granted", "credits": "1000"});
    forged["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    forged["metadata"]["uid"] = json!("6f1f0c9e-0000-4000-8000-000000000000");
    let (status, created) = tenant.call("POST", &PACK.path(NAMESPACE), &forged).await;
    assert_eq!(status, 201, "{created}");
    assert_ne!(created["status"]["state"], "Granted", "{created}");
    assert_ne!(created["metadata"]["uid"], forged["metadata"]["uid"]);
    assert_ne!(created["metadata"]["creationTimestamp"], forged["metadata"]["creationTimestamp"]);
    // It is a purchase like any other: paid for by an invoice.
    namespace.state_is::<CreditPack>("forged", "Granted").await;
    // The pack and the Subscription of an order do not change.
    for spec in [json!({"pack": "plus-1000"}), json!({"subscriptionRef": {"name": "other"}})] {
        let path = format!("{}/top-up", PACK.path(NAMESPACE));
        assert_eq!(tenant.call("PATCH", &path, &json!({"spec": spec})).await.0, 422);
    }
    let back = json!({"spec": {"startTime": "2020-01-01T00:00:00Z"}});
    assert_eq!(tenant.call("PATCH", &acme, &back).await.0, 422);
    wait_for_operator(namespace, "mark").await;
    let after = money(namespace).await;
    for total in ["granted", "consumed", "expired", "refunded"] {
        assert_eq!(after["totals"][total], before["totals"][total], "{total}");
    }
    assert_eq!(after["totals"]["purchased"], "1100", "only the ordered packs");
    assert_eq!(after["totals"]["adjusted"], "1", "the mark alone");
}

#[tokio::test]
async fn a_tenant_cannot_reach_the_account_of_another_namespace() {
    let attacked = attacked().await;
    let other = attacked.namespace(OTHER, &["neighbour"]).await;
    open_account(&other).await;
    let before = money(&other).await;
    let tenant = attacked.caller("tenant").await;
    for kind in KINDS {
        let path = kind.path(OTHER);
        let object = kind.object("forged", &pack("plus-100"));
        for (verb, path) in [
            ("GET", path.clone()),
            ("GET", format!("{path}/acme")),
            ("POST", path.clone()),
            ("PATCH", format!("{path}/acme")),
            ("DELETE", format!("{path}/acme")),
        ] {
            let (status, answer) = tenant.call(verb, &path, &object).await;
            assert_eq!(status, 403, "{verb} {path}: {answer}");
        }
        let everywhere = format!("/apis/billing.flashgate.dev/v1alpha1/{}", kind.1);
        assert_eq!(tenant.call("GET", &everywhere, &Value::Null).await.0, 403, "{everywhere}");
    }
    let neighbour = attacked.caller("neighbour").await;
    reads_one_ledger_and_writes_none(&neighbour).await;
    // A reference has no namespace field.
    for name in ["attacked-tenant/acme", "../attacked-tenant/acme", "acme.attacked-tenant/"] {
        let order = json!({"subscriptionRef": {"name": name}, "pack": "plus-100"});
        assert_eq!(neighbour.create(OTHER, PACK, "elsewhere", order).await.0, 422, "{name}");
    }
    let elsewhere =
        json!({"subscriptionRef": {"name": "victim", "namespace": "attacked-tenant"}, "pack": "plus-100"});
    let (status, message) = neighbour.create(OTHER, PACK, "elsewhere", elsewhere).await;
    // Unknown fields are dropped unless the client asks for strict validation, as kubectl does.
    assert_eq!(status, 201, "{message}");
    ready_reason(&other, PACK, "elsewhere", "SubscriptionMissing").await;
    assert_eq!(money(&other).await, before);
}

/// Checks the rights that a tenant has for the portal: it reads the ledger of its own account, and changes nothing.
async fn reads_one_ledger_and_writes_none(tenant: &Caller) {
    let ledgers = LEDGER.path(OTHER);
    let acme = format!("{ledgers}/acme");
    let (status, mut ledger) = tenant.call("GET", &acme, &Value::Null).await;
    assert_eq!(status, 200, "{ledger}");
    ledger["spec"]["totals"]["granted"] = json!("1000000");
    for (verb, path) in
        [("GET", &ledgers), ("PUT", &acme), ("PATCH", &acme), ("POST", &ledgers), ("DELETE", &acme)]
    {
        assert_eq!(tenant.call(verb, path, &ledger).await.0, 403, "{verb} {path}");
    }
    let (others, reports) = (LEDGER.path(NAMESPACE), REPORT.path(NAMESPACE));
    for path in [format!("{others}/acme"), others, reports] {
        assert_eq!(tenant.call("GET", &path, &Value::Null).await.0, 403, "{path}");
    }
}

#[tokio::test]
async fn deleting_and_recreating_gives_no_new_grant_and_no_new_limit() {
    let attacked = attacked().await;
    let namespace = attacked.namespace(OWNED, &["owner"]).await;
    open_account(&namespace).await;
    let owner = attacked.caller("owner").await;
    for name in ["a", "b", "c"] {
        assert_eq!(owner.create(OWNED, PACK, name, pack("plus-100")).await.0, 201);
        namespace.state_is::<CreditPack>(name, "Granted").await;
    }
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1400").await;
    let before = money(&namespace).await;
    let account = namespace.get::<Subscription>("acme").await.expect("account");
    let number = account.pointer("/status/period/number").expect("number");
    assert_eq!(owner.call("DELETE", &PACK.path(OWNED), &Value::Null).await.0, 200);
    assert_eq!(owner.create(OWNED, PACK, "d", pack("plus-100")).await.0, 201);
    ready_reason(&namespace, PACK, "d", "PackLimitReached").await;
    assert_eq!(owner.create(OWNED, PACK, "a", pack("plus-100")).await.0, 201);
    namespace.state_is::<CreditPack>("a", "Granted").await;
    assert_eq!(owner.create(OWNED, PACK, "b", pack("plus-1000")).await.0, 201);
    ready_reason(&namespace, PACK, "b", "NameAlreadyUsed").await;
    let acme = format!("{}/acme", SUBSCRIPTION.path(OWNED));
    // A start in the past would grant another period, if the account were reset.
    for spec in [json!({"plan": "starter"}), json!({"plan": "starter", "startTime": "2020-01-01T00:00:00Z"})]
    {
        assert_eq!(owner.call("DELETE", &acme, &Value::Null).await.0, 200);
        wait_while("the Subscription is gone", async || namespace.get::<Subscription>("acme").await).await;
        assert_eq!(owner.create(OWNED, SUBSCRIPTION, "acme", spec).await.0, 201);
        namespace.expect::<Subscription>("acme", "/status/credits/balance", "1400").await;
        namespace.expect::<Subscription>("acme", "/status/packs/used", 3).await;
        namespace.expect::<Subscription>("acme", "/status/period/number", number.clone()).await;
    }
    // A finalizer keeps the object, but the operator treats it as deleted: nothing is granted, and an order
    // waits for its Subscription.
    let finalizer = Patch::Merge(json!({"metadata": {"finalizers": ["example.org/never"]}}));
    let subscriptions = namespace.api::<Subscription>();
    subscriptions.patch("acme", &PatchParams::default(), &finalizer).await.expect("patched");
    assert_eq!(owner.call("DELETE", &acme, &Value::Null).await.0, 200);
    assert_eq!(owner.create(OWNED, PACK, "e", pack("plus-100")).await.0, 201);
    ready_reason(&namespace, PACK, "e", "SubscriptionMissing").await;
    assert_eq!(money(&namespace).await, before);
}
