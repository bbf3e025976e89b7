//! What operators read before they wrote: what the Subscription decides rests on nothing older than the ledger that is
//! decided on.

use std::collections::BTreeMap;

use flashgate_billing::operator::cluster::simulated::{Call, Change, Object, ObjectKey, ObjectKind, Writer};
use flashgate_ledger::ledger::Ledger;

use crate::oracle::{NAMESPACE, Oracle, Violation, key};

/// When each operator read what first and last, as revisions of the server.
#[derive(Debug, Default)]
pub struct Reads(BTreeMap<(usize, ObjectKey), (u64, u64)>);

impl Reads {
    /// Takes note that the server answers a call of an operator with what it holds at `revision`.
    pub fn note(&mut self, client: usize, call: &Call, revision: u64) {
        if let Call::Fetch(object) = call {
            self.0.entry((client, object.clone())).or_insert((revision, revision)).1 = revision;
        }
    }

    /// Judges a commit by what its writer had read.
    pub fn check(&self, change: &Change, oracle: &Oracle) -> Result<(), Violation> {
        let (Some(Object::CreditLedger(after)), Writer::Operator(client)) = (&change.after, change.writer)
        else {
            return Ok(());
        };
        let name = after.metadata.name.clone().unwrap_or_default();
        let Some((previous, ledger)) = oracle.last_commit(after.metadata.uid.as_deref().unwrap_or_default())
        else {
            return Ok(());
        };
        let read_of = |kind| self.0.get(&(client, key(kind, &name))).copied();
        // The commit took effect, so the ledger it followed is the one that it was decided on.
        let ledger_revision = match (previous, &change.before) {
            (Some(previous), Some(Object::CreditLedger(before))) => {
                if !rests_on_subscription(previous, ledger) {
                    return Ok(());
                }
                before.metadata.resource_version.as_deref().and_then(|version| version.parse().ok())
            }
            // A first commit may come late, when its writer has read again: any read before it will do.
            _ => read_of(ObjectKind::CreditLedger).map(|(first, _)| first),
        };
        let read = read_of(ObjectKind::Subscription).map(|(_, last)| last);
        if ledger_revision.is_some() && read >= ledger_revision {
            return Ok(());
        }
        Err(Violation(format!(
            "what the Subscription decides for {NAMESPACE}/{name} rests on a read at {read:?}, and on a ledger at \
             {ledger_revision:?}"
        )))
    }
}

/// Returns whether a commit decides what only the Subscription can say: a resumption, a plan change, a boundary, a
/// refusal of an order.
fn rests_on_subscription(before: &Ledger, after: &Ledger) -> bool {
    before.subscription.uid != after.subscription.uid
        || before.request != after.request
        || before.terms != after.terms
        || before.period.number != after.period.number
        || after.refusals.iter().any(|record| !before.refusals.contains(record))
}
