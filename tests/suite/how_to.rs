//! The tutorial and the pages of `docs/how-to` about accounts, walked: their commands are run as they stand there.

use flashgate_billing::api::{CreditPack, Subscription, UsageReport};
use serde_json::json;

use crate::suite::installed::shared;
use crate::suite::runbooks::Runbook;
use crate::world::{Namespace, eventually};

/// Creates a Subscription called `acme` on `plan`, and returns the variables of a page about it.
async fn subscribed(namespace: &Namespace<'_>, plan: &str) -> [(&'static str, String); 2] {
    namespace.create::<Subscription>("acme", json!({"plan": plan})).await;
    namespace.expect::<Subscription>("acme", "/status/plan", plan).await;
    [("NAMESPACE", namespace.name.clone()), ("SUBSCRIPTION", "acme".to_owned())]
}

#[tokio::test]
async fn the_tutorial_leads_to_its_balance() {
    let world = shared().await;
    let namespace = world.namespace("tutorial").await;
    let page = Runbook::tutorial("first-balance.md", world, &[("NAMESPACE", namespace.name.clone())]);
    let printed = page.walk("Create an account").await;
    assert!(printed.contains("acme   starter   Monthly   True    1100      0"), "{printed}");
    // Usage of the second in which the account started would lie before it.
    let start = flashgate_billing::clock::Clock::system().now().as_second();
    eventually("the second is over", async || {
        (flashgate_billing::clock::Clock::system().now().as_second() > start).then_some(())
    })
    .await_some()
    .await;
    page.walk("Charge usage").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1080").await;
    page.walk("Buy credits").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1580").await;
    let printed = page.walk("Explain the balance").await;
    for sum in [r#""granted":"1100""#, r#""purchased":"500""#, r#""consumed":"20""#] {
        assert!(printed.contains(sum), "{printed}");
    }
    page.assert_walked();
}

#[tokio::test]
async fn a_plan_is_changed_as_the_page_says() {
    let world = shared().await;
    let namespace = world.namespace("plan-change-page").await;
    let variables = subscribed(&namespace, "starter").await;
    let page = Runbook::how_to("change-a-plan.md", world, &variables);
    page.walk("Upgrade").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "10600").await;
    let printed = page.walk("Downgrade").await;
    assert!(printed.contains("starter") && printed.contains("effectiveTime"), "{printed}");
    namespace.expect::<Subscription>("acme", "/status/plan", "growth").await;
    page.walk("End the renewal").await;
    namespace.expect::<Subscription>("acme", "/status/pendingChange/plan", "organization-free").await;
    page.assert_walked();
}

#[tokio::test]
async fn a_pack_is_bought_and_refunded_as_the_page_says() {
    let world = shared().await;
    let namespace = world.namespace("refund-page").await;
    let mut variables = subscribed(&namespace, "starter").await.to_vec();
    variables.push(("ORDER", "acme-order-17".to_owned()));
    let page = Runbook::how_to("buy-and-refund.md", world, &variables);
    let printed = page.walk("Buy").await;
    assert!(printed.contains("Granted"), "{printed}");
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1200").await;
    page.walk("Refund").await;
    namespace.expect::<CreditPack>("acme-order-17", "/status/state", "Refunded").await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    page.assert_walked();
}

#[tokio::test]
async fn the_history_of_an_account_is_where_the_page_says() {
    let world = shared().await;
    let namespace = world.namespace("history-page").await;
    let variables = subscribed(&namespace, "starter").await;
    let page = Runbook::how_to("see-the-history.md", world, &variables);
    let printed = page.walk("Events").await;
    assert!(printed.contains("1100 credits of plan 'starter'"), "{printed}");
    let printed = page.walk("The last entries").await;
    let kinds = printed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let kinds: Vec<_> = kinds.map(|entry| entry["kind"].clone()).collect();
    assert_eq!(kinds, ["Invoiced", "Settled", "Granted"]);
    let printed = page.walk("Statements").await;
    assert!(printed.contains(r#""granted":"1100""#), "{printed}");
    page.assert_walked();
}

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
