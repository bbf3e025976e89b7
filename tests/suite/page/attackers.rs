//! Attackers: scripts in texts, pages of another origin, other tenants, and odd paths.

use flashgate_api::{CreditAdjustment, Subscription, UsageReport};
use flashgate_testing::catalog::monthly;
use serde_json::json;

use super::served::{Page, Served, served};
use super::sign_in::{sign_in, signed_in};
use super::tab::Scripts;
use super::{PARTS, foreign};
use crate::cluster_account::{LONG_AGO, now, seconds};
use crate::suite::portal::client::exchange;
use crate::world::Namespace;

/// A text that runs a script wherever it is not escaped. A label has at most 63 characters.
const SCRIPT: &str = "'\"></td><script>pwned=1</script><img src=x onerror=pwned=1>";

/// Sends a request outside of a browser, and returns its status, the header `Location`, and the body.
async fn raw(page: &Page, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String, String) {
    let (address, method, path) = (page.address, method.to_owned(), path.to_owned());
    let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
    let body = body.to_owned();
    let sent = move || exchange(address, &method, &path, &headers, &body).expect("answer");
    let (status, headers, body) = tokio::task::spawn_blocking(sent).await.expect("sent");
    (status, headers.get("location").cloned().unwrap_or_default(), body)
}

/// Makes an account with a script in every text that a tenant, a gateway or an administrator can write.
async fn scripted(served: &Served) -> Namespace<'_> {
    let namespace = served.namespace("page-attacked").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    let details =
        json!({"name": SCRIPT, "email": "<img/onerror=pwned=1>@x", "taxID": SCRIPT, "address": SCRIPT});
    let annotations = json!({"example.com/note": SCRIPT});
    account
        .patch(json!({"metadata": {"annotations": annotations}, "spec": {"billingDetails": details}}))
        .await;
    let window = seconds(now() / 3_600 * 3_600 - 7_200, 3_600);
    let labels =
        json!({"repo": SCRIPT, "model": SCRIPT, "<b>own</b>": SCRIPT, "provider": "javascript:pwned=1"});
    let line = json!({"nodeType": "Public", "operation": "TokensOut", "quantity": "5000", "labels": labels});
    let report = json!({
        "subscriptionRef": {"name": "acme"}, "source": "gw",
        "window": {"startTime": window.start_time, "endTime": window.end_time}, "usage": [line],
    });
    account.create::<UsageReport>("labelled", report).await;
    account.report_is("labelled", "Charged").await;
    let gift = json!({"subscriptionRef": {"name": "acme"}, "credits": "5", "reason": SCRIPT});
    account.create::<CreditAdjustment>("gift", gift).await;
    account.state_is::<CreditAdjustment>("gift", "Granted").await;
    // The next invoice has the billing details.
    account.buy("order", "plus-100").await;
    account.balance("1200").await;
    namespace
}

#[tokio::test]
async fn scripts_in_texts_are_shown_and_do_not_run() {
    let served = served().await;
    scripted(served).await;
    let catalog = format!("{}/scripted.yaml", served.world.plane.folder().display());
    let shipped =
        std::fs::read_to_string(crate::world::root().join("src/catalog/shipped.yaml")).expect("catalog");
    let named = json!(SCRIPT).to_string();
    let changed =
        ["Starter", "Growth", "+100 credits", "\"+100 credits\""].iter().fold(shipped, |text, name| {
            text.replace(&format!("displayName: {name}\n"), &format!("displayName: {named}\n"))
                .replace(&format!("displayName: {name},"), &format!("displayName: {named},"))
        });
    assert_eq!(changed.matches("<script>").count(), 3, "{changed}");
    std::fs::write(&catalog, changed).expect("catalog");
    let page = served.page("scripted", &["--catalog", &catalog, "--history", &served.history]).await;
    let Some(tab) = signed_in(&page, &served.token("customer"), Scripts::On, "/page-attacked/acme/").await
    else {
        return;
    };
    let mut shown = 0;
    for part in PARTS.into_iter().chain(["plan?plan=growth&period=monthly", "history?text=%3Cscript%3E"]) {
        tab.open(&format!("/page-attacked/acme/{part}")).await;
        // A text that is parsed as HTML would also violate the policy, which `is_clean` finds in the log.
        tab.is_clean().await;
        assert_eq!(
            tab.run("return [typeof pwned, document.images.length]").await,
            json!(["undefined", 1]),
            "{part}"
        );
        shown += usize::from(tab.text().await.contains("<script>pwned=1</script>"));
    }
    assert!(shown >= 5, "{shown} parts show the text as it is");
    tab.open("/page-attacked/acme/").await;
    tab.press("Invoices").await;
    tab.open_first_invoice().await;
    tab.is_clean().await;
    let text = tab.text().await;
    assert!(text.contains(SCRIPT), "the newest invoice shows the billing details as they are: {text}");
    assert_eq!(tab.run("return typeof pwned").await, "undefined");
    tab.close().await;
}

#[tokio::test]
async fn a_page_of_another_origin_can_neither_send_forms_nor_show_the_page_in_a_frame() {
    let served = served().await;
    let account = served.namespace("page-forged").await.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let path = "/page-forged/acme/";
    let Some(tab) = signed_in(&served.internal, &served.token("customer"), Scripts::On, path).await else {
        return;
    };
    tab.open(&format!("{path}settings/renewal")).await;
    // The forged form has every field of the real one, with a secret that the attacker guesses.
    let form = tab.run(RENEWAL_FORM).await;
    let (action, fields) =
        (form["action"].as_str().expect("action"), form["fields"].as_str().expect("fields"));
    let origin = served.internal.origin();
    let body = format!(
        "<form id=forged method=post action='{origin}{action}'>{fields}<button>Win</button></form>\
         <iframe src='{origin}{path}'></iframe>"
    );
    let port = foreign::start(&body);
    // The first host is another site; the second differs by its port, so browsers send cookies.
    for host in ["localhost", "127.0.0.1"] {
        tab.open(&format!("http://{host}:{port}/")).await;
        let framed = tab.framed_text().await;
        assert!(!framed.contains("Billing & Credits"), "{host}: {framed}");
        tab.press("Win").await;
        let heading = tab.find("h1").await.text().await.expect("text");
        assert!(heading == "You may not do this", "{host}: {heading}");
    }
    let subscription = account.get::<Subscription>("acme").await.expect("Subscription");
    assert_eq!(subscription["spec"].get("renewal").unwrap_or(&json!("Automatic")), "Automatic");
    assert_eq!(subscription["metadata"]["generation"], 1, "nothing was written");
    tab.close().await;
}

/// Returns action and fields of the form that turns the renewal off, with another secret.
const RENEWAL_FORM: &str = "
    const form = document.querySelector('[data-testid=confirm]').form;
    const fields = new URLSearchParams(new FormData(form));
    fields.set('secret', '0'.repeat(fields.get('secret').length));
    const html = [...fields].map(([name, value]) => `<input type=hidden name='${name}' value='${value}'>`).join('');
    return {action: new URL(form.action).pathname, fields: html};";

#[tokio::test]
async fn the_account_of_another_tenant_is_not_found_and_not_named() {
    let served = served().await;
    let namespace = served.world.namespace("page-secret").await;
    let account = namespace.account("acme");
    account.subscribe(monthly("scale"), None).await;
    account.balance("89000").await;
    let token = served.token("customer");
    let authorization = format!("Authorization: Bearer {token}");
    for part in PARTS {
        let mut pages = Vec::new();
        for name in ["acme", "absent"] {
            let path = format!("/page-secret/{name}/{part}");
            let (status, _, body) = raw(&served.internal, "GET", &path, &[&authorization], "").await;
            assert!(!body.contains("Scale") && !body.contains("89,000"), "{path}: {body}");
            // The page repeats the address, and nothing else.
            pages.push((status, body.replace(name, "NAME")));
        }
        assert!(matches!(pages[0].0, 403 | 404), "{part}: {}", pages[0].0);
        assert_eq!(pages[0], pages[1], "{part}: a name that exists looks like one that does not");
    }
    let Some(tab) = signed_in(&served.internal, &token, Scripts::Off, "/").await else { return };
    assert!(!tab.text().await.contains("page-secret"));
    tab.close().await;
}

#[tokio::test]
async fn paths_and_wanted_pages_stay_on_this_site() {
    let served = served().await;
    for path in [
        "//evil.example/",
        "//evil.example/%2e%2e",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fapi/v1/secrets",
        "/-/../../etc/passwd",
        "/demo/acme/..%2f..%2fpage-secret%2facme/",
        "/demo%2facme/",
        "/\\evil.example/",
        "/-/login?next=//evil.example",
        "/-/login?next=https:%2f%2fevil.example",
        "/demo/acme/%00",
    ] {
        let (status, location, body) = raw(&served.internal, "GET", path, &[], "").await;
        assert!(status < 500, "{path}: {status}");
        let is_local = location.is_empty() || location.starts_with('/') && !location.starts_with("//");
        assert!(is_local && !location.contains('\\'), "{path} leads to {location}");
        assert!(!body.contains("root:") && !body.contains("href=\"//"), "{path}: {body}");
    }
    for next in ["//evil.example/", "/\\evil.example/", "https://evil.example/", "javascript:alert(1)"] {
        let Some(tab) = served.internal.visit().await else { return };
        let next = next.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        tab.open(&format!("/-/login?next={next}")).await;
        sign_in(&tab, &served.token("customer")).await;
        assert_eq!(tab.path().await, "/");
        tab.is_clean().await;
        tab.close().await;
    }
}

#[tokio::test]
async fn large_and_malformed_forms_are_refused_with_a_page() {
    let served = served().await;
    let form = "Content-Type: application/x-www-form-urlencoded";
    let cookie = format!("Cookie: flashgate-token-0={}", served.token("customer"));
    for (path, body, expected) in [
        ("/-/login", format!("token={}", "x".repeat(64 * 1_024)), 413),
        ("/-/login", "%zz=%ff&&&=".to_owned(), 403),
        ("/demo/acme/settings", format!("secret={}", "x".repeat(64 * 1_024)), 413),
        ("/-/logout", "secret=%00".to_owned(), 403),
    ] {
        let (status, _, page) = raw(&served.internal, "POST", path, &[form, &cookie], &body).await;
        assert_eq!(status, expected, "{path}: {page}");
        assert!(page.contains("<h1"), "{path} answers with a page: {page}");
        assert!(!page.contains("xxxx"), "{path} does not repeat what it refuses");
    }
}

#[tokio::test]
async fn the_token_is_in_no_page_no_address_and_no_log() {
    let served = served().await;
    super::account::account().await;
    let token = served.token("customer");
    let Some(tab) = signed_in(&served.internal, &token, Scripts::On, "/demo/acme/").await else {
        return;
    };
    for part in PARTS {
        tab.open(&format!("/demo/acme/{part}")).await;
        assert!(!tab.html().await.contains(&token), "{part} holds the token");
        assert_eq!(tab.run("return document.cookie").await, "", "scripts can read no cookie");
    }
    let requested: Vec<String> = tab.requested().await;
    assert!(
        requested.len() > PARTS.len() && requested.iter().all(|url| !url.contains(&token)),
        "{requested:?}"
    );
    tab.close().await;
    let log = std::fs::read_to_string(&served.internal.log).expect("log");
    assert!(log.contains("request handled"), "the log is at the level trace");
    assert!(!log.contains(&token), "the log holds the token");
    assert!(!log.contains("f0rged-t0ken"), "the log holds a token that was refused");
}
