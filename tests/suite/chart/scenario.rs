//! A scenario that needs every right that the chart grants to the operator.

use std::net::SocketAddr;
use std::path::Path;

use flashgate_api::{CreditAdjustment, CreditPack, Payment, Subscription, UsageReport};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::values_of;
use crate::suite::payments::webhook::post;
use crate::world::{Namespace, eventually, root};

/// Returns the catalog of the scenario: external payments, and a sweep shortly after each verdict.
pub fn catalog() -> Value {
    let mut catalog = values_of(&root().join("examples/payments/catalog.yaml"));
    catalog["policies"]["reports"]["keepForSeconds"] = json!(1);
    catalog
}

/// Returns the argument that delays the receipt of the first report until the file `go` exists.
pub fn delayed_receipt(go: &Path) -> String {
    format!("--failpoint=replace-status/UsageReport#1@before=pause:{}", go.display())
}

/// Runs the scenario: subscription, payment, pack, refund, payment of a void invoice and its return,
/// adjustment, report and sweep. The operator must be started with [`delayed_receipt`]. Without a webhook,
/// payments are reported as objects.
///
/// # Errors
/// The webhook's answer, if it rejects a valid callback.
pub async fn run(namespace: &Namespace<'_>, webhook: Option<SocketAddr>, go: &Path) -> Result<(), String> {
    namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
    pay(namespace, webhook, "evt-account", "Settled", "100").await?;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;

    let pack = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-500"});
    namespace.create::<CreditPack>("order-1", pack).await;
    pay(namespace, webhook, "evt-pack", "Settled", "50").await?;
    namespace.expect::<CreditPack>("order-1", "/status/state", "Granted").await;
    pay(namespace, webhook, "evt-refund", "Refunded", "50").await?;
    namespace.expect::<CreditPack>("order-1", "/status/state", "Refunded").await;
    pay_void_invoice(namespace, webhook).await?;

    let gift = json!({"subscriptionRef": {"name": "acme"}, "credits": "25", "reason": "a test"});
    namespace.create::<CreditAdjustment>("gift", gift).await;
    namespace.expect::<CreditAdjustment>("gift", "/status/state", "Granted").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1125").await;

    report_usage(namespace, go).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1115").await;
    eventually("the report is swept", async || {
        let reports = namespace.api::<UsageReport>().list(&ListParams::default()).await.expect("list");
        (!reports.items.is_empty()).then_some(())
    })
    .await_end()
    .await;
    Ok(())
}

/// Pays for an upgrade that was cancelled, and returns the money. The first Payment already has its verdict,
/// and shows the return.
async fn pay_void_invoice(namespace: &Namespace<'_>, webhook: Option<SocketAddr>) -> Result<(), String> {
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
    namespace.expect::<Payment>("evt-return", "/status/state", "Applied").await;
    namespace.expect::<Payment>("evt-void", "/status/conditions/0/reason", "Refunded").await;
    Ok(())
}

/// Creates a report, and changes it while its receipt is being written. The operator must then read it again.
async fn report_usage(namespace: &Namespace<'_>, go: &Path) {
    let end = flashgate_cluster::clock::Clock::system().now();
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

/// Reports an event of the invoice with this amount: twice to the webhook, as providers do, or as a Payment.
async fn pay(
    namespace: &Namespace<'_>,
    webhook: Option<SocketAddr>,
    event: &str,
    state: &str,
    amount: &str,
) -> Result<(), String> {
    let invoice = eventually("the invoice exists", async || {
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
