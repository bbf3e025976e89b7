//! The decision: facts and timers in time order, up to now (Law 0).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::account::Account;
use crate::adjustment::AdjustmentOutcome;
use crate::awaited::Awaited;
use crate::bounds::receipts_are_full;
use crate::catalog::Catalog;
use crate::charge::accepted_until;
use crate::entry::{Detail, Entry, FactKind, ObjectName};
use crate::facts::{Adjustment, Facts, PackOrder, Payment, PaymentState, Report, Subscription};
use crate::grant::GrantSource;
use crate::invoice::{InvoiceState, Purpose, VoidCause};
use crate::ledger::{Charge, Ledger, SubscriptionIdentity, Violation};
use crate::payment::PaymentOutcome;
use crate::period::{Window, seconds_after};
use crate::purchase::{ORDER_WAITS_HOURS, OrderOutcome, OrderState, order_waits_until};
use crate::refusal::Refusal;

/// What is to be written, said and waited for.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The ledger to commit; absent when there is nothing to commit.
    pub commit: Option<Box<Ledger>>,
    /// What happened, in order; refused reports, which are not part of the ledger, included.
    pub entries: Vec<Entry>,
    /// Gaps between charged windows that had to close, by source (Law 9).
    pub closed_gaps: Vec<(String, Window)>,
    /// What became of each report.
    pub reports: Vec<Verdict<ReportVerdict>>,
    /// What became of each pack.
    pub packs: Vec<Verdict<PackVerdict>>,
    /// What became of each payment.
    pub payments: Vec<Verdict<PaymentVerdict>>,
    /// What became of each adjustment.
    pub adjustments: Vec<Verdict<AdjustmentVerdict>>,
    /// When something will happen by itself; absent when nothing will.
    pub wake_time: Option<Timestamp>,
    /// Whether facts are left that the next commit will take up.
    pub has_more: bool,
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<T> {
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// What became of it.
    pub verdict: T,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportVerdict {
    /// It was charged by this commit.
    Charged(Charge),
    /// It was refused; final once decided on a ledger that is known to be current.
    Rejected(Refusal),
    /// It waits.
    Waits(Wait),
}

/// What became of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackVerdict {
    /// It is an order with this state.
    Ordered(OrderState),
    /// It waits.
    Waits(Wait),
}

/// What became of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentVerdict {
    /// It was applied or refused.
    Judged(PaymentOutcome),
    /// It waits.
    Waits(Wait),
}

/// What became of an adjustment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdjustmentVerdict {
    /// It was granted or refused.
    Judged(AdjustmentOutcome),
    /// It waits.
    Waits(Wait),
}

/// What a fact waits for; it comes by itself or runs out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The window ends at this time.
    WindowNotOver(Timestamp),
    /// There is no Subscription; it can appear until this time.
    NoSubscription(Timestamp),
    /// The account starts at this time.
    NotStarted(Timestamp),
    /// It was created at this time, which the clock has not reached (Law 0).
    ArrivalInFuture(Timestamp),
    /// The first period has not begun.
    FirstPeriod,
    /// The first period has begun while the Subscription is deleted; nothing is invoiced before it is back.
    SubscriptionBack,
    /// Earlier charges wait for their receipts; the next commit takes it up.
    Receipts,
}

/// A verdict that may be that its object waits.
pub trait Waiting {
    /// Returns what the object waits for, if it does.
    fn wait(&self) -> Option<Wait>;
}

macro_rules! waiting {
    ($($verdict:ty),*) => {$(
        impl Waiting for $verdict {
            fn wait(&self) -> Option<Wait> {
                if let Self::Waits(wait) = self { Some(*wait) } else { None }
            }
        }
    )*};
}

waiting!(ReportVerdict, PackVerdict, PaymentVerdict, AdjustmentVerdict);

/// A fact in the queue, by the order in which facts take effect (Law 0).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn<'a> {
    time: Timestamp,
    rank: Rank,
    /// Arrival and start of the window, among usage only; other facts of an instant go by name. What a source reports
    /// at once is taken in the order in which it was used, so that no gap closes before what fills it has its turn.
    usage_order: Option<(Timestamp, Timestamp)>,
    name: &'a str,
    uid: &'a str,
}

/// What goes first at one instant (Law 0).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
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
enum Fact<'a> {
    Report(&'a Report),
    Pack(&'a PackOrder),
    Payment(&'a Payment),
    Adjustment(&'a Adjustment),
}

/// Something that happens by itself.
enum Timer {
    Expire(GrantSource),
    CloseSettlement(GrantSource),
    /// Finalizes what is to be final at this time.
    FinalizeStatements(Timestamp),
    Start,
    Resume,
    Boundary,
    UnattendedEnd,
    UnattendedDue,
    InvoiceRunsOut(u32),
    PeriodRunsOut,
}

/// Decides on an account: what `facts` and the passing of time up to `now` make of `ledger`.
///
/// # Guarantees
/// - Deciding again on the committed result with the same facts commits nothing (quiescence).
/// - The order of the facts in their lists does not matter.
/// - Deciding at a later time what could have been decided before gives the same amounts (Law 0).
///
/// # Errors
/// An invariant that does not hold; then nothing may be written for this account.
pub fn decide(
    ledger: Option<&Ledger>,
    facts: &Facts,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<Decision, Violation> {
    let opened = if ledger.is_none() { open_account(facts, now) } else { None };
    let Some(before) = ledger.or(opened.as_ref()) else {
        return Ok(wait_for_account(facts, catalog, now));
    };
    before.check()?;
    let now = now.max(before.clock_time);
    let subscription = facts.subscription.as_ref();
    let mut account = Account::resume(before.clone(), catalog, subscription)?;
    let acknowledged: BTreeSet<(&str, &str)> =
        facts.acknowledged.iter().map(|(name, uid)| (name.as_str(), uid.as_str())).collect();
    // A report that is pending again, since its status was lost, gets its receipt again as long as that is held.
    let reports = facts.reports.iter().map(|report| (report.name.as_str(), report.uid.as_str()));
    let pending: BTreeSet<(&str, &str)> = reports.filter(|report| acknowledged.contains(report)).collect();
    account.ledger.unacknowledged.retain(|charge| {
        let charge = (charge.name.as_str(), charge.uid.as_str());
        pending.contains(&charge) || !acknowledged.contains(&charge)
    });
    let is_new = ledger.is_none();
    let mut course = Course::new(account, facts, is_new, now);
    course.run()?;
    course.conclude(before, is_new)
}

/// Returns the book of an account whose start has come, or nothing while it has not (Law 17).
fn open_account(facts: &Facts, now: Timestamp) -> Option<Ledger> {
    let subscription = facts.subscription.as_ref()?;
    let start_time = subscription.start_time.unwrap_or(subscription.arrival);
    let identity =
        SubscriptionIdentity { uid: subscription.uid.clone(), generation: subscription.generation };
    let clock_time = start_time.max(subscription.arrival);
    (clock_time <= now).then(|| {
        let test_clock_time = facts.has_test_clock.then_some(now);
        let ledger = Ledger::open(facts.name.clone(), facts.new_account_id.clone(), identity, start_time);
        Ledger { clock_time, test_clock_time, ..ledger }
    })
}

/// Says what facts wait for while there is no account, and ends the wait of those for which no Subscription exists and
/// whose time is over.
fn wait_for_account(facts: &Facts, catalog: &Catalog, now: Timestamp) -> Decision {
    let presence = facts.subscription.as_ref().map(|subscription| Presence {
        exists_from: subscription.arrival,
        acts_from: subscription.start_time.unwrap_or(subscription.arrival).max(subscription.arrival),
    });
    let last_over = if facts.instant_is_open { seconds_after(now, -1) } else { now };
    let wake_time = presence.map(|presence| presence.acts_from);
    let mut idle = Idle { now, last_over, presence, entries: Vec::new(), wake_time };
    let accept_for_seconds = catalog.policies.accept_usage_for_seconds;
    let late = |report: &Report| Refusal::too_late(report.window.start_time, accept_for_seconds);
    let missing = || Refusal::subscription_not_found(&facts.name, ORDER_WAITS_HOURS);
    let reports = idle.judge(&facts.reports, FactKind::UsageReport, |report| {
        let until = accepted_until(report.window.start_time, accept_for_seconds).max(report.arrival);
        Candidate::of(&report.name, &report.uid, report.arrival, until, late(report))
    });
    let payments = idle.judge(&facts.payments, FactKind::Payment, |payment| {
        let refusal = Refusal::invoice_of_no_account(&payment.invoice, &facts.name, ORDER_WAITS_HOURS);
        let Payment { name, uid, arrival, .. } = payment;
        Candidate::of(name, uid, *arrival, order_waits_until(*arrival), refusal)
    });
    let packs = idle.judge(&facts.packs, FactKind::CreditPack, |pack| {
        let PackOrder { name, uid, arrival, .. } = pack;
        Candidate::of(name, uid, *arrival, order_waits_until(*arrival), missing())
    });
    let adjustments = idle.judge(&facts.adjustments, FactKind::CreditAdjustment, |adjustment| {
        let Adjustment { name, uid, arrival, .. } = adjustment;
        Candidate::of(name, uid, *arrival, order_waits_until(*arrival), missing())
    });
    idle.entries.sort_by_key(|entry| entry.time);
    Decision {
        commit: None,
        entries: idle.entries,
        closed_gaps: Vec::new(),
        reports: reports
            .map_verdicts(|judged| judged.map_or_else(ReportVerdict::Waits, ReportVerdict::Rejected)),
        packs: packs.map_verdicts(|judged| {
            judged
                .map_or_else(PackVerdict::Waits, |refusal| PackVerdict::Ordered(OrderState::Refused(refusal)))
        }),
        payments: payments.map_verdicts(|judged| {
            let refused = |refusal| PaymentVerdict::Judged(PaymentOutcome::Refused(refusal));
            judged.map_or_else(PaymentVerdict::Waits, refused)
        }),
        adjustments: adjustments.map_verdicts(|judged| {
            let refused = |refusal| AdjustmentVerdict::Judged(AdjustmentOutcome::Refused(refusal));
            judged.map_or_else(AdjustmentVerdict::Waits, refused)
        }),
        wake_time: idle.wake_time.map(|time| time.max(seconds_after(now, i64::from(facts.instant_is_open)))),
        has_more: false,
    }
}

/// From when on a Subscription is there.
#[derive(Clone, Copy)]
struct Presence {
    /// Instant from which it exists: what finds it in time waits for nothing else to run out (Law 15).
    exists_from: Timestamp,
    /// Instant from which facts can take effect: the account's start, if that is later (Law 17).
    acts_from: Timestamp,
}

impl Presence {
    /// An account is there, whether its Subscription is or not.
    const ALWAYS: Self = Self { exists_from: Timestamp::MIN, acts_from: Timestamp::MIN };
}

/// A fact that waits for its account.
struct Candidate<'f> {
    name: &'f str,
    uid: &'f str,
    arrival: Timestamp,
    /// Last instant at which it finds a Subscription in time, and the refusal that it gets else.
    until: Timestamp,
    refusal: Refusal,
}

impl<'f> Candidate<'f> {
    fn of(name: &'f str, uid: &'f str, arrival: Timestamp, until: Timestamp, refusal: Refusal) -> Self {
        Self { name, uid, arrival, until, refusal }
    }
}

/// Judges facts while there is no account.
struct Idle {
    now: Timestamp,
    /// Last instant that is over.
    last_over: Timestamp,
    presence: Option<Presence>,
    entries: Vec<Entry>,
    wake_time: Option<Timestamp>,
}

/// Verdicts of facts without an account: refused, or waiting.
struct IdleVerdicts(Vec<Verdict<Result<Refusal, Wait>>>);

impl IdleVerdicts {
    fn map_verdicts<T>(self, map: impl Fn(Result<Refusal, Wait>) -> T) -> Vec<Verdict<T>> {
        let map = |Verdict { name, uid, verdict }| Verdict { name, uid, verdict: map(verdict) };
        self.0.into_iter().map(map).collect()
    }
}

impl Idle {
    fn judge<'f, F>(
        &mut self,
        facts: &'f [F],
        kind: FactKind,
        limits: impl Fn(&'f F) -> Candidate<'f>,
    ) -> IdleVerdicts {
        let mut facts: Vec<_> = facts.iter().map(limits).collect();
        facts.sort_by_key(|waiting| (waiting.name, waiting.uid));
        let judged = facts.into_iter().map(|waiting| {
            let (name, uid) = (waiting.name.to_owned(), waiting.uid.to_owned());
            Verdict { name, uid, verdict: self.judge_one(kind, waiting) }
        });
        IdleVerdicts(judged.collect())
    }

    fn judge_one(&mut self, kind: FactKind, waiting: Candidate<'_>) -> Result<Refusal, Wait> {
        let Candidate { name, arrival, until, refusal, .. } = waiting;
        let found = self.presence.filter(|presence| presence.exists_from <= until);
        let wait = match found {
            _ if arrival > self.now => Wait::ArrivalInFuture(arrival),
            Some(Presence { acts_from, .. }) => Wait::NotStarted(acts_from),
            None if until <= self.last_over => {
                self.entries.push(Entry {
                    time: until,
                    credits: crate::Credits::ZERO,
                    balance: crate::Credits::ZERO,
                    detail: Detail::Refused {
                        object: ObjectName { kind, name: name.to_owned() },
                        refusal: refusal.clone(),
                    },
                });
                return Ok(refusal);
            }
            None => Wait::NoSubscription(until),
        };
        self.wake_time = self.wake_time.into_iter().chain(wait.ends()).min();
        Err(wait)
    }
}

/// One run through time, from the ledger's clock to now.
struct Course<'a> {
    account: Account<'a>,
    facts: &'a Facts,
    now: Timestamp,
    queue: BTreeMap<Turn<'a>, Fact<'a>>,
    /// Packs that wait for the account's first period.
    parked: Vec<&'a PackOrder>,
    /// Start or resumption that is still to take effect, with its time.
    arrival: Option<(Timestamp, bool)>,
    /// Whether receipts must be confirmed before anything is charged.
    receipts_are_stuck: bool,
    /// Reports, by UID, that arrived and wait to be charged; the settlements that may pay them and the statements
    /// that they may be booked in stay open (Laws 7, 22).
    waiting_usage: BTreeMap<&'a str, &'a Report>,
    /// Windows that close no gap before they were decided (Law 9).
    awaited: Awaited<'a>,
    stopped: bool,
    reports: Vec<Verdict<ReportVerdict>>,
    packs: Vec<(&'a PackOrder, PackVerdict)>,
    payments: Vec<(&'a Payment, PaymentVerdict)>,
    adjustments: Vec<Verdict<AdjustmentVerdict>>,
}

impl<'a> Course<'a> {
    fn new(account: Account<'a>, facts: &'a Facts, is_new: bool, now: Timestamp) -> Self {
        let receipts_are_stuck = receipts_are_full(&account.ledger.unacknowledged);
        let identity = &account.ledger.subscription;
        let arrival = facts.subscription.as_ref().and_then(|subscription| {
            let resumes = subscription.uid != identity.uid;
            (is_new || resumes).then(|| (subscription.arrival.max(account.ledger.clock_time), is_new))
        });
        let mut course = Self {
            account,
            facts,
            now,
            queue: BTreeMap::new(),
            parked: Vec::new(),
            arrival,
            receipts_are_stuck,
            waiting_usage: BTreeMap::new(),
            awaited: Awaited::of(&facts.reports),
            stopped: false,
            reports: Vec::new(),
            packs: Vec::new(),
            payments: Vec::new(),
            adjustments: Vec::new(),
        };
        course.enqueue_reports();
        course.enqueue_orders();
        course
    }

    /// Enqueues reports; those that wait for a Subscription run out with the acceptance time (Laws 8, 15).
    fn enqueue_reports(&mut self) {
        let accept_for_seconds = self.account.catalog.policies.accept_usage_for_seconds;
        let presence = self.presence();
        let unacknowledged = std::mem::take(&mut self.account.ledger.unacknowledged);
        let charged: BTreeMap<(&str, &str), &Charge> = unacknowledged
            .iter()
            .map(|charge| ((charge.name.as_str(), charge.uid.as_str()), charge))
            .collect();
        for report in &self.facts.reports {
            let (name, uid, arrival) = (&report.name, &report.uid, report.arrival);
            if let Some(charge) = charged.get(&(name.as_str(), uid.as_str())) {
                self.give_report(report, ReportVerdict::Charged((*charge).clone()));
                continue;
            }
            let effect_time = report.window.end_time.max(arrival);
            let until = accepted_until(report.window.start_time, accept_for_seconds).max(arrival);
            // What waited for the Subscription takes effect with its return, whenever the operator looks.
            let (time, rank, wait) = match presence {
                _ if self.account.refuses_at_arrival(report).is_some() => {
                    let time = arrival.max(self.begin_time());
                    (time, Rank::Usage, Wait::NotStarted(time))
                }
                Some(Presence { exists_from, acts_from }) if exists_from <= until => {
                    if effect_time < acts_from {
                        (acts_from, Rank::Usage, Wait::NotStarted(acts_from))
                    } else {
                        (effect_time, Rank::Usage, Wait::WindowNotOver(effect_time))
                    }
                }
                Some(_) | None => (until, Rank::RunsOut, Wait::NoSubscription(until)),
            };
            let wait = if arrival > self.now { Wait::ArrivalInFuture(arrival) } else { wait };
            let is_stuck = rank == Rank::Usage && self.receipts_are_stuck;
            // What can never be charged has no claim on credits that settle.
            let waits = effect_time <= self.now && (time != effect_time || is_stuck);
            if waits && self.account.refuses_for_ever(report).is_none() {
                self.waiting_usage.insert(uid, report);
            }
            if !self.has_come(time, rank) {
                self.give_report(report, ReportVerdict::Waits(wait));
            } else if is_stuck {
                self.give_report(report, ReportVerdict::Waits(Wait::Receipts));
            } else {
                let usage_order = Some((arrival, report.window.start_time));
                self.queue.insert(Turn { time, rank, usage_order, name, uid }, Fact::Report(report));
            }
        }
        self.account.ledger.unacknowledged = unacknowledged;
    }

    /// Returns from when on the account's Subscription is there, if it is: the same before and after the commit that
    /// takes note of it, so that a wait that ended before does not begin again.
    fn presence(&self) -> Option<Presence> {
        let arrival = self.facts.subscription.as_ref()?.arrival;
        let Some((time, is_new)) = self.arrival else {
            let acts_from = arrival.max(self.account.ledger.start_time);
            return Some(Presence { exists_from: arrival, acts_from });
        };
        Some(Presence { exists_from: if is_new { arrival } else { time }, acts_from: time })
    }

    /// Returns when the account begins, or began: no report is decided before (Law 0).
    fn begin_time(&self) -> Timestamp {
        let begins = self.arrival.filter(|(_, is_new)| *is_new);
        begins.map_or(self.account.ledger.start_time, |(time, _)| time)
    }

    /// Enqueues packs, payments and adjustments; those that wait for a Subscription run out after a day.
    fn enqueue_orders(&mut self) {
        let presence = self.presence();
        let is_new = self.arrival.is_some_and(|(_, is_new)| is_new);
        let account_presence = presence.filter(|_| is_new).or(Some(Presence::ALWAYS));
        let facts = self.facts;
        let packs = facts.packs.iter().map(|pack| (Fact::Pack(pack), Rank::Purchase, pack.arrival));
        let payments =
            facts.payments.iter().map(|payment| (Fact::Payment(payment), Rank::Payment, payment.arrival));
        let adjustments = facts
            .adjustments
            .iter()
            .map(|adjustment| (Fact::Adjustment(adjustment), Rank::Adjustment, adjustment.arrival));
        for (fact, rank, arrival) in packs.chain(payments).chain(adjustments) {
            let until = order_waits_until(arrival);
            // Payments are applied also while the Subscription is deleted: an account is all they need. So does a pack
            // that found its Subscription there go on waiting for the first period.
            let has_found =
                matches!(fact, Fact::Pack(_)) && Some(arrival) <= self.account.ledger.last_waiting_pack_time;
            let presence = if rank == Rank::Payment || has_found { account_presence } else { presence };
            let (time, rank, wait) = match presence {
                Some(Presence { exists_from, acts_from }) if exists_from <= until => {
                    let time = arrival.max(acts_from);
                    (time, rank, Wait::NotStarted(time))
                }
                Some(_) | None => (until, Rank::RunsOut, Wait::NoSubscription(until)),
            };
            let wait = if arrival > self.now { Wait::ArrivalInFuture(arrival) } else { wait };
            if !self.has_come(time, rank) {
                if !self.shows_again(fact) {
                    self.give_wait(fact, wait);
                }
                continue;
            }
            let (name, uid) = fact.identity();
            self.queue.insert(Turn { time, rank, usage_order: None, name, uid }, fact);
        }
    }

    /// Shows what an order of that name came to before, if there was one: it waits for nothing any more (Law 15).
    fn shows_again(&mut self, fact: Fact<'a>) -> bool {
        match fact {
            Fact::Pack(order) => {
                let known = self.account.known_order(order);
                known.map(|known| self.give_pack(order, PackVerdict::Ordered(known))).is_some()
            }
            Fact::Adjustment(adjustment) => {
                let known = self.account.known_adjustment(adjustment);
                known
                    .map(|known| self.give_adjustment(adjustment, AdjustmentVerdict::Judged(known)))
                    .is_some()
            }
            Fact::Report(_) | Fact::Payment(_) => false,
        }
    }

    /// Returns whether it is time for what is due at `time`: what runs out then has until the end of that second.
    fn has_come(&self, time: Timestamp, rank: Rank) -> bool {
        let waits_for_its_end = rank == Rank::RunsOut && self.facts.instant_is_open;
        time < self.now || (time == self.now && !waits_for_its_end)
    }

    /// Lets everything up to now take effect, in order.
    fn run(&mut self) -> Result<(), Violation> {
        self.run_to_now()?;
        if self.stopped {
            return Ok(());
        }
        self.account.time = self.account.time.max(self.now);
        if let (Some(subscription), None) = (self.facts.subscription.as_ref(), self.arrival) {
            self.account.follow_request(&subscription.request)?;
            self.release_parked();
            self.run_to_now()?;
        }
        Ok(())
    }

    fn run_to_now(&mut self) -> Result<(), Violation> {
        while !self.stopped {
            let timer = self.next_timer().filter(|(time, rank, _)| self.has_come(*time, *rank));
            let fact = self.queue.first_key_value().map(|(turn, fact)| (*turn, *fact));
            match (timer, fact) {
                (Some((time, rank, timer)), fact)
                    if fact.is_none_or(|(turn, _)| (time, rank) < (turn.time, turn.rank)) =>
                {
                    self.account.time = self.account.time.max(time);
                    self.fire(timer)?;
                }
                (_, Some((turn, fact))) => {
                    self.account.time = self.account.time.max(turn.time);
                    self.take(turn, fact)?;
                }
                (_, None) => break,
            }
        }
        Ok(())
    }

    /// Returns what happens next by itself, and when.
    fn next_timer(&self) -> Option<(Timestamp, Rank, Timer)> {
        let ledger = &self.account.ledger;
        let grant = ledger.grants.iter().filter_map(|grant| {
            let expiration = grant.expiration?;
            if expiration.passed {
                let is_claimed = self
                    .waiting_usage
                    .values()
                    .any(|report| grant.may_pay(report.window.end_time, report.arrival));
                (!is_claimed).then(|| (expiration.settlement_end_time(), Rank::SettlementEnd, grant))
            } else {
                Some((expiration.time, Rank::Expiration, grant))
            }
        });
        let grant = grant.min_by_key(|(time, rank, _)| (*time, *rank)).map(|(time, rank, grant)| {
            let source = grant.source.clone();
            let is_settling = rank == Rank::SettlementEnd;
            (time, rank, if is_settling { Timer::CloseSettlement(source) } else { Timer::Expire(source) })
        });
        let statements = ledger.statements.kept.iter().filter(|statement| !statement.is_final);
        let statements = statements.filter_map(|statement| {
            let final_time = statement.final_time?;
            let is_awaited = self.waiting_usage.values().any(|report| report.arrival <= final_time);
            (!is_awaited).then_some((final_time, Rank::StatementEnd, Timer::FinalizeStatements(final_time)))
        });
        let invoices = ledger.invoices.iter().filter(|invoice| {
            invoice.state == InvoiceState::Open && !matches!(invoice.purpose, Purpose::Renewal { .. })
        });
        let invoices = invoices.filter_map(|invoice| {
            Some((invoice.due_time?, Rank::RunsOut, Timer::InvoiceRunsOut(invoice.number)))
        });
        grant
            .into_iter()
            .chain(statements)
            .chain(invoices)
            .chain(self.next_boundary())
            .min_by_key(|(time, rank, _)| (*time, *rank))
    }

    /// Returns what the Subscription's presence lets happen next; nothing renews while it is deleted (Law 19).
    fn next_boundary(&self) -> Option<(Timestamp, Rank, Timer)> {
        if let Some((time, is_new)) = self.arrival {
            let arrives = (time, Rank::Boundary, if is_new { Timer::Start } else { Timer::Resume });
            return Some(self.unattended().filter(|(earlier, ..)| *earlier < time).unwrap_or(arrives));
        }
        if self.facts.subscription.is_none() {
            return self.unattended();
        }
        let period = &self.account.ledger.period;
        let end = period.window.map(|window| (window.end_time, Rank::Boundary, Timer::Boundary));
        let due = period.payment_due_time.map(|due| (due, Rank::RunsOut, Timer::PeriodRunsOut));
        end.into_iter().chain(due).min_by_key(|(time, rank, _)| (*time, *rank))
    }

    /// Returns what time alone brings about while the Subscription is deleted (Law 19): nothing follows a period, but
    /// its statement ends with it, and what is unpaid at its due time is owed no longer.
    fn unattended(&self) -> Option<(Timestamp, Rank, Timer)> {
        let ledger = &self.account.ledger;
        let window = ledger.period.window.filter(|_| ledger.statements.current().is_some());
        let end = window.map(|window| (window.end_time, Rank::Boundary, Timer::UnattendedEnd));
        let due_time = ledger.period.payment_due_time.filter(|_| self.account.open_plan_invoice().is_some());
        let due = due_time.map(|due| (due, Rank::RunsOut, Timer::UnattendedDue));
        end.into_iter().chain(due).min_by_key(|(time, rank, _)| (*time, *rank))
    }

    fn fire(&mut self, timer: Timer) -> Result<(), Violation> {
        let request = self.facts.subscription.as_ref().map(|subscription| &subscription.request);
        match (timer, request) {
            (Timer::Expire(source), _) => self.account.expire(&source)?,
            (Timer::CloseSettlement(source), _) => self.account.close_settlement(&source)?,
            (Timer::FinalizeStatements(time), _) => self.account.ledger.statements.finalize(time),
            (Timer::UnattendedEnd, _) => {
                if let Some(window) = self.account.ledger.period.window {
                    self.account.end_statement(window.end_time);
                }
            }
            (Timer::UnattendedDue, _) => self.account.void_open_plan_invoice(VoidCause::PaymentExpired)?,
            (Timer::InvoiceRunsOut(number), _) => self.account.run_out(number)?,
            (Timer::Start, Some(request)) => {
                self.arrival = None;
                self.account.starting = true;
                self.account.follow_request(request)?;
                self.account.starting = false;
            }
            (Timer::Resume, Some(request)) => {
                self.arrival = None;
                if let Some(Subscription { uid, generation, .. }) = self.facts.subscription.as_ref() {
                    let identity = SubscriptionIdentity { uid: uid.clone(), generation: *generation };
                    self.account.ledger.subscription = identity;
                }
                self.account.resume_subscription(request)?;
            }
            (Timer::Boundary, Some(request)) => self.account.cross_boundary(request)?,
            (Timer::PeriodRunsOut, Some(_)) => self.account.lapse_unpaid()?,
            (Timer::Start | Timer::Resume | Timer::Boundary | Timer::PeriodRunsOut, None) => {}
        }
        self.release_parked();
        Ok(())
    }

    /// Puts what waited for the first period back into the queue; it takes its turn at this instant.
    fn release_parked(&mut self) {
        for order in std::mem::take(&mut self.parked) {
            let (name, uid) = (&order.name, &order.uid);
            let turn = Turn { time: self.account.time, rank: Rank::Purchase, usage_order: None, name, uid };
            self.queue.insert(turn, Fact::Pack(order));
        }
    }

    /// Lets one fact take effect.
    fn take(&mut self, turn: Turn<'a>, fact: Fact<'a>) -> Result<(), Violation> {
        if turn.rank == Rank::RunsOut {
            self.queue.remove(&turn);
            self.waiting_usage.remove(turn.uid);
            self.awaited.decide(turn.uid);
            return self.run_out_of_time(fact);
        }
        if let Fact::Report(report) = fact {
            return self.take_report(turn, report);
        }
        self.queue.remove(&turn);
        self.account.waiting_orders = self.parked.len();
        match fact {
            Fact::Report(_) => {}
            Fact::Pack(order) => match self.account.purchase(order)? {
                OrderOutcome::Decided(state) => self.give_pack(order, PackVerdict::Ordered(state)),
                OrderOutcome::Waits => self.parked.push(order),
            },
            Fact::Payment(payment) => self.take_payment(payment)?,
            Fact::Adjustment(adjustment) => {
                let outcome = self.account.adjust(adjustment)?;
                self.give_adjustment(adjustment, AdjustmentVerdict::Judged(outcome));
            }
        }
        Ok(())
    }

    fn take_report(&mut self, turn: Turn<'a>, report: &'a Report) -> Result<(), Violation> {
        let verdict = match self.account.judge_report(report) {
            Err(refusal) => {
                self.queue.remove(&turn);
                self.waiting_usage.remove(turn.uid);
                self.awaited.decide(turn.uid);
                self.reject_report(report, refusal);
                return Ok(());
            }
            Ok(_) if receipts_are_full(&self.account.ledger.unacknowledged) => {
                self.stopped = true;
                return Ok(());
            }
            Ok(rated) => {
                self.awaited.decide(turn.uid);
                let is_awaited = |source: &str, gap| self.awaited.fills(source, gap);
                ReportVerdict::Charged(self.account.charge(report, rated, is_awaited)?)
            }
        };
        self.queue.remove(&turn);
        self.waiting_usage.remove(turn.uid);
        self.give_report(report, verdict);
        Ok(())
    }

    /// Ends the wait of what no account began for in time (Laws 15, 25).
    fn run_out_of_time(&mut self, fact: Fact<'a>) -> Result<(), Violation> {
        let refusal = Refusal::subscription_not_found(&self.facts.name, ORDER_WAITS_HOURS);
        match fact {
            Fact::Pack(order) => {
                let state = self.account.run_out_order(order, refusal)?;
                self.give_pack(order, PackVerdict::Ordered(state));
            }
            Fact::Adjustment(adjustment) => {
                let outcome = self.account.run_out_adjustment(adjustment, refusal)?;
                self.give_adjustment(adjustment, AdjustmentVerdict::Judged(outcome));
            }
            Fact::Report(report) => {
                let accept_for_seconds = self.account.catalog.policies.accept_usage_for_seconds;
                let refusal = Refusal::too_late(report.window.start_time, accept_for_seconds);
                self.reject_report(report, refusal);
            }
            Fact::Payment(payment) => self.take_payment(payment)?,
        }
        Ok(())
    }

    fn take_payment(&mut self, payment: &'a Payment) -> Result<(), Violation> {
        let verdict = PaymentVerdict::Judged(self.account.pay(payment)?);
        self.release_parked();
        self.payments.push((payment, verdict));
        Ok(())
    }

    fn reject_report(&mut self, report: &Report, refusal: Refusal) {
        let object = ObjectName { kind: FactKind::UsageReport, name: report.name.clone() };
        self.account.entries.push(Entry {
            time: self.account.time,
            credits: crate::Credits::ZERO,
            balance: self.account.balance,
            detail: Detail::Refused { object, refusal: refusal.clone() },
        });
        self.give_report(report, ReportVerdict::Rejected(refusal));
    }

    fn give_report(&mut self, report: &Report, verdict: ReportVerdict) {
        self.reports.push(Verdict { name: report.name.clone(), uid: report.uid.clone(), verdict });
    }

    fn give_pack(&mut self, order: &'a PackOrder, verdict: PackVerdict) {
        self.packs.push((order, verdict));
    }

    fn give_adjustment(&mut self, adjustment: &Adjustment, verdict: AdjustmentVerdict) {
        self.adjustments.push(Verdict {
            name: adjustment.name.clone(),
            uid: adjustment.uid.clone(),
            verdict,
        });
    }

    fn give_wait(&mut self, fact: Fact<'a>, wait: Wait) {
        match fact {
            Fact::Report(report) => self.give_report(report, ReportVerdict::Waits(wait)),
            Fact::Pack(order) => self.give_pack(order, PackVerdict::Waits(wait)),
            Fact::Adjustment(adjustment) => self.give_adjustment(adjustment, AdjustmentVerdict::Waits(wait)),
            Fact::Payment(payment) => self.payments.push((payment, PaymentVerdict::Waits(wait))),
        }
    }

    /// Keeps that the packs which wait for the first period found their Subscription there: should it be deleted, they
    /// wait on (Law 15).
    fn note_waiting_packs(&mut self) {
        let arrivals = self.parked.iter().map(|order| order.arrival);
        let known = self.account.ledger.last_waiting_pack_time.filter(|_| self.stopped);
        self.account.ledger.last_waiting_pack_time = arrivals.max().max(known);
    }

    /// Turns the end of the run into what is to be written.
    fn conclude(mut self, before: &Ledger, is_new: bool) -> Result<Decision, Violation> {
        self.note_waiting_packs();
        let has_begun = self.account.ledger.period.number > 0;
        let wait = if has_begun { Wait::SubscriptionBack } else { Wait::FirstPeriod };
        for order in std::mem::take(&mut self.parked) {
            self.give_pack(order, PackVerdict::Waits(wait));
        }
        let has_more = self.stopped;
        for fact in std::mem::take(&mut self.queue).into_values() {
            self.give_wait(fact, Wait::Receipts);
        }
        for (order, verdict) in &mut self.packs {
            // An order sold in this run may have been paid, given up or refunded later in it.
            let is_sold =
                matches!(verdict, PackVerdict::Ordered(state) if !matches!(state, OrderState::Refused(_)));
            if is_sold
                && self.account.ledger.purchases.record(&order.name).is_some()
                && let Some(known) = self.account.known_order(order)
            {
                *verdict = PackVerdict::Ordered(known);
            }
        }
        for (payment, verdict) in &mut self.payments {
            // Its money may have been returned later in this run.
            let applied = self.account.ledger.invoice(&payment.invoice);
            if let (PaymentVerdict::Judged(outcome @ PaymentOutcome::RefundDue), Some(invoice)) =
                (verdict, applied)
            {
                *outcome = invoice.outcome_of(PaymentState::Settled);
            }
        }
        let wake_time = self.wake_time();
        let packs = self.packs.into_iter().map(|(order, verdict)| Verdict {
            name: order.name.clone(),
            uid: order.uid.clone(),
            verdict,
        });
        let payments = self.payments.into_iter().map(|(payment, verdict)| Verdict {
            name: payment.name.clone(),
            uid: payment.uid.clone(),
            verdict,
        });
        let (packs, payments) = (packs.collect(), payments.collect());
        let Account { ledger: mut after, entries, closed_gaps, time, .. } = self.account;
        // Receipts that are no longer wanted go with the next commit. A charge is committed even if nothing else changes,
        // as with a second report of zero within a second.
        let is_charged = after.unacknowledged.iter().any(|charge| !before.unacknowledged.contains(charge));
        let receipts = std::mem::replace(&mut after.unacknowledged, before.unacknowledged.clone());
        let changed = is_new || is_charged || after != *before;
        after.unacknowledged = receipts;
        if changed {
            after.sequence = before.sequence.saturating_add(1);
            after.clock_time = if has_more { time } else { time.max(self.now) };
            after.test_clock_time = after.test_clock_time.map(|_| self.now);
            if let Some(subscription) = self.facts.subscription.as_ref() {
                after.subscription.generation = subscription.generation;
            }
            after.check()?;
            after.check_follows(before)?;
        }
        Ok(Decision {
            commit: changed.then(|| Box::new(after)),
            entries,
            closed_gaps,
            reports: self.reports,
            packs,
            payments,
            adjustments: self.adjustments,
            wake_time,
            has_more,
        })
    }

    /// Returns the next instant at which a timer fires or a wait ends.
    fn wake_time(&self) -> Option<Timestamp> {
        let timer = self.next_timer().map(|(time, ..)| time);
        let ends = |verdict: &dyn Waiting| verdict.wait().and_then(Wait::ends);
        let reports = self.reports.iter().filter_map(|verdict| ends(&verdict.verdict));
        let packs = self.packs.iter().filter_map(|(_, verdict)| ends(verdict));
        let adjustments = self.adjustments.iter().filter_map(|verdict| ends(&verdict.verdict));
        let payments = self.payments.iter().filter_map(|(_, verdict)| ends(verdict));
        let next = timer.into_iter().chain(reports).chain(packs).chain(payments).chain(adjustments).min();
        // What waits for the end of this second is woken for with the next.
        next.map(|time| time.max(seconds_after(self.now, i64::from(self.facts.instant_is_open))))
    }
}

impl Wait {
    /// Returns when the wait ends by itself, if it does.
    #[must_use]
    pub fn ends(self) -> Option<Timestamp> {
        match self {
            Self::WindowNotOver(time)
            | Self::NoSubscription(time)
            | Self::NotStarted(time)
            | Self::ArrivalInFuture(time) => Some(time),
            Self::FirstPeriod | Self::SubscriptionBack | Self::Receipts => None,
        }
    }
}

impl<'a> Fact<'a> {
    fn identity(&self) -> (&'a str, &'a str) {
        match self {
            Self::Report(report) => (&report.name, &report.uid),
            Self::Pack(order) => (&order.name, &order.uid),
            Self::Payment(payment) => (&payment.name, &payment.uid),
            Self::Adjustment(adjustment) => (&adjustment.name, &adjustment.uid),
        }
    }
}
