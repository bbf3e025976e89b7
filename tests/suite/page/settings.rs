//! The settings by clicks: billing details, renewal and thresholds.

use flashgate_api::Subscription;
use flashgate_testing::catalog::monthly;
use serde_json::json;

use super::served::served;
use super::sign_in::signed_in;
use super::tab::Scripts;

#[tokio::test]
async fn settings_are_saved_and_an_invalid_address_keeps_what_was_typed() {
    let served = served().await;
    for (scripts, mode) in Scripts::BOTH {
        let namespace = format!("page-settings-{mode}");
        let account = served.namespace(&namespace).await.account("acme");
        account.subscribe(monthly("starter"), None).await;
        account.balance("1100").await;
        let path = format!("/{namespace}/acme/settings");
        let Some(tab) = signed_in(&served.internal, &served.token("customer"), scripts, &path).await else {
            return;
        };
        tab.fill("Legal name", "Ärzte & Söhne <GmbH>").await;
        tab.fill("Email address for invoices", "not an address").await;
        tab.fill("Postal address", "Street 1\n12345 Town").await;
        tab.press_within("billing-details", "Save").await;
        let message = tab.find("[role='alert']").await.text().await.expect("text");
        assert!(message.contains("one address without spaces"), "{message}");
        tab.logged().await; // the status 422
        for (label, typed) in [
            ("Legal name", "Ärzte & Söhne <GmbH>"),
            ("Email address for invoices", "not an address"),
            ("Postal address", "Street 1\n12345 Town"),
        ] {
            assert_eq!(tab.value(label).await, typed, "{label}");
        }
        if scripts == Scripts::On {
            tab.is_accessible().await;
        }
        tab.fill("Email address for invoices", "billing@example.com").await;
        tab.press_within("billing-details", "Save").await;
        let saved = tab.find("[role='status']").await.text().await.expect("text");
        assert_eq!(saved, "Saved.");
        let details = json!({"name": "Ärzte & Söhne <GmbH>", "email": "billing@example.com", "address": "Street 1\n12345 Town"});
        account.expect::<Subscription>("acme", "/spec/billingDetails", details).await;
        tab.fill("Percent of a period's credits", "50, 90").await;
        tab.press_within("thresholds", "Save").await;
        account.expect::<Subscription>("acme", "/spec/alertThresholdsPercent", json!([50, 90])).await;
        tab.press("Turn renewal off").await;
        assert!(tab.reads("effect").await.contains("UTC"), "the effect names its time");
        tab.click("confirm").await;
        account.expect::<Subscription>("acme", "/spec/renewal", "None").await;
        tab.open_until(&format!("/{namespace}/acme/"), "pending-change", "").await;
        tab.open(&path).await;
        tab.press("Turn renewal on").await;
        tab.click("confirm").await;
        account.expect::<Subscription>("acme", "/spec/renewal", "Automatic").await;
        tab.is_clean().await;
        tab.close().await;
    }
}

#[tokio::test]
async fn a_form_that_somebody_else_overtook_is_not_saved() {
    let served = served().await;
    let account = served.namespace("page-overtaken").await.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let path = "/page-overtaken/acme/settings";
    let Some(tab) = signed_in(&served.internal, &served.token("customer"), Scripts::Off, path).await else {
        return;
    };
    account.patch(json!({"spec": {"billingDetails": {"name": "The other GmbH"}}})).await;
    tab.fill("Legal name", "Mine GmbH").await;
    tab.press_within("billing-details", "Save").await;
    let message = tab.find("[role='alert']").await.text().await.expect("text");
    assert!(message.starts_with("Somebody else changed this"), "{message}");
    assert_eq!(tab.value("Legal name").await, "Mine GmbH");
    account.expect::<Subscription>("acme", "/spec/billingDetails/name", "The other GmbH").await;
    tab.close().await;
}
