//! A payment agent with the role `flashgate-payments`, in a namespace with external payments.

use flashgate_api::{CreditLedger, Payment, Subscription};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{
    ADJUSTMENT, Caller, KINDS, PACK, PAID, PAYMENT, REPORT, SUBSCRIPTION, attacked, money, ready_reason,
};
use crate::world::{Namespace, wait_for};

async fn invoice(namespace: &Namespace<'_>, index: usize, state: &str) -> String {
    namespace.expect::<Subscription>("acme", &format!("/status/invoices/{index}/state"), state).await;
    let account = namespace.get::<Subscription>("acme").await.expect("account");
    let number = account.pointer(&format!("/status/invoices/{index}/number")).and_then(Value::as_str);
    number.expect("number").to_owned()
}

/// Creates a Payment, and waits for the reason of its verdict.
async fn state(
    agent: &Caller,
    namespace: &Namespace<'_>,
    name: &str,
    (invoice, state, amount): (&str, &str, &str),
    reason: &str,
) {
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "invoice": invoice, "state": state, "amount": amount,
        "currency": "USD",
    });
    assert_eq!(agent.create(PAID, PAYMENT, name, spec).await, (201, String::new()), "{name}");
    ready_reason(namespace, PAYMENT, name, reason).await;
}

#[tokio::test]
async fn a_payment_agent_settles_each_invoice_once_and_cannot_create_credits() {
    let attacked = attacked().await;
    let namespace = attacked.namespace(PAID, &["payments"]).await;
    let agent = attacked.caller("payments").await;
    namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
    let void = invoice(&namespace, 0, "Open").await;
    let other = Patch::Merge(json!({"spec": {"plan": "growth"}}));
    namespace.api::<Subscription>().patch("acme", &PatchParams::default(), &other).await.expect("asked");
    assert_eq!(invoice(&namespace, 0, "Void").await, void);
    let open = invoice(&namespace, 1, "Open").await;
    let unknown = format!("{}9999", open.trim_end_matches(|digit: char| digit.is_ascii_digit()));
    for (name, stated, reason) in [
        ("unknown", (unknown.as_str(), "Settled", "300"), "UnknownInvoice"),
        ("too-little", (open.as_str(), "Settled", "0.01"), "WrongAmount"),
        ("void", (void.as_str(), "Settled", "100"), "RefundDue"),
        ("unsettled", (open.as_str(), "Refunded", "300"), "NotSettled"),
    ] {
        state(&agent, &namespace, name, stated, reason).await;
    }
    assert_eq!(money(&namespace).await["totals"]["granted"], "0");
    state(&agent, &namespace, "paid", (&open, "Settled", "300"), "Applied").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "9500").await;
    for name in ["paid-again", "paid-thrice"] {
        state(&agent, &namespace, name, (&open, "Settled", "300"), "AlreadySettled").await;
    }
    assert_eq!(money(&namespace).await["totals"]["granted"], "9500");
    agent_can_only_create_payments(&agent).await;
    invoices_after_a_reset(&agent, &namespace, &open).await;
}

/// The agent can create Payments, but cannot read other objects or change a Payment.
async fn agent_can_only_create_payments(agent: &Caller) {
    for kind in [SUBSCRIPTION, PACK, REPORT, ADJUSTMENT] {
        assert_eq!(agent.create(PAID, kind, "forged", json!({})).await.0, 403, "{kind:?}");
    }
    for kind in KINDS.into_iter().filter(|kind| *kind != PAYMENT) {
        assert_eq!(agent.call("GET", &kind.path(PAID), &Value::Null).await.0, 403, "{kind:?}");
    }
    let paid = format!("{}/paid", PAYMENT.path(PAID));
    assert_eq!(agent.call("PATCH", &paid, &json!({"spec": {"state": "Refunded"}})).await.0, 422);
    assert_eq!(agent.call("PATCH", &format!("{paid}/status"), &json!({"status": {}})).await.0, 403);
    assert_eq!(agent.call("DELETE", &paid, &Value::Null).await.0, 403);
}

/// A reset account has new invoices. The old ones are unknown.
async fn invoices_after_a_reset(agent: &Caller, namespace: &Namespace<'_>, before: &str) {
    let ledgers = namespace.api::<CreditLedger>();
    ledgers.delete("acme", &DeleteParams::default()).await.expect("deleted");
    ready_reason(namespace, SUBSCRIPTION, "acme", "LedgerMissing").await;
    let reset: Patch<()> = Patch::Json(
        serde_json::from_value(json!([{"op": "remove", "path": "/status/ledger"}])).expect("patch"),
    );
    let subscriptions = namespace.api::<Subscription>();
    subscriptions.patch_status("acme", &PatchParams::default(), &reset).await.expect("reset");
    let after = wait_for("the account has an invoice of its own", async || {
        let account = namespace.get::<Subscription>("acme").await?;
        let number = account.pointer("/status/invoices/0/number")?.as_str()?;
        let is_new = number.rsplit_once('-').map(|(account, _)| account)
            != before.rsplit_once('-').map(|(account, _)| account);
        is_new.then(|| number.to_owned())
    })
    .await;
    assert_ne!(after, before);
    state(agent, namespace, "old", (before, "Settled", "300"), "UnknownInvoice").await;
    state(agent, namespace, "old-refund", (before, "Refunded", "300"), "UnknownInvoice").await;
    assert_eq!(money(namespace).await["totals"]["granted"], "0");
    let payments = namespace.api::<Payment>().list(&kube::api::ListParams::default()).await.expect("list");
    assert!(payments.items.len() >= 9, "{}", payments.items.len());
}
