//! The runbooks of alerts about usage that is not charged and credits that are not granted. Their commands
//! find the cause.

use flashgate_api::{CreditLedgerSpec, Subscription, UsageReport};
use flashgate_preview::convert::hash_of;
use flashgate_testing::action::UsageLine;
use flashgate_testing::catalog::monthly;

use super::Runbook;
use crate::cluster_account::{ClusterAccount, LONG_AGO, now, seconds};
use crate::world::{Namespace, World, wait_until};

/// Number of adjustments: more than an account may have open.
const ADJUSTMENTS: usize = 60;

/// Opens an account of a free plan.
async fn account<'a>(namespace: &Namespace<'a>, name: &str) -> ClusterAccount<'a> {
    let account = namespace.account(name);
    account.subscribe(monthly("organization-free"), Some(LONG_AGO)).await;
    account.balance("40").await;
    account
}

/// Reports one unit of the same hour of one source under a name.
async fn report(account: &ClusterAccount<'_>, name: &str, operation: &str, end: i64) {
    account.report(name, seconds(end - 3_600, 3_600), vec![UsageLine::new("Public", operation, "1")]).await;
}

/// Gives one adjustment more than fits, and more.
async fn fill(account: &ClusterAccount<'_>) {
    for number in 0..ADJUSTMENTS {
        account.adjust(&format!("gift-{number}"), "1").await;
    }
    wait_until("one is refused", async || {
        let listed = account.kubectl(&["get", "events", "--field-selector", "reason=LedgerFull"], None).await;
        listed.stdout.contains("LedgerFull")
    })
    .await;
}

/// Overwrites a ledger as a later version of the operator does.
async fn write_newer(account: &ClusterAccount<'_>) {
    let later = |spec: &mut CreditLedgerSpec| {
        spec.format_version = 99;
        spec.hash = hash_of(spec);
    };
    account.edit_ledger(later).await;
    account.reason_is::<Subscription>("newer", "LedgerNewerFormat").await;
}

#[tokio::test]
async fn the_runbooks_find_the_cause_of_uncharged_usage() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let namespace = world.namespace("team").await;
    let acme = account(&namespace, "acme").await;
    write_newer(&account(&namespace, "newer").await).await;
    let full = account(&namespace, "full").await;
    let end = now();
    report(&acme, "first", "TokensOut", end).await;
    namespace.state_is::<UsageReport>("first", "Charged").await;
    for (name, account) in [("twice", "acme"), ("stranded", "no-account"), ("waiting", "newer")] {
        report(&namespace.account(account), name, "TokensOut", end).await;
    }
    report(&acme, "unheard", "Unheard", end - 3_600).await;
    for name in ["twice", "unheard"] {
        namespace.state_is::<UsageReport>(name, "Rejected").await;
    }
    let missing = "SubscriptionMissing";
    namespace.expect::<UsageReport>("stranded", "/status/conditions/0/reason", missing).await;
    fill(&full).await;
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
        page.assert_complete();
    }
}
