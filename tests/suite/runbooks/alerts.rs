//! The runbooks of alerts about usage that is not charged and credits that are not given: their commands find the cause.

use flashgate_api::{CreditAdjustment, CreditLedger, Subscription, UsageReport};
use flashgate_billing::operator::convert::hash_of;
use flashgate_cluster::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;
use serde_json::json;

use super::Runbook;
use crate::world::{Namespace, World, wait_until};

/// Adjustments that are more than an account may hold open.
const ADJUSTMENTS: usize = 60;

async fn account(namespace: &Namespace<'_>, name: &str) {
    let spec = json!({"plan": "organization-free", "startTime": "2026-01-01T00:00:00Z"});
    namespace.create::<Subscription>(name, spec).await;
    namespace.expect::<Subscription>(name, "/status/credits/balance", "40").await;
}

/// Reports the same hour of one source under a name.
async fn report(namespace: &Namespace<'_>, name: &str, account: &str, operation: &str, end: Timestamp) {
    let start = end - SignedDuration::from_hours(1);
    let spec = json!({
        "subscriptionRef": {"name": account}, "source": "gw-eu-1",
        "window": {"startTime": start.to_string(), "endTime": end.to_string()},
        "usage": [{"nodeType": "Public", "operation": operation, "quantity": "1"}],
    });
    namespace.create::<UsageReport>(name, spec).await;
}

/// Gives one adjustment more than fits, and more.
async fn fill(namespace: &Namespace<'_>) {
    for number in 0..ADJUSTMENTS {
        let spec = json!({"subscriptionRef": {"name": "full"}, "credits": "1", "reason": "a test"});
        namespace.create::<CreditAdjustment>(&format!("gift-{number}"), spec).await;
    }
    wait_until("one is refused", async || {
        let listed =
            namespace.kubectl(&["get", "events", "--field-selector", "reason=LedgerFull"], None).await;
        listed.stdout.contains("LedgerFull")
    })
    .await;
}

/// Writes a ledger as a later version of the operator would.
async fn write_newer(namespace: &Namespace<'_>, name: &str) {
    let ledgers = namespace.api::<CreditLedger>();
    let mut ledger = ledgers.get(name).await.expect("ledger");
    ledger.spec.format_version = 99;
    ledger.spec.sequence += 1;
    ledger.spec.hash = hash_of(&ledger.spec);
    ledgers.replace(name, &PostParams::default(), &ledger).await.expect("written");
    namespace.reason_is::<Subscription>(name, "LedgerNewerFormat").await;
}

#[tokio::test]
async fn what_is_not_charged_is_found_as_the_runbooks_say() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let namespace = world.namespace("team").await;
    for name in ["acme", "newer", "full"] {
        account(&namespace, name).await;
    }
    write_newer(&namespace, "newer").await;
    let end = Clock::system().now();
    report(&namespace, "first", "acme", "TokensOut", end).await;
    namespace.state_is::<UsageReport>("first", "Charged").await;
    for (name, account, operation) in [
        ("twice", "acme", "TokensOut"),
        ("stranded", "no-account", "TokensOut"),
        ("waiting", "newer", "TokensOut"),
    ] {
        report(&namespace, name, account, operation, end).await;
    }
    report(&namespace, "unheard", "acme", "Unheard", end - SignedDuration::from_hours(1)).await;
    for name in ["twice", "unheard"] {
        namespace.state_is::<UsageReport>(name, "Rejected").await;
    }
    let missing = "SubscriptionMissing";
    namespace.expect::<UsageReport>("stranded", "/status/conditions/0/reason", missing).await;
    fill(&namespace).await;
    let variables = [
        ("NAMESPACE", "team".to_owned()),
        ("SUBSCRIPTION", "full".to_owned()),
        ("REASON", "UnknownRate".to_owned()),
    ];
    let pages = [
        ("FlashgateAccountStuck.md", "team/newer LedgerNewerFormat: "),
        ("FlashgateLedgerFull.md", " open grant\n"),
        ("FlashgateArrivalInFuture.md", "gift-"),
        ("FlashgateUsageNotCharged.md", "waiting"),
        ("FlashgateSubscriptionMissing.md", "no-account"),
        ("FlashgateUsageRefused.md", "unheard"),
        ("FlashgateUsageDuplicated.md", "1 team"),
    ];
    for (name, finds) in pages {
        let page = Runbook::open(name, &world, &variables);
        let printed = page.walk("Diagnosis").await;
        assert!(printed.contains(finds), "{name} finds no '{finds}':\n{printed}");
        page.assert_walked();
    }
}
