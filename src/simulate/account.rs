//! One account: its facts, its ledger, and the time of its next event.

use std::sync::Arc;

use flashgate_api::subscription::LedgerReference;
use flashgate_api::{
    API_VERSION, CreditAdjustment, CreditLedgerSpec, CreditPack, Payment, Subscription, UsageReport,
};
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::{Decision, decide};
use flashgate_ledger::facts::Facts;
use flashgate_ledger::ledger::{Ledger, Violation};
use flashgate_preview::account_clock::AccountClock;
use flashgate_preview::convert::{self, ConvertError};
use flashgate_preview::facts::not_before_arrivals;
use flashgate_preview::stated_kind::StatedKind;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::step::{Kind, ObjectKey};
use super::store::{Object, uid};
use crate::operator::project::{LedgerState, Trouble};

/// The writer in each ledger.
const WRITER: &str = "simulate";

/// The identity of an account: the namespace and name of its Subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AccountKey {
    /// Namespace of its objects.
    pub(super) namespace: Arc<str>,
    /// Name of its Subscription.
    pub(super) name: Arc<str>,
}

/// One account.
#[derive(Debug)]
pub(super) struct SimulatedAccount {
    key: AccountKey,
    /// Its name as entries show it: namespace/name.
    pub(super) label: Arc<str>,
    /// The facts that can still change the account.
    facts: Facts,
    /// The Subscription, if it exists.
    subscription: Option<Box<Subscription>>,
    /// The ledger, from the first commit on.
    committed: Option<Box<CommittedLedger>>,
    /// The time of the next event.
    pub(super) wake_time: Option<Timestamp>,
    /// An invariant that does not hold. No further decision is made then.
    violation: Option<Violation>,
}

/// A ledger, in the form of the laws and in its stored form.
#[derive(Debug)]
pub(super) struct CommittedLedger {
    pub(super) ledger: Ledger,
    pub(super) stored: CreditLedgerSpec,
    pub(super) uid: String,
    pub(super) creation_time: Timestamp,
}

impl SimulatedAccount {
    /// Returns an account without facts.
    pub(super) fn new(key: AccountKey) -> Self {
        let label = format!("{}/{}", key.namespace, key.name).into();
        let facts = Facts { name: key.name.to_string(), ..Facts::default() };
        Self { key, label, facts, subscription: None, committed: None, wake_time: None, violation: None }
    }

    /// Returns an account of a cluster, without its facts.
    pub(super) fn continued(
        key: AccountKey,
        committed: Option<CommittedLedger>,
        clock: AccountClock,
    ) -> Self {
        let mut account = Self { committed: committed.map(Box::new), ..Self::new(key) };
        account.set_clock(clock);
        account
    }

    /// Sets whether the account has a test clock. By the wall clock, more facts can arrive at the present instant.
    pub(super) fn set_clock(&mut self, clock: AccountClock) {
        self.facts.has_test_clock = clock.is_test;
        self.facts.instant_is_open = !clock.is_test;
    }

    /// Returns the current time, which is at least that of every arrival within the tolerance.
    pub(super) fn latest(&self, now: Timestamp) -> Timestamp {
        not_before_arrivals(&self.facts, now)
    }

    /// Returns the invariant that does not hold, if there is one.
    pub(super) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Adds an object that is new or whose spec has changed.
    pub(super) fn state(&mut self, kind: Kind, object: &Object) -> Result<(), StateError> {
        let content = &object.content;
        match kind {
            Kind::Subscription => {
                let subscription: Subscription = wire(content)?;
                self.facts.subscription = Some(convert::subscription_fact(&subscription)?);
                self.subscription = Some(Box::new(subscription));
            }
            Kind::CreditPack => self.add::<CreditPack>(content)?,
            Kind::UsageReport => self.add::<UsageReport>(content)?,
            Kind::Payment => self.add::<Payment>(content)?,
            Kind::CreditAdjustment => self.add::<CreditAdjustment>(content)?,
        }
        Ok(())
    }

    fn add<K: StatedKind + DeserializeOwned>(&mut self, content: &Value) -> Result<(), StateError> {
        K::add(&mut self.facts, wire::<K>(content)?.fact()?);
        Ok(())
    }

    /// Drops the objects of `kind` that are deleted or need no further decision.
    pub(super) fn forget(&mut self, kind: Kind, is_over: impl Fn(&str) -> bool) {
        match kind {
            Kind::Subscription => {
                self.facts.subscription = None;
                self.subscription = None;
            }
            Kind::CreditPack => self.forget_facts::<CreditPack>(is_over),
            Kind::UsageReport => self.forget_facts::<UsageReport>(is_over),
            Kind::Payment => self.forget_facts::<Payment>(is_over),
            Kind::CreditAdjustment => self.forget_facts::<CreditAdjustment>(is_over),
        }
    }

    /// Drops the facts of one kind that are deleted or need no further decision.
    pub(super) fn forget_facts<K: StatedKind>(&mut self, is_over: impl Fn(&str) -> bool) {
        K::retain(&mut self.facts, |name| !is_over(name));
    }

    /// Decides on the account at `now` and stores the committed ledger. Does nothing if an invariant failed
    /// before.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub(super) fn decide(
        &mut self,
        catalog: &Catalog,
        now: Timestamp,
    ) -> Result<Option<Decision>, Violation> {
        self.wake_time = None;
        if self.violation.is_some() {
            return Ok(None);
        }
        // Receipts are written and confirmed at the time of their charge.
        let unacknowledged = self.committed.iter().flat_map(|committed| &committed.ledger.unacknowledged);
        self.facts.acknowledged =
            unacknowledged.map(|charge| (charge.name.clone(), charge.uid.clone())).collect();
        if let (None, Some(subscription)) = (&self.committed, &self.facts.subscription) {
            self.facts.new_account_id = convert::new_account_id(&subscription.uid, now);
        }
        let ledger = self.committed.as_ref().map(|committed| &committed.ledger);
        let mut decision = decide(ledger, &self.facts, catalog, now).inspect_err(|violation| {
            self.violation = Some(violation.clone());
        })?;
        self.wake_time = decision.wake_time.filter(|time| *time > now);
        if let Some(ledger) = decision.commit.take() {
            self.commit(*ledger, &decision, now);
        }
        Ok(Some(decision))
    }

    /// Stores `ledger` as the API server would.
    fn commit(&mut self, ledger: Ledger, decision: &Decision, now: Timestamp) {
        let before = self.committed.take();
        let previous = before.as_ref().map(|committed| &committed.stored);
        let stored = convert::ledger_to_wire(
            &ledger,
            previous,
            &decision.entries,
            convert::Commit::of(&self.label, WRITER),
        );
        let (uid, creation_time) = before.map_or_else(
            || (uid(&["CreditLedger", &self.key.namespace, &self.key.name, "1"]), now),
            |before| (before.uid, before.creation_time),
        );
        self.committed = Some(Box::new(CommittedLedger { ledger, stored, uid, creation_time }));
    }

    /// Returns the ledger, if there was a commit.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        self.committed.as_ref().map(|committed| &committed.ledger)
    }

    /// Returns the Subscription, if it exists.
    pub(super) fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_deref()
    }

    /// Returns the state of the ledger from which the status of the Subscription is derived.
    pub(super) fn ledger_state(&self) -> LedgerState<'_> {
        match (&self.violation, &self.committed) {
            (Some(violation), _) => LedgerState::Troubled(Trouble::Inconsistent(violation.to_string())),
            (None, None) => LedgerState::Absent,
            (None, Some(committed)) => LedgerState::Sound {
                ledger: &committed.ledger,
                reference: LedgerReference {
                    uid: committed.uid.clone(),
                    sequence: committed.stored.sequence,
                    hash: committed.stored.hash.clone(),
                },
            },
        }
    }

    /// Returns the key of an object of this account.
    pub(super) fn object(&self, kind: Kind, name: &str) -> ObjectKey {
        ObjectKey { kind, namespace: self.key.namespace.to_string(), name: name.to_owned() }
    }

    /// Returns the CreditLedger of the account, if there was a commit.
    pub(super) fn into_credit_ledger(self) -> Option<Value> {
        let CommittedLedger { stored, uid, creation_time, .. } = *self.committed?;
        Some(json!({
            "apiVersion": API_VERSION,
            "kind": "CreditLedger",
            "metadata": {
                "name": &*self.key.name,
                "namespace": &*self.key.namespace,
                "uid": uid,
                // No status subresource: every commit is a new generation.
                "generation": stored.sequence,
                "creationTimestamp": creation_time,
            },
            "spec": stored,
        }))
    }
}

/// Why an admitted object cannot be added. Admission rules this out.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    /// It does not have the form of its kind.
    #[error("must have the form of its kind: {0}")]
    Form(#[from] serde_json::Error),
    /// A field has an invalid value.
    #[error(transparent)]
    Field(#[from] ConvertError),
}

/// Returns an admitted object in the form of its kind.
fn wire<'v, T: Deserialize<'v>>(content: &'v Value) -> Result<T, StateError> {
    Ok(T::deserialize(content)?)
}
