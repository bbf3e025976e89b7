//! Reconciles whose writes no watch has delivered yet: the next reconcile must know them.

mod history;

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use flashgate_api::{
    CreditAdjustment, CreditAdjustmentSpec, CreditPack, Payment, PaymentVerdict, Subscription, UsageReport,
    UsageReportState,
};
use flashgate_cluster::Kind;
use flashgate_ledger::catalog::PaymentMode;
use flashgate_ledger::facts::Asked;
use flashgate_preview::convert::effort;
use flashgate_testing::simulated::{
    Call, Object, ObjectKey, ObjectKind, SharedWire, Simulated, Store, Wire, lock,
};
use serde_json::json;

use super::*;
use crate::catalog;

const NOW: &str = "2026-01-31T10:00:00Z";

/// An operator without watches. Its clock advances by a second at each read.
fn operator(wire: &SharedWire) -> Operator<Simulated> {
    let now = lock(wire).store.now();
    operator_with_clock(wire, move || now)
}

/// The same, with the clock `now`.
fn operator_with_clock(
    wire: &SharedWire,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
) -> Operator<Simulated> {
    let seconds = AtomicU64::new(0);
    let clock = Clock::from_fns(now, move || Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed)));
    let end = Simulated::new(Arc::clone(wire), 1, clock.clone());
    Operator::new(end, catalog::shipped(), clock, "test".to_owned())
}

/// The same, with the API server's clock.
fn operator_of_the_servers_time(wire: &SharedWire) -> Operator<Simulated> {
    let clock = Arc::clone(wire);
    operator_with_clock(wire, move || lock(&clock).store.now())
}

fn created<K: Kind>(wire: &SharedWire, object: impl Into<Object>) -> K {
    let object = lock(wire).store.create(object.into()).expect("created");
    object.typed::<K>().expect("kind")
}

fn of<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("object")
}

/// Reconciles `sim/acme` until nothing is left to do, over a network without faults.
fn settle(operator: &Operator<Simulated>, wire: &SharedWire) {
    while reconcile(operator, wire).expect("reconciled").after.is_some() {}
}

/// Reconciles `sim/acme` once.
fn reconcile(operator: &Operator<Simulated>, wire: &SharedWire) -> Result<Next, ReconcileError> {
    finished(wire, operator.reconcile(&acme()))
}

fn acme() -> AccountKey {
    AccountKey { namespace: "sim".to_owned(), name: "acme".to_owned() }
}

/// Returns the result of `work` over a network without faults.
fn finished<T>(wire: &SharedWire, work: impl Future<Output = T>) -> T {
    watched(wire, work, || {})
}

/// Does the same, and calls `look` whenever `work` waits for the network.
fn watched<T>(wire: &SharedWire, work: impl Future<Output = T>, mut look: impl FnMut()) -> T {
    let mut context = Context::from_waker(futures::task::noop_waker_ref());
    let mut work = std::pin::pin!(work);
    loop {
        match work.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => {
                look();
                assert!(lock(wire).run_smoothly(), "nothing is on the wire");
            }
        }
    }
}

fn wire() -> SharedWire {
    Wire::to(Store::new(NOW.parse().expect("time")))
}

fn subscribed(wire: &SharedWire) -> Subscription {
    let mut subscription = Subscription::new("acme", of(json!({"plan": "starter"})));
    subscription.metadata.namespace = Some("sim".to_owned());
    created(wire, subscription)
}

/// Creates an adjustment and adds it to the cache.
fn adjusted(operator: &Operator<Simulated>, wire: &SharedWire, name: &str) {
    let spec = json!({"subscriptionRef": {"name": "acme"}, "credits": "10", "reason": "a test"});
    let spec: CreditAdjustmentSpec = of(spec);
    let mut adjustment = CreditAdjustment::new(name, spec);
    adjustment.metadata.namespace = Some("sim".to_owned());
    operator.cache.adjustments.put(created(wire, adjustment)).expect("taken");
}

fn shown_sequence(wire: &SharedWire) -> Option<i64> {
    let wire = lock(wire);
    let stored = wire.store.get(&ObjectKey::new(ObjectKind::Subscription, "sim", "acme")).expect("stored");
    stored.typed::<Subscription>().expect("kind").status?.ledger.map(|ledger| ledger.sequence)
}

#[test]
fn a_write_is_known_before_a_watch_delivers_it() {
    let wire = wire();
    let operator = operator(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    assert_eq!(shown_sequence(&wire), Some(1));
    for sequence in 2..5 {
        adjusted(&operator, &wire, &format!("goodwill-{sequence}"));
        settle(&operator, &wire);
        assert_eq!(shown_sequence(&wire), Some(sequence));
    }
}

#[test]
fn nothing_is_committed_without_the_subscription_in_the_cache_before_it_names_the_ledger() {
    let wire = wire();
    let first = operator(&wire);
    let subscription = subscribed(&wire);
    first.cache.subscriptions.put(subscription.clone()).expect("taken");
    settle(&first, &wire);
    // No status names the ledger. After the period's end another operator has only the ledger in its cache.
    let (ledgers, subscriptions) = (ObjectKind::CreditLedger, ObjectKind::Subscription);
    let key = |kind| ObjectKey::new(kind, "sim", "acme");
    lock(&wire).store.wipe_status(&key(subscriptions)).expect("wiped");
    let begun = lock(&wire).store.changes().len();
    lock(&wire).store.set_now("2026-03-01T00:00:00Z".parse().expect("time"));
    let second = operator(&wire);
    let ledger = lock(&wire).store.get(&key(ledgers)).expect("stored").typed::<CreditLedger>().expect("kind");
    second.cache.ledgers.put(ledger).expect("taken");
    settle(&second, &wire);
    let wire = lock(&wire);
    let written = wire.store.changes()[begun..].iter().filter_map(|change| change.object().map(Object::kind));
    assert_eq!(written.collect::<Vec<_>>()[..2], [subscriptions, ledgers]);
}

#[test]
fn a_refund_is_shown_on_its_pack_before_its_payment_shows_that_it_was_applied() {
    let wire = wire();
    let operator = operator(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    let mut pack = CreditPack::new("top-up", of(spec));
    pack.metadata.namespace = Some("sim".to_owned());
    operator.cache.packs.put(created(&wire, pack)).expect("taken");
    settle(&operator, &wire);
    let bought = lock(&wire).store.get(&ObjectKey::new(ObjectKind::CreditPack, "sim", "top-up")).cloned();
    let bought = bought.expect("stored").typed::<CreditPack>().expect("kind").status.expect("status");
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "invoice": bought.invoice, "state": "Refunded", "amount": "20",
        "currency": "USD",
    });
    let mut payment = Payment::new("refund", of(spec));
    payment.metadata.namespace = Some("sim".to_owned());
    let payment = created(&wire, payment);
    let begun = lock(&wire).store.changes().len();
    operator.cache.payments.put(payment).expect("taken");
    settle(&operator, &wire);
    let wire = lock(&wire);
    let written = wire.store.changes()[begun..].iter().filter_map(|change| change.object().map(Object::kind));
    let written: Vec<_> = written.filter(|kind| *kind != ObjectKind::Subscription).collect();
    assert_eq!(written, [ObjectKind::CreditLedger, ObjectKind::CreditPack, ObjectKind::Payment]);
}

/// Creates a Payment, adds it to the cache, and returns its status after all reconciles.
fn paid(
    operator: &Operator<Simulated>,
    wire: &SharedWire,
    (name, invoice, state): (&str, &str, &str),
) -> Option<PaymentVerdict> {
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "invoice": invoice, "state": state, "amount": "100", "currency": "USD",
    });
    let mut payment = Payment::new(name, of(spec));
    payment.metadata.namespace = Some("sim".to_owned());
    operator.cache.payments.put(created(wire, payment)).expect("taken");
    settle(operator, wire);
    shown(wire, name)
}

fn shown(wire: &SharedWire, name: &str) -> Option<PaymentVerdict> {
    stored::<Payment>(wire, ObjectKind::Payment, name).status?.state
}

fn stored<K: Kind>(wire: &SharedWire, kind: ObjectKind, name: &str) -> K {
    let wire = lock(wire);
    wire.store.get(&ObjectKey::new(kind, "sim", name)).expect("stored").typed().expect("kind")
}

#[test]
fn a_return_is_shown_on_the_payment_that_it_undoes_and_on_nothing_else_of_that_name() {
    let wire = wire();
    let external = || {
        let mut operator = operator(&wire);
        operator.catalog.policies.payments.mode = PaymentMode::External;
        operator
    };
    let begins = external();
    begins.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&begins, &wire);
    // A week later the invoice is void, so the payment must be returned.
    lock(&wire).store.set_now("2026-02-07T10:00:00Z".parse().expect("time"));
    let operator = external();
    let ledger: CreditLedger = stored(&wire, ObjectKind::CreditLedger, "acme");
    let invoice = |number: u32| format!("acme-{}-{number:04}", ledger.spec.account);
    operator.cache.ledgers.put(ledger.clone()).expect("taken");
    operator.cache.subscriptions.put(stored(&wire, ObjectKind::Subscription, "acme")).expect("taken");
    assert_eq!(paid(&operator, &wire, ("late", &invoice(1), "Settled")), Some(PaymentVerdict::Applied));
    // Another Payment gets the same name, for an invoice that does not exist.
    lock(&wire).store.delete(&ObjectKey::new(ObjectKind::Payment, "sim", "late")).expect("deleted");
    assert_eq!(paid(&operator, &wire, ("late", &invoice(9), "Settled")), Some(PaymentVerdict::Refused));
    assert_eq!(paid(&operator, &wire, ("back", &invoice(1), "Refunded")), Some(PaymentVerdict::Applied));
    assert_eq!(shown(&wire, "late"), Some(PaymentVerdict::Refused));
}

#[test]
fn a_status_is_written_only_to_the_version_that_it_was_derived_from() {
    let wire = wire();
    let operator = operator(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    // A user edits the Subscription, and the watch has not delivered the change yet.
    let key = ObjectKey::new(ObjectKind::Subscription, "sim", "acme");
    let note = ("note".to_owned(), "a test".to_owned());
    let edited =
        lock(&wire).store.edit(&key, |object| object.metadata_mut().annotations = Some([note].into()));
    edited.expect("edited");
    adjusted(&operator, &wire, "goodwill");
    let result = reconcile(&operator, &wire);
    assert!(matches!(result, Err(ReconcileError::Project { .. })), "{result:?}");
    assert_eq!(shown_sequence(&wire), Some(1));
}

#[test]
fn a_verdict_is_shown_again_as_the_server_holds_it_after_a_restore_of_etcd() {
    let wire = wire();
    let operator = operator(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    adjusted(&operator, &wire, "goodwill");
    let snapshot = lock(&wire).store.clone();
    settle(&operator, &wire);
    operator.cache.ledgers.put(stored(&wire, ObjectKind::CreditLedger, "acme")).expect("taken");
    operator.cache.revisions.note_latest(&lock(&wire).store.revision().to_string());
    lock(&wire).store.restore(snapshot);
    let latest = lock(&wire).store.revision().to_string();
    operator.cache.compare(operator.cache.revisions.seen(), &latest);
    // After the restore, the ledgers are listed last.
    let listed =
        |kind, name: &str| lock(&wire).store.get(&ObjectKey::new(kind, "sim", name)).expect("held").clone();
    let subscription = listed(ObjectKind::Subscription, "acme").typed().expect("kind");
    operator.cache.subscriptions.put(subscription).expect("taken");
    let pending = listed(ObjectKind::CreditAdjustment, "goodwill").typed().expect("kind");
    operator.cache.adjustments.put(pending).expect("taken");
    settle(&operator, &wire);
    let ledger: CreditLedger = stored(&wire, ObjectKind::CreditLedger, "acme");
    let adjustment: CreditAdjustment = stored(&wire, ObjectKind::CreditAdjustment, "goodwill");
    assert!(
        adjustment
            .status
            .is_some_and(|status| status.conditions.iter().any(|condition| condition.status == "True"))
    );
    assert_eq!((ledger.spec.sequence, ledger.spec.totals.adjusted.as_str()), (2, "10"));
}

#[test]
fn a_receipt_that_a_restore_of_etcd_took_back_does_not_count_as_written() {
    let wire = wire();
    let operator = operator_of_the_servers_time(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    lock(&wire).store.set_now("2026-01-31T11:00:00Z".parse().expect("time"));
    settle(&operator, &wire);
    reported(&operator, &wire, "gw", "2026-01-31T10:00:00Z", "2026-01-31T10:30:00Z");
    // The snapshot has the charge but not its receipt.
    let mut snapshot = None;
    let reconciled = watched(&wire, operator.reconcile(&acme()), || {
        let ledger: CreditLedger = stored(&wire, ObjectKind::CreditLedger, "acme");
        if ledger.spec.sequence == 2 {
            snapshot.get_or_insert_with(|| lock(&wire).store.clone());
        }
    });
    reconciled.expect("reconciled");
    let state =
        || stored::<UsageReport>(&wire, ObjectKind::UsageReport, "gw").status.and_then(|status| status.state);
    assert_eq!(state(), Some(UsageReportState::Charged));
    operator.cache.revisions.note_latest(&lock(&wire).store.revision().to_string());
    lock(&wire).store.restore(snapshot.expect("a commit"));
    assert_eq!(state(), None, "the receipt is gone");
    let latest = lock(&wire).store.revision().to_string();
    operator.cache.compare(operator.cache.revisions.seen(), &latest);
    // The reports are listed last.
    operator.cache.subscriptions.put(stored(&wire, ObjectKind::Subscription, "acme")).expect("taken");
    operator.cache.ledgers.put(stored(&wire, ObjectKind::CreditLedger, "acme")).expect("taken");
    adjusted(&operator, &wire, "goodwill");
    settle(&operator, &wire);
    update_in_cache(&operator, &wire, "gw");
    settle(&operator, &wire);
    assert_eq!(state(), Some(UsageReportState::Charged), "its receipt is written again");
}

/// Creates an object in `sim` with a creation time one year ahead.
fn created_next_year<K: Kind>(wire: &SharedWire, object: impl Into<Object>) -> K {
    let next_year = "2027-01-31T10:00:00Z".parse().expect("time");
    let object = lock(wire).store.create_at(object.into(), next_year).expect("created");
    object.typed::<K>().expect("kind")
}

/// Returns the reasons of an object's conditions.
fn reasons(conditions: &[flashgate_api::Condition]) -> Vec<String> {
    conditions.iter().map(|shown| format!("{}={}/{}", shown.type_, shown.status, shown.reason)).collect()
}

const FROM_THE_FUTURE: [&str; 2] = ["Ready=False/ArrivalInFuture", "Reconciling=True/ArrivalInFuture"];

#[test]
fn an_object_from_the_future_waits_and_its_account_goes_on() {
    let wire = wire();
    let operator = operator(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    let mut pack =
        CreditPack::new("ahead", of(json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"})));
    pack.metadata.namespace = Some("sim".to_owned());
    operator.cache.packs.put(created_next_year(&wire, pack)).expect("taken");
    adjusted(&operator, &wire, "goodwill");
    settle(&operator, &wire);
    let ledger: CreditLedger = stored(&wire, ObjectKind::CreditLedger, "acme");
    assert_eq!((ledger.spec.clock_time.to_string().as_str(), ledger.spec.period.number), (NOW, 1));
    assert!(ledger.spec.purchases.is_empty(), "{:?}", ledger.spec.purchases);
    assert_eq!(ledger.spec.adjustments.len(), 1);
    let pack: CreditPack = stored(&wire, ObjectKind::CreditPack, "ahead");
    assert_eq!(reasons(&pack.status.expect("status").conditions), FROM_THE_FUTURE);
}

/// Creates a report about the seconds from `start` to `end`, and adds it to the cache.
fn reported(operator: &Operator<Simulated>, wire: &SharedWire, name: &str, start: &str, end: &str) {
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "source": name, "window": {"startTime": start, "endTime": end},
        "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"}],
    });
    let mut report = UsageReport::new(name, of(spec));
    report.metadata.namespace = Some("sim".to_owned());
    operator.cache.reports.put(created(wire, report)).expect("taken");
}

#[test]
fn a_charge_reads_nothing_and_hashes_its_ledger_once() {
    let wire = wire();
    let operator = operator_of_the_servers_time(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    operator.cache.ledgers.put(stored(&wire, ObjectKind::CreditLedger, "acme")).expect("taken");
    settle(&operator, &wire);
    lock(&wire).store.set_now("2026-01-31T11:00:00Z".parse().expect("time"));
    settle(&operator, &wire);
    let (hashes, reads) = (effort::HASHES.get(), effort::READS_OF_FIELDS.get());
    reported(&operator, &wire, "gw", "2026-01-31T10:00:00Z", "2026-01-31T10:30:00Z");
    let mut fetches = 0;
    let reconciled = watched(&wire, operator.reconcile(&acme()), || {
        fetches += lock(&wire).sent().filter(|(_, _, call)| matches!(call, Call::Fetch(_))).count();
    });
    reconciled.expect("reconciled");
    let report: UsageReport = stored(&wire, ObjectKind::UsageReport, "gw");
    let status = report.status.expect("status");
    assert_eq!(status.state, Some(UsageReportState::Charged), "{status:?}");
    assert_eq!(fetches, 0, "reads from the API server");
    assert_eq!(effort::HASHES.get() - hashes, 1, "the hash of the commit");
    assert_eq!(effort::READS_OF_FIELDS.get() - reads, 0, "what was written is known");
}

/// Updates a report in the cache from the server, as its watch does.
fn update_in_cache(operator: &Operator<Simulated>, wire: &SharedWire, name: &str) {
    operator.cache.reports.put(stored(wire, ObjectKind::UsageReport, name)).expect("taken");
}

/// Returns the names of the reports that the next decision includes, or `None` if it includes all.
fn reports_to_decide(operator: &Operator<Simulated>) -> Option<Vec<String>> {
    match operator.cache.reports.rows(&acme()).index.asked(operator.clock.now()) {
        Asked::All => None,
        Asked::Only(reports) => Some(reports.into_iter().map(|(name, _)| name).collect()),
    }
}

/// Returns the reason in a waiting report's status.
fn wait_of(wire: &SharedWire, name: &str) -> String {
    let report: UsageReport = stored(wire, ObjectKind::UsageReport, name);
    let conditions = report.status.expect("status").conditions;
    conditions.into_iter().find(|shown| shown.type_ == "Ready").expect("a condition").reason
}

#[test]
fn a_waiting_report_is_decided_again_only_when_it_changes() {
    let wire = wire();
    let operator = operator(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    for name in ["gw-1", "gw-2"] {
        reported(&operator, &wire, name, "2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z");
    }
    assert_eq!(reports_to_decide(&operator), None, "nothing is known yet");
    settle(&operator, &wire);
    assert_eq!(wait_of(&wire, "gw-1"), "WindowNotOver");
    update_in_cache(&operator, &wire, "gw-1");
    update_in_cache(&operator, &wire, "gw-2");
    assert_eq!(
        reports_to_decide(&operator),
        Some(vec!["gw-1".to_owned(), "gw-2".to_owned()]),
        "they were written"
    );
    settle(&operator, &wire);
    assert_eq!(reports_to_decide(&operator), Some(vec![]));
    // Its status is lost.
    lock(&wire).store.wipe_status(&ObjectKey::new(ObjectKind::UsageReport, "sim", "gw-2")).expect("wiped");
    update_in_cache(&operator, &wire, "gw-2");
    assert_eq!(reports_to_decide(&operator), Some(vec!["gw-2".to_owned()]));
    settle(&operator, &wire);
    assert_eq!(wait_of(&wire, "gw-2"), "WindowNotOver");
}

#[test]
fn every_waiting_report_shows_that_the_subscription_is_gone_and_that_it_is_back() {
    let wire = wire();
    let operator = operator(&wire);
    for name in ["gw-1", "gw-2"] {
        reported(&operator, &wire, name, "2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z");
    }
    settle(&operator, &wire);
    for name in ["gw-1", "gw-2"] {
        assert_eq!(wait_of(&wire, name), "SubscriptionMissing");
        update_in_cache(&operator, &wire, name);
    }
    settle(&operator, &wire);
    assert_eq!(reports_to_decide(&operator), Some(vec![]));
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    for name in ["gw-1", "gw-2"] {
        assert_eq!(wait_of(&wire, name), "WindowNotOver");
    }
}

#[test]
fn a_report_from_the_future_shows_what_it_waits_for_once_it_has_arrived() {
    let wire = wire();
    let operator = operator_of_the_servers_time(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    lock(&wire).store.set_now("2026-01-31T10:05:00Z".parse().expect("time"));
    reported(&operator, &wire, "gw", "2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z");
    lock(&wire).store.set_now(NOW.parse().expect("time"));
    settle(&operator, &wire);
    assert_eq!(wait_of(&wire, "gw"), "ArrivalInFuture");
    update_in_cache(&operator, &wire, "gw");
    settle(&operator, &wire);
    assert_eq!(reports_to_decide(&operator), Some(vec![]));
    lock(&wire).store.set_now("2026-01-31T10:06:00Z".parse().expect("time"));
    settle(&operator, &wire);
    assert_eq!(wait_of(&wire, "gw"), "WindowNotOver");
}

#[test]
fn a_subscription_from_the_future_opens_no_account() {
    let wire = wire();
    let operator = operator(&wire);
    let mut subscription =
        Subscription::new("acme", of(json!({"plan": "starter", "startTime": "2025-12-01T00:00:00Z"})));
    subscription.metadata.namespace = Some("sim".to_owned());
    operator.cache.subscriptions.put(created_next_year(&wire, subscription)).expect("taken");
    settle(&operator, &wire);
    let next = reconcile(&operator, &wire).expect("reconciled");
    assert_eq!(next.wake_time, Some("2027-01-31T10:00:00Z".parse().expect("time")));
    assert!(lock(&wire).store.get(&ObjectKey::new(ObjectKind::CreditLedger, "sim", "acme")).is_none());
    let shown: Subscription = stored(&wire, ObjectKind::Subscription, "acme");
    assert_eq!(reasons(&shown.status.expect("status").conditions), FROM_THE_FUTURE);
}

#[test]
fn a_subscription_created_again_in_the_future_does_not_resume_its_account_before() {
    let wire = wire();
    let operator = operator(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    lock(&wire).store.delete(&ObjectKey::new(ObjectKind::Subscription, "sim", "acme")).expect("deleted");
    operator.cache.ledgers.put(stored(&wire, ObjectKind::CreditLedger, "acme")).expect("taken");
    let mut subscription = Subscription::new("acme", of(json!({"plan": "growth"})));
    subscription.metadata.namespace = Some("sim".to_owned());
    operator.cache.subscriptions.put(created_next_year(&wire, subscription)).expect("taken");
    settle(&operator, &wire);
    let ledger: CreditLedger = stored(&wire, ObjectKind::CreditLedger, "acme");
    assert_eq!(ledger.spec.terms.map(|terms| terms.plan).as_deref(), Some("starter"));
    assert_eq!(ledger.spec.clock_time.to_string(), NOW);
    let shown: Subscription = stored(&wire, ObjectKind::Subscription, "acme");
    assert_eq!(reasons(&shown.status.expect("status").conditions)[..2], FROM_THE_FUTURE);
}

#[test]
fn a_subscription_that_a_finalizer_holds_counts_as_deleted_from_its_deletion_on() {
    let wire = wire();
    let operator = operator(&wire);
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    let key = ObjectKey::new(ObjectKind::Subscription, "sim", "acme");
    let deleted_at = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW.parse().expect("time"));
    let terminating = lock(&wire).store.edit(&key, |object| {
        object.metadata_mut().deletion_timestamp = Some(deleted_at);
        object.metadata_mut().finalizers = Some(vec!["example.org/hold".to_owned()]);
    });
    let terminating = terminating.expect("edited").typed().expect("kind");
    operator.cache.subscriptions.put(terminating).expect("taken");
    // After three period ends it has not renewed, and a pack waits for the Subscription.
    lock(&wire).store.set_now("2026-05-15T10:00:00Z".parse().expect("time"));
    let later = self::operator(&wire);
    let ledger: CreditLedger = stored(&wire, ObjectKind::CreditLedger, "acme");
    later.cache.ledgers.put(ledger).expect("taken");
    later.cache.subscriptions.put(stored(&wire, ObjectKind::Subscription, "acme")).expect("taken");
    settle(&later, &wire);
    let ledger: CreditLedger = stored(&wire, ObjectKind::CreditLedger, "acme");
    assert_eq!((ledger.spec.period.number, ledger.spec.invoices.len()), (1, 1));
    let shown: Subscription = stored(&wire, ObjectKind::Subscription, "acme");
    let status = shown.status.expect("status");
    assert_eq!(reasons(&status.conditions)[..2], ["Ready=False/Deleting", "Reconciling=True/Deleting"]);
    assert_eq!(status.renewal_time, None);
}
