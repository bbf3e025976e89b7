//! One meter: finds the accounts that have series, closes their windows, and reports its state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flashgate_api::usage_meter::{MeterReport, NEW_SERIES, UnmatchedUsage};
use flashgate_api::{AccountKey, UsageMeter, UsageMeterStatus, UsageReport};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use rust_decimal::Decimal;

use crate::account::Account;
use crate::answer::{AnswerError, Labels};
use crate::close::{NewSeries, read_total};
use crate::cluster::{CallError, Cluster};
use crate::cursor::{after, before};
use crate::name::window_of;
use crate::server::Server;
use crate::status::{Failure, Findings, Presence, bounded, status};
use crate::terms::Terms;
use crate::windows::{AGAIN, AccountState, Closer, Times};

/// Accounts whose windows are closed at the same time.
const AT_ONCE: usize = 8;

/// Shortest time between two searches for accounts.
const SEARCH_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// Time of late samples that a search for accounts covers.
const LATENESS: SignedDuration = SignedDuration::from_hours(24);

/// Time within which a counter that is scraped has a sample.
const RECENT: SignedDuration = SignedDuration::from_hours(6);

/// Time over which usage without an account is summed up.
const UNMATCHED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Shortest time between two sums of usage without an account.
const UNMATCHED_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// Time after which verdicts are read.
const VERDICT: SignedDuration = SignedDuration::from_secs(5);

/// Longest time without a look at the meter.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// Difference of the clocks of this machine and of the server that is reported, in seconds.
const SKEW_SECONDS: i64 = 60;

/// A meter with the state of its accounts.
#[derive(Debug)]
pub struct Meter<C, S> {
    object: UsageMeter,
    closer: Closer<C, S>,
    /// Time within which a report must arrive after the start of its window.
    accepted_for: SignedDuration,
    states: BTreeMap<AccountKey, AccountState>,
    /// The reports that existed at the start, until each account takes its own.
    listed: Option<BTreeMap<AccountKey, Vec<MeterReport>>>,
    searched: Option<Timestamp>,
    /// Accounts of which the last search found series.
    seen: BTreeSet<AccountKey>,
    /// Whether the last search found series at all.
    presence: Presence,
    unmatched: BTreeMap<String, Labels>,
    sums: BTreeMap<String, Decimal>,
    summed: Option<Timestamp>,
    rejected: usize,
    last_rejected: Option<UsageReport>,
    failure: Option<Failure>,
    /// Time from which something that failed for all accounts is tried again.
    retry_at: Option<Timestamp>,
    /// Time at which verdicts were read last.
    verdicts_read: Option<Timestamp>,
}

/// The outcome of a look at a meter.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The status of the meter.
    pub status: UsageMeterStatus,
    /// Time of the next look, at the latest.
    pub next: Timestamp,
    /// True if every window that was due is closed.
    pub is_complete: bool,
    /// Number of reports that were created since the start.
    pub created: u64,
    /// Number of accounts whose windows cannot be closed.
    pub held: usize,
}

impl<C: Cluster, S: Server> Meter<C, S> {
    /// Returns a meter whose accounts are not known yet.
    #[must_use]
    pub fn new(
        meter: UsageMeter,
        terms: Terms,
        cluster: Arc<C>,
        server: Arc<S>,
        accepted_for: SignedDuration,
    ) -> Self {
        Self {
            object: meter,
            closer: Closer { cluster, server, terms },
            accepted_for,
            states: BTreeMap::new(),
            listed: None,
            searched: None,
            seen: BTreeSet::new(),
            presence: Presence::Unknown,
            unmatched: BTreeMap::new(),
            sums: BTreeMap::new(),
            summed: None,
            rejected: 0,
            last_rejected: None,
            failure: None,
            retry_at: None,
            verdicts_read: None,
        }
    }

    /// Closes the windows that are due. `accounts` are those of all Subscriptions that the meter can reach, and `now` is
    /// the clock of this machine.
    pub async fn look(&mut self, accounts: &BTreeMap<AccountKey, Account>, now: Timestamp) -> Looked {
        // With the earlier of both clocks no window is closed before its samples exist.
        let ahead = self.closer.server.seconds_ahead().unwrap_or_default();
        let present = after(now, SignedDuration::from_secs(ahead.min(0)));
        if self.retry_at.is_none_or(|at| at <= present) {
            self.failure = self.close(accounts, present).await.err();
            self.retry_at = self.failure.as_ref().map(|_| after(present, AGAIN));
        }
        self.looked(accounts, now, present)
    }

    async fn close(
        &mut self,
        accounts: &BTreeMap<AccountKey, Account>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.list_reports().await?;
        self.states.retain(|key, _| accounts.contains_key(key));
        for key in accounts.keys().filter(|key| self.closer.terms.reaches(&key.namespace)) {
            if !self.states.contains_key(key) {
                let reports = self.listed.as_mut().and_then(|listed| listed.remove(key)).unwrap_or_default();
                self.states.insert(key.clone(), AccountState::after(reports));
            }
        }
        self.search(accounts, now).await?;
        self.close_windows(accounts, now).await;
        self.read_verdicts(now).await?;
        self.sum_unmatched(now).await?;
        Ok(())
    }

    /// Lists the reports that exist, once.
    async fn list_reports(&mut self) -> Result<(), CallError> {
        if self.listed.is_some() {
            return Ok(());
        }
        let Closer { cluster, terms, .. } = &self.closer;
        let namespace = terms.only_namespace();
        let is_own = |account: &AccountKey, source: &str| terms.meter_for(account).source() == source;
        let mut listed: BTreeMap<AccountKey, Vec<MeterReport>> = BTreeMap::new();
        for report in cluster.reports(&terms.name, namespace).await? {
            if is_own(&report.account, &report.source) {
                listed.entry(report.account.clone()).or_default().push(report);
            }
        }
        for reports in listed.values_mut() {
            reports.sort_by_key(|report| report.window_end);
        }
        let rejected = cluster.rejected(&terms.name, namespace).await?;
        let rejected = rejected.into_iter().filter(|report| {
            let name = report.spec.subscription_ref.name.clone();
            is_own(
                &AccountKey { namespace: report.namespace().unwrap_or_default(), name },
                &report.spec.source,
            )
        });
        for report in rejected {
            self.rejected = self.rejected.saturating_add(1);
            let is_later = |last: &UsageReport| last.spec.window.end_time < report.spec.window.end_time;
            if self.last_rejected.as_ref().is_none_or(is_later) {
                self.last_rejected = Some(report);
            }
        }
        self.listed = Some(listed);
        Ok(())
    }

    /// Looks for series of accounts that have none yet and whose window is due. Those without a series have an empty
    /// window.
    async fn search(
        &mut self,
        accounts: &BTreeMap<AccountKey, Account>,
        now: Timestamp,
    ) -> Result<(), AnswerError> {
        let is_recent = |searched: Timestamp| now.duration_since(searched) < SEARCH_INTERVAL;
        if self.searched.is_some_and(is_recent) {
            return Ok(());
        }
        let Self { closer: Closer { terms, server, .. }, states, .. } = self;
        let silent: Vec<&AccountKey> = states
            .iter()
            .filter(|(key, state)| !state.has_series() && state.is_due(terms, &accounts[*key], now))
            .map(|(key, _)| key)
            .collect();
        let starts =
            silent.iter().map(|key| states[*key].start(terms, &accounts[*key]).max(states[*key].read_until));
        let from = before(starts.min().unwrap_or(now).min(now), LATENESS);
        let selectors = std::slice::from_ref(&terms.selector);
        let found = server.series(selectors, from, now).await?;
        self.presence = Presence::Missing;
        for (presence, time) in [(Presence::Live, RECENT), (Presence::Quiet, LATENESS)] {
            if !found.is_empty() && !server.series(selectors, before(now, time), now).await?.is_empty() {
                self.presence = presence;
                break;
            }
        }
        self.seen.clear();
        self.unmatched.clear();
        for labels in found {
            match terms.account_of(&labels).filter(|key| accounts.contains_key(key)) {
                Some(key) => drop(self.seen.insert(key)),
                None => drop(self.unmatched.insert(terms.account_value(&labels), labels)),
            }
        }
        let times = Times { now, accepted_for: self.accepted_for };
        let silent: Vec<AccountKey> =
            silent.into_iter().filter(|key| !self.seen.contains(*key)).cloned().collect();
        for key in silent {
            if let Some(state) = self.states.get_mut(&key) {
                state.skip_silence(&self.closer.terms, &accounts[&key], times);
            }
        }
        self.searched = Some(now);
        Ok(())
    }

    async fn close_windows(&mut self, accounts: &BTreeMap<AccountKey, Account>, now: Timestamp) {
        let Self { closer, states, object, accepted_for, seen, .. } = self;
        let times = Times { now, accepted_for: *accepted_for };
        let due = states.iter_mut().filter(|(key, state)| {
            let account = &accounts[*key];
            let is_awaited = seen.contains(*key) || state.needs_report(&closer.terms, account, times);
            let is_time = state.retry_at.is_none_or(|at| at <= now);
            is_awaited && is_time && state.is_due(&closer.terms, account, now)
        });
        let closings = due.map(|(key, state)| {
            let decision = |start| decision(object, key, start);
            let (closer, account) = (&*closer, &accounts[key]);
            async move { closer.close_due(key, account, state, decision, times).await }
        });
        let closings: Vec<_> = closings.collect();
        stream::iter(closings).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    async fn read_verdicts(&mut self, now: Timestamp) -> Result<(), CallError> {
        if self.verdicts_read.is_some_and(|read| now.duration_since(read) < VERDICT) {
            return Ok(());
        }
        self.verdicts_read = Some(now);
        for (key, state) in &mut self.states {
            for report in self.closer.read_verdicts(key, state).await? {
                self.rejected = self.rejected.saturating_add(1);
                self.last_rejected = Some(report);
            }
        }
        Ok(())
    }

    /// Sums up the usage of series without an account, so that the status shows it.
    async fn sum_unmatched(&mut self, now: Timestamp) -> Result<(), AnswerError> {
        let Self { closer: Closer { terms, server, .. }, unmatched, sums, .. } = self;
        let (terms, server) = (&*terms, &**server);
        let is_recent = |summed: Timestamp| now.duration_since(summed) < UNMATCHED_INTERVAL;
        if self.summed.is_some_and(is_recent) && unmatched.keys().eq(sums.keys()) {
            return Ok(());
        }
        let end = before(now, terms.delay);
        let start = before(end, UNMATCHED_FOR).max(terms.start);
        let totals = unmatched.iter().map(|(value, labels)| {
            let selector = terms.series_like(labels);
            async move { (value.clone(), read_total(server, terms, &selector, start.min(end), end).await) }
        });
        let totals: Vec<_> = totals.collect();
        let totals: Vec<_> = stream::iter(totals).buffer_unordered(AT_ONCE).collect().await;
        *sums = totals.into_iter().map(|(value, total)| (value, total.unwrap_or_default())).collect();
        self.summed = Some(now);
        Ok(())
    }

    fn looked(&self, accounts: &BTreeMap<AccountKey, Account>, now: Timestamp, present: Timestamp) -> Looked {
        let terms = &self.closer.terms;
        let known = self.states.iter().map(|(key, state)| (key, state, &accounts[key]));
        let mut next = after(present, LONGEST_PAUSE);
        let mut oldest_due: Option<Timestamp> = None;
        let mut last_end: Option<Timestamp> = None;
        // An account without series waits for the next search.
        let soon = after(present, VERDICT);
        let times = Times { now: present, accepted_for: self.accepted_for };
        for (key, state, account) in known {
            let end = state.next_end(terms, account, present);
            let readable = after(end, terms.delay);
            // Without an answer of the server it is unknown which accounts have series.
            let is_unknown = self.searched.is_none() && self.failure.is_some();
            let is_awaited =
                is_unknown || self.seen.contains(key) || state.needs_report(terms, account, times);
            if is_awaited && state.is_due(terms, account, present) {
                oldest_due = Some(oldest_due.map_or(end, |oldest| oldest.min(end)));
                next = next.min(state.retry_at.unwrap_or_else(|| after(present, AGAIN)));
            } else {
                next = next.min(readable.max(soon));
            }
            if !state.awaited.is_empty() {
                next = next.min(soon);
            }
            if state.has_series() {
                let reported = state.start(terms, account).max(state.read_until);
                last_end = Some(last_end.map_or(reported, |last| last.min(reported)));
            }
        }
        next = self.retry_at.map_or(next, |at| next.min(at));
        let lag = oldest_due.map(|end| before(present, terms.delay).duration_since(end).as_secs().max(0));
        let skew = self.closer.server.seconds_ahead().filter(|ahead| ahead.abs() > SKEW_SECONDS);
        let findings = Findings {
            failure: self.failure.as_ref(),
            troubles: self
                .states
                .iter()
                .filter_map(|(key, state)| Some((key, state.trouble.as_ref()?)))
                .collect(),
            presence: self.presence,
            counter: terms.selector.to_string(),
            had_series: self.states.values().any(|state| state.has_series() || state.has_report()),
            inexact: self.states.iter().find_map(|(key, state)| Some((key, state.inexact.as_ref()?))),
            too_short: self
                .states
                .iter()
                .filter(|(_, state)| state.too_short > 0)
                .map(|(key, _)| key)
                .collect(),
            seconds_ahead: skew,
            last_rejected: self.last_rejected.as_ref(),
            rejected: self.rejected,
            lag_seconds: lag,
            last_window_end: last_end,
            accounts: self.states.values().filter(|state| state.has_series()).count(),
            series: self.states.values().map(|state| state.series).sum(),
            unmatched: self.unmatched_usage(),
        };
        // Sleeping by the clock of this machine, which may be ahead of the server's.
        let pause = next.duration_since(present).max(SignedDuration::ZERO);
        Looked {
            status: status(&self.object, terms, &findings, now),
            next: after(now, pause),
            is_complete: self.failure.is_none() && oldest_due.is_none() && findings.troubles.is_empty(),
            created: self.states.values().map(|state| state.created).sum(),
            held: findings.troubles.len(),
        }
    }

    fn unmatched_usage(&self) -> Vec<UnmatchedUsage> {
        let mut values: Vec<(&String, Decimal)> = self
            .unmatched
            .keys()
            .map(|value| (value, self.sums.get(value).copied().unwrap_or_default()))
            .collect();
        values.sort_by(|(value, quantity), (other, others)| others.cmp(quantity).then(value.cmp(other)));
        bounded(&values)
    }

    /// Takes a changed object of the same meter, with its terms.
    pub fn change(&mut self, meter: UsageMeter, terms: Terms, server: Arc<S>) {
        if terms != self.closer.terms {
            // Series of another selection must be found again, from the reports that exist.
            self.listed = None;
            self.states.clear();
            (self.searched, self.summed) = (None, None);
            (self.rejected, self.last_rejected) = (0, None);
        }
        if meter.metadata.annotations != self.object.metadata.annotations || terms != self.closer.terms {
            // Somebody may have decided on accounts that are held.
            self.retry_at = None;
            self.states.values_mut().for_each(|state| state.retry_at = None);
        }
        self.object = meter;
        (self.closer.terms, self.closer.server) = (terms, server);
    }
}

/// Returns what the annotation of the meter says about the new series of a window.
fn decision(meter: &UsageMeter, account: &AccountKey, start: Timestamp) -> NewSeries {
    let stated = meter.annotations().get(NEW_SERIES).map(String::as_str).unwrap_or_default();
    let window = window_of(account, start);
    let decided = stated.split(',').filter_map(|item| item.trim().split_once('='));
    match decided.filter(|(name, _)| *name == window).map(|(_, decision)| decision).next_back() {
        Some("from-zero") => NewSeries::FromZero,
        Some("from-first-sample") => NewSeries::FromFirstSample,
        _ => NewSeries::Undecided,
    }
}
