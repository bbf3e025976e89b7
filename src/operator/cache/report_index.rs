//! The index over an account's pending reports, so that a reconcile looks only at the reports that it affects.

use std::collections::BTreeSet;
use std::sync::Arc;

use flashgate_api::UsageReport;
use flashgate_cluster::AccountKey;
use flashgate_ledger::decide::WaitBasis;
use flashgate_ledger::facts::Asked;
use flashgate_ledger::reports::Reports;
use jiff::Timestamp;

use super::rows::{Index, Rows};
use super::{Pending, Table};

/// The index over an account's pending reports.
#[derive(Clone, Default)]
pub struct ReportIndex {
    /// The reports as facts.
    pub facts: Reports,
    /// Name and UID of the reports that were created or changed since the operator last confirmed the statuses
    /// of the others.
    changed: Arc<BTreeSet<(String, String)>>,
    /// The basis and time of that confirmation.
    shown: Option<Shown>,
}

/// The basis of the waits that the statuses of all unchanged reports show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The facts that the waits depend on.
    pub basis: WaitBasis,
    /// The time of the decision.
    pub time: Timestamp,
}

impl Index<Pending<UsageReport>> for ReportIndex {
    fn insert(&mut self, row: &Pending<UsageReport>) {
        self.facts.insert(Arc::clone(&row.fact));
        Arc::make_mut(&mut self.changed).insert((row.fact.name.clone(), row.fact.uid.clone()));
    }

    fn remove(&mut self, row: &Pending<UsageReport>) {
        self.facts.remove(&row.fact.name, &row.fact.uid);
        Arc::make_mut(&mut self.changed).remove(&(row.fact.name.clone(), row.fact.uid.clone()));
    }
}

impl ReportIndex {
    /// Returns the reports whose wait must be decided at `now`. The statuses of the others are right while the
    /// basis is the same.
    #[must_use]
    pub fn asked(&self, now: Timestamp) -> Asked {
        let Some(shown) = self.shown else { return Asked::All };
        // A report whose arrival has passed since then waits for something else now.
        let arrived = self.facts.arriving_after(shown.time).take_while(|report| report.arrival <= now);
        let arrived = arrived.map(|report| (report.name.clone(), report.uid.clone()));
        Asked::Only(self.changed.iter().cloned().chain(arrived).collect())
    }

    /// Returns whether the statuses of the reports depend on `basis`.
    #[must_use]
    pub fn rests_on(&self, basis: WaitBasis) -> bool {
        self.shown.is_none_or(|shown| shown.basis == basis)
    }
}

impl Table<Pending<UsageReport>> {
    /// Records that the statuses of an account's reports are right. Reports in `judged` that have changed since
    /// are excluded.
    pub fn record_shown(&self, key: &AccountKey, judged: &Rows<Pending<UsageReport>>, shown: Shown) {
        let accounts = &mut *self.lock();
        let Some(rows) = accounts.get_mut(key) else { return };
        for row in judged.iter() {
            if rows.get(&row.fact.name).is_some_and(|held| Arc::ptr_eq(held, row)) {
                let identity = (row.fact.name.clone(), row.fact.uid.clone());
                Arc::make_mut(&mut rows.index.changed).remove(&identity);
            }
        }
        rows.index.shown = Some(shown);
    }
}
