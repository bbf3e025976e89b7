//! Checks the end of a plan with the simulator's oracle, and compares it with the run without faults.

use std::collections::{BTreeMap, HashMap};

use flashgate_ledger::catalog::Catalog;
use flashgate_testing::simulated::{Object, ObjectKind, Store, Writer};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::campaign::history::Change;
use crate::oracle::{NAMESPACE, Oracle, Violation};
use crate::outcome::{self, Disorder};
use crate::script::CLOCK;

/// The final state of a plan, with the number of status changes.
#[derive(Debug)]
pub struct FinalState {
    store: Store,
    oracle: Oracle,
    /// The states of each object: one for each write that reports a state.
    verdicts: BTreeMap<String, Vec<&'static str>>,
}

impl FinalState {
    /// Checks all changes in a namespace: I1 to I6, the cost of each charge, and the final statuses.
    pub fn check(changes: &[Change], catalog: &Catalog) -> Result<Self, Violation> {
        let is_swept = catalog.policies.reports.keep_for_seconds == 0;
        let (mut store, mut oracle) = (Store::new(Timestamp::UNIX_EPOCH), Oracle::new(catalog.clone()));
        let mut births = HashMap::new();
        let mut verdicts: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        for Change { object, is_deleted, .. } in changes {
            store.set_now(account_time(object).map_or(store.now(), |time| time.max(store.now())));
            let object = as_simulated(object, &mut births, store.now());
            let key = object.key();
            if let Some(state) = object.state().filter(|_| !is_deleted) {
                verdicts.entry(key.to_string()).or_default().push(state);
            }
            let is_the_operators = match key.kind {
                ObjectKind::UsageReport if *is_deleted => is_swept,
                _ => !is_deleted,
            };
            let writer = if is_the_operators { Writer::Operator(0) } else { Writer::User };
            let change = store.take_over(&key, (!is_deleted).then_some(object), writer);
            oracle.check(&change, &store)?;
        }
        oracle.check_final_state(&store)?;
        Ok(Self { store, oracle, verdicts })
    }

    /// Returns the cluster with all its changes.
    pub fn cluster(&self) -> &Store {
        &self.store
    }

    /// Compares with the end of the run without faults. Objects must have the same content, times included,
    /// and each verdict must be written the same number of times.
    pub fn compare(&self, expected: &Self) -> Result<(), Violation> {
        outcome::compare(
            Disorder::Informed,
            (&self.store, &self.oracle),
            (&expected.store, &expected.oracle),
        )?;
        for (key, expected) in &expected.verdicts {
            let found = self.verdicts.get(key);
            if found != Some(expected) {
                return Err(Violation(format!("{key} was written {expected:?}, and is now {found:?}")));
            }
        }
        Ok(())
    }
}

/// Returns the current time of a Subscription's test clock.
fn account_time(object: &Object) -> Option<Timestamp> {
    object.metadata().annotations.as_ref()?.get(CLOCK)?.parse().ok()
}

/// Returns the object in the form that the oracle expects. The namespace and the creation time are replaced,
/// and fields that only a real server sets are removed.
fn as_simulated(object: &Object, births: &mut HashMap<String, Timestamp>, now: Timestamp) -> Object {
    let mut object = object.clone();
    let birth = *births.entry(object.uid().to_owned()).or_insert(now);
    let metadata = object.metadata_mut();
    metadata.namespace = Some(NAMESPACE.to_owned());
    metadata.managed_fields = None;
    metadata.creation_timestamp = Some(Time(birth));
    object
}
