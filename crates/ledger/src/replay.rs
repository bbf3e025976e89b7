//! The replay of an account: facts and timers take effect in their order, up to now (Law 0).

mod timers;

use std::cell::OnceCell;
use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::account::Account;
use crate::bounds::{UNRECORDED_BYTES, receipts_are_full};
use crate::decision::{Decision, WaitBasis};
use crate::entry::{Detail, Entry, FactKind, ObjectName};
use crate::facts::{Adjustment, Facts, PackOrder, Payment, PaymentState, Report, Subscription};
use crate::ledger::{Charge, Ledger, Violation};
use crate::payment::PaymentOutcome;
use crate::period::{Window, seconds_after};
use crate::purchase::{ORDER_WAITS_HOURS, OrderState, order_waits_until};
use crate::queue::{Acceptance, Fact, Identities, Presence, Queue, QueueKey, Rank, Schedule};
use crate::refusal::Refusal;
use crate::sale::OrderOutcome;
use crate::verdict::{AdjustmentVerdict, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Wait, Waiting};

/// The replay of an account from the ledger's clock to now.
pub(crate) struct Replay<'a> {
    account: Account<'a>,
    facts: &'a Facts,
    now: Timestamp,
    queue: Queue<'a>,
    /// The conditions under which reports take effect.
    acceptance: Acceptance,
    /// Reports, by name and UID, that were charged before and have no receipt yet.
    charged: &'a Identities<'a>,
    /// UIDs of the reports that were charged or refused in this replay.
    decided: BTreeSet<&'a str>,
    /// Reports that arrived and are not charged yet, computed when first needed. Settlements that may pay them,
    /// and statements that may book them, stay open (Laws 7, 22).
    waiting_usage: OnceCell<Vec<&'a Report>>,
    /// Packs that are pending until the first period of the account.
    waiting_packs: Vec<&'a PackOrder>,
    /// A start or resumption that has not taken effect, with its time.
    arrival: Option<(Timestamp, bool)>,
    /// True if receipts must be confirmed, or entries recorded, before anything is charged.
    charging_is_stuck: bool,
    /// True if due reports are pending until receipts are confirmed.
    waits_for_receipts: bool,
    stopped: bool,
    reports: Vec<Verdict<ReportVerdict>>,
    packs: Vec<(&'a PackOrder, PackVerdict)>,
    payments: Vec<(&'a Payment, PaymentVerdict)>,
    adjustments: Vec<Verdict<AdjustmentVerdict>>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(
        account: Account<'a>,
        facts: &'a Facts,
        charged: &'a Identities<'a>,
        is_new: bool,
        now: Timestamp,
    ) -> Self {
        let charging_is_stuck = receipts_are_full(&account.ledger.unacknowledged)
            || facts.unrecorded_bytes >= Some(UNRECORDED_BYTES);
        let Ledger { subscription: identity, start_time, clock_time, .. } = &account.ledger;
        let subscription = facts.subscription.as_ref();
        let arrival = subscription.and_then(|subscription| {
            let resumes = subscription.uid != identity.uid;
            (is_new || resumes).then(|| (subscription.arrival.max(*clock_time), is_new))
        });
        // This is the same before and after the commit that records the Subscription, so that a wait that ended
        // does not begin again.
        let presence = subscription.map(|Subscription { arrival: created, .. }| match arrival {
            None => Presence { exists_from: *created, acts_from: (*created).max(*start_time) },
            Some((time, true)) => Presence { exists_from: *created, acts_from: time },
            Some((time, false)) => Presence { exists_from: time, acts_from: time },
        });
        let begins = arrival.filter(|(_, is_new)| *is_new);
        let acceptance = Acceptance {
            presence,
            start_time: Some(*start_time),
            begin_time: begins.map_or(*start_time, |(time, _)| time),
            accept_for_seconds: account.catalog.policies.accept_usage_for_seconds,
            accept_ahead_seconds: account.catalog.policies.accept_ahead_seconds,
        };
        Self {
            account,
            facts,
            now,
            queue: Queue::default(),
            acceptance,
            charged,
            decided: BTreeSet::new(),
            waiting_usage: OnceCell::new(),
            waiting_packs: Vec::new(),
            arrival,
            charging_is_stuck,
            waits_for_receipts: false,
            stopped: false,
            reports: Vec::new(),
            packs: Vec::new(),
            payments: Vec::new(),
            adjustments: Vec::new(),
        }
    }

    /// Enqueues the reports that are due. Reports that were charged before only get their receipts again.
    pub(crate) fn enqueue_reports(&mut self) {
        let (facts, acceptance, now, charged) = (self.facts, self.acceptance, self.now, self.charged);
        let is_new = move |report: &Report| !charged.contains(&report.identity());
        for charge in &self.account.ledger.unacknowledged {
            let Charge { name, uid, .. } = charge;
            if facts.reports.get(name, uid).is_some() {
                let verdict = ReportVerdict::Charged(charge.clone());
                self.reports.push(Verdict { name: name.clone(), uid: uid.clone(), verdict });
            }
        }
        let mut is_due = false;
        let unusual = acceptance.unusual(&facts.reports, now).filter(move |(_, report)| is_new(report));
        for (Schedule { time, rank, .. }, report) in unusual {
            if !self.has_come(time, rank) {
                continue;
            }
            if rank == Rank::Usage && self.charging_is_stuck {
                is_due = true;
                continue;
            }
            let fact = Fact::Report(report);
            self.queue.insert(fact.key(time, rank), fact);
        }
        let mut resumed = acceptance.resumed(&facts.reports, now).filter(move |(_, report)| is_new(report));
        let mut over = acceptance.over(&facts.reports, now).filter(move |(_, report)| is_new(report));
        if self.charging_is_stuck {
            self.waits_for_receipts = is_due || resumed.next().is_some() || over.next().is_some();
        } else {
            self.queue.draw(resumed);
            self.queue.draw(over);
        }
    }

    /// Enqueues packs, payments and adjustments. Those without a Subscription expire after a day.
    pub(crate) fn enqueue_orders(&mut self) {
        let presence = self.acceptance.presence;
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
            // Payments need only an account, so they are applied while the Subscription is deleted. A pack
            // whose Subscription existed stays pending until the first period.
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
                if !self.repeats_verdict(fact) {
                    self.give_wait(fact, wait);
                }
                continue;
            }
            self.queue.insert(fact.key(time, rank), fact);
        }
    }

    /// Repeats the verdict on an earlier order of that name, if there was one. The new order is not pending
    /// (Law 15).
    fn repeats_verdict(&mut self, fact: Fact<'a>) -> bool {
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

    /// Returns true if `time` has passed. A wait that ends at `time` lasts until the end of that second.
    fn has_come(&self, time: Timestamp, rank: Rank) -> bool {
        let waits_for_its_end = rank == Rank::RunsOut && self.facts.instant_is_open;
        time < self.now || (time == self.now && !waits_for_its_end)
    }

    /// Applies everything up to now, in order.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        self.run_to_now()?;
        if self.stopped {
            return Ok(());
        }
        self.account.time = self.account.time.max(self.now);
        if let (Some(subscription), None) = (self.facts.subscription.as_ref(), self.arrival) {
            self.account.follow_request(&subscription.request)?;
            self.account.note_exhaustion();
            self.requeue_waiting_packs();
            self.run_to_now()?;
        }
        Ok(())
    }

    fn run_to_now(&mut self) -> Result<(), Violation> {
        while !self.stopped {
            let timer = self.next_timer().filter(|(time, rank, _)| self.has_come(*time, *rank));
            match (timer, self.queue.first()) {
                (Some((time, rank, timer)), fact)
                    if fact.is_none_or(|(key, _)| (time, rank) < (key.time, key.rank)) =>
                {
                    self.account.time = self.account.time.max(time);
                    self.fire(timer)?;
                }
                (_, Some((key, fact))) => {
                    self.account.time = self.account.time.max(key.time);
                    self.take(key, fact)?;
                }
                (_, None) => break,
            }
            self.account.note_exhaustion();
        }
        Ok(())
    }

    /// Enqueues the orders that needed the first period again. They are decided at this instant.
    fn requeue_waiting_packs(&mut self) {
        for order in std::mem::take(&mut self.waiting_packs) {
            let fact = Fact::Pack(order);
            self.queue.insert(fact.key(self.account.time, Rank::Purchase), fact);
        }
    }

    /// Applies one fact, unless receipts must be confirmed first.
    fn take(&mut self, key: QueueKey<'a>, fact: Fact<'a>) -> Result<(), Violation> {
        if let (Fact::Report(report), Rank::Usage) = (fact, key.rank) {
            return self.take_report(key, report);
        }
        self.queue.remove_first(key);
        if key.rank == Rank::RunsOut {
            return self.run_out_of_time(fact);
        }
        self.account.waiting_orders = self.waiting_packs.len();
        match fact {
            Fact::Report(_) => {}
            Fact::Pack(order) => match self.account.purchase(order)? {
                OrderOutcome::Decided(state) => self.give_pack(order, PackVerdict::Ordered(state)),
                OrderOutcome::Waits => self.waiting_packs.push(order),
            },
            Fact::Payment(payment) => self.take_payment(payment)?,
            Fact::Adjustment(adjustment) => {
                let outcome = self.account.adjust(adjustment)?;
                self.give_adjustment(adjustment, AdjustmentVerdict::Judged(outcome));
            }
        }
        Ok(())
    }

    fn take_report(&mut self, key: QueueKey<'a>, report: &'a Report) -> Result<(), Violation> {
        match self.account.judge_report(report) {
            Err(refusal) => {
                self.queue.remove_first(key);
                self.reject_report(report, refusal);
            }
            Ok(_) if receipts_are_full(&self.account.ledger.unacknowledged) || self.entries_are_full() => {
                self.stopped = true;
                self.waits_for_receipts = true;
            }
            Ok(rated) => {
                self.queue.remove_first(key);
                self.decided.insert(&report.uid);
                let Self { account, decided, facts, now, .. } = self;
                let is_awaited = |source: &str, gap| awaits_gap(facts, decided, source, gap);
                let charge = account.charge(report, rated, *now, is_awaited)?;
                self.give_report(report, ReportVerdict::Charged(charge));
            }
        }
        Ok(())
    }

    /// Returns true if the new entries leave no room for that of another charge, because a history store has not
    /// recorded the earlier ones.
    fn entries_are_full(&self) -> bool {
        let new = self.account.entries.iter().filter(|entry| entry.is_part_of_ledger()).map(Entry::bytes);
        let unrecorded = self.facts.unrecorded_bytes;
        unrecorded.is_some_and(|bytes| bytes.saturating_add(new.sum()) >= UNRECORDED_BYTES)
    }

    /// Refuses a fact for which no account began in time (Laws 15, 25).
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
        self.requeue_waiting_packs();
        self.payments.push((payment, verdict));
        Ok(())
    }

    fn reject_report(&mut self, report: &'a Report, refusal: Refusal) {
        self.decided.insert(&report.uid);
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

    /// Adds the wait of each pending report that the facts ask about.
    fn give_report_waits(&mut self) {
        let facts = self.facts;
        for report in facts.asked_reports() {
            if self.charged.contains(&report.identity()) || self.decided.contains(report.uid.as_str()) {
                continue;
            }
            let Schedule { time, rank, wait, .. } = self.acceptance.schedule(report);
            let wait = match report.arrival {
                arrival if arrival > self.now => Wait::ArrivalInFuture(arrival),
                _ if self.has_come(time, rank) => Wait::Receipts,
                _ => wait,
            };
            self.give_report(report, ReportVerdict::Waits(wait));
        }
    }

    /// Adds the wait of an order or a payment. `give_report_waits` adds those of reports.
    fn give_wait(&mut self, fact: Fact<'a>, wait: Wait) {
        match fact {
            Fact::Report(_) => {}
            Fact::Pack(order) => self.give_pack(order, PackVerdict::Waits(wait)),
            Fact::Adjustment(adjustment) => self.give_adjustment(adjustment, AdjustmentVerdict::Waits(wait)),
            Fact::Payment(payment) => self.payments.push((payment, PaymentVerdict::Waits(wait))),
        }
    }

    /// Records that the Subscription of the packs that are pending until the first period existed. They stay
    /// pending if it is deleted (Law 15).
    fn record_waiting_packs(&mut self) {
        let arrivals = self.waiting_packs.iter().map(|order| order.arrival);
        let known = self.account.ledger.last_waiting_pack_time.filter(|_| self.stopped);
        self.account.ledger.last_waiting_pack_time = arrivals.max().max(known);
    }

    /// Updates verdicts that later steps of this replay changed.
    fn update_verdicts(&mut self) {
        for (order, verdict) in &mut self.packs {
            // An order of this replay can have been paid, voided or refunded later in the same replay.
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
            // Its money can have been returned later in this replay.
            let applied = self.account.ledger.invoice(&payment.invoice);
            if let (PaymentVerdict::Judged(outcome @ PaymentOutcome::RefundDue), Some(invoice)) =
                (verdict, applied)
            {
                *outcome = invoice.outcome_of(PaymentState::Settled);
            }
        }
    }

    /// Returns the decision at the end of the replay.
    pub(crate) fn conclude(mut self, before: &Ledger, is_new: bool) -> Result<Decision, Violation> {
        self.record_waiting_packs();
        let has_begun = self.account.ledger.period.number > 0;
        let wait = if has_begun { Wait::SubscriptionBack } else { Wait::FirstPeriod };
        for order in std::mem::take(&mut self.waiting_packs) {
            self.give_pack(order, PackVerdict::Waits(wait));
        }
        let has_more = self.stopped;
        for fact in std::mem::take(&mut self.queue).held() {
            self.give_wait(fact, Wait::Receipts);
        }
        self.give_report_waits();
        self.update_verdicts();
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
        // The next commit drops receipts that are no longer needed. A charge is committed even if nothing else
        // changes, as with a second report of zero within one second.
        let is_charged = after.unacknowledged.iter().any(|charge| !before.unacknowledged.contains(charge));
        let changed = is_new || is_charged || {
            let receipts = std::mem::replace(&mut after.unacknowledged, before.unacknowledged.clone());
            let differs = after != *before;
            after.unacknowledged = receipts;
            differs
        };
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
            waits_for_receipts: self.waits_for_receipts,
            wait_basis: WaitBasis(self.acceptance),
        })
    }

    /// Returns the next instant at which a timer fires or a wait ends.
    fn wake_time(&self) -> Option<Timestamp> {
        let timer = self.next_timer().map(|(time, ..)| time);
        let ends = |verdict: &dyn Waiting| verdict.wait().and_then(Wait::ends);
        let is_open = self.facts.instant_is_open;
        let reports = self.acceptance.next_time(&self.facts.reports, self.charged, self.now, is_open);
        let packs = self.packs.iter().filter_map(|(_, verdict)| ends(verdict));
        let adjustments = self.adjustments.iter().filter_map(|verdict| ends(&verdict.verdict));
        let payments = self.payments.iter().filter_map(|(_, verdict)| ends(verdict));
        let next = timer.into_iter().chain(reports).chain(packs).chain(payments).chain(adjustments).min();
        // A wait for the end of this second ends with the next second.
        next.map(|time| time.max(seconds_after(self.now, i64::from(self.facts.instant_is_open))))
    }
}

/// Returns true if an undecided report of `source` is within `gap`. Such a gap closes last (Law 9).
fn awaits_gap(facts: &Facts, decided: &BTreeSet<&str>, source: &str, gap: Window) -> bool {
    let mut starting = facts.reports.of_source(source, gap);
    starting.any(|report| report.window.end_time <= gap.end_time && !decided.contains(report.uid.as_str()))
}
