//! Reconciles with a history store: receipts of charges wait for it, and nothing else does.

use std::sync::atomic::AtomicBool;

use flashgate_history::{Batch, RecordError, Recorded};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;

use super::*;
use crate::operator::history::History;

/// A store that keeps the batches that it got.
#[derive(Default)]
struct Kept {
    batches: Mutex<Vec<Batch>>,
    is_down: AtomicBool,
}

impl Kept {
    fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }

    fn batches(&self) -> Vec<Batch> {
        self.batches.lock().expect("batches").clone()
    }
}

impl History for Kept {
    fn record(&self, batch: Batch) -> BoxFuture<'_, Result<Recorded, RecordError>> {
        if self.is_down.load(Ordering::Relaxed) {
            let error = RecordError::Unavailable(Arc::new(std::io::Error::other("down")));
            return std::future::ready(Err(error)).boxed();
        }
        let last = batch.entries.last().map_or((0, 0), |entry| (entry.number, entry.sequence));
        self.batches.lock().expect("batches").push(batch);
        let recorded = Recorded { store: "store-1".to_owned(), number: last.0, sequence: last.1, gap: None };
        std::future::ready(Ok(recorded)).boxed()
    }
}

/// An account with a store, an hour after its start.
fn begun() -> (SharedWire, Operator<Simulated>, Arc<Kept>) {
    let (wire, store) = (wire(), Arc::new(Kept::default()));
    let mut operator = operator_of_the_servers_time(&wire);
    operator.record_in(Arc::<Kept>::clone(&store));
    operator.cache.subscriptions.put(subscribed(&wire)).expect("taken");
    settle(&operator, &wire);
    lock(&wire).store.set_now("2026-01-31T11:00:00Z".parse().expect("time"));
    settle(&operator, &wire);
    (wire, operator, store)
}

/// Creates a report with two models, and adds it to the cache.
fn labelled(operator: &Operator<Simulated>, wire: &SharedWire, source: &str) {
    let line = |model: &str| json!({"nodeType": "Public", "operation": "TokensOut", "quantity": "1000", "labels": {"model": model}});
    let mut report = UsageReport::new(
        source,
        of(json!({
            "subscriptionRef": {"name": "acme"}, "source": source,
            "window": {"startTime": "2026-01-31T10:00:00Z", "endTime": "2026-01-31T10:30:00Z"},
            "usage": [line("small"), line("large")],
        })),
    );
    report.metadata.namespace = Some("sim".to_owned());
    operator.cache.reports.put(created(wire, report)).expect("taken");
}

fn ledger(wire: &SharedWire) -> CreditLedger {
    stored(wire, ObjectKind::CreditLedger, "acme")
}

fn state(wire: &SharedWire, name: &str) -> Option<UsageReportState> {
    stored::<UsageReport>(wire, ObjectKind::UsageReport, name).status.and_then(|status| status.state)
}

fn models(batch: &Batch) -> Vec<&str> {
    batch.usage.iter().map(|usage| usage.labels.get("model").map_or("", String::as_str)).collect()
}

#[test]
fn each_version_of_a_ledger_is_recorded_once_with_the_usage_of_its_charges() {
    let (wire, operator, store) = begun();
    labelled(&operator, &wire, "gw");
    settle(&operator, &wire);
    assert_eq!(state(&wire, "gw"), Some(UsageReportState::Charged));
    let batches = store.batches();
    assert_eq!(batches.len(), usize::try_from(ledger(&wire).spec.sequence).expect("a count"));
    let last = batches.last().expect("a batch");
    assert_eq!(last.entries.last().map(|entry| entry.kind.as_str()), Some("Charged"));
    assert_eq!(
        (last.entries.last().map(|entry| entry.hash.clone()), last.entries[0].number),
        (ledger(&wire).spec.entry_hash, 1)
    );
    assert_eq!(models(last), ["small", "large"]);
    settle(&operator, &wire);
    assert_eq!(store.batches().len(), batches.len());
}

#[test]
fn a_commit_names_the_store_and_the_last_commit_that_is_recorded_there() {
    let (wire, operator, _) = begun();
    adjusted(&operator, &wire, "goodwill");
    settle(&operator, &wire);
    let spec = ledger(&wire).spec;
    assert_eq!(
        (spec.history_store.as_deref(), spec.recorded_sequence),
        (Some("store-1"), Some(spec.sequence - 1))
    );
}

#[test]
fn while_the_store_is_down_grants_are_shown_and_receipts_of_charges_wait() {
    let (wire, operator, store) = begun();
    store.set_down(true);
    labelled(&operator, &wire, "gw");
    let result = reconcile(&operator, &wire);
    assert!(matches!(result, Err(ReconcileError::Record { .. })), "{result:?}");
    assert_eq!((ledger(&wire).spec.unacknowledged.len(), state(&wire, "gw")), (1, None));
    adjusted(&operator, &wire, "goodwill");
    let result = reconcile(&operator, &wire);
    assert!(matches!(result, Err(ReconcileError::Record { .. })), "{result:?}");
    let adjustment: CreditAdjustment = stored(&wire, ObjectKind::CreditAdjustment, "goodwill");
    assert_eq!(
        adjustment.status.and_then(|status| status.state).map(|state| format!("{state:?}")),
        Some("Granted".to_owned())
    );
    assert_eq!(shown_sequence(&wire), Some(ledger(&wire).spec.sequence));
    store.set_down(false);
    settle(&operator, &wire);
    assert_eq!(state(&wire, "gw"), Some(UsageReportState::Charged));
    assert_eq!(models(store.batches().last().expect("a batch")), ["small", "large"]);
}

#[test]
fn another_operator_records_what_the_first_committed_and_reads_the_labels_again() {
    let (wire, first, store) = begun();
    store.set_down(true);
    labelled(&first, &wire, "gw");
    assert!(reconcile(&first, &wire).is_err());
    store.set_down(false);
    let mut second = operator_of_the_servers_time(&wire);
    second.record_in(Arc::<Kept>::clone(&store));
    second.cache.subscriptions.put(stored(&wire, ObjectKind::Subscription, "acme")).expect("taken");
    second.cache.ledgers.put(ledger(&wire)).expect("taken");
    settle(&second, &wire);
    assert_eq!(models(store.batches().last().expect("a batch")), ["small", "large"]);
    assert_eq!(state(&wire, "gw"), None, "its watch has not delivered the report");
    second.cache.reports.put(stored(&wire, ObjectKind::UsageReport, "gw")).expect("taken");
    settle(&second, &wire);
    assert_eq!(state(&wire, "gw"), Some(UsageReportState::Charged));
}

#[test]
fn charging_pauses_while_entries_cannot_be_recorded_and_no_entry_is_lost() {
    let (wire, operator, store) = begun();
    store.set_down(true);
    let count = 200;
    for number in 0..count {
        labelled(&operator, &wire, &format!("gw-{number}"));
    }
    for _ in 0..20 {
        assert!(reconcile(&operator, &wire).is_err());
    }
    let spec = ledger(&wire).spec;
    let charged = spec.unacknowledged.len();
    assert!((50..=UNACKNOWLEDGED_LIMIT).contains(&charged), "{charged}");
    let opening: Value =
        serde_json::from_str(spec.entries_opening.as_deref().expect("an opening")).expect("JSON");
    assert_eq!(
        opening["sequence"].as_i64(),
        spec.recorded_sequence,
        "the ledger still has all that is not recorded"
    );
    store.set_down(false);
    for _ in 0..20 {
        settle(&operator, &wire);
    }
    let states = (0..count).map(|number| state(&wire, &format!("gw-{number}")));
    assert_eq!(states.filter(|state| *state == Some(UsageReportState::Charged)).count(), count);
    let recorded: HashSet<i64> =
        store.batches().iter().flat_map(|batch| batch.entries.iter().map(|entry| entry.number)).collect();
    assert_eq!(i64::try_from(recorded.len()).ok(), ledger(&wire).spec.entry_number);
    let usage: HashSet<(i64, String)> = store
        .batches()
        .iter()
        .flat_map(|batch| batch.usage.iter().map(|usage| (usage.entry, usage.labels["model"].clone())))
        .collect();
    assert_eq!(usage.len(), 2 * count);
}
