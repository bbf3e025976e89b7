//! The queue: facts that are due, in the order in which they take effect (Law 0).

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use jiff::Timestamp;

use crate::charge::{accepted_until, fault_at_arrival};
use crate::facts::{Adjustment, PackOrder, Payment, Report};
use crate::period::seconds_after;
use crate::reports::Reports;
use crate::verdict::Wait;

/// A fact in the queue. Keys are ordered as facts take effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueKey<'a> {
    pub(crate) time: Timestamp,
    pub(crate) rank: Rank,
    /// Arrival and start of the window, for usage only. Other facts of an instant are ordered by name. Reports
    /// that a source writes in the same second take effect in the order of their windows, so that no gap closes
    /// before the report that fills it is charged.
    usage_order: Option<(Timestamp, Timestamp)>,
    name: &'a str,
    uid: &'a str,
}

/// The order of facts at one instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Usage,
    Expiration,
    SettlementEnd,
    StatementEnd,
    Boundary,
    Payment,
    RunsOut,
    Purchase,
    Adjustment,
}

#[derive(Clone, Copy)]
pub(crate) enum Fact<'a> {
    Report(&'a Report),
    Pack(&'a PackOrder),
    Payment(&'a Payment),
    Adjustment(&'a Adjustment),
}

impl<'a> Fact<'a> {
    /// Returns the key of this fact at `time`.
    pub(crate) fn key(self, time: Timestamp, rank: Rank) -> QueueKey<'a> {
        let (usage_order, name, uid) = match self {
            Self::Report(Report { name, uid, arrival, window, .. }) => {
                (Some((*arrival, window.start_time)), name, uid)
            }
            Self::Pack(PackOrder { name, uid, .. })
            | Self::Payment(Payment { name, uid, .. })
            | Self::Adjustment(Adjustment { name, uid, .. }) => (None, name, uid),
        };
        QueueKey { time, rank, usage_order, name, uid }
    }
}

/// Facts that are due. Reports that take effect in their usual order are read one by one, only as far as they
/// are needed.
#[derive(Default)]
pub(crate) struct Queue<'a> {
    held: BTreeMap<QueueKey<'a>, Fact<'a>>,
    drawn: Vec<Peekable<Drawn<'a>>>,
}

/// Reports in the order of their keys.
type Drawn<'a> = Box<dyn Iterator<Item = (QueueKey<'a>, &'a Report)> + 'a>;

impl<'a> Queue<'a> {
    /// Adds a fact under its key.
    pub(crate) fn insert(&mut self, key: QueueKey<'a>, fact: Fact<'a>) {
        self.held.insert(key, fact);
    }

    /// Adds reports that are read lazily from `reports`, which must have the order of their keys.
    pub(crate) fn draw(&mut self, reports: impl Iterator<Item = (QueueKey<'a>, &'a Report)> + 'a) {
        let reports: Drawn<'a> = Box::new(reports);
        self.drawn.push(reports.peekable());
    }

    /// Returns the fact with the lowest key.
    pub(crate) fn first(&mut self) -> Option<(QueueKey<'a>, Fact<'a>)> {
        let held = self.held.first_key_value().map(|(key, fact)| (*key, *fact));
        let drawn = self.drawn.iter_mut().filter_map(Peekable::peek);
        let drawn = drawn.map(|(key, report)| (*key, Fact::Report(report)));
        held.into_iter().chain(drawn).min_by_key(|(key, _)| *key)
    }

    /// Removes the fact with the lowest key, which is `key`.
    pub(crate) fn remove_first(&mut self, key: QueueKey<'a>) {
        if self.held.remove(&key).is_some() {
            return;
        }
        for drawn in &mut self.drawn {
            if drawn.next_if(|(first, _)| *first == key).is_some() {
                return;
            }
        }
    }

    /// Returns the facts that are not read lazily, in the order of their keys.
    pub(crate) fn held(&self) -> impl Iterator<Item = Fact<'a>> {
        self.held.values().copied()
    }
}

/// The times at which a Subscription exists and takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    /// Instant from which it exists. A fact that is in time for it no longer expires (Law 15).
    pub(crate) exists_from: Timestamp,
    /// Instant from which facts can take effect: the start of the account, if that is later (Law 17).
    pub(crate) acts_from: Timestamp,
}

impl Presence {
    /// The account exists, even if its Subscription does not.
    pub(crate) const ALWAYS: Self = Self { exists_from: Timestamp::MIN, acts_from: Timestamp::MIN };
}

/// The conditions under which reports take effect, besides each report itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acceptance {
    /// The times of the Subscription. Absent if it does not exist.
    pub(crate) presence: Option<Presence>,
    /// Start of the account, before which no usage counts. Absent while there is no account.
    pub(crate) start_time: Option<Timestamp>,
    /// Time at which the account begins or began. No report is decided before it.
    pub(crate) begin_time: Timestamp,
    /// Seconds after the start of its window in which usage is accepted.
    pub(crate) accept_for_seconds: u32,
    /// Seconds after the arrival of a report by which its window must end.
    pub(crate) accept_ahead_seconds: u32,
}

/// The instant at which a report takes effect, and its wait until then.
pub(crate) struct Schedule {
    pub(crate) time: Timestamp,
    pub(crate) rank: Rank,
    pub(crate) wait: Wait,
    /// True if its key follows the usual order: by the end of its window, or by the time at which the account
    /// acts.
    is_usual: bool,
}

impl Acceptance {
    /// Returns the last instant at which a Subscription is in time for `report` (Laws 8 and 15).
    pub(crate) fn waits_until(&self, report: &Report) -> Timestamp {
        accepted_until(report.window.start_time, self.accept_for_seconds).max(report.arrival)
    }

    /// Returns true if a report is refused at its arrival, even if its window is not over (Laws 0 and 8).
    fn refuses_at_arrival(&self, report: &Report) -> bool {
        let fault = |start_time| fault_at_arrival(report, start_time, self.accept_ahead_seconds);
        self.start_time.and_then(fault).is_some()
    }

    /// Returns when `report` takes effect, and how. A report without a Subscription expires at the end of its
    /// acceptance time (Laws 8 and 15).
    pub(crate) fn schedule(&self, report: &Report) -> Schedule {
        if self.refuses_at_arrival(report) {
            let time = report.arrival.max(self.begin_time);
            return Schedule { time, rank: Rank::Usage, wait: Wait::NotStarted(time), is_usual: false };
        }
        let (effect_time, until) = (report.effect_time(), self.waits_until(report));
        match self.presence.filter(|presence| presence.exists_from <= until) {
            // A report without a Subscription takes effect when the Subscription exists again, not when the
            // operator sees it.
            Some(Presence { acts_from, .. }) if effect_time < acts_from => {
                let wait = Wait::NotStarted(acts_from);
                Schedule { time: acts_from, rank: Rank::Usage, wait, is_usual: true }
            }
            Some(_) => {
                let wait = Wait::WindowNotOver(effect_time);
                Schedule { time: effect_time, rank: Rank::Usage, wait, is_usual: true }
            }
            None => {
                let wait = Wait::NoSubscription(until);
                Schedule { time: until, rank: Rank::RunsOut, wait, is_usual: false }
            }
        }
    }

    /// Returns the window start before which reports can have expired by `now`.
    fn runs_out_before(&self, now: Timestamp) -> Timestamp {
        let accept_for_seconds = i64::from(self.accept_for_seconds);
        let runs_out = seconds_after(now, 1_i64.saturating_sub(accept_for_seconds));
        let is_late =
            |presence: Presence| seconds_after(presence.exists_from, accept_for_seconds.saturating_neg());
        self.presence.map_or(runs_out, |presence| is_late(presence).min(runs_out))
    }

    /// Returns a superset of the reports that have no key in the usual order and can be due by `now`: those
    /// that are refused at their arrival, and those that expired.
    pub(crate) fn unusual<'a>(
        &self,
        reports: &'a Reports,
        now: Timestamp,
    ) -> impl Iterator<Item = (Schedule, &'a Report)> + use<'a> {
        let acceptance = *self;
        let refused = self.start_time.into_iter().flat_map(move |start_time| {
            let too_early = reports.ahead_by_more_than(acceptance.accept_ahead_seconds);
            reports.ended_by(start_time).chain(too_early)
        });
        let unusual = reports.started_before(self.runs_out_before(now)).chain(refused);
        unusual
            .map(move |report| (acceptance.schedule(report), report))
            .filter(|(schedule, _)| !schedule.is_usual)
    }

    /// Returns the reports that are no longer pending for the account at `now`, in the order of decision.
    pub(crate) fn resumed<'a>(
        &self,
        reports: &'a Reports,
        now: Timestamp,
    ) -> impl Iterator<Item = (QueueKey<'a>, &'a Report)> + use<'a> {
        let acts_from =
            self.presence.map(|presence| presence.acts_from).filter(|acts_from| *acts_from <= now);
        let acts_from = acts_from.filter(|acts_from| reports.effective_before(*acts_from).next().is_some());
        let arrived = acts_from.map(|acts_from| {
            let arrived = reports.arrived_before(acts_from);
            arrived
                .filter(move |report| report.effect_time() < acts_from)
                .map(move |report| (Fact::Report(report).key(acts_from, Rank::Usage), report))
        });
        self.usual(arrived.into_iter().flatten())
    }

    /// Returns the reports whose window is over at `now` and which took effect with its end, or with their arrival, in
    /// the order of their keys.
    pub(crate) fn over<'a>(
        &self,
        reports: &'a Reports,
        now: Timestamp,
    ) -> impl Iterator<Item = (QueueKey<'a>, &'a Report)> + use<'a> {
        let over = self.presence.map(|presence| {
            let over = reports.effective_from(presence.acts_from);
            over.take_while(move |report| report.effect_time() <= now)
                .map(|report| (Fact::Report(report).key(report.effect_time(), Rank::Usage), report))
        });
        self.usual(over.into_iter().flatten())
    }

    fn usual<'a, I: Iterator<Item = (QueueKey<'a>, &'a Report)>>(
        &self,
        reports: I,
    ) -> impl Iterator<Item = (QueueKey<'a>, &'a Report)> + use<'a, I> {
        let acceptance = *self;
        reports.filter(move |(_, report)| acceptance.schedule(report).is_usual)
    }

    /// Returns the time after `now` at which the next report arrives, takes effect or expires, without those in
    /// `charged`. The time can be too early if a report has not arrived.
    pub(crate) fn next_time(
        &self,
        reports: &Reports,
        charged: &Identities<'_>,
        now: Timestamp,
        instant_is_open: bool,
    ) -> Option<Timestamp> {
        let takes_effect = self.presence.and_then(|presence| {
            let report = reports.effective_from(seconds_after(now, 1)).next()?;
            Some(report.effect_time().max(presence.acts_from))
        });
        let last_over = seconds_after(now, i64::from(instant_is_open).saturating_neg());
        // A report that arrives after its time is pending until the end of that second, because a Subscription
        // can still appear.
        let seen_until = if self.presence.is_some() { now } else { last_over };
        let arrives = reports.arriving_after(seen_until).next().map(|report| report.arrival);
        let runs_out = reports
            .starting_from(self.runs_out_before(last_over))
            .filter(|report| !charged.contains(&report.identity()))
            .map(|report| self.waits_until(report))
            .next()
            .filter(|until| self.presence.is_none_or(|presence| *until < presence.exists_from));
        arrives.into_iter().chain(takes_effect).chain(runs_out).min()
    }
}

/// Names and UIDs of objects.
pub(crate) type Identities<'a> = BTreeSet<(&'a str, &'a str)>;
