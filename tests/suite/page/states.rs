//! Accounts in unusual states: empty, in debt, with long names, with a thousand invoices, and without a history.

use flashgate_api::Subscription;
use flashgate_testing::catalog::monthly;
use serde_json::json;

use super::PARTS;
use super::account::{self, NAMESPACE};
use super::served::{Page, served};
use super::sign_in::signed_in;
use super::tab::{Screen, Scripts, Tab};
use crate::cluster_account::{LONG_AGO, egress};

/// A namespace with a name as long as Kubernetes allows, 63 characters.
pub const LONG_NAMESPACE: &str = "page-long-0123456789-0123456789-0123456789-0123456789-012345678";

/// Opens every part of an account on a desktop and on a phone, and leaves the tab at the overview.
async fn parts_are_clean(tab: &Tab, account: &str) {
    for part in PARTS.into_iter().rev() {
        tab.open(&format!("/{account}/{part}")).await;
        for screen in [Screen::Phone, Screen::Desktop] {
            tab.on(screen).await;
            tab.is_clean().await;
        }
        tab.is_accessible().await;
    }
}

async fn customer(page: &Page, account: &str) -> Option<Tab> {
    let token = served().await.token("customer");
    signed_in(page, &token, Scripts::On, &format!("/{account}/")).await
}

#[tokio::test]
async fn an_account_without_usage_and_one_that_is_not_billed_yet_have_pages() {
    let served = served().await;
    let fresh = served.namespace("page-fresh").await.account("acme");
    fresh.subscribe(monthly("starter"), None).await;
    fresh.balance("1100").await;
    let unbilled = served.namespace("page-unbilled").await.account("acme");
    unbilled.subscribe(monthly("starter"), None).await;
    let Some(tab) = customer(&served.internal, "page-fresh/acme").await else { return };
    parts_are_clean(&tab, "page-fresh/acme").await;
    assert!(tab.reads("balance").await.contains("1,100"));
    tab.open("/page-fresh/acme/consumption").await;
    assert!(tab.text().await.contains("No consumption in this time."), "{}", tab.text().await);
    parts_are_clean(&tab, "page-unbilled/acme").await;
    let text = tab.text().await;
    assert!(!text.contains("1,100"), "nothing is granted yet: {text}");
    tab.close().await;
}

#[tokio::test]
async fn a_debt_is_shown_with_its_sign_and_needs_attention() {
    let served = served().await;
    let account = served.namespace("page-debt").await.account("acme");
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    account.report_hour("gw-1", 1, egress("234.5G")).await;
    account.balance("-1245").await;
    let Some(tab) = customer(&served.internal, "page-debt/acme").await else { return };
    parts_are_clean(&tab, "page-debt/acme").await;
    let balance = tab.reads("balance").await;
    assert!(balance.contains("-1,245") || balance.contains("\u{2212}1,245"), "{balance}");
    let text = tab.text().await;
    assert!(text.contains("Debt") || text.contains("debt"), "{text}");
    tab.close().await;
}

#[tokio::test]
async fn names_as_long_as_kubernetes_allows_fit_on_a_phone() {
    let served = served().await;
    let name = format!("acme-{}", "x".repeat(248));
    assert_eq!((LONG_NAMESPACE.len(), name.len()), (63, 253));
    let account = served.namespace(LONG_NAMESPACE).await.account(&name);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    let details = json!({"name": "W".repeat(256), "address": "W".repeat(1_024), "taxID": "9".repeat(64)});
    account.patch(json!({"spec": {"billingDetails": details}})).await;
    account.buy(&"o".repeat(253), "plus-100").await;
    account.balance("1200").await;
    let place = format!("{LONG_NAMESPACE}/{name}");
    let Some(tab) = customer(&served.internal, &place).await else { return };
    parts_are_clean(&tab, &place).await;
    tab.open(&format!("/?namespace={LONG_NAMESPACE}")).await;
    tab.on(Screen::Phone).await;
    tab.is_clean().await;
    assert!(tab.reads("account-row").await.contains(&name));
    tab.close().await;
}

#[tokio::test]
async fn a_thousand_invoices_are_listed_in_pages() {
    let served = served().await;
    let account = served.namespace("page-many").await.account("acme");
    account.subscribe_at("2000-01-01T00:00:00Z", monthly("starter"), None).await;
    account.balance("1100").await;
    // 83 years and 4 months later the account has renewed 1,000 times. A commit keeps the entries of some years.
    for year in (2003..2083).step_by(3) {
        account.clock(&format!("{year}-01-01T00:00:00Z")).await;
        account.expect::<Subscription>("acme", "/status/period/number", (year - 2000) * 12 + 1).await;
    }
    account.clock("2083-05-01T00:00:00Z").await;
    account.expect::<Subscription>("acme", "/status/period/number", 1_001).await;
    let Some(tab) = customer(&served.internal, "page-many/acme").await else { return };
    tab.open("/page-many/acme/invoices").await;
    let mut numbers = std::collections::BTreeSet::new();
    loop {
        tab.is_clean().await;
        let rows = tab.run("return [...document.querySelectorAll('[data-testid=invoice-row] a')].map(a => a.textContent.trim()).filter(text => /-\\d{4}$/.test(text))").await;
        numbers.extend(rows.as_array().expect("rows").iter().map(ToString::to_string));
        let next = tab.all("a[rel='next']").await;
        let Some(next) = next.first() else { break };
        next.click().await.expect("next page");
    }
    assert_eq!(numbers.len(), 1_001);
    parts_are_clean(&tab, "page-many/acme").await;
    tab.close().await;
}

#[tokio::test]
async fn without_a_history_each_part_shows_what_the_ledger_keeps() {
    let served = served().await;
    account::account().await;
    let place = format!("{NAMESPACE}/acme");
    let Some(tab) = customer(&served.manifests, &place).await else { return };
    parts_are_clean(&tab, &place).await;
    tab.open(&format!("/{place}/history")).await;
    assert!(!tab.all("[data-testid='history-row']").await.is_empty(), "the entries that the ledger keeps");
    let text = tab.text().await;
    assert!(text.contains("There is no history"), "{text}");
    tab.close().await;
}
