//! The pages of `docs/how-to` about accounts, walked: their commands are run as they stand there.

use flashgate_billing::api::{Subscription, UsageReport};
use serde_json::json;

use crate::installed::shared;
use crate::runbooks::Runbook;

#[tokio::test]
async fn a_wrong_charge_is_corrected_as_the_page_says() {
    let world = shared().await;
    let namespace = world.namespace("wrong-charge").await;
    let now = flashgate_billing::clock::Clock::system().now();
    let ago = |hours: i64| now.checked_sub(jiff::SignedDuration::from_hours(hours)).expect("a time");
    let whole = |time: jiff::Timestamp| jiff::Timestamp::from_second(time.as_second()).expect("a time");
    let spec = json!({"plan": "starter", "startTime": whole(ago(48))});
    namespace.create::<Subscription>("acme", spec).await;
    let report = json!({
        "subscriptionRef": {"name": "acme"}, "source": "gw-eu-1",
        "window": {"startTime": whole(ago(3)), "endTime": whole(ago(2))},
        "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "12G"}],
    });
    namespace.create::<UsageReport>("gw-eu-1-0300", report).await;
    namespace.expect::<UsageReport>("gw-eu-1-0300", "/status/state", "Charged").await;
    let name = namespace.name.clone();
    let variables =
        [("NAMESPACE", name), ("SUBSCRIPTION", "acme".to_owned()), ("REPORT", "gw-eu-1-0300".to_owned())];
    let page = Runbook::how_to("correct-a-wrong-charge.md", world, &variables);
    let found = page.walk("Look up the charge").await;
    assert!(found.starts_with("Charged: 120 credits, charged at "), "{found}");
    page.walk("Give credits back").await;
    page.walk("Charge what is missing").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1085").await;
    page.assert_walked();
}
