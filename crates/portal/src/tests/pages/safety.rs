//! Attackers: forms from elsewhere, markup in texts, and accounts of others.

use serde_json::json;

use super::{PARTS, hidden, started, started_with};
use crate::tests::fake::TOKEN;
use crate::tests::{accounts, settings};

/// A text that would run a script if it were markup.
const PAYLOAD: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

/// The forms of an account, each with its fields.
const FORMS: [(&str, &[(&str, &str)]); 7] = [
    ("plan/growth-monthly", &[("key", "k1")]),
    ("packs/plus-100", &[("key", "k2")]),
    ("undo", &[]),
    ("settings/billing-details", &[("name", "Acme")]),
    ("settings/thresholds", &[("thresholds", "50")]),
    ("settings/renewal", &[("key", "None")]),
    ("settings/renewal", &[("key", "Automatic")]),
];

#[tokio::test]
async fn a_form_that_was_not_made_for_the_visitor_changes_nothing() {
    let fake = started();
    let secret = hidden(&fake.part("settings").await.text, "secret");
    let other = crate::page::secret_text("other");
    for (path, fields) in FORMS {
        let path = format!("/team/acme/{path}");
        for (secret, headers) in [
            ("", vec![]),
            ("00", vec![]),
            (&"0".repeat(64), vec![]),
            (other.as_str(), vec![]),
            (secret.as_str(), vec![("origin", "https://evil.example")]),
            (secret.as_str(), vec![("origin", "null")]),
            (secret.as_str(), vec![("sec-fetch-site", "cross-site")]),
        ] {
            let answered = fake.submit_with(&path, secret, fields, &headers).await;
            assert_eq!(answered.status, 403, "{path} {secret} {headers:?}");
            assert!(answered.text.starts_with("<!DOCTYPE html>"));
        }
    }
    assert_eq!(fake.content().writes, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_form_needs_the_content_type_of_forms() {
    let fake = started();
    let secret = hidden(&fake.part("settings").await.text, "secret");
    let body = format!("secret={secret}&key=k1");
    let headers = [("authorization", format!("Bearer {TOKEN}")), ("content-type", "text/plain".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(fake.visit("POST", "/team/acme/packs/plus-100", &headers, &body).await.status, 415);
    let large = format!("{body}&name={}", "a".repeat(70_000));
    assert_eq!(fake.visit("POST", "/team/acme/packs/plus-100", &headers, &large).await.status, 413);
}

#[tokio::test]
async fn texts_of_an_account_are_never_markup() {
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "False", "reason": "PlanNotFound", "message": PAYLOAD,
            "lastTransitionTime": "2026-02-10T12:00:00Z",
        })
    };
    let mut status = accounts::status("1100");
    status["conditions"] = json!([condition("Ready")]);
    status["invoices"] = json!([{
        "number": PAYLOAD, "time": super::START, "reason": PAYLOAD, "amount": "1", "currency": "USD", "state": "Open",
    }]);
    let test = flashgate_testing::TestAccount::on_plan("starter", super::START);
    let fake = started_with(settings(), &test, "starter", &status);
    {
        let mut content = fake.content();
        let subscription = content.objects.get_mut("subscriptions/acme").expect("Subscription");
        subscription["spec"]["billingDetails"] = json!({"name": PAYLOAD, "email": PAYLOAD, "taxID": PAYLOAD, "address": format!("</textarea>{PAYLOAD}")});
        subscription["metadata"]["labels"] = json!({"a": PAYLOAD});
        let order = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "CreditPack",
            "metadata": {"name": "order-1", "namespace": "team", "uid": "order-1"},
            "spec": {"subscriptionRef": {"name": "acme"}, "pack": PAYLOAD},
            "status": {"state": "Refused", "conditions": [condition("Ready")]},
        });
        content.objects.insert("creditpacks/order-1".to_owned(), order);
    }
    let paths = PARTS.map(|part| format!("/team/acme/{part}"));
    let encoded = serde_urlencoded::to_string([("x", PAYLOAD)]).expect("query")[2..].to_owned();
    let others = [
        "/".to_owned(),
        "/team/acme/plan/growth-monthly".to_owned(),
        format!("/?namespace={encoded}"),
        format!("/-/login?next=/{encoded}"),
        format!("/team/acme/outcome/{encoded}"),
        format!("/team/acme/plan/{encoded}"),
        format!("/team/acme/packs/{encoded}"),
        format!("/team/acme/packs/plus-100?key={encoded}"),
        format!("/{encoded}/{encoded}/"),
    ];
    for path in paths.iter().chain(&others) {
        let page = fake.load(path).await.text;
        assert!(!page.contains("<script") && !page.contains("<img src=x"), "{path}: {page}");
    }
    fake.content().invalid = Some(PAYLOAD);
    let answered = fake.submit("/team/acme/settings/thresholds", &[("thresholds", PAYLOAD)]).await;
    assert!(!answered.text.contains("<script"), "{}", answered.text);
}

#[tokio::test]
async fn an_account_that_the_visitor_may_not_see_is_not_shown() {
    let fake = started();
    fake.content().forbidden = vec!["get subscriptions"];
    let forbidden = PARTS.map(|part| (format!("/team/acme/{part}"), 403));
    let missing = PARTS.map(|part| (format!("/team/other/{part}"), 403));
    for (path, status) in forbidden.iter().chain(&missing) {
        let answered = fake.load(path).await;
        assert_eq!(answered.status, *status, "{path}");
        for figure in ["1,100", "Starter", "1f3a9c2e", TOKEN] {
            assert!(!answered.text.contains(figure), "{path} has {figure}");
        }
    }
    fake.content().forbidden.clear();
    for path in ["/team/other/", "/TEAM/acme/", "/team/..%2facme/", "/team/acme/none", "/team/a%00b/"] {
        assert_eq!(fake.load(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_token_is_in_no_page() {
    let fake = started();
    for part in PARTS {
        let answered = fake.part(part).await;
        assert!(!answered.text.contains(TOKEN), "{part}");
        assert!(!format!("{:?}", answered.headers).contains(TOKEN), "{part}");
    }
}
