//! `simulate`: runs manifests through the operator's billing code on a virtual clock.
//!
//! It needs no cluster and no wall clock. Each document is applied at the time of its annotation, as an API
//! server would apply it. Renewals and other timed events happen in between, as if an operator ran all the
//! time. The same documents give the same objects, invoice numbers and entries on every run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use account::{AccountKey, SimulatedAccount};
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::entry::Entry;
use flashgate_ledger::statement::Statement;
use jiff::Timestamp;
use manifest::{Manifest, Place};
use serde_json::Value;
use step::{Action, Kind, ObjectKey, Step};
use store::{Applied, Store};

use crate::admission::{Admission, AdmissionBuildError};

mod account;
pub mod manifest;
mod merge;
pub mod output;
mod receipts;
pub mod resumed;
pub mod step;
mod store;
pub mod table;
#[cfg(test)]
mod tests;

/// Why manifests cannot be simulated. `simulate` then ends with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A document is neither YAML nor JSON.
    #[error("{place}: {message}")]
    Unreadable {
        /// Its place.
        place: Place,
        /// The problem.
        message: String,
    },
    /// A document is refused, because the API server would refuse it or it cannot be simulated.
    #[error("{place}: {message}")]
    Refused {
        /// Its place.
        place: Place,
        /// The object, the problem, and the required value.
        message: String,
    },
    /// The admission cannot be built, which is a bug.
    #[error("build the admission of manifests")]
    Admission(#[from] AdmissionBuildError),
}

impl SimulateError {
    fn of_document(place: Place, message: impl Into<String>) -> Self {
        Self::Refused { place, message: message.into() }
    }

    fn of_object(place: Place, key: &ObjectKey, message: impl std::fmt::Display) -> Self {
        let ObjectKey { kind, namespace, name } = key;
        Self::Refused { place, message: format!("{} {namespace}/{name}: {message}", kind.as_str()) }
    }
}

/// The objects and entries at the end of a simulation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The time at which the simulation ended. `None` if no document was applied.
    pub end_time: Option<Timestamp>,
    /// All objects with their statuses, sorted by kind, namespace and name, ledgers last.
    pub objects: Vec<Value>,
    /// All entries, in order.
    pub entries: Vec<AccountEntry>,
    /// The statements in each account's ledger, by Subscription.
    pub statements: BTreeMap<Arc<str>, Vec<Statement>>,
    /// Warnings about input that is valid but may be a mistake.
    pub notes: Vec<String>,
}

/// An entry with its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEntry {
    /// The Subscription, as namespace/name.
    pub subscription: Arc<str>,
    /// The entry.
    pub entry: Entry,
}

/// The start and end of a simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// Time of the documents before the first that states one.
    pub from: Option<Timestamp>,
    /// Time at which the simulation ends. `None` means the time of the last document.
    pub until: Option<Timestamp>,
}

/// Simulates `manifests` in their order, and all timed events up to `range.until`, or up to the last manifest.
///
/// Manifests for a time after `range.until` are not applied. A note has their number.
///
/// # Errors
/// When a manifest cannot be read, admission refuses it, the first has no time, or time goes back between two.
pub fn play(
    manifests: impl IntoIterator<Item = Result<Manifest, SimulateError>>,
    catalog: &Catalog,
    range: TimeRange,
) -> Result<Outcome, SimulateError> {
    let TimeRange { from, until } = range;
    let mut simulation = Simulation::new(catalog, Arc::new(Admission::new()?));
    let mut time_of_last = None;
    let mut left_out = 0_usize;
    for manifest in manifests {
        let mut manifest = manifest?;
        let file = Arc::clone(&manifest.place.file);
        let notes = std::mem::take(&mut manifest.notes).into_iter();
        simulation.notes.extend(notes.map(|note| format!("{file}:{note}")));
        let step = Step::new(manifest)?;
        let time = time_of(&step, time_of_last, from)?;
        time_of_last = Some(time);
        if until.is_some_and(|until| time > until) {
            left_out = left_out.saturating_add(1);
            continue;
        }
        simulation.pass_to(time);
        simulation.apply(&step)?;
    }
    simulation.pass_to_end(until);
    if let (1.., Some(until)) = (left_out, until) {
        let notes = &mut simulation.notes;
        notes.push(format!("{left_out} of the documents are for a time after {until} and were not applied"));
    }
    Ok(simulation.into_outcome())
}

/// Returns the time of a document: its own, or that of the previous one. For the first document this is `from`.
fn time_of(
    step: &Step,
    before: Option<Timestamp>,
    from: Option<Timestamp>,
) -> Result<Timestamp, SimulateError> {
    let refused = |message: String| SimulateError::of_object(step.place.clone(), &step.key, message);
    match (step.at, before.or(from)) {
        (Some(at), Some(earliest)) if at < earliest => {
            let since = match before {
                Some(before) => format!("the document before is applied at {before}"),
                None => format!("`--from` is {earliest}"),
            };
            Err(refused(format!(
                "annotation `billing.flashgate.dev/at` is {at}, and {since}; must not be earlier: documents are \
                 applied in the order in which they are given"
            )))
        }
        (Some(at), _) => Ok(at),
        (None, Some(earliest)) => Ok(earliest),
        (None, None) => step.start_time()?.ok_or_else(|| {
            refused(
                "the first document must say when it is applied: run `simulate` with `--from 2026-01-31T10:00:00Z`, \
                 or add the annotation `billing.flashgate.dev/at: \"2026-01-31T10:00:00Z\"` (or, to a Subscription, a \
                 `spec.startTime`)"
                    .to_owned(),
            )
        }),
    }
}

/// A simulation: the objects of a cluster, and the accounts of an operator that is always running.
struct Simulation<'a> {
    catalog: &'a Catalog,
    /// The current time of the simulation.
    now: Timestamp,
    /// Whether a document was applied.
    begun: bool,
    store: Store,
    accounts: BTreeMap<AccountKey, SimulatedAccount>,
    /// Accounts whose facts changed at the current time.
    touched: BTreeSet<AccountKey>,
    /// The time of the next event of each account.
    wake_times: BTreeSet<(Timestamp, AccountKey)>,
    /// Reports with a verdict, by the time at which the sweep deletes them.
    deletions: VecDeque<(Timestamp, ObjectKey, String)>,
    entries: Vec<AccountEntry>,
    notes: Vec<String>,
}

impl<'a> Simulation<'a> {
    fn new(catalog: &'a Catalog, admission: Arc<Admission>) -> Self {
        Self {
            catalog,
            now: Timestamp::MIN,
            begun: false,
            store: Store::new(admission),
            accounts: BTreeMap::new(),
            touched: BTreeSet::new(),
            wake_times: BTreeSet::new(),
            deletions: VecDeque::new(),
            entries: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Processes all events before `time`, and sets the current time to it.
    fn pass_to(&mut self, time: Timestamp) {
        if self.begun && time == self.now {
            return;
        }
        if self.begun {
            self.settle();
            while let Some((wake, _)) = self.wake_times.first().filter(|(wake, _)| *wake < time) {
                self.now = *wake;
                self.settle();
            }
        }
        self.begun = true;
        self.now = time;
        self.sweep();
    }

    /// Processes all events up to the end: `until`, or the current time.
    fn pass_to_end(&mut self, until: Option<Timestamp>) {
        if !self.begun {
            return;
        }
        if let Some(until) = until {
            self.pass_to(until);
        }
        self.settle();
        // A status also depends on the time, for example by the month of the pack limit.
        let keys: Vec<AccountKey> = self.accounts.keys().cloned().collect();
        for key in keys {
            self.show(&key);
        }
    }

    /// Applies a document at the current time. It takes effect together with the other documents of that time.
    fn apply(&mut self, step: &Step) -> Result<(), SimulateError> {
        let Step { place, key, .. } = step;
        if step.has_test_clock {
            self.notes.push(format!(
                "{place}: the annotation `billing.flashgate.dev/test-clock` is not used: the clock of a simulation is \
                 moved by `billing.flashgate.dev/at` and `--until`"
            ));
        }
        match &step.action {
            Action::Delete => self.delete(place, key),
            Action::Apply(content) => {
                let applied = self.store.apply(place, key, content, self.now)?;
                if applied != Applied::Unchanged {
                    self.state(key).map_err(|error| SimulateError::of_object(place.clone(), key, error))?;
                }
            }
        }
        Ok(())
    }

    fn delete(&mut self, place: &Place, key: &ObjectKey) {
        let account = self.store.get(key).map(|object| account_of(key, &object.content));
        let Some(account) = account.filter(|_| self.store.delete(key)) else {
            let ObjectKey { kind, namespace, name } = key;
            let kind = kind.as_str();
            self.notes.push(format!("{place}: {kind} {namespace}/{name} does not exist: nothing is deleted"));
            return;
        };
        if let Some(state) = self.accounts.get_mut(&account) {
            state.forget(key.kind, |name| name == key.name);
        }
        self.touched.insert(account);
    }

    /// Adds an object to the facts of its account.
    fn state(&mut self, key: &ObjectKey) -> Result<(), account::StateError> {
        let Some(object) = self.store.get(key) else { return Ok(()) };
        let account = account_of(key, &object.content);
        self.accounts
            .entry(account.clone())
            .or_insert_with(|| SimulatedAccount::new(account.clone()))
            .state(key.kind, object)?;
        self.touched.insert(account);
        Ok(())
    }

    /// Decides on all accounts with new facts or events at the current time.
    fn settle(&mut self) {
        let mut due = std::mem::take(&mut self.touched);
        while self.wake_times.first().is_some_and(|(wake, _)| *wake <= self.now) {
            due.extend(self.wake_times.pop_first().map(|(_, key)| key));
        }
        for key in &due {
            self.settle_account(key);
        }
        self.sweep();
    }

    fn settle_account(&mut self, key: &AccountKey) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        if let Some(wake) = account.wake_time {
            self.wake_times.remove(&(wake, key.clone()));
        }
        loop {
            let Some(account) = self.accounts.get_mut(key) else { return };
            let decision = match account.decide(self.catalog, self.now) {
                Ok(Some(decision)) => decision,
                Ok(None) => break,
                Err(violation) => {
                    let now = self.now;
                    self.notes.push(format!(
                        "{}: stopped at {now} because its ledger is inconsistent: {violation}. This is a fault of the \
                         program; please report it with these manifests",
                        account.label
                    ));
                    break;
                }
            };
            self.write_receipts(key, &decision);
            let Some(account) = self.accounts.get(key) else { return };
            let subscription = &account.label;
            self.entries.extend(
                decision
                    .entries
                    .into_iter()
                    .map(|entry| AccountEntry { subscription: Arc::clone(subscription), entry }),
            );
            if !decision.has_more {
                break;
            }
        }
        if let Some(wake) = self.accounts.get(key).and_then(|account| account.wake_time) {
            self.wake_times.insert((wake, key.clone()));
        }
        self.show(key);
    }

    /// Deletes the reports whose retention is over.
    fn sweep(&mut self) {
        while self.deletions.front().is_some_and(|(time, ..)| *time <= self.now) {
            if let Some((_, key, uid)) = self.deletions.pop_front()
                && self.store.get(&key).is_some_and(|object| object.uid == uid)
            {
                self.store.delete(&key);
            }
        }
    }

    fn into_outcome(self) -> Outcome {
        let Self { begun, now, store, accounts, entries, notes, .. } = self;
        let ledgers = accounts.values().filter_map(|account| Some((&account.label, account.ledger()?)));
        let statements =
            ledgers.map(|(label, ledger)| (Arc::clone(label), ledger.statements.kept.clone())).collect();
        let ledgers = accounts.into_values().filter_map(SimulatedAccount::into_credit_ledger);
        let objects = store.into_objects().chain(ledgers).collect();
        Outcome { end_time: begun.then_some(now), objects, entries, statements, notes }
    }
}

/// Returns the account that an object belongs to.
fn account_of(key: &ObjectKey, content: &Value) -> AccountKey {
    let name = match key.kind {
        Kind::Subscription => key.name.as_str(),
        Kind::CreditPack | Kind::UsageReport | Kind::Payment | Kind::CreditAdjustment => {
            content.pointer("/spec/subscriptionRef/name").and_then(Value::as_str).unwrap_or_default()
        }
    };
    AccountKey { namespace: key.namespace.as_str().into(), name: name.into() }
}
