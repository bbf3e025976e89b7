//! The purchase of packs by clicks, until the limit of the month.

use flashgate_api::CreditPack;
use flashgate_testing::catalog::monthly;
use kube::api::ListParams;

use super::served::served;
use super::sign_in::signed_in;
use super::tab::Scripts;

#[tokio::test]
async fn packs_are_bought_until_the_limit_and_the_fourth_is_disabled_with_its_reason() {
    let served = served().await;
    for (scripts, mode) in Scripts::BOTH {
        let namespace = format!("page-packs-{mode}");
        let account = served.namespace(&namespace).await.account("acme");
        account.subscribe(monthly("starter"), None).await;
        account.balance("1100").await;
        let path = format!("/{namespace}/acme/packs");
        let Some(tab) = signed_in(&served.internal, &served.token("customer"), scripts, &path).await else {
            return;
        };
        assert!(tab.reads("packs-used").await.contains("0 of 3"));
        for bought in 1..=3 {
            tab.click("buy-plus-100").await;
            let effect = tab.reads("effect").await;
            assert!(effect.contains("100") && effect.contains("20.00 USD"), "{effect}");
            tab.click("confirm").await;
            account.balance(&(1_100 + bought * 100).to_string()).await;
            tab.open_until(&path, "packs-used", &format!("{bought} of 3")).await;
            tab.is_clean().await;
        }
        let refused = tab.element("buy-plus-100").await;
        let is_disabled = refused.attr("disabled").await.expect("attribute").is_some()
            || refused.attr("aria-disabled").await.expect("attribute").is_some_and(|value| value == "true");
        assert!(is_disabled, "{}", tab.html().await);
        let text = tab.text().await;
        assert!(text.contains("3 of 3"), "{text}");
        if scripts == Scripts::On {
            tab.is_accessible().await;
        }
        let orders = account.api::<CreditPack>().list(&ListParams::default()).await.expect("list");
        assert_eq!(orders.items.len(), 3);
        tab.close().await;
    }
}

#[tokio::test]
async fn a_confirmation_that_is_sent_twice_buys_once() {
    let served = served().await;
    let account = served.namespace("page-twice").await.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let path = "/page-twice/acme/packs";
    let Some(tab) = signed_in(&served.internal, &served.token("customer"), Scripts::On, path).await else {
        return;
    };
    tab.click("buy-plus-100").await;
    let confirmation = tab.path().await;
    tab.element("confirm").await;
    tab.click("confirm").await;
    account.balance("1200").await;
    tab.back().await;
    assert_eq!(tab.path().await, confirmation);
    tab.click("confirm").await;
    tab.open_until(path, "packs-used", "1 of 3").await;
    account.has_totals(&[("purchased", "100")]).await;
    tab.close().await;
}
