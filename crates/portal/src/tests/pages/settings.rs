//! The settings of an account.

use serde_json::{Value, json};

use super::{element, hidden, location, started};
use crate::tests::fake::Fake;

/// Returns the hidden fields `seen` of the settings: of the billing details, and of the thresholds.
async fn seen(fake: &Fake) -> (String, String) {
    let page = fake.part("settings").await.text;
    let (_, rest) = page.split_once("settings/thresholds").expect("thresholds");
    (hidden(&page, "seen"), hidden(rest, "seen"))
}

#[tokio::test]
async fn each_form_patches_its_field_only() {
    let fake = started();
    let (details, thresholds) = seen(&fake).await;
    let fields = [
        ("seen", details.as_str()),
        ("name", "Acme <GmbH>"),
        ("email", "billing@acme.example"),
        ("tax_id", "DE123"),
        ("address", "Street 1\r\n12345 Town"),
    ];
    let answered = fake.submit("/team/acme/settings/billing-details", &fields).await;
    assert_eq!(location(&answered), "/team/acme/settings?saved=1");
    let fields = [("seen", thresholds.as_str()), ("thresholds", "100, 50")];
    assert_eq!(fake.submit("/team/acme/settings/thresholds", &fields).await.status, 303);
    let writes = fake.content().writes.clone();
    assert_eq!(
        writes[0]["spec"],
        json!({"billingDetails": {
            "name": "Acme <GmbH>", "email": "billing@acme.example", "taxID": "DE123", "address": "Street 1\n12345 Town",
        }})
    );
    assert_eq!(writes[0]["metadata"]["resourceVersion"], "7");
    assert_eq!(writes[1]["spec"], json!({"alertThresholdsPercent": [50, 100]}));
    let page = fake.part("settings?saved=1").await.text;
    assert!(
        page.contains("Saved.") && page.contains("Acme &lt;GmbH&gt;") && page.contains("value=\"50, 100\"")
    );
}

#[tokio::test]
async fn a_refused_form_keeps_the_typed_texts_and_shows_the_reason() {
    let fake = started();
    let (details, thresholds) = seen(&fake).await;
    fake.content().invalid = Some(
        "Subscription.billing.flashgate.dev \"acme\" is invalid: spec.billingDetails.email: Invalid value: \"not an address\": \
         must be one address without spaces, such as 'billing@example.com'",
    );
    let fields =
        [("seen", details.as_str()), ("name", "Acme"), ("email", "not an address"), ("address", "Street 1")];
    let answered = fake.submit("/team/acme/settings/billing-details", &fields).await;
    assert_eq!(answered.status, 422);
    for text in [
        "Email address: must be one address without spaces",
        "value=\"not an address\"",
        "value=\"Acme\"",
        "\nStreet 1</textarea>",
    ] {
        assert!(answered.text.contains(text), "{text}: {}", answered.text);
    }
    fake.content().invalid = None;
    let fields = [("seen", thresholds.as_str()), ("thresholds", "0, many")];
    let answered = fake.submit("/team/acme/settings/thresholds", &fields).await;
    assert_eq!(answered.status, 400);
    assert!(answered.text.contains("value=\"0, many\"") && answered.text.contains("from 1 to 1000"));
}

#[tokio::test]
async fn a_change_of_another_client_is_not_overwritten() {
    let fake = started();
    let (details, _) = seen(&fake).await;
    fake.content().objects.get_mut("subscriptions/acme").expect("Subscription")["spec"]["billingDetails"] =
        json!({"name": "Other"});
    let fields = [("seen", details.as_str()), ("name", "Mine")];
    let answered = fake.submit("/team/acme/settings/billing-details", &fields).await;
    assert_eq!(answered.status, 409);
    assert!(answered.text.contains("value=\"Mine\"") && answered.text.contains("changed this since"));
    assert_eq!(fake.content().writes, Vec::<Value>::new());
    let fields = [("seen", hidden(&answered.text, "seen")), ("name", "Mine".to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(fake.submit("/team/acme/settings/billing-details", &fields).await.status, 303);
}

#[tokio::test]
async fn renewal_is_turned_off_after_its_effect_and_on_again() {
    let fake = started();
    let page = fake.part("settings/renewal").await.text;
    let effect = element(&page, "effect").expect("effect");
    assert!(effect.contains("28 Feb 2026") && effect.contains("Organization Free"), "{effect}");
    for (key, renewal) in [("None", "None"), ("None", "None"), ("Automatic", "Automatic")] {
        let answered = fake.submit("/team/acme/settings/renewal", &[("key", key)]).await;
        assert_eq!(location(&answered), "/team/acme/settings?saved=1");
        assert_eq!(fake.content().objects["subscriptions/acme"]["spec"]["renewal"], renewal);
    }
    assert_eq!(fake.content().writes.len(), 2, "a repeated form changes nothing");
}
