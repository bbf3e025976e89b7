//! Kinds that go, come back, or are of another version.

use flashgate_api::{CreditLedger, CreditPack, Subscription};
use serde_json::json;

use super::{Watched, adjust, balance_is, definition, open_account, redefine};
use crate::world::{Namespace, World, root, wait_for, wait_until};

async fn remove_kind(namespace: &Namespace<'_>, plural: &str) {
    let name = format!("crd/{plural}.billing.flashgate.dev");
    namespace.kubectl(&["delete", &name, "--timeout=60s"], None).await.succeeded().expect("removed");
}

async fn buy(namespace: &Namespace<'_>, name: &str, state: &str) {
    let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    // A kind that has just come back is not served at once.
    wait_for("the pack is ordered", async || {
        let manifest = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "CreditPack", "metadata": {"name": name},
            "spec": spec.clone(),
        });
        let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&manifest.to_string())).await;
        applied.success.then_some(())
    })
    .await;
    namespace.state_is::<CreditPack>(name, state).await;
}

#[tokio::test]
async fn kinds_that_are_removed_and_come_back_lose_and_double_nothing() {
    let world = World::start().await;
    let namespace = world.namespace("removed-kinds").await;
    let watched = Watched::start(&world);
    open_account(&namespace).await;
    for name in ["a", "b", "c"] {
        buy(&namespace, name, "Granted").await;
    }
    balance_is(&namespace, "1400").await;
    remove_kind(&namespace, "creditpacks").await;
    // What has another kind goes on meanwhile.
    adjust(&namespace, "meanwhile").await;
    balance_is(&namespace, "1410").await;
    redefine(&world, &definition("creditpacks")).await;
    buy(&namespace, "d", "Refused").await;
    buy(&namespace, "a", "Granted").await;
    balance_is(&namespace, "1410").await;
    remove_kind(&namespace, "subscriptions").await;
    redefine(&world, &definition("subscriptions")).await;
    wait_until("the Subscription is made again", async || {
        let manifest = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription",
            "metadata": {"name": "acme"}, "spec": {"plan": "starter"},
        });
        let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&manifest.to_string())).await;
        applied.success
    })
    .await;
    balance_is(&namespace, "1410").await;
    remove_kind(&namespace, "creditledgers").await;
    namespace.reason_is::<Subscription>("acme", "LedgerMissing").await;
    redefine(&world, &definition("creditledgers")).await;
    wait_until("ledgers are served again", async || {
        namespace.kubectl(&["get", "creditledgers"], None).await.success
    })
    .await;
    adjust(&namespace, "after").await;
    namespace.reason_is::<Subscription>("acme", "LedgerMissing").await;
    assert!(namespace.get::<CreditLedger>("acme").await.is_none(), "nothing is granted again");
    assert!(!watched.operator.has_stopped());
}

#[tokio::test]
async fn an_operator_before_older_definitions_says_so_and_drops_no_field_of_a_ledger() {
    let world = World::empty().await;
    let mut older = definition("creditledgers");
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = older.pointer_mut(schema).and_then(serde_json::Value::as_object_mut).expect("fields");
    fields.remove("crossedThresholdsPercent").expect("a field");
    fields.remove("statements").expect("a field");
    for plural in ["subscriptions", "creditpacks", "usagereports", "payments", "creditadjustments"] {
        redefine(&world, &definition(plural)).await;
    }
    redefine(&world, &older).await;
    let established = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
    world.plane.kubectl(&established, None).await.expect("kubectl").succeeded().expect("established");
    let namespace = world.namespace("older").await;
    wait_until("the API server tells the schema", async || {
        let path = "/openapi/v3/apis/billing.flashgate.dev/v1alpha1";
        let told = world.plane.kubectl(&["get", "--raw", path], None).await.expect("kubectl");
        told.success && told.stdout.contains("v1alpha1.CreditLedger\"")
    })
    .await;
    namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
    let watched = Watched::start(&world);
    wait_until("it is said", async || {
        let said = watched.said();
        said.contains("older than this program") && said.contains("spec.statements")
    })
    .await;
    wait_until("the commit is refused", async || {
        watched.metric("flashgate_billing_reconcile_total{kind=\"Subscription\",result=\"commit\"}") > 1.0
    })
    .await;
    namespace.reason_is::<Subscription>("acme", "CommitRefused").await;
    assert!(namespace.get::<CreditLedger>("acme").await.is_none(), "no ledger without its fields");
    world.plane.apply_crds(&root().join("crds")).await.expect("upgraded");
    balance_is(&namespace, "1100").await;
}

#[tokio::test]
async fn an_operator_without_definitions_says_so_and_begins_when_they_come() {
    let world = World::empty().await;
    let watched = Watched::start(&world);
    wait_until("it is said", async || watched.said().contains("the cluster does not know this kind")).await;
    world.plane.apply_crds(&root().join("crds")).await.expect("definitions");
    let namespace = world.namespace("late-definitions").await;
    open_account(&namespace).await;
}
