//! The sign-in by a pasted token, the list of accounts, and the sign-out.

use flashgate_testing::catalog::monthly;

use super::account;
use super::served::{Page, served};
use super::tab::{Scripts, Tab};

/// Signs a visitor in, and returns to the page that was asked for.
pub async fn sign_in(tab: &Tab, token: &str) {
    tab.fill("Token", token).await;
    tab.press("Sign in").await;
    tab.find("form.sign-out").await;
}

/// Starts a browser of a signed-in visitor at a path, or returns `None` where there is no browser.
pub async fn signed_in(page: &Page, token: &str, scripts: Scripts, path: &str) -> Option<Tab> {
    let tab = page.visit().await?;
    tab.with_scripts(scripts).await;
    tab.open(path).await;
    sign_in(&tab, token).await;
    Some(tab)
}

#[tokio::test]
async fn a_visitor_signs_in_with_a_token_sees_the_accounts_and_signs_out() {
    let served = served().await;
    account::account().await;
    let token = served.token("customer");
    for (scripts, _) in Scripts::BOTH {
        let Some(tab) = served.internal.visit().await else { return };
        tab.with_scripts(scripts).await;
        tab.open("/demo/acme/invoices").await;
        assert_eq!(tab.path().await, "/-/login?next=%2Fdemo%2Facme%2Finvoices");
        tab.fill("Token", "f0rged-t0ken").await;
        tab.press("Sign in").await;
        let message = tab.find("[role='alert']").await.text().await.expect("text");
        assert!(message.contains("does not accept this token"), "{message}");
        tab.logged().await; // the status 401
        sign_in(&tab, &token).await;
        assert_eq!(tab.path().await, "/demo/acme/invoices");
        tab.press("Billing & Credits").await;
        let row = tab.reads("account-row").await;
        assert!(row.contains("acme") && row.contains("demo") && row.contains("Growth"), "{row}");
        tab.press("acme").await;
        tab.element("balance").await;
        assert_eq!(tab.path().await, "/demo/acme/");
        tab.is_clean().await;
        tab.press("Sign out").await;
        tab.field("Token").await;
        tab.open("/demo/acme/").await;
        assert_eq!(tab.path().await, "/-/login?next=%2Fdemo%2Facme%2F");
        tab.close().await;
    }
}

#[tokio::test]
async fn a_token_that_is_withdrawn_leads_to_the_sign_in() {
    let served = served().await;
    let namespace = served.namespace("page-withdrawn").await;
    namespace.account("acme").subscribe(monthly("starter"), None).await;
    let user = ["create", "serviceaccount", "visitor"];
    namespace.kubectl(&user, None).await.succeeded().expect("created");
    let bind = [
        "create",
        "rolebinding",
        "visitor",
        "--clusterrole=portal-customer",
        "--serviceaccount=page-withdrawn:visitor",
    ];
    namespace.kubectl(&bind, None).await.succeeded().expect("bound");
    let token = namespace.kubectl(&["create", "token", "visitor"], None).await.succeeded().expect("token");
    let path = "/page-withdrawn/acme/";
    let Some(tab) = signed_in(&served.internal, token.trim(), Scripts::On, path).await else { return };
    tab.element("plan").await;
    namespace.kubectl(&["delete", "serviceaccount", "visitor"], None).await.succeeded().expect("deleted");
    crate::world::wait_until("the sign-in is shown", async || {
        tab.open(path).await;
        tab.path().await.starts_with("/-/login")
    })
    .await;
    let text = tab.text().await;
    assert!(text.contains("does not accept your token any more"), "{text}");
    assert!(!text.contains("Unauthorized") && !text.contains("error"), "no text of the API server: {text}");
    tab.close().await;
}
