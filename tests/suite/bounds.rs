//! The bounds of an account (Laws 10, 23 and 26), each reached on a real API server with the shipped definitions: what goes
//! beyond is refused with its reason, and the account goes on.

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use futures::StreamExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::world::{Namespace, Operator, World, root};

/// Orders that are created: more than the 56 that may be open.
const ORDERS: usize = 60;

/// Failed attempts of one invoice: many more than the 16 whose names it keeps.
const ATTEMPTS: usize = 120;

/// Edits of thresholds, each crossed by a charge: more than the 10 that are kept.
const EDITS: u32 = 14;

/// A world whose catalog sets no limit on packs, and whose payments come from outside.
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
async fn open(name: &str, plan: &str) -> Namespace<'static> {
    let namespace = bounded().await.world.namespace(name).await;
    let now = flashgate_cluster::clock::Clock::system().now().as_second();
    let start = jiff::Timestamp::from_second(now - 7_200).expect("time");
    namespace.create::<Subscription>("acme", json!({"plan": plan, "startTime": start})).await;
    namespace
}

/// Opens an account of a free plan, which needs no payment.
async fn free_account(name: &str) -> Namespace<'static> {
    let namespace = open(name, "organization-free").await;
    balance_is(&namespace, "40").await;
    namespace
}

async fn balance_is(namespace: &Namespace<'_>, balance: &str) {
    namespace.expect::<Subscription>("acme", "/status/credits/balance", balance).await;
}

async fn ledger(namespace: &Namespace<'_>) -> Value {
    namespace.get::<CreditLedger>("acme").await.expect("ledger")["spec"].take()
}

/// Reports usage of the minute that ended so many minutes ago.
async fn report(namespace: &Namespace<'_>, name: &str, minutes_ago: i64, usage: Vec<Value>) {
    let now = flashgate_cluster::clock::Clock::system().now().as_second();
    let time = |minutes: i64| jiff::Timestamp::from_second(now - minutes * 60).expect("time").to_string();
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "source": "gw", "usage": usage,
        "window": {"startTime": time(minutes_ago + 1), "endTime": time(minutes_ago)},
    });
    namespace.create::<UsageReport>(name, spec).await;
}

fn egress(quantity: &str) -> Value {
    json!({"nodeType": "Private", "operation": "StorageEgress", "quantity": quantity})
}

/// Settles, or fails to settle, the first invoice of an account.
async fn pay(namespace: &Namespace<'_>, name: &str, state: &str) {
    let account = namespace.get::<Subscription>("acme").await.expect("account");
    let invoice = account.pointer("/status/invoices/0/number").expect("invoice").clone();
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "invoice": invoice, "state": state, "amount": "100", "currency": "USD",
    });
    namespace.create::<Payment>(name, spec).await;
}

/// Opens an account of a paid plan, and returns it once its first invoice is open.
async fn unpaid_account(name: &str) -> Namespace<'static> {
    let namespace = open(name, "starter").await;
    namespace.expect::<Subscription>("acme", "/status/invoices/0/state", "Open").await;
    namespace
}

#[tokio::test]
async fn usage_beyond_the_sum_of_a_period_is_refused_and_the_next_report_is_charged() {
    let namespace = free_account("bounds-usage").await;
    report(&namespace, "most", 10, vec![egress("1P"); 1_000]).await;
    namespace.expect::<UsageReport>("most", "/status/credits", "1000000000").await;
    report(&namespace, "too-much", 9, vec![egress("1P"); 1_000]).await;
    namespace.state_is::<UsageReport>("too-much", "Rejected").await;
    let refused = namespace.get::<UsageReport>("too-much").await.expect("report");
    assert!(refused.to_string().contains("TooLarge"), "{refused:#}");
    let tokens = json!({"nodeType": "Private", "operation": "TokensOut", "quantity": "20000"});
    report(&namespace, "next", 8, vec![tokens]).await;
    namespace.expect::<UsageReport>("next", "/status/credits", "1").await;
    namespace.expect::<Subscription>("acme", "/status/thisPeriod/usedPercent", "999999").await;
}

#[tokio::test]
async fn thresholds_that_are_edited_over_and_over_leave_at_most_ten() {
    let namespace = free_account("bounds-thresholds").await;
    let api = namespace.api::<Subscription>();
    for edit in 0..EDITS {
        let thresholds = json!({"spec": {"alertThresholdsPercent": [edit * 2 + 1, edit * 2 + 2]}});
        api.patch("acme", &PatchParams::default(), &Patch::Merge(thresholds)).await.expect("patched");
        let name = format!("report-{edit}");
        report(&namespace, &name, 2 * i64::from(edit) + 1, vec![egress("1G")]).await;
        namespace.state_is::<UsageReport>(&name, "Charged").await;
    }
    let crossed = ledger(&namespace).await["crossedThresholdsPercent"].as_array().map(Vec::len);
    assert!(crossed.is_some_and(|crossed| crossed <= 10), "{crossed:?}");
}

#[tokio::test]
async fn orders_that_await_payment_hold_the_room_of_grants() {
    let namespace = unpaid_account("bounds-orders").await;
    pay(&namespace, "first", "Settled").await;
    balance_is(&namespace, "1100").await;
    for index in 0..ORDERS {
        let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
        namespace.create::<CreditPack>(&format!("order-{index:02}"), spec).await;
    }
    let (mut waiting, mut refused) = (0, 0);
    for index in 0..ORDERS {
        let name = format!("order-{index:02}");
        let pack = crate::world::eventually("the order has a state", async || {
            let pack = namespace.get::<CreditPack>(&name).await?;
            pack.pointer("/status/state").is_some().then_some(pack)
        });
        let pack = pack.await_some().await;
        if pack.pointer("/status/state") == Some(&json!("AwaitingPayment")) {
            waiting += 1;
        } else {
            assert!(pack.to_string().contains("LedgerFull"), "{pack:#}");
            refused += 1;
        }
    }
    // The plan's grant is one of the 56.
    assert_eq!((waiting, refused), (55, ORDERS - 55));
    let gift = json!({"subscriptionRef": {"name": "acme"}, "credits": "5", "reason": "one more"});
    namespace.create::<CreditAdjustment>("gift", gift).await;
    namespace.state_is::<CreditAdjustment>("gift", "Refused").await;
    report(&namespace, "usage", 1, vec![egress("1G")]).await;
    namespace.state_is::<UsageReport>("usage", "Charged").await;
    balance_is(&namespace, "1099").await;
}

#[tokio::test]
async fn an_invoice_survives_any_number_of_failed_attempts() {
    let namespace = unpaid_account("bounds-attempts").await;
    let attempts = futures::stream::iter(0..ATTEMPTS).map(|index| {
        let namespace = &namespace;
        async move {
            let name = format!("{:0>200}-{index}", "attempt");
            pay(namespace, &name, "Failed").await;
            namespace.state_is::<Payment>(&name, "Applied").await;
        }
    });
    attempts.buffer_unordered(8).collect::<Vec<()>>().await;
    let invoice = ledger(&namespace).await["invoices"][0].as_str().expect("a record").to_owned();
    assert!(invoice.len() < 8 * 1_024, "{invoice}");
    pay(&namespace, "at-last", "Settled").await;
    namespace.state_is::<Payment>("at-last", "Applied").await;
    balance_is(&namespace, "1100").await;
}
