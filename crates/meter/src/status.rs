//! The status of a meter.

use flashgate_api::condition::{Condition, condition};
use flashgate_api::reason::Reason;
use flashgate_api::schema::NAME_LENGTH;
use flashgate_api::usage_meter::{NEW_SERIES, UNMATCHED, UnmatchedUsage};
use flashgate_api::{AccountKey, READY, RECONCILING, STALLED, UsageMeter, UsageMeterStatus, UsageReport};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use rust_decimal::Decimal;

use crate::answer::{AnswerError, Labels};
use crate::close::Problem;
use crate::cluster::CallError;
use crate::name::window_of;
use crate::terms::Terms;
use crate::windows::Trouble;

/// The message of a meter that has nothing to do.
const REPORTED: &str = "Every window that is due is reported";

/// Most accounts and values that a message names.
const NAMED: usize = 3;

/// Time for which a rejected report is shown as a reason to act. Its number stays in the status.
const REJECTED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Most characters of a message.
const MESSAGE: usize = 4_096;

/// The series that a meter found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// No search succeeded yet.
    Unknown,
    /// A series may have a sample in the last 6 hours.
    Live,
    /// A series may have a sample in the last 24 hours, and none in the last 6 hours.
    Quiet,
    /// No series has a sample in the last 24 hours.
    Missing,
}

/// The failure that concerns all accounts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A query.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A call to the API server.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// The findings of a look at a meter.
#[derive(Debug)]
pub struct Findings<'a> {
    /// The failure that concerns all accounts.
    pub failure: Option<&'a Failure>,
    /// Why windows of accounts cannot be closed.
    pub troubles: Vec<(&'a AccountKey, &'a Trouble)>,
    /// Accounts whose last reading is no longer on the server.
    pub too_short: Vec<&'a AccountKey>,
    /// An account with a series whose value exceeds 2^53.
    pub inexact: Option<(&'a AccountKey, &'a Labels)>,
    /// The series that the meter found.
    pub presence: Presence,
    /// The series of the meter, as a selector.
    pub counter: String,
    /// True if an account had series.
    pub had_series: bool,
    /// Seconds by which the clock of the server is ahead, if that is too much.
    pub seconds_ahead: Option<i64>,
    /// The last rejected report.
    pub last_rejected: Option<&'a UsageReport>,
    /// Number of rejected reports.
    pub rejected: usize,
    /// Seconds since the end of the oldest window that is due and not reported.
    pub lag_seconds: Option<i64>,
    /// End of the last window that every account has reported.
    pub last_window_end: Option<Timestamp>,
    /// Number of accounts that have series.
    pub accounts: usize,
    /// Number of series.
    pub series: usize,
    /// Usage without an account.
    pub unmatched: Vec<UnmatchedUsage>,
}

/// Returns the status of a meter.
#[must_use]
pub fn status(
    meter: &UsageMeter,
    terms: &Terms,
    findings: &Findings<'_>,
    now: Timestamp,
) -> UsageMeterStatus {
    let count = |number: usize| i64::try_from(number).ok();
    UsageMeterStatus {
        observed_generation: meter.metadata.generation,
        last_window_end_time: findings.last_window_end,
        accounts: count(findings.accounts),
        series: count(findings.series),
        lag_seconds: Some(findings.lag_seconds.unwrap_or_default()),
        unmatched: findings.unmatched.clone(),
        rejected_reports: count(findings.rejected),
        conditions: conditions(meter, stalled(meter, terms, findings, now), findings, now),
    }
}

/// Returns the status of a meter that cannot be used.
#[must_use]
pub fn unusable(meter: &UsageMeter, reason: Reason, message: String, now: Timestamp) -> UsageMeterStatus {
    let conditions = three(meter, Some((reason, message)), None, REPORTED.to_owned(), now);
    let before = meter.status.clone().unwrap_or_default();
    let creation = meter.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let since = before.last_window_end_time.or(creation).unwrap_or(now);
    UsageMeterStatus {
        observed_generation: meter.metadata.generation,
        lag_seconds: Some(now.duration_since(since).as_secs().max(0)),
        conditions,
        ..before
    }
}

/// Returns the usage without an account as the status has it: the first values, each cut to the length that the status
/// has room for, and the sum of all others.
#[must_use]
pub fn bounded(values: &[(&String, Decimal)]) -> Vec<UnmatchedUsage> {
    let one = |value: String, quantity: Decimal| UnmatchedUsage {
        value,
        quantity: quantity.normalize().to_string(),
    };
    let (first, others) = values.split_at(values.len().min(UNMATCHED as usize));
    let first = first
        .iter()
        .map(|(value, quantity)| one(value.chars().take(NAME_LENGTH as usize).collect(), *quantity));
    let sum = others.iter().map(|(_, quantity)| *quantity).reduce(Decimal::saturating_add);
    first.chain(sum.map(|sum| one(String::new(), sum))).collect()
}

fn conditions(
    meter: &UsageMeter,
    stalled: Option<(Reason, String)>,
    findings: &Findings<'_>,
    now: Timestamp,
) -> Vec<Condition> {
    let waiting = findings
        .lag_seconds
        .map(|lag| format!("Windows are due and are being reported; the oldest ended {} ago", length(lag)));
    let reported = match findings.presence {
        Presence::Unknown | Presence::Live => REPORTED.to_owned(),
        Presence::Quiet | Presence::Missing => format!(
            "{REPORTED}. No series of {} has a sample in the last 6 hours: if the counter has another name, correct \
             `spec.counter` and `spec.selector`",
            findings.counter
        ),
    };
    three(meter, stalled, waiting, reported, now)
}

/// Returns the conditions `Ready`, `Reconciling` and `Stalled`.
fn three(
    meter: &UsageMeter,
    stalled: Option<(Reason, String)>,
    waiting: Option<String>,
    reported: String,
    now: Timestamp,
) -> Vec<Condition> {
    let reported = || (Reason::WindowsReported, reported);
    let is_stalled = stalled.is_some();
    let is_waiting = !is_stalled && waiting.is_some();
    let (reason, message) =
        stalled.or_else(|| Some((Reason::WindowsWaiting, waiting?))).unwrap_or_else(reported);
    let before = meter.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let one = |kind: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        let same = condition(before, kind).filter(|known| known.status == status);
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            observed_generation: meter.metadata.generation,
            last_transition_time: same.map_or(Time(now), |known| known.last_transition_time.clone()),
            reason: reason.as_str().to_owned(),
            message: message.chars().take(MESSAGE).collect(),
        }
    };
    vec![one(READY, !is_stalled && !is_waiting), one(RECONCILING, is_waiting), one(STALLED, is_stalled)]
}

/// Returns why somebody must act, with the remedy. The first of several reasons counts.
fn stalled(
    meter: &UsageMeter,
    terms: &Terms,
    findings: &Findings<'_>,
    now: Timestamp,
) -> Option<(Reason, String)> {
    findings
        .failure
        .map(|failure| failed(terms, failure))
        .or_else(|| troubled(meter, terms, &findings.troubles))
        .or_else(|| rejected(findings, now))
        .or_else(|| too_short(&findings.too_short))
        .or_else(|| missing(findings))
        .or_else(|| findings.seconds_ahead.map(|ahead| clock(terms, ahead)))
        .or_else(|| findings.inexact.map(inexact))
        .or_else(|| unmatched(terms, &findings.unmatched))
}

fn failed(terms: &Terms, failure: &Failure) -> (Reason, String) {
    match failure {
        Failure::Answer(error) if error.is_unreachable() => (
            Reason::SourceUnreachable,
            format!(
                "Prometheus '{}' cannot be used: {error}. Windows wait and are closed later from the same samples: check the \
                 server, the network policy and the credentials",
                terms.server
            ),
        ),
        Failure::Answer(error) => (
            Reason::QueryFailed,
            format!(
                "Prometheus '{}' refuses a query for {}: {error}. Check `spec.counter` and `spec.selector`",
                terms.server, terms.selector
            ),
        ),
        Failure::Call(error) => (
            Reason::WindowsWaiting,
            format!(
                "The API server cannot be used: {error}. Windows wait and are closed later from the same samples"
            ),
        ),
    }
}

fn troubled(
    meter: &UsageMeter,
    terms: &Terms,
    troubles: &[(&AccountKey, &Trouble)],
) -> Option<(Reason, String)> {
    let classified =
        troubles.iter().map(|(key, trouble)| (*key, reason_and_remedy(meter, terms, key, trouble)));
    let (first, (reason, message)) = classified.min_by_key(|(_, (reason, _))| rank(*reason))?;
    let others = match troubles.len().saturating_sub(1) {
        0 => String::new(),
        others => format!(" ({others} other accounts wait as well)"),
    };
    Some((reason, format!("Account {first}: {message}{others}")))
}

/// Returns the rank of a reason: a lower one is shown first.
fn rank(reason: Reason) -> usize {
    let order =
        [Reason::SourceUnreachable, Reason::QueryFailed, Reason::SeriesReplaced, Reason::UnratedSeries];
    order.iter().position(|known| *known == reason).unwrap_or(order.len())
}

fn reason_and_remedy(
    meter: &UsageMeter,
    terms: &Terms,
    key: &AccountKey,
    trouble: &Trouble,
) -> (Reason, String) {
    match trouble {
        Trouble::Usage { problem: Problem::Answer(error), .. } => {
            failed(terms, &Failure::Answer(error.clone()))
        }
        Trouble::Usage { problem: problem @ Problem::SeriesReplaced { .. }, start } => {
            let (window, name) = (window_of(key, *start), meter.name_any());
            let namespace = meter.namespace().unwrap_or_default();
            (
                Reason::SeriesReplaced,
                format!(
                    "{problem}. If they are new usage, run `kubectl annotate --overwrite usagemeter --namespace {namespace} \
                     {name} {NEW_SERIES}={window}=from-zero`; if they replace older series, use \
                     `{window}=from-first-sample` instead"
                ),
            )
        }
        Trouble::Usage { problem: problem @ Problem::TooManySeries(_), .. } => {
            (Reason::TooManySeries, problem.to_string())
        }
        Trouble::Usage { problem: problem @ Problem::Unrated(_), .. } => (
            Reason::UnratedSeries,
            format!("{problem}: add the value there, or exclude the series by `spec.selector`"),
        ),
        Trouble::Usage { problem: problem @ (Problem::Count(_) | Problem::Quantity(_)), .. } => {
            (Reason::TooLarge, problem.to_string())
        }
        Trouble::Call(error) => failed(terms, &Failure::Call(error.clone())),
        Trouble::Readings { .. } => (
            Reason::Undecodable,
            format!("{trouble}: upgrade the meter to the version that wrote the report"),
        ),
    }
}

fn rejected(findings: &Findings<'_>, now: Timestamp) -> Option<(Reason, String)> {
    let report = findings.last_rejected?;
    let conditions = report.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let verdict = condition(conditions, READY)?;
    if now.duration_since(verdict.last_transition_time.0) > REJECTED_FOR {
        return None;
    }
    let name = format!("{}/{}", report.namespace().unwrap_or_default(), report.name_any());
    let message = format!(
        "The operator rejected {} of the reports; their usage is not charged. The last is {name}: {}: {}",
        findings.rejected, verdict.reason, verdict.message
    );
    Some((Reason::ReportsRejected, message))
}

fn missing(findings: &Findings<'_>) -> Option<(Reason, String)> {
    let is_missing = findings.presence == Presence::Missing && findings.had_series;
    let message = format!(
        "The series of {} are gone: none has a sample in the last 24 hours. Probably the counter was renamed, or its \
         programs are no longer scraped: correct `spec.counter` and `spec.selector`",
        findings.counter
    );
    is_missing.then_some((Reason::CounterMissing, message))
}

fn too_short(accounts: &[&AccountKey]) -> Option<(Reason, String)> {
    let named = listed(accounts.iter().map(ToString::to_string))?;
    let message = format!(
        "Prometheus no longer has the last reading of series of {named}. The difference to it is charged; usage before a \
         restart of a counter may be missing: keep samples for longer than the longest outage of the meter"
    );
    Some((Reason::HistoryTooShort, message))
}

fn clock(terms: &Terms, seconds_ahead: i64) -> (Reason, String) {
    let direction = if seconds_ahead > 0 { "ahead of" } else { "behind" };
    let message = format!(
        "The clock of Prometheus '{}' is {} {direction} the clock of the meter. Windows are closed by the earlier of the \
         two, so nothing is lost: correct the clock that is wrong",
        terms.server,
        length(seconds_ahead.saturating_abs())
    );
    (Reason::ClockDiffers, message)
}

fn inexact((account, labels): (&AccountKey, &Labels)) -> (Reason, String) {
    let message = format!(
        "Account {account}: the series {labels:?} exceeds 2^53, so its floating-point samples no longer hold every whole \
         number: restart the program that exposes it, or divide its usage between more series"
    );
    (Reason::CounterInexact, message)
}

fn unmatched(terms: &Terms, values: &[UnmatchedUsage]) -> Option<(Reason, String)> {
    let named = listed(values.iter().map(|usage| format!("'{}' ({})", usage.value, usage.quantity)))?;
    let message = format!(
        "Series of {} name accounts that do not exist: {named}, each with its usage of the last 24 hours. It is not charged: \
         create the Subscriptions, or exclude the series by `spec.selector`",
        terms.selector
    );
    Some((Reason::UnknownAccount, message))
}

/// Returns the first items as a text, with the number of the others, or nothing if there are none.
fn listed(items: impl ExactSizeIterator<Item = String>) -> Option<String> {
    let others = items.len().saturating_sub(NAMED);
    let named: Vec<String> = items.take(NAMED).collect();
    let others = if others == 0 { String::new() } else { format!(" and {others} more") };
    Some(format!("{}{others}", named.join(", "))).filter(|_| !named.is_empty())
}

/// Returns a number of seconds as people write it.
fn length(seconds: i64) -> String {
    format!("{:#}", SignedDuration::from_secs(seconds))
}
