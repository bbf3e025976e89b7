//! What is kept of an account's pending reports together, so that a reconcile looks only at those that it concerns.

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

/// What is kept of an account's pending reports together.
#[derive(Clone, Default)]
pub struct ReportIndex {
    /// The reports as facts.
    pub facts: Reports,
    /// Name and UID of the reports that came or changed since it was last made sure that they show what they wait for.
    news: Arc<BTreeSet<(String, String)>>,
    /// What that rested on, and when it was decided.
    shown: Option<Shown>,
}

/// What all reports that are no news show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What their waiting rested on.
    pub basis: WaitBasis,
    /// When it was decided.
    pub time: Timestamp,
}

impl Index<Pending<UsageReport>> for ReportIndex {
    fn insert(&mut self, row: &Pending<UsageReport>) {
        self.facts.insert(Arc::clone(&row.fact));
        Arc::make_mut(&mut self.news).insert((row.fact.name.clone(), row.fact.uid.clone()));
    }

    fn remove(&mut self, row: &Pending<UsageReport>) {
        self.facts.remove(&row.fact.name, &row.fact.uid);
        Arc::make_mut(&mut self.news).remove(&(row.fact.name.clone(), row.fact.uid.clone()));
    }
}

impl ReportIndex {
    /// Returns of which reports it is to be asked at `now` what they wait for: the others show it, as long as it rests
    /// on the same.
    #[must_use]
    pub fn asked(&self, now: Timestamp) -> Asked {
        let Some(shown) = self.shown else { return Asked::All };
        // What has arrived meanwhile waits for something else now.
        let arrived = self.facts.arriving_after(shown.time).take_while(|report| report.arrival <= now);
        let arrived = arrived.map(|report| (report.name.clone(), report.uid.clone()));
        Asked::Only(self.news.iter().cloned().chain(arrived).collect())
    }

    /// Returns whether what the reports show rests on `basis`.
    #[must_use]
    pub fn rests_on(&self, basis: WaitBasis) -> bool {
        self.shown.is_none_or(|shown| shown.basis == basis)
    }
}

impl Table<Pending<UsageReport>> {
    /// Takes note that the reports of an account show what they wait for: those in `judged` unless they have changed, and
    /// all others.
    pub fn note_shown(&self, key: &AccountKey, judged: &Rows<Pending<UsageReport>>, shown: Shown) {
        let accounts = &mut *self.lock();
        let Some(rows) = accounts.get_mut(key) else { return };
        for row in judged.iter() {
            if rows.get(&row.fact.name).is_some_and(|held| Arc::ptr_eq(held, row)) {
                let identity = (row.fact.name.clone(), row.fact.uid.clone());
                Arc::make_mut(&mut rows.index.news).remove(&identity);
            }
        }
        rows.index.shown = Some(shown);
    }
}
