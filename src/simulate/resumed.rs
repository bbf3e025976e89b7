//! A simulation that begins with an account of a cluster, for changes before they are made.

use std::sync::Arc;

use flashgate_api::fact::FactObject;
use flashgate_api::{
    API_VERSION, CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport,
};
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::entry::Entry;
use flashgate_ledger::ledger::Ledger;
use flashgate_preview::account_clock::AccountClock;
use flashgate_preview::convert::{self, ConvertError};
use flashgate_preview::facts::is_there;
use flashgate_preview::stated_kind::StatedKind;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::account::{AccountKey, CommittedLedger, SimulatedAccount, StateError};
use super::merge::merged;
use super::step::{Action, Kind, ObjectKey, Step};
use super::store::{Applied, Object, Status};
use super::{SimulateError, Simulation, account_of};
use crate::admission::Admission;

/// The objects of an account in a cluster.
#[derive(Clone, Debug, Default)]
pub struct LiveAccount {
    /// The Subscription, and the objects that name it, as the API server shows them.
    pub objects: Vec<Value>,
    /// The CreditLedger.
    pub ledger: Option<CreditLedger>,
}

/// Why an account cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// An object of the cluster does not have the form of its kind.
    #[error("an object of the cluster cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// A field of an object of the cluster is invalid.
    #[error("an object of the cluster is invalid: {0}")]
    Field(#[from] ConvertError),
    /// An invariant of the account does not hold, so the operator decides nothing about it.
    #[error("the account is frozen: {0}")]
    Frozen(String),
}

impl From<StateError> for ResumeError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Form(error) => Self::Form(error),
            StateError::Field(error) => Self::Field(error),
        }
    }
}

/// An account of a cluster that continues without it.
pub struct Resumed<'a> {
    simulation: Simulation<'a>,
    key: AccountKey,
}

impl<'a> Resumed<'a> {
    /// Returns the account `name` of `namespace`, brought up to date. `wall_time` is the present time; an account on a test
    /// clock has its own.
    ///
    /// # Errors
    /// When an object of the cluster is invalid, or an invariant of the account does not hold.
    pub fn of(
        (catalog, admission): (&'a Catalog, &Arc<Admission>),
        (namespace, name): (&str, &str),
        live: &LiveAccount,
        wall_time: Timestamp,
        allows_test_clock: bool,
    ) -> Result<Self, ResumeError> {
        let key = AccountKey { namespace: namespace.into(), name: name.into() };
        let ledger = live.ledger.as_ref().map(|ledger| committed(&key, ledger)).transpose()?;
        let subscription = live.objects.iter().find(|object| kind_of(object) == Some(Kind::Subscription));
        let subscription: Option<Subscription> =
            subscription.map(|object| serde_json::from_value(object.clone())).transpose()?;
        let clock = AccountClock::of(
            subscription.as_ref(),
            ledger.as_ref().map(|held| &held.ledger),
            allows_test_clock,
            wall_time,
        );
        let mut simulation = Simulation::new(catalog, Arc::clone(admission));
        let account = SimulatedAccount::continued(key.clone(), ledger, clock);
        simulation.accounts.insert(key.clone(), account);
        let mut resumed = Self { simulation, key };
        for object in &live.objects {
            resumed.add(object, clock)?;
        }
        resumed.simulation.begun = true;
        resumed.simulation.now = resumed.account().map_or(clock.now, |account| account.latest(clock.now));
        resumed.settle()?;
        resumed.simulation.entries.clear();
        Ok(resumed)
    }

    /// Adds an object of the cluster. One with a final verdict is only stored.
    fn add(&mut self, object: &Value, clock: AccountClock) -> Result<(), ResumeError> {
        let Some(kind) = kind_of(object) else { return Ok(()) };
        let is_pending = match kind {
            Kind::Subscription => {
                let subscription: Subscription = serde_json::from_value(object.clone())?;
                if !is_there(&subscription) {
                    return Ok(());
                }
                true
            }
            Kind::CreditPack => is_pending::<CreditPack>(object)?,
            Kind::UsageReport => is_pending::<UsageReport>(object)?,
            Kind::Payment => is_pending::<Payment>(object)?,
            Kind::CreditAdjustment => is_pending::<CreditAdjustment>(object)?,
        };
        let mut stored = stored(kind, object)?;
        if clock.is_test {
            stored.creation_time = self.arrival_by_test_clock(kind, &stored, clock.now)?;
            stored.content["metadata"]["creationTimestamp"] = json!(stored.creation_time);
        }
        let text = |field: &str| stored.content["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = ObjectKey { kind, namespace: text("namespace"), name: text("name") };
        self.simulation.store.insert(key.clone(), stored);
        if is_pending {
            self.simulation.state(&key)?;
        }
        Ok(())
    }

    fn arrival_by_test_clock(
        &self,
        kind: Kind,
        object: &Object,
        now: Timestamp,
    ) -> Result<Timestamp, ResumeError> {
        fn shown<K: StatedKind + DeserializeOwned>(
            object: &Object,
            now: Timestamp,
        ) -> Result<Timestamp, ResumeError> {
            let typed: K = serde_json::from_value(object.with_status())?;
            Ok(K::arrival_by_test_clock(typed.status(), now))
        }
        match kind {
            Kind::Subscription => {
                let ledger = self.ledger().filter(|ledger| ledger.subscription.uid == object.uid);
                Ok(ledger.map_or(now, |ledger| ledger.start_time))
            }
            Kind::CreditPack => shown::<CreditPack>(object, now),
            Kind::UsageReport => shown::<UsageReport>(object, now),
            Kind::Payment => shown::<Payment>(object, now),
            Kind::CreditAdjustment => shown::<CreditAdjustment>(object, now),
        }
    }

    /// Moves the clock to that of a Subscription's annotation after `steps`, if it is a test clock.
    ///
    /// # Errors
    /// When the Subscription would not have the form of its kind.
    pub fn move_test_clock(
        &mut self,
        steps: &[Step],
        wall_time: Timestamp,
        allows_test_clock: bool,
    ) -> Result<(), ResumeError> {
        let is_subscription = |step: &&Step| step.key.kind == Kind::Subscription;
        let Some(Step { key, action: Action::Apply(content), .. }) = steps.iter().rev().find(is_subscription)
        else {
            return Ok(());
        };
        let content = self.merged(key, content);
        let annotations = content.pointer("/metadata/annotations").cloned().unwrap_or_default();
        let mut subscription = Subscription::new(&key.name, flashgate_api::SubscriptionSpec::default());
        subscription.metadata.annotations = serde_json::from_value(annotations)?;
        let clock = AccountClock::of(Some(&subscription), self.ledger(), allows_test_clock, wall_time);
        if !clock.is_test {
            return Ok(());
        }
        self.simulation.now = clock.now;
        if let Some(account) = self.simulation.accounts.get_mut(&self.key) {
            account.set_clock(clock);
        }
        self.simulation.touched.insert(self.key.clone());
        Ok(())
    }

    /// Applies a step as `kubectl` would: fields of the object that the manifest never had stay as they are. Returns whether
    /// the object is new or its spec has changed.
    ///
    /// # Errors
    /// When the API server would refuse it.
    pub fn apply(&mut self, step: &Step) -> Result<bool, SimulateError> {
        let Step { place, key, .. } = step;
        let Action::Apply(content) = &step.action else {
            let exists = self.simulation.store.get(key).is_some();
            if exists {
                self.simulation.delete(place, key);
            }
            return Ok(exists);
        };
        let content = self.merged(key, content);
        let applied = self.simulation.store.apply(place, key, &content, self.simulation.now)?;
        if applied == Applied::Unchanged {
            return Ok(false);
        }
        let stated = self.simulation.state(key);
        stated.map_err(|error| SimulateError::of_object(place.clone(), key, error))?;
        Ok(true)
    }

    /// Returns the object that `kubectl apply` sends.
    fn merged(&self, key: &ObjectKey, content: &Value) -> Value {
        self.simulation.store.get(key).map_or_else(|| content.clone(), |live| merged(&live.content, content))
    }

    /// Decides on all facts at the current time.
    ///
    /// # Errors
    /// When an invariant of the account does not hold.
    pub fn settle(&mut self) -> Result<(), ResumeError> {
        self.simulation.settle();
        self.sound()
    }

    /// Lets the time pass up to `time`.
    ///
    /// # Errors
    /// When an invariant of the account does not hold.
    pub fn pass_to(&mut self, time: Timestamp) -> Result<(), ResumeError> {
        self.simulation.pass_to(time);
        self.settle()
    }

    fn sound(&self) -> Result<(), ResumeError> {
        match self.account().and_then(SimulatedAccount::violation) {
            None => Ok(()),
            Some(violation) => Err(ResumeError::Frozen(violation.to_string())),
        }
    }

    /// Returns the current time of the account.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.simulation.now
    }

    /// Returns the time of the next event that needs no new fact.
    #[must_use]
    pub fn wake_time(&self) -> Option<Timestamp> {
        self.account()?.wake_time
    }

    /// Returns the entries since the last call.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.simulation.entries).into_iter().map(|entry| entry.entry).collect()
    }

    /// Returns the ledger, if there was a commit.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger> {
        self.account()?.ledger()
    }

    /// Returns an object with its status, if it exists.
    #[must_use]
    pub fn object(&self, key: &ObjectKey) -> Option<Value> {
        self.simulation.store.get(key).map(Object::with_status)
    }

    /// Returns the account that an object of a manifest belongs to: the namespace and name of its Subscription.
    #[must_use]
    pub fn account_of(key: &ObjectKey, content: &Value) -> (String, String) {
        let AccountKey { namespace, name } = account_of(key, content);
        (namespace.to_string(), name.to_string())
    }

    fn account(&self) -> Option<&SimulatedAccount> {
        self.simulation.accounts.get(&self.key)
    }
}

/// Returns the kind of an object of the cluster that the simulation knows.
fn kind_of(object: &Value) -> Option<Kind> {
    let is_ours = object.get("apiVersion").is_some_and(|version| version == API_VERSION);
    let kind = object.get("kind").and_then(Value::as_str)?;
    Kind::from_name(kind).filter(|_| is_ours)
}

fn is_pending<K: FactObject + DeserializeOwned>(object: &Value) -> Result<bool, serde_json::Error> {
    Ok(serde_json::from_value::<K>(object.clone())?.is_pending())
}

/// Returns an object of the cluster as the store holds it.
fn stored(kind: Kind, object: &Value) -> Result<Object, ResumeError> {
    let mut content = object.clone();
    let status = content.as_object_mut().and_then(|fields| fields.remove("status"));
    let status = status.filter(|status| !status.is_null()).map(|status| Status::of(kind, status));
    let metadata = &content["metadata"];
    let creation_time = serde_json::from_value(metadata["creationTimestamp"].clone())?;
    let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
    let generation = metadata["generation"].as_i64().unwrap_or(1);
    Ok(Object { uid, generation, creation_time, status: status.transpose()?, content })
}

/// Returns the ledger of an account, in the form of the laws and in its stored form.
fn committed(key: &AccountKey, object: &CreditLedger) -> Result<CommittedLedger, ResumeError> {
    let ledger = convert::ledger_from_wire(&key.name, &object.spec)?;
    let creation_time = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
    Ok(CommittedLedger {
        ledger,
        stored: object.spec.clone(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        creation_time: creation_time.unwrap_or_default(),
    })
}
