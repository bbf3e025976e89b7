//! A book that is wrong, old or gone: nothing is written over, it is said, and an administrator has a way out.

use flashgate_api::{CreditLedger, CreditPack, Subscription};
use flashgate_billing::operator::convert::hash_of;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::suite::installed::shared;
use crate::world::{Namespace, wait_for};

async fn account(name: &str) -> Namespace<'static> {
    let namespace = shared().await.namespace(name).await;
    namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    namespace
}

async fn buy(namespace: &Namespace<'_>, name: &str) {
    let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    namespace.create::<CreditPack>(name, spec).await;
    namespace.state_is::<CreditPack>(name, "Granted").await;
}

/// Waits until Ready has that reason; returns the Subscription.
pub async fn ready_is(namespace: &Namespace<'_>, reason: &str) -> Value {
    reason_is(namespace, "acme", reason).await
}

/// Waits until Ready of a Subscription has that reason; returns it.
pub async fn reason_is(namespace: &Namespace<'_>, name: &str, reason: &str) -> Value {
    wait_for(&format!("Ready of {name} is {reason}"), async || {
        let object = namespace.get::<Subscription>(name).await?;
        let conditions = object.pointer("/status/conditions")?.as_array()?.clone();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        (ready["reason"] == reason).then_some(object)
    })
    .await
}

async fn accept(namespace: &Namespace<'_>, sequence: i64) {
    let annotation =
        json!({"metadata": {"annotations": {"billing.flashgate.dev/accept-sequence": sequence.to_string()}}});
    let ledgers = namespace.api::<CreditLedger>();
    ledgers.patch("acme", &PatchParams::default(), &Patch::Merge(annotation)).await.expect("annotated");
}

#[tokio::test]
async fn an_older_ledger_from_a_backup_is_said_and_can_be_accepted() {
    let namespace = account("regression").await;
    let ledgers = namespace.api::<CreditLedger>();
    let backup = ledgers.get("acme").await.expect("ledger");
    buy(&namespace, "top-up").await;
    namespace.expect::<Subscription>("acme", "/status/ledger/sequence", 2).await;
    ledgers.delete("acme", &DeleteParams::default()).await.expect("deleted");
    let gone = ready_is(&namespace, "LedgerMissing").await;
    assert_eq!(
        gone.pointer("/status/credits/balance"),
        Some(&json!("1200")),
        "what was shown stays: {gone:#}"
    );
    let mut restored = backup.clone();
    restored.metadata = kube::core::ObjectMeta { name: Some("acme".to_owned()), ..Default::default() };
    ledgers.create(&PostParams::default(), &restored).await.expect("restored");
    let old = ready_is(&namespace, "LedgerRegression").await;
    assert_eq!(old.pointer("/status/ledger/sequence"), Some(&json!(2)), "the evidence stays: {old:#}");
    let held = ledgers.get("acme").await.expect("ledger");
    assert_eq!(held.spec, backup.spec, "nothing is written over");
    accept(&namespace, 1).await;
    ready_is(&namespace, "InForce").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    let held = ledgers.get("acme").await.expect("ledger");
    assert_eq!(held.spec.sequence, 2);
    assert!(
        held.spec.entries.last().is_some_and(|entry| entry.contains("Accepted")),
        "{:?}",
        held.spec.entries
    );
    buy(&namespace, "another").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
}

#[tokio::test]
async fn a_ledger_that_is_gone_is_said_and_its_account_can_be_reset() {
    let namespace = account("missing").await;
    buy(&namespace, "top-up").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
    let ledgers = namespace.api::<CreditLedger>();
    ledgers.delete("acme", &DeleteParams::default()).await.expect("deleted");
    ready_is(&namespace, "LedgerMissing").await;
    assert!(ledgers.get_opt("acme").await.expect("read").is_none(), "no ledger is begun in its place");
    let reset: Patch<()> = Patch::Json(
        serde_json::from_value(json!([{"op": "remove", "path": "/status/ledger"}])).expect("patch"),
    );
    let subscriptions = namespace.api::<Subscription>();
    subscriptions.patch_status("acme", &PatchParams::default(), &reset).await.expect("reset");
    ready_is(&namespace, "InForce").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    let ledger = ledgers.get("acme").await.expect("ledger");
    assert_eq!(ledger.spec.sequence, 1);
}

#[tokio::test]
async fn a_ledger_that_was_tampered_with_is_said_and_its_content_can_be_accepted() {
    let namespace = account("tampered").await;
    let ledgers = namespace.api::<CreditLedger>();
    let mut tampered = ledgers.get("acme").await.expect("ledger");
    tampered.spec.sequence = 2;
    tampered.spec.hash = "0".repeat(64);
    ledgers.replace("acme", &PostParams::default(), &tampered).await.expect("written by an administrator");
    ready_is(&namespace, "LedgerInconsistent").await;
    let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    namespace.create::<CreditPack>("waiting", spec).await;
    accept(&namespace, 2).await;
    ready_is(&namespace, "InForce").await;
    namespace.state_is::<CreditPack>("waiting", "Granted").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
}

#[tokio::test]
async fn a_ledger_that_does_not_add_up_stays_refused_though_its_hash_fits_and_others_live_on() {
    let namespace = account("unbalanced").await;
    let ledgers = namespace.api::<CreditLedger>();
    let mut unbalanced = ledgers.get("acme").await.expect("ledger");
    unbalanced.spec.sequence = 2;
    unbalanced.spec.totals.granted = "2100".into();
    unbalanced.spec.hash = hash_of(&unbalanced.spec);
    let written = ledgers.replace("acme", &PostParams::default(), &unbalanced).await.expect("written");
    let said = ready_is(&namespace, "LedgerInconsistent").await;
    let conditions = said["status"]["conditions"].to_string();
    assert!(!conditions.contains("hash"), "its content is what is wrong: {conditions}");
    // What does not add up cannot be accepted either, and it is this account's trouble alone.
    accept(&namespace, 2).await;
    namespace.create::<Subscription>("other", json!({"plan": "starter"})).await;
    namespace.expect::<Subscription>("other", "/status/credits/balance", "1100").await;
    let spec = json!({"subscriptionRef": {"name": "other"}, "pack": "plus-100"});
    namespace.create::<CreditPack>("top-up", spec).await;
    namespace.state_is::<CreditPack>("top-up", "Granted").await;
    namespace.expect::<Subscription>("other", "/status/credits/balance", "1200").await;
    let said = ready_is(&namespace, "LedgerInconsistent").await;
    assert_eq!(said.pointer("/status/credits/balance"), Some(&json!("1100")), "what was shown stays");
    let held = ledgers.get("acme").await.expect("ledger");
    assert_eq!(held.spec, written.spec, "nothing is written over");
}

#[tokio::test]
async fn a_ledger_of_a_later_format_is_not_written() {
    let namespace = account("newer").await;
    let ledgers = namespace.api::<CreditLedger>();
    let mut newer = ledgers.get("acme").await.expect("ledger");
    newer.spec.sequence = 2;
    newer.spec.format_version += 1;
    newer.spec.hash = "1".repeat(64);
    let newer =
        ledgers.replace("acme", &PostParams::default(), &newer).await.expect("written by a later operator");
    ready_is(&namespace, "LedgerNewerFormat").await;
    let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    namespace.create::<CreditPack>("waiting", spec).await;
    namespace.create::<Subscription>("other", json!({"plan": "starter"})).await;
    namespace.expect::<Subscription>("other", "/status/credits/balance", "1100").await;
    let held = ledgers.get("acme").await.expect("ledger");
    assert_eq!(held.metadata.resource_version, newer.metadata.resource_version);
}
