//! Closes the windows of one account that are due.

use std::sync::Arc;

use flashgate_api::usage_meter::MeterReport;
use flashgate_api::{AccountKey, UsageReport, UsageReportState};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use crate::account::Account;
use crate::answer::Labels;
use crate::close::{NewSeries, Problem, read_usage};
use crate::cluster::{CallError, Cluster, Creation};
use crate::cursor::{Cursor, after, before, is_of};
use crate::name::hash_of;
use crate::readings::{ParseReadingError, SILENCE};
use crate::report::report;
use crate::server::Server;
use crate::terms::Terms;
use crate::window::{Outlook, end};

/// Time after which something that failed is tried again.
pub const AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// Time after which an account is tried again that waits for a decision.
pub const LATER: SignedDuration = SignedDuration::from_mins(5);

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
        // The first usage after it must still be accepted.
        LONGEST_SILENCE.min(self.accepted_for / 7 * 6)
    }
}

/// The start of the next window of an account.
#[derive(Clone, Debug)]
pub enum Position {
    /// After the newest of these reports that was not refused as a duplicate. The newest is the last. The account has no
    /// report if there is none.
    After(Vec<MeterReport>),
    /// Here.
    At(Cursor),
}

/// The state of an account of a meter.
#[derive(Clone, Debug)]
pub struct AccountState {
    /// The start of the next window.
    pub position: Position,
    /// End up to which a window without usage was read.
    pub read_until: Timestamp,
    /// Number of series at the last window.
    pub series: usize,
    /// Reports whose verdict is not known yet.
    pub awaited: Vec<String>,
    /// True if another process may have reported the last window before. The next one then waits for the verdict.
    pub is_doubtful: bool,
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
    pub fn after(reports: Vec<MeterReport>) -> Self {
        Self {
            position: Position::After(reports),
            read_until: Timestamp::MIN,
            series: 0,
            awaited: Vec::new(),
            is_doubtful: false,
            trouble: None,
            retry_at: None,
            too_short: 0,
            inexact: None,
            created: 0,
        }
    }

    /// Goes back to the report before the newest, which was refused as a duplicate.
    fn forget_newest(&mut self) {
        if let Position::After(reports) = &mut self.position {
            reports.pop();
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

    /// Returns whether the meter ever reported the account.
    #[must_use]
    pub fn has_report(&self) -> bool {
        match &self.position {
            Position::At(cursor) => cursor.report.is_some(),
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
        while state.is_due(&self.terms, account, times.now) && !state.is_doubtful {
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
        state.read_until = Timestamp::MIN;
        self.deliver(key, account, state, &cursor, report).await
    }

    /// Returns the cursor of an account. Reads its last report, or its ledger if there is none.
    async fn cursor(
        &self,
        key: &AccountKey,
        account: &Account,
        state: &mut AccountState,
    ) -> Result<Cursor, Trouble> {
        let mut is_listed = false;
        loop {
            let newest = match &state.position {
                Position::At(cursor) => return Ok(cursor.clone()),
                Position::After(reports) => reports.last().cloned(),
            };
            let Some(newest) = newest else {
                let start = account.start.max(self.terms.start);
                let Some(covered) = self.covered_until(key).await? else { return Ok(Cursor::begin(start)) };
                if is_listed {
                    // Somebody deleted the last report.
                    return Ok(Cursor::begin(covered.max(start)));
                }
                state.position = Position::After(self.reports_of(key).await?);
                is_listed = true;
                continue;
            };
            let Some(report) = self.cluster.report(&key.namespace, &newest.name).await? else {
                // It was swept, so there is a newer one.
                state.position = Position::After(self.reports_of(key).await?);
                is_listed = true;
                continue;
            };
            if is_duplicate(&report) {
                state.forget_newest();
                continue;
            }
            if verdict(&report).is_none() {
                state.awaited.push(report.name_any());
            }
            return self.cursor_after(&report);
        }
    }

    /// Creates a report. If one with its name exists, goes on from that one.
    async fn deliver(
        &self,
        key: &AccountKey,
        account: &Account,
        state: &mut AccountState,
        cursor: &Cursor,
        mut report: UsageReport,
    ) -> Result<(), Trouble> {
        let other_name = format!("{}.{}", report.name_any(), hash_of(&self.terms.uid));
        for name in [report.name_any(), other_name] {
            report.metadata.name = Some(name.clone());
            let last = match self.cluster.create(&report).await? {
                Creation::Created => {
                    state.created = state.created.saturating_add(1);
                    report.clone()
                }
                Creation::Existed => {
                    let existing = self.cluster.report(&key.namespace, &name).await?;
                    match existing.filter(|existing| is_of(existing, &self.terms, key)) {
                        Some(existing) => existing,
                        None => continue,
                    }
                }
            };
            if is_duplicate(&last) {
                return self.go_on_from_another(key, account, state, cursor).await;
            }
            let end = last.spec.window.end_time;
            tracing::info!(account = %key, report = name, window_end = %end, series = state.series, "window reported");
            state.is_doubtful = !self.is_latest(key, cursor, &last).await?;
            state.awaited.push(name);
            state.position = Position::At(self.cursor_after(&last)?);
            return Ok(());
        }
        let call = format!("create UsageReport {}/{}", key.namespace, report.name_any());
        Err(CallError { call, detail: "objects of others have its names".to_owned() }.into())
    }

    /// Goes on from the report that charged the window, or from the ledger if somebody deleted that report.
    async fn go_on_from_another(
        &self,
        key: &AccountKey,
        account: &Account,
        state: &mut AccountState,
        cursor: &Cursor,
    ) -> Result<(), Trouble> {
        state.position = Position::After(self.reports_of(key).await?);
        let mut found = self.cursor(key, account, state).await?;
        if found.start <= cursor.start {
            let covered = self.covered_until(key).await?.filter(|covered| *covered > cursor.start);
            found =
                Cursor::begin(
                    covered.ok_or_else(|| CallError {
                        call: format!("go on after {}", cursor.start),
                        detail: "its window was refused as charged before, and the ledger has no later one"
                            .to_owned(),
                    })?,
                );
        }
        state.position = Position::At(found);
        Ok(())
    }

    /// Returns whether no other process reported the window before. The sweep keeps the last report of an account, so the
    /// report before this one still exists unless another process went on from it. A process that was suspended for longer
    /// than reports are kept finds out here.
    async fn is_latest(
        &self,
        key: &AccountKey,
        cursor: &Cursor,
        created: &UsageReport,
    ) -> Result<bool, CallError> {
        if let Some(before) = &cursor.report {
            let before = self.cluster.report(&key.namespace, before).await?;
            return Ok(before.is_some_and(|before| !is_duplicate(&before)));
        }
        let covered = self.covered_until(key).await?;
        Ok(covered.is_none_or(|covered| covered <= cursor.start || covered == created.spec.window.end_time))
    }

    /// Returns the end of the last window of the meter that the account was charged for.
    async fn covered_until(&self, key: &AccountKey) -> Result<Option<Timestamp>, CallError> {
        self.cluster.covered_until(key, &self.terms.meter_for(key).source()).await
    }

    fn cursor_after(&self, report: &UsageReport) -> Result<Cursor, Trouble> {
        let cursor = Cursor::after(report, &self.terms);
        cursor.map_err(|error| Trouble::Readings { name: report.name_any(), error })
    }

    /// Lists the reports of the meter about an account, the newest last.
    async fn reports_of(&self, key: &AccountKey) -> Result<Vec<MeterReport>, CallError> {
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
            let judged = found.as_ref().and_then(verdict);
            match (found, judged) {
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
        state.is_doubtful &= !state.awaited.is_empty();
        Ok(rejected)
    }
}

fn verdict(report: &UsageReport) -> Option<UsageReportState> {
    report.status.as_ref().and_then(|status| status.state)
}

/// Returns whether a report was refused because its window was charged before. Then it is not the last report: the one
/// that was charged is.
fn is_duplicate(report: &UsageReport) -> bool {
    let status = report.status.as_ref().filter(|status| status.state == Some(UsageReportState::Rejected));
    status.is_some_and(|status| status.conditions.iter().any(|condition| condition.reason == DUPLICATE))
}
