//! A life that needs every right that the chart grants to the operator.

use std::net::SocketAddr;
use std::path::Path;

use flashgate_api::{CreditAdjustment, CreditPack, Payment, Subscription, UsageReport};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::values_of;
use crate::suite::payments::webhook::post;
use crate::world::{Namespace, eventually, root, wait_until, wait_while};

/// Returns the catalog of the life: payments come from outside, and a report is swept soon after its verdict.
pub fn catalog() -> Value {
    let mut catalog = values_of(&root().join("examples/payments/catalog.yaml"));
    catalog["policies"]["reports"]["keepForSeconds"] = json!(1);
    catalog
}

/// Returns the argument that holds up the receipt of the first report until `go` exists.
pub fn held_receipt(go: &Path) -> String {
    format!("--failpoint=replace-status/UsageReport#1@before=pause:{}", go.display())
}

/// Plays a life: an account is opened and paid, a pack bought and refunded, an invoice paid that was void and its money
/// returned, credits given, usage charged and its report swept. The operator has to be started with [`held_receipt`].
/// Without a webhook, payments are reported as objects.
///
/// # Errors
/// The webhook's answer, where it refuses what must be taken.
pub async fn live(namespace: &Namespace<'_>, webhook: Option<SocketAddr>, go: &Path) -> Result<(), String> {
    namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
    pay(namespace, webhook, "evt-account", "Settled", "100").await?;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;

    let pack = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-500"});
    namespace.create::<CreditPack>("order-1", pack).await;
    pay(namespace, webhook, "evt-pack", "Settled", "50").await?;
    namespace.state_is::<CreditPack>("order-1", "Granted").await;
    pay(namespace, webhook, "evt-refund", "Refunded", "50").await?;
    namespace.state_is::<CreditPack>("order-1", "Refunded").await;
    pay_what_is_void(namespace, webhook).await?;

    let gift = json!({"subscriptionRef": {"name": "acme"}, "credits": "25", "reason": "a test"});
    namespace.create::<CreditAdjustment>("gift", gift).await;
    namespace.state_is::<CreditAdjustment>("gift", "Granted").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1125").await;

    use_some(namespace, go).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1115").await;
    wait_while("the report is swept", async || {
        let reports = namespace.api::<UsageReport>().list(&ListParams::default()).await.expect("list");
        (!reports.items.is_empty()).then_some(())
    })
    .await;
    Ok(())
}

/// Pays for an upgrade that is no longer asked for, and gets the money back. The first Payment, which has its verdict by
/// then, shows that.
async fn pay_what_is_void(namespace: &Namespace<'_>, webhook: Option<SocketAddr>) -> Result<(), String> {
    let ask = async |plan: &str| {
        let patch = Patch::Merge(json!({"spec": {"plan": plan}}));
        let api = namespace.api::<Subscription>();
        api.patch("acme", &PatchParams::default(), &patch).await.expect("asked");
    };
    ask("growth").await;
    namespace.expect::<Subscription>("acme", "/status/invoices/2/state", "Open").await;
    ask("starter").await;
    namespace.expect::<Subscription>("acme", "/status/invoices/2/state", "Void").await;
    pay(namespace, webhook, "evt-void", "Settled", "300").await?;
    namespace.expect::<Subscription>("acme", "/status/invoices/2/state", "RefundDue").await;
    pay(namespace, webhook, "evt-return", "Refunded", "300").await?;
    namespace.state_is::<Payment>("evt-return", "Applied").await;
    namespace.expect::<Payment>("evt-void", "/status/conditions/0/reason", "Refunded").await;
    Ok(())
}

/// Reports usage, and changes the report while its receipt is under way: it then has to be read again.
async fn use_some(namespace: &Namespace<'_>, go: &Path) {
    let end = flashgate_cluster::clock::Clock::system().now();
    let start = end - jiff::SignedDuration::from_secs(1);
    let usage = json!({
        "subscriptionRef": {"name": "acme"}, "source": "gw",
        "window": {"startTime": start.to_string(), "endTime": end.to_string()},
        "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"}],
    });
    namespace.create::<UsageReport>("gw-1", usage).await;
    let reached = go.with_extension("reached");
    wait_until("the receipt is about to be written", async || reached.exists()).await;
    let note = Patch::Merge(json!({"metadata": {"annotations": {"example.org/seen": "yes"}}}));
    namespace.api::<UsageReport>().patch("gw-1", &PatchParams::default(), &note).await.expect("annotated");
    std::fs::write(go, "").expect("go");
}

/// Reports what happened to the invoice of that amount: twice to the webhook, as providers do, or by a Payment.
async fn pay(
    namespace: &Namespace<'_>,
    webhook: Option<SocketAddr>,
    event: &str,
    state: &str,
    amount: &str,
) -> Result<(), String> {
    let invoice = eventually("the invoice is there", async || {
        let account = namespace.get::<Subscription>("acme").await?;
        let invoices = account.pointer("/status/invoices")?.as_array()?;
        let due = invoices.iter().find(|invoice| invoice["amount"] == amount)?;
        Some(due["number"].as_str()?.to_owned())
    });
    let invoice = invoice.await_some().await;
    let Some(webhook) = webhook else {
        let payment = json!({
            "subscriptionRef": {"name": "acme"}, "invoice": invoice, "state": state, "amount": amount,
            "currency": "USD",
        });
        namespace.create::<Payment>(event, payment).await;
        return Ok(());
    };
    let callback = json!({
        "id": event, "subscription": "acme", "invoice": invoice, "state": state, "amount": amount,
        "currency": "USD",
    });
    for expected in [201, 200] {
        let (status, refusal) = post(webhook, &namespace.name, &callback).await;
        if status != expected {
            return Err(format!("{status} {refusal}"));
        }
    }
    Ok(())
}
