//! The object to apply, where the page does not write.

use flashgate_testing::TestAccount;
use serde_json::{Value, json};

use super::{START, element, hidden, started, started_with};
use crate::portal::{Settings, Writes};
use crate::tests::fake::Fake;
use crate::tests::{accounts, settings};

fn by_manifests() -> Fake {
    let settings = Settings { writes: Writes::Manifests, ..settings() };
    started_with(settings, &TestAccount::on_plan("starter", START), "starter", &accounts::status("1100"))
}

/// Returns the object in the text area of a page.
fn shown(page: &str) -> Value {
    let (_, rest) = page.split_once("<textarea id=\"manifest\"").expect("text area");
    let text = rest.split_once('>').expect("tag").1.split_once("</textarea>").expect("end").0;
    let text = text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_yaml::from_str(&text).expect("YAML")
}

#[tokio::test]
async fn a_choice_shows_the_object_instead_of_a_button_and_as_a_file() {
    let fake = by_manifests();
    for (path, kind, spec) in [
        (
            "plan/growth-yearly",
            "Subscription",
            json!({"plan": "growth", "billingPeriod": "Yearly", "renewal": "Automatic"}),
        ),
        ("packs/plus-100", "CreditPack", json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"})),
        (
            "settings/renewal",
            "Subscription",
            json!({"plan": "starter", "billingPeriod": "Monthly", "renewal": "None"}),
        ),
    ] {
        let page = fake.part(path).await.text;
        assert!(element(&page, "confirm").is_none() && element(&page, "effect").is_some(), "{path}");
        assert!(page.contains("This page makes no changes itself"), "{path}");
        let object = shown(&page);
        assert_eq!((&object["kind"], &object["spec"]), (&json!(kind), &spec), "{path}");
        let (_, rest) = page.split_once("href=\"?format=yaml&amp;key=").expect("link");
        let key = rest.split('"').next().expect("key");
        let file = fake.part(&format!("{path}?format=yaml&key={key}")).await;
        assert_eq!(file.headers["content-type"], "application/yaml; charset=utf-8");
        assert_eq!(serde_yaml::from_str::<Value>(&file.text).expect("YAML"), object, "{path}");
    }
    assert_eq!(fake.content().writes, Vec::<Value>::new());
}

#[tokio::test]
async fn forms_that_are_sent_show_the_object_and_write_nothing() {
    let fake = by_manifests();
    let seen = hidden(&fake.part("settings").await.text, "seen");
    for (path, fields, spec) in [
        (
            "settings/billing-details",
            vec![("name", "Acme"), ("seen", &*seen)],
            json!({"billingDetails": {"name": "Acme"}}),
        ),
        (
            "settings/thresholds",
            vec![("thresholds", "50"), ("seen", &*seen)],
            json!({"alertThresholdsPercent": [50]}),
        ),
    ] {
        let answered = fake.submit(&format!("/team/acme/{path}"), &fields).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        let mut expected = json!({"plan": "starter", "billingPeriod": "Monthly", "renewal": "Automatic"});
        json_patch::merge(&mut expected, &spec);
        assert_eq!(shown(&answered.text)["spec"], expected, "{path}");
    }
    assert_eq!(fake.content().writes, Vec::<Value>::new());
}

#[tokio::test]
async fn a_visitor_without_the_right_sees_the_object_and_the_missing_right() {
    let fake = started();
    fake.content().forbidden = vec!["patch subscriptions", "create creditpacks"];
    for (path, right) in [
        ("plan/growth-monthly", "patch subscriptions"),
        ("packs/plus-100", "create creditpacks"),
        ("settings/renewal", "patch subscriptions"),
    ] {
        let page = fake.part(path).await.text;
        assert!(element(&page, "confirm").is_none() && page.contains(right), "{path}: {page}");
        shown(&page);
    }
    let settings = fake.part("settings").await.text;
    assert!(settings.contains("Show the manifest") && !settings.contains(">Save<"));
    // The right may be lost between the page and the form.
    for (path, key) in [("plan/growth-monthly", "k1"), ("packs/plus-100", "k2"), ("settings/renewal", "None")]
    {
        let answered = fake.submit(&format!("/team/acme/{path}"), &[("key", key)]).await;
        assert_eq!(answered.status, 200, "{path}");
        shown(&answered.text);
    }
    assert_eq!(fake.content().writes, Vec::<Value>::new());
}

#[tokio::test]
async fn parts_that_need_another_right_name_it() {
    let fake = started();
    fake.content().forbidden = vec!["get creditledgers", "list creditpacks", "list usagereports"];
    for (path, right) in [
        ("", "get creditledgers"),
        ("plan", "get creditledgers"),
        ("plan/growth-monthly", "get creditledgers"),
        ("packs", "list creditpacks"),
    ] {
        let answered = fake.part(path).await;
        assert_eq!(answered.status, 200, "{path}");
        assert!(answered.text.contains(right), "{path}: {}", answered.text);
    }
    assert_eq!(element(&fake.part("").await.text, "balance"), Some("1,100"), "the status has it");
    assert!(element(&fake.part("plan/growth-monthly").await.text, "confirm").is_some());
}
