//! A scenario that needs every right that the chart grants to the operator.

use std::net::SocketAddr;
use std::path::Path;

use flashgate_api::{CreditAdjustment, CreditPack, Payment, Subscription, UsageReport};
use flashgate_testing::catalog::monthly;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::values_of;
use crate::cluster_account::{ClusterAccount, egress, now, seconds};
use crate::suite::payments::webhook::post;
use crate::world::{Namespace, root, wait_for, wait_until, wait_while};

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
/// The webhook's answer, where it refuses what must be taken.
pub async fn run(namespace: &Namespace<'_>, webhook: Option<SocketAddr>, go: &Path) -> Result<(), String> {
    let account = &namespace.account("acme");
    account.subscribe(monthly("starter"), None).await;
    pay(account, webhook, "evt-account", "Settled", "100").await?;
    account.balance("1100").await;

    account.buy("order-1", "plus-500").await;
    pay(account, webhook, "evt-pack", "Settled", "50").await?;
    account.state_is::<CreditPack>("order-1", "Granted").await;
    pay(account, webhook, "evt-refund", "Refunded", "50").await?;
    account.state_is::<CreditPack>("order-1", "Refunded").await;
    pay_void_invoice(account, webhook).await?;

    account.adjust("gift", "25").await;
    account.state_is::<CreditAdjustment>("gift", "Granted").await;
    account.balance("1125").await;

    report_usage(account, go).await;
    account.balance("1115").await;
    wait_while("the report is swept", async || {
        let reports = account.api::<UsageReport>().list(&ListParams::default()).await.expect("list");
        (!reports.items.is_empty()).then_some(())
    })
    .await;
    Ok(())
}

/// Pays for an upgrade that is no longer asked for, and gets the money back. The first Payment, which has its verdict by
/// then, shows that.
async fn pay_void_invoice(account: &ClusterAccount<'_>, webhook: Option<SocketAddr>) -> Result<(), String> {
    account.edit(monthly("growth")).await;
    account.status("/status/invoices/2/state", "Open").await;
    account.edit(monthly("starter")).await;
    account.status("/status/invoices/2/state", "Void").await;
    pay(account, webhook, "evt-void", "Settled", "300").await?;
    account.status("/status/invoices/2/state", "RefundDue").await;
    pay(account, webhook, "evt-return", "Refunded", "300").await?;
    account.state_is::<Payment>("evt-return", "Applied").await;
    account.expect::<Payment>("evt-void", "/status/conditions/0/reason", "Refunded").await;
    Ok(())
}

/// Reports usage, and changes the report while its receipt is under way: it then has to be read again.
async fn report_usage(account: &ClusterAccount<'_>, go: &Path) {
    account.report("gw-1", seconds(now() - 1, 1), egress("1G")).await;
    let reached = go.with_extension("reached");
    wait_until("the receipt is about to be written", async || reached.exists()).await;
    let note = Patch::Merge(json!({"metadata": {"annotations": {"example.org/seen": "yes"}}}));
    account.api::<UsageReport>().patch("gw-1", &PatchParams::default(), &note).await.expect("annotated");
    std::fs::write(go, "").expect("go");
}

/// Reports an event of the invoice with this amount: twice to the webhook, as providers do, or as a Payment.
async fn pay(
    account: &ClusterAccount<'_>,
    webhook: Option<SocketAddr>,
    event: &str,
    state: &str,
    amount: &str,
) -> Result<(), String> {
    let invoice = wait_for("the invoice is there", async || {
        let shown = account.get::<Subscription>("acme").await?;
        let invoices = shown.pointer("/status/invoices")?.as_array()?;
        let due = invoices.iter().find(|invoice| invoice["amount"] == amount)?;
        Some(due["number"].as_str()?.to_owned())
    })
    .await;
    let Some(webhook) = webhook else {
        account.pay(event, &invoice, state, amount).await;
        return Ok(());
    };
    let callback = json!({
        "id": event, "subscription": "acme", "invoice": invoice, "state": state, "amount": amount,
        "currency": "USD",
    });
    for expected in [201, 200] {
        let (status, refusal) = post(webhook, &account.name, &callback).await;
        if status != expected {
            return Err(format!("{status} {refusal}"));
        }
    }
    Ok(())
}
