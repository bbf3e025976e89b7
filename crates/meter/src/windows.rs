//! Closes the windows of one account that are due.

use std::sync::Arc;

use flashgate_api::{AccountKey, UsageReport, UsageReportState};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use crate::account::Account;
use crate::answer::Labels;
use crate::close::{NewSeries, Problem, read_usage};
use crate::cluster::{CallError, Cluster, Creation};
use crate::cursor::{Cursor, ReportMetadata, after, before, is_of};
use crate::meter::{AGAIN, LATER};
use crate::name::hash_of;
use crate::readings::{ParseReadingError, SILENCE};
use crate::report::report;
use crate::server::Server;
use crate::terms::Terms;
use crate::window::{Outlook, end};

/// Longest window without usage and without readings.
const LONGEST_SILENCE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Time within which a report reaches the API server after its window was read.
const DELIVERY: SignedDuration = SignedDuration::from_hours(1);

/// The reason of a rejected report whose window was charged by another report.
const DUPLICATE: &str = "DuplicateWindow";

/// The limits of time that all accounts of a meter have.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Present time.
    pub now: Timestamp,
    /// Time within which a report must arrive after the start of its window.
    pub accepted_for: SignedDuration,
}

impl Times {
    /// Returns the longest window without usage and without readings.
    fn longest_silence(self) -> SignedDuration {
        LONGEST_SILENCE.min(self.accepted_for / 2)
    }
}

/// Where the next window of an account starts.
#[derive(Clone, Debug)]
pub enum Position {
    /// After the newest of these reports that was not refused as a duplicate. The newest is the last. The account has no
    /// report if there is none.
    After(Vec<ReportMetadata>),
    /// Here.
    At(Cursor),
}

/// The state of an account of a meter.
#[derive(Clone, Debug)]
pub struct AccountState {
    /// Where the next window starts.
    pub position: Position,
    /// End up to which a window without usage was read.
    pub read_until: Timestamp,
    /// Number of series at the last window.
    pub series: usize,
    /// Reports whose verdict is not known yet.
    pub awaited: Vec<String>,
    /// Why the next window cannot be closed.
    pub trouble: Option<Trouble>,
    /// Time from which it is tried again.
    pub retry_at: Option<Timestamp>,
    /// Number of series whose last reading is no longer on the server, at the last window.
    pub too_short: usize,
    /// Labels of a series whose value exceeds 2^53, at the last window.
    pub inexact: Option<Labels>,
    /// Number of reports that this process created.
    pub created: u64,
}

/// Why a window of an account cannot be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The usage cannot be read.
    #[error("{problem}")]
    Usage {
        /// The problem.
        problem: Problem,
        /// Start of the window.
        start: Timestamp,
    },
    /// A call to the API server failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The last report has readings of another form.
    #[error("the report {name} has readings that this version cannot read: {error}")]
    Readings {
        /// Name of the report.
        name: String,
        /// The error.
        error: ParseReadingError,
    },
}

impl Trouble {
    /// Returns the time after which the window is tried again. Most problems of usage wait for somebody.
    fn pause(&self) -> SignedDuration {
        match self {
            Self::Call(_) | Self::Usage { problem: Problem::Answer(_), .. } => AGAIN,
            Self::Usage { .. } | Self::Readings { .. } => LATER,
        }
    }
}

/// Closes windows of accounts.
#[derive(Debug)]
pub struct Closer<C, S> {
    /// The cluster.
    pub cluster: Arc<C>,
    /// The server.
    pub server: Arc<S>,
    /// The terms of the meter.
    pub terms: Terms,
}

impl AccountState {
    /// Returns the state of an account with these reports, the newest last.
    #[must_use]
    pub fn after(reports: Vec<ReportMetadata>) -> Self {
        Self {
            position: Position::After(reports),
            read_until: Timestamp::MIN,
            series: 0,
            awaited: Vec::new(),
            trouble: None,
            retry_at: None,
            too_short: 0,
            inexact: None,
            created: 0,
        }
    }

    /// Returns the start of the next window, as far as it is known.
    #[must_use]
    pub fn start(&self, terms: &Terms, account: &Account) -> Timestamp {
        match &self.position {
            Position::At(cursor) => cursor.start,
            Position::After(reports) => {
                reports.last().map_or_else(|| account.start, |newest| newest.window_end).max(terms.start)
            }
        }
    }

    /// Returns whether the account has or had usage of the meter.
    #[must_use]
    pub fn has_series(&self) -> bool {
        match &self.position {
            Position::At(cursor) => !cursor.readings.0.is_empty() || self.series > 0,
            Position::After(reports) => !reports.is_empty(),
        }
    }

    /// Returns the end of the next window.
    #[must_use]
    pub fn next_end(&self, terms: &Terms, account: &Account, now: Timestamp) -> Timestamp {
        let outlook = Outlook {
            start: self.start(terms, account).max(self.read_until),
            exhaustion: account.exhaustion,
            period_end: account.period_end,
            now: account.test_clock.unwrap_or(now),
        };
        end(terms.lengths, outlook)
    }

    /// Takes the windows that are due as read, because the account has no series. A window that needs a report
    /// nevertheless stays due.
    pub fn skip_silence(&mut self, terms: &Terms, account: &Account, times: Times) {
        while !self.needs_report(terms, account, times) && self.is_due(terms, account, times.now) {
            self.read_until = self.next_end(terms, account, times.now);
        }
    }

    /// Returns whether the next window is read although no series was seen: the account has readings or reports, or the
    /// window would become too long for a report.
    #[must_use]
    pub fn needs_report(&self, terms: &Terms, account: &Account, times: Times) -> bool {
        let end = self.next_end(terms, account, times.now);
        self.has_series() || end.duration_since(self.start(terms, account)) >= times.longest_silence()
    }

    /// Returns whether the next window is due.
    #[must_use]
    pub fn is_due(&self, terms: &Terms, account: &Account, now: Timestamp) -> bool {
        self.next_end(terms, account, now) <= before(now, terms.delay)
    }
}

impl<C: Cluster, S: Server> Closer<C, S> {
    /// Closes the windows of an account that are due, in their order, until one cannot be closed.
    pub async fn close_due(
        &self,
        key: &AccountKey,
        account: &Account,
        state: &mut AccountState,
        decision: impl Fn(Timestamp) -> NewSeries + Send,
        times: Times,
    ) {
        while state.is_due(&self.terms, account, times.now) {
            if let Err(trouble) = self.close_next(key, account, state, &decision, times).await {
                state.retry_at = Some(after(times.now, trouble.pause()));
                state.trouble = Some(trouble);
                return;
            }
        }
        (state.trouble, state.retry_at) = (None, None);
    }

    async fn close_next(
        &self,
        key: &AccountKey,
        account: &Account,
        state: &mut AccountState,
        decision: &(impl Fn(Timestamp) -> NewSeries + Send),
        times: Times,
    ) -> Result<(), Trouble> {
        let earliest = after(before(times.now, times.accepted_for), DELIVERY);
        let earliest = Timestamp::from_second(earliest.as_second()).unwrap_or(earliest);
        let cursor = self.cursor(key, account, state).await?.not_before(earliest);
        state.position = Position::At(cursor.clone());
        // The start can be later than it seemed before the reports were read.
        let end = state.next_end(&self.terms, account, times.now);
        if !state.is_due(&self.terms, account, times.now) {
            return Ok(());
        }
        let trouble = |problem: Problem| Trouble::Usage { problem, start: cursor.start };
        let selector = self.terms.series_of(key);
        let usage =
            read_usage(&*self.server, &self.terms, &selector, &cursor, end, decision(cursor.start)).await;
        let usage = usage.map_err(trouble)?;
        (state.series, state.too_short) = (usage.series, usage.too_short);
        state.inexact.clone_from(&usage.inexact);
        let is_silent = cursor.readings.0.is_empty() && usage.readings.0.is_empty();
        let longest = if is_silent { times.longest_silence() } else { SILENCE };
        if usage.lines.is_empty() && end.duration_since(cursor.start) < longest {
            state.read_until = end;
            return Ok(());
        }
        let report = report(&self.terms, key, &cursor, end, usage).map_err(|error| trouble(error.into()))?;
        let next = self.deliver(key, state, report).await?;
        state.position = next;
        state.read_until = Timestamp::MIN;
        Ok(())
    }

    /// Returns the cursor of an account. Reads its last report, or its ledger if there is none.
    async fn cursor(
        &self,
        key: &AccountKey,
        account: &Account,
        state: &mut AccountState,
    ) -> Result<Cursor, Trouble> {
        loop {
            let newest = match &mut state.position {
                Position::At(cursor) => return Ok(cursor.clone()),
                Position::After(reports) => reports.pop(),
            };
            let Some(newest) = newest else { break };
            let report = match self.cluster.report(&key.namespace, &newest.name).await {
                Ok(report) => report,
                Err(error) => {
                    put_back(state, newest);
                    return Err(error.into());
                }
            };
            if let Some(report) = report.filter(|report| !is_duplicate(report)) {
                if report.status.as_ref().is_none_or(|status| status.state.is_none()) {
                    state.awaited.push(report.name_any());
                }
                return Cursor::after(&report, &self.terms).map_err(|error| {
                    let name = report.name_any();
                    put_back(state, newest);
                    Trouble::Readings { name, error }
                });
            }
        }
        let source = self.terms.meter_for(key).source();
        let covered = self.cluster.covered_until(key, &source).await?;
        let start = account.start.max(self.terms.start);
        Ok(Cursor::begin(covered.map_or(start, |covered| covered.max(start))))
    }

    /// Creates a report. If one with its name exists, goes on from that one.
    async fn deliver(
        &self,
        key: &AccountKey,
        state: &mut AccountState,
        mut report: UsageReport,
    ) -> Result<Position, Trouble> {
        let other_name = format!("{}.{}", report.name_any(), hash_of(&self.terms.uid));
        for name in [report.name_any(), other_name] {
            report.metadata.name = Some(name.clone());
            if self.cluster.create(&report).await? == Creation::Created {
                state.created = state.created.saturating_add(1);
                state.awaited.push(name);
                return self.position_after(&report);
            }
            let existing = self.cluster.report(&key.namespace, &name).await?;
            let Some(existing) = existing.filter(|existing| is_of(existing, &self.terms, key)) else {
                continue;
            };
            if is_duplicate(&existing) {
                return Ok(Position::After(self.reports_of(key).await?));
            }
            state.awaited.push(name);
            return self.position_after(&existing);
        }
        let call = format!("create UsageReport {}/{}", key.namespace, report.name_any());
        Err(CallError { call, detail: "objects of others have its names".to_owned() }.into())
    }

    fn position_after(&self, report: &UsageReport) -> Result<Position, Trouble> {
        let cursor = Cursor::after(report, &self.terms);
        cursor.map(Position::At).map_err(|error| Trouble::Readings { name: report.name_any(), error })
    }

    /// Lists the reports of the meter about an account, the newest last.
    async fn reports_of(&self, key: &AccountKey) -> Result<Vec<ReportMetadata>, CallError> {
        let source = self.terms.meter_for(key).source();
        let mut reports = self.cluster.reports(&self.terms.name, Some(&key.namespace)).await?;
        reports.retain(|report| report.account == *key && report.source == source);
        reports.sort_by_key(|report| report.window_end);
        Ok(reports)
    }

    /// Reads the verdicts on reports that had none. Returns those that were rejected.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn read_verdicts(
        &self,
        key: &AccountKey,
        state: &mut AccountState,
    ) -> Result<Vec<UsageReport>, CallError> {
        let mut rejected = Vec::new();
        while let Some(name) = state.awaited.last() {
            let found = self.cluster.report(&key.namespace, name).await?;
            let verdict =
                found.as_ref().and_then(|report| report.status.as_ref()).and_then(|status| status.state);
            match (found, verdict) {
                (Some(_), None) => break,
                (Some(report), Some(UsageReportState::Rejected)) => {
                    if is_duplicate(&report) {
                        state.position = Position::After(self.reports_of(key).await?);
                    }
                    rejected.push(report);
                }
                _ => {}
            }
            state.awaited.pop();
        }
        Ok(rejected)
    }
}

/// Returns a report to the reports that were not read yet.
fn put_back(state: &mut AccountState, report: ReportMetadata) {
    if let Position::After(reports) = &mut state.position {
        reports.push(report);
    }
}

/// Returns whether a report was refused because its window was charged before. Then it is not the last report: the one
/// that was charged is.
fn is_duplicate(report: &UsageReport) -> bool {
    let status = report.status.as_ref().filter(|status| status.state == Some(UsageReportState::Rejected));
    status.is_some_and(|status| status.conditions.iter().any(|condition| condition.reason == DUPLICATE))
}
