//! The limits of an account (Laws 10, 23 and 26) on a real API server with the shipped CRDs. Input beyond a
//! limit is refused with a reason, and the account continues.

use flashgate_api::{CreditAdjustment, CreditPack, UsageReport};
use flashgate_testing::action::UsageLine;
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::at;
use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::cluster_account::{ClusterAccount, now, private_egress, seconds};
use crate::world::{Operator, World, root, wait_for};

/// Number of orders: more than the 56 that may be open.
const ORDERS: usize = 60;

/// Number of failed attempts of one invoice: more than the 16 names that it keeps.
const ATTEMPTS: usize = 120;

/// Number of threshold edits, each crossed by a charge: more than the 10 that are kept.
const EDITS: u32 = 14;

/// A world with external payments and without a limit on packs.
struct Bounded {
    world: World,
    _operator: Operator,
}

async fn bounded() -> &'static Bounded {
    static BOUNDED: OnceCell<Bounded> = OnceCell::const_new();
    let start = || async {
        let world = World::start().await;
        let shipped = root().join("examples/payments/catalog.yaml");
        let text = std::fs::read_to_string(shipped).expect("catalog").replace("max: 3,", "max: 1000,");
        let catalog = world.plane.folder().join("bounds.yaml");
        std::fs::write(&catalog, text).expect("catalog");
        let operator = world.operator(&["--catalog", &catalog.display().to_string()]);
        Bounded { world, _operator: operator }
    };
    BOUNDED.get_or_init(start).await
}

/// Opens an account of a plan that started two hours ago.
async fn open(name: &str, plan: &str) -> ClusterAccount<'static> {
    let account = ClusterAccount::without_subscription(&bounded().await.world, name).await;
    account.subscribe(monthly(plan), Some(&at(now() - 7_200).to_string())).await;
    account
}

/// Opens an account of a free plan, which needs no payment.
async fn free_account(name: &str) -> ClusterAccount<'static> {
    let account = open(name, "organization-free").await;
    account.balance("40").await;
    account
}

/// Reports usage of the minute that ended so many minutes ago.
async fn report(account: &ClusterAccount<'_>, name: &str, minutes_ago: i64, usage: Vec<UsageLine>) {
    account.report(name, seconds(now() - (minutes_ago + 1) * 60, 60), usage).await;
}

/// Opens an account of a paid plan, and returns it with its first invoice once that is open.
async fn unpaid_account(name: &str) -> (ClusterAccount<'static>, String) {
    let account = open(name, "starter").await;
    let invoice = account.invoice(0, "Open").await;
    (account, invoice)
}

#[tokio::test]
async fn usage_beyond_the_sum_of_a_period_is_refused_and_the_next_report_is_charged() {
    let account = free_account("bounds-usage").await;
    report(&account, "most", 10, vec![private_egress("1P").remove(0); 1_000]).await;
    account.expect::<UsageReport>("most", "/status/credits", "1000000000").await;
    report(&account, "too-much", 9, vec![private_egress("1P").remove(0); 1_000]).await;
    account.state_is::<UsageReport>("too-much", "Rejected").await;
    let refused = account.get::<UsageReport>("too-much").await.expect("report");
    assert!(refused.to_string().contains("TooLarge"), "{refused:#}");
    report(&account, "next", 8, vec![UsageLine::new("Private", "TokensOut", "20000")]).await;
    account.expect::<UsageReport>("next", "/status/credits", "1").await;
    account.status("/status/thisPeriod/usedPercent", "999999").await;
}

#[tokio::test]
async fn repeated_edits_of_thresholds_keep_at_most_ten() {
    let account = free_account("bounds-thresholds").await;
    for edit in 0..EDITS {
        let thresholds = json!({"spec": {"alertThresholdsPercent": [edit * 2 + 1, edit * 2 + 2]}});
        account.patch(thresholds).await;
        let name = format!("report-{edit}");
        report(&account, &name, 2 * i64::from(edit) + 1, private_egress("1G")).await;
        account.state_is::<UsageReport>(&name, "Charged").await;
    }
    let crossed = account.ledger().await["crossedThresholdsPercent"].as_array().map(Vec::len);
    assert!(crossed.is_some_and(|crossed| crossed <= 10), "{crossed:?}");
}

#[tokio::test]
async fn orders_that_await_payment_reserve_room_for_their_grants() {
    let (account, invoice) = unpaid_account("bounds-orders").await;
    account.pay("first", &invoice, "Settled", "100").await;
    account.balance("1100").await;
    for index in 0..ORDERS {
        account.buy(&format!("order-{index:02}"), "plus-100").await;
    }
    let (mut waiting, mut refused) = (0, 0);
    for index in 0..ORDERS {
        let name = format!("order-{index:02}");
        let pack = wait_for("the order has a state", async || {
            let pack = account.get::<CreditPack>(&name).await?;
            pack.pointer("/status/state").is_some().then_some(pack)
        })
        .await;
        if pack.pointer("/status/state") == Some(&json!("AwaitingPayment")) {
            waiting += 1;
        } else {
            assert!(pack.to_string().contains("LedgerFull"), "{pack:#}");
            refused += 1;
        }
    }
    // The plan's grant is one of the 56.
    assert_eq!((waiting, refused), (55, ORDERS - 55));
    account.adjust("gift", "5").await;
    account.state_is::<CreditAdjustment>("gift", "Refused").await;
    report(&account, "usage", 1, private_egress("1G")).await;
    account.state_is::<UsageReport>("usage", "Charged").await;
    account.balance("1099").await;
}

#[tokio::test]
async fn an_invoice_survives_any_number_of_failed_attempts() {
    let (account, invoice) = unpaid_account("bounds-attempts").await;
    let attempts = futures::stream::iter(0..ATTEMPTS).map(|index| {
        let (account, invoice) = (&account, &invoice);
        async move {
            let name = format!("{:0>200}-{index}", "attempt");
            account.apply_payment(&name, invoice, "Failed", "100").await;
        }
    });
    attempts.buffer_unordered(8).collect::<Vec<()>>().await;
    let record = account.ledger().await["invoices"][0].as_str().expect("a record").to_owned();
    assert!(record.len() < 8 * 1_024, "{record}");
    account.apply_payment("at-last", &invoice, "Settled", "100").await;
    account.balance("1100").await;
}
