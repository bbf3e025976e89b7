//! CRDs that are removed, recreated, or of another version.

use flashgate_api::{CreditLedger, CreditPack, Subscription};
use flashgate_testing::catalog::monthly;
use serde_json::json;

use super::{Watched, definition, open_account, redefine};
use crate::cluster_account::ClusterAccount;
use crate::world::{World, root, wait_for, wait_until};

async fn remove_kind(account: &ClusterAccount<'_>, plural: &str) {
    let name = format!("crd/{plural}.billing.flashgate.dev");
    account.kubectl(&["delete", &name, "--timeout=60s"], None).await.succeeded().expect("removed");
}

async fn buy(account: &ClusterAccount<'_>, name: &str, state: &str) {
    let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    // A kind that has just come back is not served at once.
    wait_for("the pack is ordered", async || {
        let manifest = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "CreditPack", "metadata": {"name": name},
            "spec": spec.clone(),
        });
        let applied = account.kubectl(&["apply", "-f", "-"], Some(&manifest.to_string())).await;
        applied.success.then_some(())
    })
    .await;
    account.state_is::<CreditPack>(name, state).await;
}

#[tokio::test]
async fn removed_and_recreated_crds_lose_and_repeat_no_charge() {
    let world = World::start().await;
    let watched = Watched::start(&world);
    let account = open_account(&world, "removed-kinds").await;
    for name in ["a", "b", "c"] {
        buy(&account, name, "Granted").await;
    }
    account.balance("1400").await;
    remove_kind(&account, "creditpacks").await;
    // Objects of other kinds continue meanwhile.
    account.adjust("meanwhile", "10").await;
    account.balance("1410").await;
    redefine(&world, &definition("creditpacks")).await;
    buy(&account, "d", "Refused").await;
    buy(&account, "a", "Granted").await;
    account.balance("1410").await;
    remove_kind(&account, "subscriptions").await;
    redefine(&world, &definition("subscriptions")).await;
    wait_until("the Subscription is made again", async || {
        let manifest = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription",
            "metadata": {"name": "acme"}, "spec": {"plan": "starter"},
        });
        let applied = account.kubectl(&["apply", "-f", "-"], Some(&manifest.to_string())).await;
        applied.success
    })
    .await;
    account.balance("1410").await;
    remove_kind(&account, "creditledgers").await;
    account.reason_is::<Subscription>("acme", "LedgerMissing").await;
    redefine(&world, &definition("creditledgers")).await;
    wait_until("ledgers are served again", async || {
        account.kubectl(&["get", "creditledgers"], None).await.success
    })
    .await;
    account.adjust("after", "10").await;
    account.reason_is::<Subscription>("acme", "LedgerMissing").await;
    assert!(account.get::<CreditLedger>("acme").await.is_none(), "nothing is granted again");
    assert!(!watched.operator.has_stopped());
}

#[tokio::test]
async fn an_operator_before_a_crd_upgrade_reports_it_and_drops_no_field_of_a_ledger() {
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
    let account = ClusterAccount::without_subscription(&world, "older").await;
    wait_until("the API server tells the schema", async || {
        let path = "/openapi/v3/apis/billing.flashgate.dev/v1alpha1";
        let told = world.plane.kubectl(&["get", "--raw", path], None).await.expect("kubectl");
        told.success && told.stdout.contains("v1alpha1.CreditLedger\"")
    })
    .await;
    account.subscribe(monthly("starter"), None).await;
    let watched = Watched::start(&world);
    wait_until("it is said", async || {
        let read_log = watched.read_log();
        read_log.contains("older than this program") && read_log.contains("spec.statements")
    })
    .await;
    wait_until("the commit is refused", async || {
        watched.metric("flashgate_billing_reconcile_total{kind=\"Subscription\",result=\"commit\"}") > 1.0
    })
    .await;
    account.reason_is::<Subscription>("acme", "CommitRefused").await;
    assert!(account.get::<CreditLedger>("acme").await.is_none(), "no ledger without its fields");
    world.plane.apply_crds(&root().join("crds")).await.expect("upgraded");
    account.balance("1100").await;
}

#[tokio::test]
async fn an_operator_without_crds_reports_it_and_starts_when_they_exist() {
    let world = World::empty().await;
    let watched = Watched::start(&world);
    wait_until("it is read_log", async || watched.read_log().contains("the cluster does not know this kind"))
        .await;
    world.plane.apply_crds(&root().join("crds")).await.expect("definitions");
    open_account(&world, "late-definitions").await;
}
