//! Namespaces that are deleted while the operator works in them.

use flashgate_api::{CreditLedger, Subscription, UsageReport};
use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::Api;
use kube::api::DeleteParams;

use super::sizes::usage;
use super::{Watched, open_account};
use crate::world::{World, wait_while};

#[tokio::test]
async fn a_namespace_deleted_under_load_leaves_nothing_and_delays_no_other() {
    let world = World::start().await;
    let watched = Watched::start(&world);
    let (gone, other) = (open_account(&world, "gone").await, open_account(&world, "other").await);
    for index in 0..20 {
        let name = format!("gw-{index}");
        gone.create::<UsageReport>(&name, usage(&name, 1, 10)).await;
    }
    let namespaces: Api<NamespaceObject> = Api::all(world.client().await);
    namespaces.delete("gone", &DeleteParams::background()).await.expect("deleted");
    wait_while("the namespace is gone", async || namespaces.get_opt("gone").await.expect("read")).await;
    other.adjust("goodwill", "10").await;
    other.balance("1110").await;
    // The same names mean another account now, without the balance and debt of the first.
    let again = open_account(&world, "gone").await;
    again.expect::<CreditLedger>("acme", "/spec/totals/consumed", "0").await;
    again.adjust("goodwill", "10").await;
    again.balance("1110").await;
    // The operator does not retry writes into a namespace that is gone.
    let before = watched.failures();
    other.adjust("more", "10").await;
    other.balance("1120").await;
    assert_eq!(watched.failures(), before, "{}", watched.read_log());
}

#[tokio::test]
async fn twenty_deleted_namespaces_are_not_reported_as_ledger_faults() {
    let world = World::start().await;
    let watched = Watched::start(&world);
    let mut going = Vec::new();
    for index in 0..20 {
        let account = open_account(&world, &format!("going-{index}")).await;
        account.create::<UsageReport>("gw", usage("gw", 1, 10)).await;
        going.push(account);
    }
    for account in &going {
        account.balance("1090").await;
    }
    // The namespace controller may delete a ledger before its Subscription.
    going[0].api::<CreditLedger>().delete("acme", &DeleteParams::default()).await.expect("deleted");
    going[0].reason_is::<Subscription>("acme", "LedgerMissing").await;
    let namespaces: Api<NamespaceObject> = Api::all(world.client().await);
    for account in &going {
        namespaces.delete(&account.name, &DeleteParams::background()).await.expect("deleted");
    }
    for account in &going {
        let gone = async || namespaces.get_opt(&account.name).await.expect("read");
        wait_while("the namespace is gone", gone).await;
    }
    open_account(&world, "other").await;
    let violations = watched.metric("flashgate_billing_ledger_invariant_violations_total");
    assert!((violations - 0.0).abs() < f64::EPSILON, "{violations} violations: {}", watched.read_log());
    assert!(!watched.read_log().contains("ERROR"), "{}", watched.read_log());
}
