//! A life that needs every right that the chart grants to the operator.

use std::net::SocketAddr;
use std::path::Path;

use flashgate_billing::api::{CreditAdjustment, CreditPack, Subscription, UsageReport};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::values_of;
use crate::payments::webhook::post;
use crate::world::{Namespace, eventually, root};

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

/// Plays a life: an account is opened and paid, a pack bought and refunded, credits given, usage charged and its report
/// swept. The operator has to be started with [`held_receipt`].
///
/// # Errors
/// The webhook's answer, where it refuses what must be taken.
pub async fn live(namespace: &Namespace<'_>, webhook: SocketAddr, go: &Path) -> Result<(), String> {
    namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
    pay(namespace, webhook, "evt-account", "Settled", "100").await?;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;

    let pack = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-500"});
    namespace.create::<CreditPack>("order-1", pack).await;
    pay(namespace, webhook, "evt-pack", "Settled", "50").await?;
    namespace.expect::<CreditPack>("order-1", "/status/state", "Granted").await;
    pay(namespace, webhook, "evt-refund", "Refunded", "50").await?;
    namespace.expect::<CreditPack>("order-1", "/status/state", "Refunded").await;

    let gift = json!({"subscriptionRef": {"name": "acme"}, "credits": "25", "reason": "a test"});
    namespace.create::<CreditAdjustment>("gift", gift).await;
    namespace.expect::<CreditAdjustment>("gift", "/status/state", "Granted").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1125").await;

    use_some(namespace, go).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1115").await;
    eventually("the report is swept", async || {
        let reports = namespace.api::<UsageReport>().list(&ListParams::default()).await.expect("list");
        (!reports.items.is_empty()).then_some(())
    })
    .await_end()
    .await;
    Ok(())
}

/// Reports usage, and changes the report while its receipt is under way: it then has to be read again.
async fn use_some(namespace: &Namespace<'_>, go: &Path) {
    let end = flashgate_billing::clock::Clock::system().now();
    let start = end - jiff::SignedDuration::from_secs(1);
    let usage = json!({
        "subscriptionRef": {"name": "acme"}, "source": "gw",
        "window": {"startTime": start.to_string(), "endTime": end.to_string()},
        "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"}],
    });
    namespace.create::<UsageReport>("gw-1", usage).await;
    let reached = go.with_extension("reached");
    eventually("the receipt is about to be written", async || reached.exists().then_some(()))
        .await_some()
        .await;
    let note = Patch::Merge(json!({"metadata": {"annotations": {"example.org/seen": "yes"}}}));
    namespace.api::<UsageReport>().patch("gw-1", &PatchParams::default(), &note).await.expect("annotated");
    std::fs::write(go, "").expect("go");
}

/// Reports twice, as providers do, what happened to the invoice of that amount.
async fn pay(
    namespace: &Namespace<'_>,
    webhook: SocketAddr,
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
