//! The change of a plan by clicks: choose, see the effect, confirm, and undo.

use flashgate_api::Subscription;
use flashgate_testing::catalog::monthly;
use serde_json::json;

use super::served::served;
use super::sign_in::signed_in;
use super::tab::Scripts;

#[tokio::test]
async fn a_downgrade_is_confirmed_after_its_effect_and_undone() {
    let served = served().await;
    for (scripts, mode) in Scripts::BOTH {
        let namespace = format!("page-plan-{mode}");
        let account = served.namespace(&namespace).await.account("acme");
        account.subscribe(monthly("growth"), None).await;
        account.balance("9500").await;
        let path = format!("/{namespace}/acme/");
        let Some(tab) = signed_in(&served.internal, &served.token("customer"), scripts, &path).await else {
            return;
        };
        assert!(tab.reads("plan").await.contains("Growth"));
        assert!(tab.reads("balance").await.contains("9,500"));
        tab.press("Plan").await;
        tab.click("choose-starter-monthly").await;
        let effect = tab.reads("effect").await;
        assert!(effect.contains("1,100") && effect.contains("100.00 USD"), "{effect}");
        let subscription = account.get::<Subscription>("acme").await.expect("Subscription");
        assert_eq!(subscription["spec"]["plan"], "growth", "nothing changes before it is confirmed");
        tab.click("confirm").await;
        account.status("/status/pendingChange/plan", "starter").await;
        tab.open_until(&path, "pending-change", "Starter").await;
        tab.is_clean().await;
        tab.click("undo").await;
        account.status("/status/pendingChange", json!(null)).await;
        account.expect::<Subscription>("acme", "/spec/plan", "growth").await;
        tab.open(&path).await;
        assert!(!tab.has("pending-change").await && !tab.has("undo").await);
        tab.is_clean().await;
        tab.close().await;
    }
}

#[tokio::test]
async fn an_upgrade_takes_effect_when_its_invoice_is_paid() {
    let served = served().await;
    for (scripts, mode) in Scripts::BOTH {
        let namespace = format!("page-paid-{mode}");
        let account = served.namespace(&namespace).await.account("acme");
        account.subscribe(monthly("starter"), None).await;
        let first = account.invoice(0, "Open").await;
        account.apply_payment("evt-1", &first, "Settled", "100").await;
        account.balance("1100").await;
        let path = format!("/{namespace}/acme/plan");
        let Some(tab) = signed_in(&served.external, &served.token("customer"), scripts, &path).await else {
            return;
        };
        tab.click("choose-growth-monthly").await;
        let effect = tab.reads("effect").await;
        assert!(effect.contains("9,500") && effect.contains("300.00 USD"), "{effect}");
        tab.click("confirm").await;
        account.status("/status/invoices/1/amount", "300").await;
        let invoice = account.invoice(1, "Open").await;
        let overview = format!("/{namespace}/acme/");
        tab.open_until(&overview, "plan", "Starter").await;
        let link = format!("a[href='https://pay.example.com/i/{invoice}']");
        tab.find(&link).await;
        tab.open(&format!("{overview}invoices/{invoice}")).await;
        tab.find(&link).await;
        tab.is_clean().await;
        account.apply_payment("evt-2", &invoice, "Settled", "300").await;
        tab.open_until(&overview, "plan", "Growth").await;
        assert!(tab.all(&link).await.is_empty(), "a paid invoice has no link");
        tab.is_clean().await;
        tab.close().await;
    }
}

#[tokio::test]
async fn an_upgrade_that_is_not_paid_can_be_undone() {
    let served = served().await;
    let account = served.namespace("page-unpaid").await.account("acme");
    account.subscribe(monthly("starter"), None).await;
    let first = account.invoice(0, "Open").await;
    account.apply_payment("evt-1", &first, "Settled", "100").await;
    account.balance("1100").await;
    let path = "/page-unpaid/acme/plan";
    let Some(tab) = signed_in(&served.external, &served.token("customer"), Scripts::Off, path).await else {
        return;
    };
    tab.click("choose-growth-monthly").await;
    tab.click("confirm").await;
    account.status("/status/invoices/1/amount", "300").await;
    account.invoice(1, "Open").await;
    tab.open("/page-unpaid/acme/").await;
    tab.click("undo").await;
    account.invoice(1, "Void").await;
    account.expect::<Subscription>("acme", "/spec/plan", "starter").await;
    tab.close().await;
}
