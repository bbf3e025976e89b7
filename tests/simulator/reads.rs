//! Checks the reads before each write.
//!
//! A decision about the Subscription must use a Subscription that is as new as the ledger it is based on. A
//! refusal of a report must use a ledger that was read after the report was seen.

use std::collections::BTreeMap;

use flashgate_api::{UsageReport, UsageReportState};
use flashgate_ledger::ledger::Ledger;
use flashgate_testing::simulated::{Call, Change, Object, ObjectKey, ObjectKind, Writer};

use crate::oracle::{NAMESPACE, Oracle, Violation, key};

/// The revisions of the first and last read of each object by each operator.
#[derive(Debug, Default)]
pub struct Reads(BTreeMap<(usize, ObjectKey), (u64, u64)>);

impl Reads {
    /// Records a read by an operator at `revision`.
    pub fn note(&mut self, client: usize, call: &Call, revision: u64) {
        if let Call::Fetch(object) = call {
            self.0.entry((client, object.clone())).or_insert((revision, revision)).1 = revision;
        }
    }

    /// Checks a write against the reads of its writer.
    pub fn check(&self, change: &Change, oracle: &Oracle) -> Result<(), Violation> {
        self.check_refusal(change)?;
        self.check_commit(change, oracle)
    }

    /// Checks that the ledger was read after the version of the report that the refusal is bound to.
    fn check_refusal(&self, change: &Change) -> Result<(), Violation> {
        let (Some(Object::UsageReport(before)), Some(Object::UsageReport(after)), Writer::Operator(client)) =
            (&change.before, &change.after, change.writer)
        else {
            return Ok(());
        };
        let state = |report: &UsageReport| report.status.as_ref().and_then(|status| status.state);
        if state(after) != Some(UsageReportState::Rejected) || state(before) == state(after) {
            return Ok(());
        }
        let account = &after.spec.subscription_ref.name;
        let read = self.0.get(&(client, key(ObjectKind::CreditLedger, account))).map(|(_, last)| *last);
        let seen = before.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        if seen.is_some() && read >= seen {
            return Ok(());
        }
        let name = after.metadata.name.as_deref().unwrap_or_default();
        Err(Violation(format!(
            "{NAMESPACE}/{name} was seen at {seen:?}, but refused after a ledger read at {read:?}"
        )))
    }

    fn check_commit(&self, change: &Change, oracle: &Oracle) -> Result<(), Violation> {
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
        // The commit took effect, so it was based on the ledger before it.
        let ledger_revision = match (previous, &change.before) {
            (Some(previous), Some(Object::CreditLedger(before))) => {
                if !depends_on_subscription(previous, ledger) {
                    return Ok(());
                }
                before.metadata.resource_version.as_deref().and_then(|version| version.parse().ok())
            }
            // A first commit may be late, after its writer has read again. Any read before it is enough.
            _ => read_of(ObjectKind::CreditLedger).map(|(first, _)| first),
        };
        let read = read_of(ObjectKind::Subscription).map(|(_, last)| last);
        if ledger_revision.is_some() && read >= ledger_revision {
            return Ok(());
        }
        Err(Violation(format!(
            "the commit of {NAMESPACE}/{name} used a Subscription read at {read:?}, but a ledger at {ledger_revision:?}"
        )))
    }
}

/// Returns whether a commit depends on the Subscription: a resumption, a plan change, a period boundary, or
/// the refusal of an order.
fn depends_on_subscription(before: &Ledger, after: &Ledger) -> bool {
    before.subscription.uid != after.subscription.uid
        || before.request != after.request
        || before.terms != after.terms
        || before.period.number != after.period.number
        || after.refusals.iter().any(|record| !before.refusals.contains(record))
}
