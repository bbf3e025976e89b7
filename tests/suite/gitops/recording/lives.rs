//! The accounts whose states are recorded. They are on a test clock, so that their times are always the same.

use std::collections::BTreeMap;

use flashgate_api::CreditAdjustment;
use flashgate_ledger::facts::Request;
use flashgate_testing::catalog::{monthly, without_renewal};
use flashgate_testing::values::window;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{Recorder, Recordings, meters};
use crate::cluster_account::egress;
use crate::world::{Operator, World, root};

/// The finalizer that keeps a deleted object.
pub const FINALIZER: &str = "example.org/hold";

const START: &str = "2026-03-01T10:00:00Z";
const A_MONTH_LATER: &str = "2026-04-01T10:00:00Z";

/// A namespace that no operator looks at.
const UNSEEN: &str = "unseen";
/// Namespaces where invoices are settled as they are issued.
const INTERNAL: [&str; 11] = [
    "orphans",
    "shop",
    "changing",
    "ending",
    "ended",
    "spending",
    "unknown-plan",
    "not-started",
    "not-eligible",
    "bookless",
    meters::NAMESPACE,
];
/// Namespaces where payments come from outside.
const EXTERNAL: [&str; 2] = ["paying", "overdue"];

/// Plays all accounts and returns their recordings.
pub async fn play() -> Recordings {
    let world = World::start().await;
    for namespace in [UNSEEN].iter().chain(&INTERNAL).chain(&EXTERNAL) {
        world.namespace(namespace).await;
    }
    let client = world.client().await;
    let mut recorder = Recorder { world: &world, client, recordings: BTreeMap::new() };
    not_seen(&mut recorder).await;
    meters::not_seen(&mut recorder, UNSEEN).await;
    let internal = operator(&world, &[], &INTERNAL);
    orphans(&mut recorder).await;
    shop(&mut recorder).await;
    plans(&mut recorder).await;
    spending(&mut recorder).await;
    bookless(&mut recorder).await;
    meters::looked_at(&mut recorder).await;
    let catalog = root().join("examples/payments/catalog.yaml").display().to_string();
    let external = operator(&world, &["--catalog", &catalog], &EXTERNAL);
    paying(&mut recorder).await;
    overdue(&mut recorder).await;
    recorder.reason("shop", "Subscription", "acme", "InForce").await;
    internal.suspend();
    external.suspend();
    last_moments(&mut recorder).await;
    recorder.recordings
}

fn operator(world: &World, arguments: &[&str], namespaces: &[&str]) -> Operator {
    let arguments: Vec<&str> =
        [arguments, &["--namespace"], namespaces, &["--allow-test-clocks"], namespaces].concat();
    world.operator(&arguments)
}

impl Recorder<'_> {
    async fn subscribe(&self, namespace: &str, request: Request) {
        self.account_in(namespace).subscribe_at(START, request, None).await;
    }

    async fn clock(&self, namespace: &str, now: &str) {
        self.account_in(namespace).clock(now).await;
    }

    async fn account(&mut self, namespace: &str, state: &str) {
        self.record(namespace, "Subscription", "acme", state).await;
    }

    async fn buy(&self, namespace: &str, name: &str) {
        self.account_in(namespace).buy(name, "plus-100").await;
    }

    async fn report(&self, namespace: &str, name: &str, [start, end]: [&str; 2], gigabytes: &str) {
        let window = window(start, end);
        self.account_in(namespace).report_from("gw-eu-1", name, window, egress(gigabytes)).await;
    }

    /// Reports usage of a window that is not over, and waits until the operator has seen it.
    async fn use_credits(&self, namespace: &str, name: &str, window: [&str; 2], gigabytes: &str) {
        self.report(namespace, name, window, gigabytes).await;
        self.reason(namespace, "UsageReport", name, "WindowNotOver").await;
    }

    /// Creates a Payment for the invoice with this number.
    async fn pay(&self, namespace: &str, name: &str, invoice: u8, state: &str, amount: &str) {
        let ledger = self.show(namespace, "CreditLedger", "acme").await;
        let id = ledger.as_ref().and_then(|ledger| ledger["spec"]["account"].as_str()).unwrap_or("00000000");
        let invoice = format!("acme-{id}-{invoice:04}");
        self.account_in(namespace).pay(name, &invoice, state, amount).await;
    }

    /// Creates a CreditAdjustment of 250 credits.
    async fn adjust(&self, namespace: &str, name: &str, expiration_time: Option<&str>) {
        let mut spec = json!({
            "subscriptionRef": {"name": "acme"}, "credits": "250", "reason": "outage 2026-03-01",
        });
        if let Some(time) = expiration_time {
            spec["expirationTime"] = json!(time);
        }
        self.account_in(namespace).create::<CreditAdjustment>(name, spec).await;
    }
}

/// Creates one object of each kind that users create, without an operator.
async fn not_seen(recorder: &mut Recorder<'_>) {
    recorder.account_in(UNSEEN).subscribe(monthly("starter"), None).await;
    create_one_of_each(recorder, UNSEEN).await;
    recorder.account(UNSEEN, "not_seen").await;
    record_one_of_each(recorder, UNSEEN, "not_seen").await;
}

/// The same without their Subscription.
async fn orphans(recorder: &mut Recorder<'_>) {
    create_one_of_each(recorder, "orphans").await;
    record_one_of_each(recorder, "orphans", "subscription_missing").await;
}

const ONE_OF_EACH: [(&str, &str); 4] = [
    ("CreditPack", "acme-2026-03-1"),
    ("UsageReport", "acme-gw-eu-1-0001"),
    ("Payment", "evt-0001"),
    ("CreditAdjustment", "outage-2026-03-01"),
];

async fn create_one_of_each(recorder: &mut Recorder<'_>, namespace: &str) {
    recorder.buy(namespace, "acme-2026-03-1").await;
    // By the wall clock a window of the past would be too late.
    let window = ["2099-03-01T09:00:00Z", "2099-03-01T10:00:00Z"];
    recorder.report(namespace, "acme-gw-eu-1-0001", window, "12G").await;
    recorder.pay(namespace, "evt-0001", 1, "Settled", "100").await;
    recorder.adjust(namespace, "outage-2026-03-01", None).await;
}

async fn record_one_of_each(recorder: &mut Recorder<'_>, namespace: &str, state: &str) {
    for (kind, name) in ONE_OF_EACH {
        recorder.record(namespace, kind, name, state).await;
    }
}

/// An account with objects of every kind, accepted and refused.
async fn shop(recorder: &mut Recorder<'_>) {
    recorder.subscribe("shop", monthly("starter")).await;
    recorder.account("shop", "in_force").await;
    recorder.record("shop", "CreditLedger", "acme", "open").await;
    recorder.buy("shop", "acme-2026-03-1").await;
    recorder.record("shop", "CreditPack", "acme-2026-03-1", "granted").await;
    for name in ["acme-2026-03-2", "acme-2026-03-3"] {
        recorder.buy("shop", name).await;
        recorder.reason("shop", "CreditPack", name, "Granted").await;
    }
    recorder.buy("shop", "acme-2026-03-4").await;
    recorder.record("shop", "CreditPack", "acme-2026-03-4", "pack_limit_reached").await;
    let hour = [START, "2026-03-01T11:00:00Z"];
    recorder.use_credits("shop", "acme-gw-eu-1-0001", hour, "12G").await;
    let next = ["2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"];
    recorder.use_credits("shop", "acme-gw-eu-1-0002", next, "12G").await;
    recorder.record("shop", "UsageReport", "acme-gw-eu-1-0002", "window_not_over").await;
    recorder.clock("shop", "2026-03-01T11:30:00Z").await;
    recorder.record("shop", "UsageReport", "acme-gw-eu-1-0001", "charged").await;
    recorder.report("shop", "acme-gw-eu-1-0001-again", hour, "12G").await;
    recorder.record("shop", "UsageReport", "acme-gw-eu-1-0001-again", "duplicate_window").await;
    recorder.adjust("shop", "outage-2026-03-01", None).await;
    recorder.record("shop", "CreditAdjustment", "outage-2026-03-01", "granted").await;
    recorder.adjust("shop", "outage-too-late", Some(START)).await;
    recorder.record("shop", "CreditAdjustment", "outage-too-late", "already_expired").await;
}

/// The states of a plan without a payment.
async fn plans(recorder: &mut Recorder<'_>) {
    recorder.subscribe("changing", monthly("growth")).await;
    recorder.subscribe("ending", without_renewal("starter")).await;
    recorder.subscribe("ended", without_renewal("individual")).await;
    recorder.subscribe("unknown-plan", monthly("gold")).await;
    let not_started = recorder.account_in("not-started");
    not_started.subscribe_at(START, monthly("starter"), Some(A_MONTH_LATER)).await;
    recorder.subscribe("not-eligible", monthly("organization-free")).await;
    recorder.account("unknown-plan", "plan_not_found").await;
    recorder.account("not-started", "not_started").await;
    recorder.buy("not-eligible", "acme-2026-03-1").await;
    recorder.record("not-eligible", "CreditPack", "acme-2026-03-1", "plan_not_eligible").await;
    recorder.reason("changing", "Subscription", "acme", "InForce").await;
    recorder.account_in("changing").edit(monthly("starter")).await;
    recorder.account("changing", "change_pending").await;
    recorder.account("ending", "not_renewing").await;
    recorder.reason("ended", "Subscription", "acme", "NotRenewing").await;
    for namespace in ["ending", "ended"] {
        recorder.clock(namespace, A_MONTH_LATER).await;
    }
    recorder.account("ending", "lapsed").await;
    recorder.account("ended", "inactive").await;
}

/// An account that runs low, then out of credits.
async fn spending(recorder: &mut Recorder<'_>) {
    recorder.subscribe("spending", monthly("starter")).await;
    recorder.reason("spending", "Subscription", "acme", "InForce").await;
    let hour = [START, "2026-03-01T11:00:00Z"];
    recorder.use_credits("spending", "one", hour, "100G").await;
    recorder.clock("spending", hour[1]).await;
    recorder.account("spending", "credits_low").await;
    let next = [hour[1], "2026-03-01T12:00:00Z"];
    recorder.use_credits("spending", "two", next, "20G").await;
    recorder.clock("spending", next[1]).await;
    recorder.account("spending", "credits_exhausted").await;
}

/// An account whose ledger is deleted.
async fn bookless(recorder: &mut Recorder<'_>) {
    recorder.subscribe("bookless", monthly("starter")).await;
    recorder.reason("bookless", "Subscription", "acme", "InForce").await;
    recorder.account_in("bookless").delete("CreditLedger", "acme").await;
    recorder.account("bookless", "ledger_missing").await;
}

/// An account whose invoices are paid, refunded, and paid too late.
async fn paying(recorder: &mut Recorder<'_>) {
    recorder.subscribe("paying", monthly("starter")).await;
    recorder.account("paying", "awaiting_payment").await;
    recorder.buy("paying", "acme-2026-03-1").await;
    recorder.record("paying", "CreditPack", "acme-2026-03-1", "first_period_awaited").await;
    recorder.pay("paying", "evt-0001", 1, "Settled", "99").await;
    recorder.record("paying", "Payment", "evt-0001", "wrong_amount").await;
    recorder.pay("paying", "evt-0002", 1, "Settled", "100").await;
    recorder.record("paying", "Payment", "evt-0002", "applied").await;
    recorder.record("paying", "CreditPack", "acme-2026-03-1", "awaiting_payment").await;
    recorder.pay("paying", "evt-0003", 2, "Settled", "20").await;
    recorder.reason("paying", "CreditPack", "acme-2026-03-1", "Granted").await;
    recorder.pay("paying", "evt-0004", 2, "Refunded", "20").await;
    recorder.record("paying", "CreditPack", "acme-2026-03-1", "refunded").await;
    recorder.buy("paying", "acme-2026-03-2").await;
    recorder.reason("paying", "CreditPack", "acme-2026-03-2", "AwaitingPayment").await;
    recorder.pay("paying", "evt-0005", 3, "Cancelled", "20").await;
    recorder.record("paying", "CreditPack", "acme-2026-03-2", "payment_cancelled").await;
    recorder.pay("paying", "evt-0006", 3, "Settled", "20").await;
    recorder.record("paying", "Payment", "evt-0006", "refund_due").await;
    recorder.pay("paying", "evt-0007", 3, "Refunded", "20").await;
    recorder.reason("paying", "Payment", "evt-0007", "Applied").await;
    recorder.reason("paying", "Subscription", "acme", "InForce").await;
    recorder.clock("paying", A_MONTH_LATER).await;
    recorder.account("paying", "renewal_awaiting_payment").await;
}

/// An account that is not paid in time.
async fn overdue(recorder: &mut Recorder<'_>) {
    recorder.subscribe("overdue", monthly("starter")).await;
    recorder.reason("overdue", "Subscription", "acme", "AwaitingPayment").await;
    recorder.clock("overdue", A_MONTH_LATER).await;
    recorder.account("overdue", "payment_overdue").await;
}

/// Edited while the operator stands still, and deleted.
async fn last_moments(recorder: &mut Recorder<'_>) {
    recorder.account_in("shop").edit(without_renewal("starter")).await;
    recorder.account("shop", "edit_not_seen").await;
    for (namespace, kind, name) in [
        ("spending", "Subscription", "acme"),
        ("shop", "CreditPack", "acme-2026-03-1"),
        ("shop", "UsageReport", "acme-gw-eu-1-0001"),
        ("paying", "Payment", "evt-0002"),
        ("shop", "CreditAdjustment", "outage-2026-03-01"),
        ("shop", "CreditLedger", "acme"),
    ] {
        let (objects, held) =
            (recorder.objects(namespace, kind), json!({"metadata": {"finalizers": [FINALIZER]}}));
        objects.patch(name, &PatchParams::default(), &Patch::Merge(held)).await.expect("held");
        objects.delete(name, &DeleteParams::default()).await.expect("deleted");
        recorder.record(namespace, kind, name, "terminating").await;
    }
}
