//! The sweep: deletes reports some time after their verdict, and corrects charged reports whose status shows a
//! refusal.

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use flashgate_api::usage_meter::MeterReport;
use flashgate_cluster::{AccountKey, CallError, Cluster, Cursor, SettledReport};
use flashgate_ledger::ledger::Charge;
use flashgate_ledger::period::seconds_after;
use flashgate_preview::convert;
use futures::{StreamExt, stream};
use jiff::Timestamp;

use crate::operator::receipts::confirm_charges;
use crate::operator::reconcile::Operator;

/// Longest time between two sweeps.
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

/// Shortest time between two sweeps.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Number of concurrent deletions. It is small to limit the load on the API server, but a slow deletion must
/// not block the others.
const DELETED_AT_ONCE: usize = 8;

/// Returns the time between two sweeps of reports that are kept for `keep_for_seconds`.
#[must_use]
pub fn interval(keep_for_seconds: u32) -> Duration {
    Duration::from_secs(keep_for_seconds.into()).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
}

/// States of reports that have a verdict. Refused reports come first, because they are compared with the
/// charges before any is deleted.
const STATES: [&str; 2] = [REJECTED, "Charged"];
const REJECTED: &str = "Rejected";

/// The last report of each meter about each account, for each verdict. A meter goes on from its last report, so the sweep
/// deletes a report of a meter only when it has seen a later one.
#[derive(Debug, Default)]
pub struct LastReports {
    /// Ends of the last windows that this sweep has seen.
    seen: HashMap<MeterKey, Timestamp>,
    /// Those of the sweep before, whose list was complete.
    before: HashMap<MeterKey, Timestamp>,
}

/// The verdict, the account, and the source.
type MeterKey = (&'static str, AccountKey, String);

impl LastReports {
    /// Returns whether the sweep may delete a report: it is not the last one of a meter, as far as is known.
    fn allows(&mut self, state: &'static str, report: &SettledReport) -> bool {
        let Some(MeterReport { account, source, window_end, .. }) = &report.meter else { return true };
        let key = (state, account.clone(), source.clone());
        let before = self.before.get(&key).copied().unwrap_or(Timestamp::MIN);
        let seen = self.seen.entry(key).or_insert(Timestamp::MIN);
        let is_later = |end: Timestamp| end > *window_end;
        let allows = is_later(before) || is_later(*seen);
        *seen = (*seen).max(*window_end);
        allows
    }
}

impl<C: Cluster> Operator<C> {
    /// Deletes the reports whose retention after the verdict is over, page by page. Returns the number of
    /// deleted reports.
    ///
    /// # Guarantees
    /// An object is deleted only at the version that has its verdict; a charge is in the ledger by then. Only
    /// one page of reports is in memory at a time.
    ///
    /// # Errors
    /// When a list fails. If a report cannot be deleted, the next sweep tries again.
    pub async fn sweep(&self) -> Result<usize, CallError> {
        let mut count = 0;
        let mut last = LastReports { before: self.last_of_meters().seen.clone(), ..LastReports::default() };
        for state in STATES {
            let mut next = Some(Cursor::default());
            while let Some(cursor) = next {
                let page = self.cluster.list_settled_reports(state, &cursor).await?;
                let mut over =
                    if state == REJECTED { self.correct(page.reports).await } else { page.reports };
                over.retain(|report| last.allows(state, report) && self.is_over(report));
                let deletions = stream::iter(over).map(|report| self.is_deleted(report));
                let deleted =
                    deletions.buffer_unordered(DELETED_AT_ONCE).filter(|is_deleted| ready(*is_deleted));
                count += deleted.count().await;
                next = page.next;
            }
        }
        *self.last_of_meters() = last;
        Ok(count)
    }

    fn last_of_meters(&self) -> MutexGuard<'_, LastReports> {
        self.last_of_meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes a report. Returns whether that succeeded.
    async fn is_deleted(&self, report: SettledReport) -> bool {
        let deleted = self.cluster.delete_report(&report.version).await;
        if let Err(error) = &deleted {
            tracing::debug!(%error, "report not deleted; the next sweep tries again");
        }
        deleted.is_ok()
    }

    /// Replaces each refusal that another operator wrote while the report was being charged with the receipt of
    /// the charge.
    ///
    /// # Errors
    /// When a list fails.
    pub async fn correct_refusals(&self) -> Result<(), CallError> {
        let mut next = Some(Cursor::default());
        while let Some(cursor) = next {
            let page = self.cluster.list_settled_reports(REJECTED, &cursor).await?;
            self.correct(page.reports).await;
            next = page.next;
        }
        Ok(())
    }

    /// Writes the receipt of the charge to each of these refused reports that was charged. Returns the others.
    async fn correct(&self, mut rejected: Vec<SettledReport>) -> Vec<SettledReport> {
        if rejected.is_empty() {
            return rejected;
        }
        let uids: HashSet<&str> = rejected.iter().map(|report| report.version.uid.as_str()).collect();
        let namespaces: HashSet<&str> =
            rejected.iter().map(|report| report.version.namespace.as_str()).collect();
        let mut charges: HashMap<String, (AccountKey, Charge)> = HashMap::new();
        self.cache.ledgers.for_each(|key, ledger| {
            if namespaces.contains(key.namespace.as_str()) {
                let unacknowledged = convert::unacknowledged(&ledger.spec).unwrap_or_default();
                let refused = unacknowledged.into_iter().filter(|charge| uids.contains(charge.uid.as_str()));
                charges.extend(refused.map(|charge| (charge.uid.clone(), (key.clone(), charge))));
            }
        });
        let refused_though_charged: Vec<_> =
            rejected.iter().filter_map(|report| charges.get(&report.version.uid)).collect();
        for (key, charge) in refused_though_charged {
            let charge = std::slice::from_ref(charge);
            let receipts = confirm_charges(&self.cluster, &key.namespace, charge, self.clock.now()).await;
            if let Some(error) = receipts.failure {
                tracing::warn!(account = %key, %error, "the status of a charged report still shows a refusal; trying again later");
            }
        }
        rejected.retain(|report| !charges.contains_key(&report.version.uid));
        rejected
    }

    fn is_over(&self, report: &SettledReport) -> bool {
        let keep_for_seconds = self.catalog.policies.reports.keep_for_seconds;
        seconds_after(report.verdict_time, keep_for_seconds.into()) <= self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use flashgate_cluster::Version;

    use super::*;

    fn report(source: &str, end: i64) -> SettledReport {
        let account = AccountKey { namespace: "team-a".to_owned(), name: "acme".to_owned() };
        let meter = MeterReport {
            account,
            source: source.to_owned(),
            name: format!("{source}-{end}"),
            window_end: Timestamp::from_second(end).expect("time"),
        };
        let version = Version {
            namespace: "team-a".to_owned(),
            name: meter.name.clone(),
            uid: String::new(),
            resource_version: String::new(),
        };
        SettledReport { version, verdict_time: Timestamp::default(), meter: Some(meter) }
    }

    #[test]
    fn the_last_report_of_a_meter_is_kept_for_each_source_and_verdict() {
        let mut first = LastReports::default();
        let reports = [report("meter.a", 10), report("meter.a", 20), report("meter.b", 5)];
        // The list has the older ones first, so the first sweep cannot know which are the last.
        assert_eq!(reports.each_ref().map(|report| first.allows("Charged", report)), [false; 3]);
        assert!(first.allows("Charged", &report("meter.a", 10)));
        let mut second = LastReports { before: first.seen, ..LastReports::default() };
        assert_eq!(reports.each_ref().map(|report| second.allows("Charged", report)), [true, false, false]);
        assert!(!second.allows("Rejected", &report("meter.a", 10)));
        assert!(second.allows("Charged", &SettledReport { meter: None, ..report("gateway", 1) }));
    }
}
