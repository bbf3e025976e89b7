//! Timers: changes that need no new fact. They are expirations, ends of settlements and statements, due times
//! of invoices, and period boundaries.

use jiff::Timestamp;

use super::Replay;
use crate::facts::{Report, Subscription};
use crate::grant::GrantSource;
use crate::invoice::{InvoiceState, Purpose, VoidCause};
use crate::ledger::{SubscriptionIdentity, Violation};
use crate::period::seconds_after;
use crate::queue::{Fact, Rank, Schedule};

/// A change that needs no new fact.
#[derive(Clone, Copy)]
pub(super) enum Timer {
    /// Expires the grant at this place in the ledger.
    Expire(usize),
    /// Closes the settlement of the grant at this place in the ledger.
    CloseSettlement(usize),
    /// Makes the statements final that are due at this time.
    FinalizeStatements(Timestamp),
    Start,
    Resume,
    Boundary,
    UnattendedEnd,
    UnattendedDue,
    InvoiceRunsOut(u32),
    PeriodRunsOut,
}

/// The earliest of the offered timers, and the first of equal ones.
#[derive(Default)]
struct Earliest(Option<(Timestamp, Rank, Timer)>);

impl Earliest {
    fn offer(&mut self, time: Timestamp, rank: Rank, timer: Timer) {
        if self.0.is_none_or(|(known, known_rank, _)| (time, rank) < (known, known_rank)) {
            self.0 = Some((time, rank, timer));
        }
    }
}

impl<'a> Replay<'a> {
    /// Returns the next timer and its time.
    pub(super) fn next_timer(&self) -> Option<(Timestamp, Rank, Timer)> {
        let ledger = &self.account.ledger;
        let mut next = Earliest::default();
        // Grants are in burn order, so the first unexpired grant is the first to expire (Law 5).
        let mut is_first = true;
        for (index, grant) in ledger.grants.iter().enumerate() {
            let Some(expiration) = grant.expiration else { break };
            if expiration.passed {
                let is_claimed =
                    self.awaits_usage(|report| grant.may_pay(report.window.end_time, report.arrival));
                if !is_claimed {
                    let end_time = expiration.settlement_end_time();
                    next.offer(end_time, Rank::SettlementEnd, Timer::CloseSettlement(index));
                }
            } else if is_first {
                next.offer(expiration.time, Rank::Expiration, Timer::Expire(index));
                is_first = false;
            }
        }
        for statement in ledger.statements.kept.iter().filter(|statement| !statement.is_final) {
            if let Some(final_time) = statement.final_time
                && !self.awaits_usage(|report| report.arrival <= final_time)
            {
                next.offer(final_time, Rank::StatementEnd, Timer::FinalizeStatements(final_time));
            }
        }
        for invoice in ledger.invoices.iter().filter(|invoice| invoice.state == InvoiceState::Open) {
            if let Some(due_time) = invoice.due_time
                && !matches!(invoice.purpose, Purpose::Renewal { .. })
            {
                next.offer(due_time, Rank::RunsOut, Timer::InvoiceRunsOut(invoice.number));
            }
        }
        if let Some((time, rank, timer)) = self.next_boundary() {
            next.offer(time, rank, timer);
        }
        next.0
    }

    /// Returns true if `claims` is true for a report that arrived and is not charged yet.
    fn awaits_usage(&self, claims: impl Fn(&Report) -> bool) -> bool {
        let waiting = self.waiting_usage.get_or_init(|| self.find_waiting_usage());
        waiting.iter().any(|report| claims(report) && !self.decided.contains(report.uid.as_str()))
    }

    /// Returns the reports that took effect at the end of their window and are not charged yet. A report that
    /// can never be charged has no claim on settling credits.
    fn find_waiting_usage(&self) -> Vec<&'a Report> {
        let (reports, end) = (&self.facts.reports, seconds_after(self.now, 1));
        let acts_from = self.acceptance.presence.filter(|_| !self.charging_is_stuck);
        let until = acts_from.map_or(end, |presence| presence.acts_from.min(end));
        let held = self.queue.held().filter_map(|fact| match fact {
            Fact::Report(report) => Some(report),
            Fact::Pack(_) | Fact::Payment(_) | Fact::Adjustment(_) => None,
        });
        let waits = |report: &&Report| {
            let Schedule { time, rank, .. } = self.acceptance.schedule(report);
            let effect_time = report.effect_time();
            let is_stuck = rank == Rank::Usage && self.charging_is_stuck;
            effect_time <= self.now && (time != effect_time || is_stuck)
        };
        let waiting = reports.effective_before(until).chain(held).filter(waits);
        waiting
            .filter(|report| !self.charged.contains(&report.identity()))
            .filter(|report| !self.decided.contains(report.uid.as_str()))
            .filter(|report| self.account.refuses_permanently(report).is_none())
            .collect()
    }

    /// Returns the next boundary or due time of the period. Nothing renews while the Subscription is deleted
    /// (Law 19).
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

    /// Returns the next timer while the Subscription is deleted (Law 19). No period follows. The statement ends
    /// with its period, and an invoice that is unpaid at its due time becomes void.
    fn unattended(&self) -> Option<(Timestamp, Rank, Timer)> {
        let ledger = &self.account.ledger;
        let window = ledger.period.window.filter(|_| ledger.statements.current().is_some());
        let end = window.map(|window| (window.end_time, Rank::Boundary, Timer::UnattendedEnd));
        let due_time = ledger.period.payment_due_time.filter(|_| self.account.open_plan_invoice().is_some());
        let due = due_time.map(|due| (due, Rank::RunsOut, Timer::UnattendedDue));
        end.into_iter().chain(due).min_by_key(|(time, rank, _)| (*time, *rank))
    }

    /// Returns the source of the grant at `index`.
    fn source_at(&self, index: usize) -> Result<GrantSource, Violation> {
        let grant = self.account.ledger.grants.get(index);
        grant.map(|grant| grant.source.clone()).ok_or_else(|| Violation::absent(format!("grant {index}")))
    }

    pub(super) fn fire(&mut self, timer: Timer) -> Result<(), Violation> {
        let request = self.facts.subscription.as_ref().map(|subscription| &subscription.request);
        match (timer, request) {
            (Timer::Expire(index), _) => {
                let source = self.source_at(index)?;
                self.account.expire(&source)?;
            }
            (Timer::CloseSettlement(index), _) => {
                let source = self.source_at(index)?;
                self.account.close_settlement(&source)?;
            }
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
        self.requeue_waiting_packs();
        Ok(())
    }
}
