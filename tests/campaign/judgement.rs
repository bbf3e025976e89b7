//! How a plan ended: judged by the simulator's oracle, and compared with how it ends when nothing goes wrong.

use std::collections::{BTreeMap, HashMap};

use flashgate_ledger::catalog::Catalog;
use flashgate_testing::simulated::{Object, ObjectKind, Store, Writer};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::campaign::chronicle::Change;
use crate::oracle::{NAMESPACE, Oracle, Violation};
use crate::outcome::{self, Disorder};
use crate::script::CLOCK;

/// The end of a plan, and what led to it.
#[derive(Debug)]
pub struct End {
    store: Store,
    oracle: Oracle,
    /// The states that each fact has had, one for each write that it has a state since.
    verdicts: BTreeMap<String, Vec<&'static str>>,
}

impl End {
    /// Judges what happened in a namespace, change by change: I1 to I6, that each charge is what its report costs, and
    /// that everything shows in the end what the ledger holds.
    pub fn judge(changes: &[Change], catalog: &Catalog) -> Result<Self, Violation> {
        let is_swept = catalog.policies.reports.keep_for_seconds == 0;
        let (mut store, mut oracle) = (Store::new(Timestamp::UNIX_EPOCH), Oracle::new(catalog.clone()));
        let mut births = HashMap::new();
        let mut verdicts: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        for Change { object, is_gone, .. } in changes {
            store.set_now(account_time(object).map_or(store.now(), |time| time.max(store.now())));
            let object = as_simulated(object, &mut births, store.now());
            let key = object.key();
            if let Some(state) = object.state().filter(|_| !is_gone) {
                verdicts.entry(key.to_string()).or_default().push(state);
            }
            let is_the_operators = match key.kind {
                ObjectKind::UsageReport if *is_gone => is_swept,
                _ => !is_gone,
            };
            let writer = if is_the_operators { Writer::Operator(0) } else { Writer::User };
            let change = store.take_over(&key, (!is_gone).then_some(object), writer);
            oracle.check(&change, &store)?;
        }
        oracle.conclude(&store)?;
        Ok(Self { store, oracle, verdicts })
    }

    /// Compares with the end of the plan in which nothing goes wrong: the same objects with the same content, times
    /// included, and each verdict written as often.
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

/// Returns the time at which the account of a Subscription lives.
fn account_time(object: &Object) -> Option<Timestamp> {
    object.metadata().annotations.as_ref()?.get(CLOCK)?.parse().ok()
}

/// Returns the object as the oracle wants it: in its namespace, without what only a real server says, and as old as it
/// is by the clock of its account.
fn as_simulated(object: &Object, births: &mut HashMap<String, Timestamp>, now: Timestamp) -> Object {
    let mut object = object.clone();
    let birth = *births.entry(object.uid().to_owned()).or_insert(now);
    let metadata = object.metadata_mut();
    metadata.namespace = Some(NAMESPACE.to_owned());
    metadata.managed_fields = None;
    metadata.creation_timestamp = Some(Time(birth));
    object
}
