//! A ledger that is wrong, old or missing: the operator reports it and does not overwrite it, and an administrator can
//! accept or reset it.

use flashgate_api::{CreditLedger, CreditLedgerSpec, CreditPack, Subscription};
use flashgate_preview::convert::hash_of;
use flashgate_testing::catalog::monthly;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::cluster_account::ClusterAccount;
use crate::suite::installed::shared;

/// Subscribes to the plan `starter` in a namespace of the shared world.
async fn starter(namespace: &str) -> ClusterAccount<'static> {
    let account = ClusterAccount::subscribed(shared().await, namespace, monthly("starter")).await;
    account.balance("1100").await;
    account
}

/// Buys a pack, and waits until it is granted.
async fn buy(account: &ClusterAccount<'_>, name: &str) {
    account.buy(name, "plus-100").await;
    account.pack_is(name, "Granted").await;
}

async fn accept(account: &ClusterAccount<'_>, sequence: i64) {
    let annotation =
        json!({"metadata": {"annotations": {"billing.flashgate.dev/accept-sequence": sequence.to_string()}}});
    let ledgers = account.api::<CreditLedger>();
    ledgers.patch("acme", &PatchParams::default(), &Patch::Merge(annotation)).await.expect("annotated");
}

#[tokio::test]
async fn an_older_ledger_from_a_backup_is_reported_and_can_be_accepted() {
    let account = starter("regression").await;
    let ledgers = account.api::<CreditLedger>();
    let backup = ledgers.get("acme").await.expect("ledger");
    buy(&account, "top-up").await;
    account.status("/status/ledger/sequence", 2).await;
    ledgers.delete("acme", &DeleteParams::default()).await.expect("deleted");
    let gone = account.reason_is::<Subscription>("acme", "LedgerMissing").await;
    assert_eq!(
        gone.pointer("/status/credits/balance"),
        Some(&json!("1200")),
        "the status is unchanged: {gone:#}"
    );
    let mut restored = backup.clone();
    restored.metadata = kube::core::ObjectMeta { name: Some("acme".to_owned()), ..Default::default() };
    ledgers.create(&PostParams::default(), &restored).await.expect("restored");
    let old = account.reason_is::<Subscription>("acme", "LedgerRegression").await;
    assert_eq!(old.pointer("/status/ledger/sequence"), Some(&json!(2)), "the evidence stays: {old:#}");
    let held = ledgers.get("acme").await.expect("ledger");
    assert_eq!(held.spec, backup.spec, "nothing is written over");
    accept(&account, 1).await;
    account.reason_is::<Subscription>("acme", "InForce").await;
    account.balance("1100").await;
    let held = ledgers.get("acme").await.expect("ledger");
    assert_eq!(held.spec.sequence, 2);
    assert!(
        held.spec.entries.last().is_some_and(|entry| entry.contains("Accepted")),
        "{:?}",
        held.spec.entries
    );
    buy(&account, "another").await;
    account.balance("1200").await;
}

#[tokio::test]
async fn a_missing_ledger_is_reported_and_its_account_can_be_reset() {
    let account = starter("missing").await;
    buy(&account, "top-up").await;
    account.balance("1200").await;
    let ledgers = account.api::<CreditLedger>();
    ledgers.delete("acme", &DeleteParams::default()).await.expect("deleted");
    account.reason_is::<Subscription>("acme", "LedgerMissing").await;
    assert!(ledgers.get_opt("acme").await.expect("read").is_none(), "no ledger is begun in its place");
    let reset: Patch<()> = Patch::Json(
        serde_json::from_value(json!([{"op": "remove", "path": "/status/ledger"}])).expect("patch"),
    );
    let subscriptions = account.api::<Subscription>();
    subscriptions.patch_status("acme", &PatchParams::default(), &reset).await.expect("reset");
    account.reason_is::<Subscription>("acme", "InForce").await;
    account.balance("1100").await;
    let ledger = ledgers.get("acme").await.expect("ledger");
    assert_eq!(ledger.spec.sequence, 1);
}

#[tokio::test]
async fn a_modified_ledger_is_reported_and_its_content_can_be_accepted() {
    let account = starter("tampered").await;
    account.tamper().await;
    account.reason_is::<Subscription>("acme", "LedgerInconsistent").await;
    account.buy("waiting", "plus-100").await;
    accept(&account, 2).await;
    account.reason_is::<Subscription>("acme", "InForce").await;
    account.state_is::<CreditPack>("waiting", "Granted").await;
    account.balance("1200").await;
}

#[tokio::test]
async fn a_ledger_with_wrong_totals_stays_refused_despite_a_valid_hash_and_others_continue() {
    let account = starter("unbalanced").await;
    let ledgers = account.api::<CreditLedger>();
    let unbalanced = |spec: &mut CreditLedgerSpec| {
        spec.totals.granted = "2100".into();
        spec.hash = hash_of(spec);
    };
    let written = account.edit_ledger(unbalanced).await;
    let said = account.reason_is::<Subscription>("acme", "LedgerInconsistent").await;
    let conditions = said["status"]["conditions"].to_string();
    assert!(!conditions.contains("hash"), "its content is what is wrong: {conditions}");
    // A ledger with wrong totals cannot be accepted either. Other accounts are not affected.
    accept(&account, 2).await;
    let other = account.account("other");
    other.subscribe(monthly("starter"), None).await;
    other.balance("1100").await;
    buy(&other, "top-up").await;
    other.balance("1200").await;
    let said = account.reason_is::<Subscription>("acme", "LedgerInconsistent").await;
    assert_eq!(said.pointer("/status/credits/balance"), Some(&json!("1100")), "what was shown stays");
    let held = ledgers.get("acme").await.expect("ledger");
    assert_eq!(held.spec, written.spec, "the ledger is not overwritten");
}

#[tokio::test]
async fn a_ledger_of_a_later_format_is_not_overwritten() {
    let account = starter("newer").await;
    let ledgers = account.api::<CreditLedger>();
    let later = |spec: &mut CreditLedgerSpec| {
        spec.format_version += 1;
        spec.hash = "1".repeat(64);
    };
    let newer = account.edit_ledger(later).await;
    account.reason_is::<Subscription>("acme", "LedgerNewerFormat").await;
    account.buy("waiting", "plus-100").await;
    let other = account.account("other");
    other.subscribe(monthly("starter"), None).await;
    other.balance("1100").await;
    let held = ledgers.get("acme").await.expect("ledger");
    assert_eq!(held.metadata.resource_version, newer.metadata.resource_version);
}
