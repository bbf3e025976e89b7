//! The operator dies at every call of buy, settle, grant and refund, before it and after it. What is paid once is given
//! once, and every object says so in the end.

use flashgate_api::{CreditPack, Payment, Subscription};
use flashgate_testing::catalog::monthly;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::catalog;
use crate::cluster_account::ClusterAccount;
use crate::world::{World, wait_until};

/// Calls of an account that buys a plan and a pack, each paid from outside, in the order in which they are made.
const PURCHASE: [&str; 14] = [
    "create-ledger#1@before",
    "create-ledger#1@after",
    "replace-status/Subscription#1@before",
    "replace-status/Subscription#1@after",
    "replace-ledger#1@before",
    "replace-ledger#1@after",
    "replace-status/Payment#1@before",
    "replace-status/Payment#1@after",
    "replace-ledger#2@before",
    "replace-ledger#2@after",
    "replace-status/CreditPack#1@before",
    "replace-status/CreditPack#1@after",
    "replace-ledger#3@before",
    "replace-ledger#3@after",
];

/// Calls of an operator that finds the refund of a pack granted before it started.
const REFUND: [&str; 7] = [
    "replace-ledger#1@before",
    "replace-ledger#1@after",
    "fetch/CreditPack#1@before",
    "replace-status/CreditPack#1@before",
    "replace-status/CreditPack#1@after",
    "replace-status/Payment#1@before",
    "replace-status/Payment#1@after",
];

/// Accounts that live at once.
const AT_ONCE: usize = 3;

/// Starts an operator of one namespace that dies at `moment`; when it has, another that does not. Ends with `life`.
async fn survive<T>(world: &World, namespace: &str, moment: &str, life: impl Future<Output = T>) -> T {
    let (catalog, failpoint) = (catalog(), format!("--failpoint={moment}=kill"));
    let arguments = ["--namespace", namespace, "--catalog", &catalog];
    let mortal: Vec<&str> = arguments.into_iter().chain([failpoint.as_str()]).collect();
    let first = world.operator(&mortal);
    let succession = async {
        wait_until(&format!("the operator dies at {moment}"), async || first.has_stopped()).await;
        world.operator(&arguments)
    };
    let (lived, _second) = tokio::join!(life, succession);
    lived
}

/// Buys a plan and a pack, and pays both.
async fn purchase(account: &ClusterAccount<'_>) {
    account.subscribe(monthly("starter"), None).await;
    account.apply_payment("evt-1", &account.invoice(0, "Open").await, "Settled", "100").await;
    account.balance("1100").await;
    account.buy("top-up", "plus-500").await;
    account.apply_payment("evt-2", &account.invoice(1, "Open").await, "Settled", "50").await;
    account.pack_is("top-up", "Granted").await;
    account.balance("1600").await;
}

/// Checks what the book says in the end: everything once.
async fn totals(account: &ClusterAccount<'_>, refunded: &str) {
    let ledger = account.ledger().await;
    let expected = json!({
        "granted": "1100", "purchased": "500", "adjusted": "0", "consumed": "0", "expired": "0",
        "refunded": refunded,
    });
    assert_eq!(ledger["totals"], expected, "{ledger:#}");
    let shown = account.get::<Subscription>("acme").await.expect("Subscription");
    let invoices = shown.pointer("/status/invoices").and_then(Value::as_array).expect("invoices");
    let numbers: Vec<&str> = invoices.iter().filter_map(|invoice| invoice["number"].as_str()).collect();
    assert_eq!(numbers.len(), 2, "{invoices:#?}");
    assert!(numbers[0].ends_with("-0001") && numbers[1].ends_with("-0002"), "{numbers:?}");
}

#[tokio::test]
async fn killed_at_any_moment_of_a_purchase_it_is_granted_once() {
    let world = World::start().await;
    let world = &world;
    let lives = PURCHASE.iter().enumerate().map(|(index, moment)| async move {
        let name = format!("purchase-{index}");
        let account = ClusterAccount::without_subscription(world, &name).await;
        survive(world, &name, moment, purchase(&account)).await;
        totals(&account, "0").await;
    });
    futures::stream::iter(lives).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn killed_at_any_moment_of_a_refund_it_is_taken_once_and_shown_on_the_pack() {
    let world = World::start().await;
    let world = &world;
    let lives = REFUND.iter().enumerate().map(|(index, moment)| async move {
        let name = format!("refund-{index}");
        let account = ClusterAccount::without_subscription(world, &name).await;
        let operator = world.operator(&["--namespace", &name, "--catalog", &catalog()]);
        purchase(&account).await;
        let invoice = account.invoice(1, "Settled").await;
        operator.terminate().await;
        survive(world, &name, moment, async {
            account.apply_payment("evt-3", &invoice, "Refunded", "50").await;
            account.pack_is("top-up", "Refunded").await;
            account.balance("1100").await;
        })
        .await;
        totals(&account, "500").await;
    });
    futures::stream::iter(lives).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn a_refund_that_overtakes_the_receipt_of_its_grant_is_shown_all_the_same() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "overtaken").await;
    let catalog = catalog();
    let operator = world.operator(&["--catalog", &catalog]);
    account.subscribe(monthly("starter"), None).await;
    account.apply_payment("evt-1", &account.invoice(0, "Open").await, "Settled", "100").await;
    account.buy("top-up", "plus-500").await;
    let invoice = account.invoice(1, "Open").await;
    account.pack_is("top-up", "AwaitingPayment").await;
    operator.terminate().await;
    // Both happen while no operator runs. The settlement comes first by name and by time.
    account.pay("evt-2", &invoice, "Settled", "50").await;
    account.pay("evt-3", &invoice, "Refunded", "50").await;
    let _operator = world.operator(&["--catalog", &catalog]);
    account.pack_is("top-up", "Refunded").await;
    for payment in ["evt-2", "evt-3"] {
        account.state_is::<Payment>(payment, "Applied").await;
    }
    account.balance("1100").await;
    totals(&account, "500").await;
    let pack = account.get::<CreditPack>("top-up").await.expect("pack");
    assert!(pack.pointer("/status/grantTime").is_some(), "{pack:#}");
}
