//! The gate: whether an account may spend (Law 29), and by how much it can exceed its limit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::catalog::GatePolicy;
use crate::charge::DAYS_KEPT;
use crate::credits::Credits;
use crate::facts::Report;
use crate::forecast::is_recent;
use crate::ledger::{Ledger, Violation};
use crate::peak::DailyPeak;
use crate::period::{seconds_after, seconds_between, utc_date};
use crate::rating::ratio;

/// Why a gate lets an account through, or stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = crate::schema::without_description)
)]
pub enum GateReason {
    /// The balance is above the limit. Open.
    CreditsLeft,
    /// The credits are exhausted, and the grace of the catalog still lasts. Open.
    InGrace,
    /// The balance is at most -overdraft, and there is no grace or it is over. Closed.
    CreditsExhausted,
    /// No plan is in force. Closed.
    NoPlan,
    /// The account has not started. Closed.
    NotStarted,
    /// The Subscription is being deleted. Closed.
    Deleting,
}

impl GateReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::CreditsLeft,
        Self::InGrace,
        Self::CreditsExhausted,
        Self::NoPlan,
        Self::NotStarted,
        Self::Deleting,
    ];

    /// Returns the name of the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreditsLeft => "CreditsLeft",
            Self::InGrace => "InGrace",
            Self::CreditsExhausted => "CreditsExhausted",
            Self::NoPlan => "NoPlan",
            Self::NotStarted => "NotStarted",
            Self::Deleting => "Deleting",
        }
    }

    /// Returns true if a gate lets an account through for this reason.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::CreditsLeft | Self::InGrace)
    }
}

/// The gate of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Why it is open or closed.
    pub reason: GateReason,
    /// Time since which the credits are exhausted, or since which there is no plan. Absent while credits are left.
    pub since: Option<Timestamp>,
    /// Instant at which the grace ends and the gate closes. Absent unless the grace lasts.
    pub closes_at: Option<Timestamp>,
}

impl Ledger {
    /// Returns the limit of the balance: at or below it the credits are exhausted (Law 29). It is zero without a plan.
    #[must_use]
    pub fn exhaustion_limit(&self) -> Credits {
        self.terms.as_ref().map_or(Credits::ZERO, |terms| terms.overdraft.negated())
    }

    /// Returns true if the balance is at most -overdraft (Law 29).
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn is_exhausted(&self) -> Result<bool, Violation> {
        Ok(self.balance()? <= self.exhaustion_limit())
    }

    /// Returns the gate at `now` (Law 29). It depends on `now` only while the credits are exhausted.
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn gate(&self, policy: GatePolicy, now: Timestamp) -> Result<Gate, Violation> {
        let closed = |reason, since| Gate { reason, since: Some(since), closes_at: None };
        if self.terms.is_none() {
            return Ok(closed(GateReason::NoPlan, self.end_of_last_period().unwrap_or(self.start_time)));
        }
        if !self.is_exhausted()? {
            return Ok(Gate { reason: GateReason::CreditsLeft, since: None, closes_at: None });
        }
        // Ledgers of version 0.1.0 do not have the time.
        let since = self.exhausted_since.or(self.last_balance_change_time).unwrap_or(self.start_time);
        let closes_at = seconds_after(since, i64::from(policy.grace_seconds));
        Ok(if closes_at > now {
            Gate { reason: GateReason::InGrace, since: Some(since), closes_at: Some(closes_at) }
        } else {
            closed(GateReason::CreditsExhausted, since)
        })
    }

    fn end_of_last_period(&self) -> Option<Timestamp> {
        self.statements.kept.last().map(|statement| statement.end_time)
    }

    /// Returns the most credits that one source can consume between the exhaustion of the credits and the moment at
    /// which a gate stops it: the highest rate of a charge, times the longest time until a gate knows of usage. That
    /// time is the longest window, the longest time from a window's end to its charge, and the time for which proxies
    /// keep an answer. Only the charges of the last seven days with a charge count, as for the forecast (Law 24).
    /// Returns `None` before the first charge that costs something, and the largest amount if it is above that.
    #[must_use]
    pub fn worst_overshoot(&self, policy: GatePolicy) -> Option<Credits> {
        let today = utc_date(self.last_charge_time?);
        let recent = self.daily_peaks.iter().copied().filter(|peak| is_recent(peak.day, today));
        let peak = recent.reduce(DailyPeak::with)?;
        let unseen_seconds = peak
            .longest_window_seconds
            .saturating_add(peak.longest_delay_seconds)
            .saturating_add(policy.cache_seconds.into());
        let nanos =
            ratio(peak.credits.nanos().unsigned_abs(), unseen_seconds.into(), peak.seconds.max(1).into());
        let overshoot = nanos.ok().and_then(|nanos| Credits::from_nanos(i128::try_from(nanos).ok()?).ok());
        Some(overshoot.unwrap_or(Credits::MAX))
    }
}

impl Account<'_> {
    /// Notes since when the credits are exhausted, after a step at `self.time` (Law 29). The time stays while they
    /// are, and a later exhaustion has its own.
    pub(crate) fn note_exhaustion(&mut self) {
        let is_exhausted = self.balance <= self.ledger.exhaustion_limit();
        self.ledger.exhausted_since = is_exhausted.then(|| self.ledger.exhausted_since.unwrap_or(self.time));
    }

    /// Adds a charge of `credits`, which was decided at `now`, to the peak of its day.
    pub(crate) fn add_to_peak(&mut self, report: &Report, credits: Credits, now: Timestamp) {
        let delay_seconds = seconds_between(report.window.end_time, now.max(self.time));
        let charge = DailyPeak::of_charge(report.window, self.time, credits, delay_seconds);
        let peaks = &mut self.ledger.daily_peaks;
        match peaks.last_mut().filter(|last| last.day == charge.day) {
            Some(peak) => *peak = peak.with(charge),
            None => peaks.push(charge),
        }
        let surplus = peaks.len().saturating_sub(DAYS_KEPT);
        peaks.drain(..surplus);
    }
}
