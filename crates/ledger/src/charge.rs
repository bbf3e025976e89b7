//! Usage: the cost of a report, the grants that pay it, and the reasons to refuse it (Laws 6 to 10).

use jiff::Timestamp;

use crate::account::Account;
use crate::coverage::{Conflict, SOURCES};
use crate::credits::Credits;
use crate::entry::{Detail, FactKind, ObjectName, PaidBy};
use crate::facts::Report;
use crate::ledger::{Charge, RatedUsage, Violation};
use crate::period::{Window, seconds_after, utc_date};
use crate::rating;
use crate::refusal::Refusal;
use crate::statement::BookLine;

/// Days with a charge that are kept for the forecast (Law 24) and the gate (Law 29).
pub const DAYS_KEPT: usize = 8;

/// Returns the last instant at which usage from `window_start` is accepted (Law 8).
#[must_use]
pub fn accepted_until(window_start: Timestamp, accept_for_seconds: u32) -> Timestamp {
    seconds_after(window_start, i64::from(accept_for_seconds))
}

/// The reason why a report is refused at its arrival.
pub(crate) enum ArrivalFault {
    /// Its usage lies before the account's start.
    BeforeStart,
    /// Its window ends too long after it arrived.
    TooEarly,
}

/// Returns the reason if a report is refused at its arrival, even if its window is not over (Laws 0 and 8).
pub(crate) fn fault_at_arrival(
    report: &Report,
    start_time: Timestamp,
    accept_ahead_seconds: u32,
) -> Option<ArrivalFault> {
    if report.window.end_time <= start_time {
        return Some(ArrivalFault::BeforeStart);
    }
    (report.lead_seconds() > i64::from(accept_ahead_seconds)).then_some(ArrivalFault::TooEarly)
}

/// The cost of a report, before grants pay it.
pub(crate) struct RatedReport {
    credits: Credits,
    lines: Vec<RatedUsage>,
}

/// The grants and the debt that paid a charge.
struct Payment {
    paid_by: Vec<PaidBy>,
    settled: Credits,
    debt: Credits,
}

impl Account<'_> {
    /// Returns the refusal if a report is refused at its arrival (Laws 0 and 8).
    fn refuses_at_arrival(&self, report: &Report) -> Option<Refusal> {
        let Report { window, arrival, .. } = report;
        let (start_time, ahead_seconds) =
            (self.ledger.start_time, self.catalog.policies.accept_ahead_seconds);
        Some(match fault_at_arrival(report, start_time, ahead_seconds)? {
            ArrivalFault::BeforeStart => Refusal::before_subscription(window.end_time, start_time),
            ArrivalFault::TooEarly => Refusal::too_early(window.end_time, *arrival, ahead_seconds),
        })
    }

    /// Returns the reason if a report can never be charged (Laws 8 and 9).
    pub(crate) fn refuses_permanently(&self, report: &Report) -> Option<Refusal> {
        let Report { source, window, arrival, .. } = report;
        let accept_for_seconds = self.catalog.policies.accept_usage_for_seconds;
        if let Some(refusal) = self.refuses_at_arrival(report) {
            return Some(refusal);
        }
        if accepted_until(window.start_time, accept_for_seconds) < *arrival {
            return Some(Refusal::too_late(window.start_time, accept_for_seconds));
        }
        Some(match self.ledger.coverage.conflict(source, *window)? {
            Conflict::Charged(charged) => Refusal::duplicate_window(source, charged),
            Conflict::Closed(gap) => Refusal::gap_closed(source, gap),
            Conflict::Blurred(until) => Refusal::gap_forgotten(source, until),
            Conflict::Forgotten(until) => Refusal::window_forgotten(until),
        })
    }

    /// Rates a report, or returns the refusal, in the order of Law 10.
    pub(crate) fn judge_report(&self, report: &Report) -> Result<RatedReport, Refusal> {
        let source = &report.source;
        let accept_for_seconds = self.catalog.policies.accept_usage_for_seconds;
        if let Some(refusal) = self.refuses_permanently(report) {
            return Err(refusal);
        }
        let rated = self.rate_report(report);
        // A report that costs nothing adds no source (Law 9).
        let costs = rated.as_ref().map_or(true, |rated| !rated.credits.is_zero());
        if costs && self.ledger.coverage.is_full_for(source, self.time, accept_for_seconds) {
            return Err(Refusal::too_many_sources(SOURCES, accept_for_seconds));
        }
        let rated = rated?;
        match self.refuses_usage(report, rated.credits) {
            Some(refusal) => Err(refusal),
            None => Ok(rated),
        }
    }

    fn rate_report(&self, report: &Report) -> Result<RatedReport, Refusal> {
        let limit = self.catalog.policies.reports.max_credits;
        let unknown = report
            .usage
            .iter()
            .filter(|total| self.catalog.rate(&total.node_type, &total.operation).is_none())
            .min_by_key(|total| total.first_line);
        if let Some(total) = unknown {
            let (node_type, operation) = (&total.node_type, &total.operation);
            return Err(Refusal::unknown_rate(total.first_line, node_type, operation, self.catalog));
        }
        let mut lines = Vec::with_capacity(report.usage.len());
        let mut sum = Credits::ZERO;
        for total in &report.usage {
            let Some(rate) = self.catalog.rate(&total.node_type, &total.operation) else { continue };
            let credits = rating::rate(total.quantity, rate).map_err(|_| Refusal::too_large(limit))?;
            sum = sum.checked_add(credits).map_err(|_| Refusal::too_large(limit))?;
            lines.push(RatedUsage {
                node_type: total.node_type.clone(),
                operation: total.operation.clone(),
                quantity: total.quantity,
                credits,
            });
        }
        if sum > limit { Err(Refusal::too_large(limit)) } else { Ok(RatedReport { credits: sum, lines }) }
    }

    /// Charges a report in full (Law 6) and books it in the period in which its window ended (Law 22).
    /// `now` is the time of the decision: gates know of the charge from then on. `is_awaited` is true for the gaps of a
    /// source that other reports are about to fill (Law 9).
    pub(crate) fn charge(
        &mut self,
        report: &Report,
        rated: RatedReport,
        now: Timestamp,
        is_awaited: impl Fn(&str, Window) -> bool,
    ) -> Result<Charge, Violation> {
        let RatedReport { credits, lines } = rated;
        let window = report.window;
        let Payment { paid_by, settled, debt } = self.burn(report, credits)?;
        self.ledger.totals.consumed = self.ledger.totals.consumed.checked_add(credits)?;
        let period_number = self.ledger.statements.book_at(window.end_time, BookLine::Consumed, credits)?;
        let current = self.ledger.statements.current().map(|statement| statement.period_number);
        if period_number == current {
            // While there is no period, the next period shows this usage.
            self.add_usage(&lines)?;
        }
        self.add_to_day(credits)?;
        if !credits.is_zero() {
            self.add_to_peak(report, credits, now);
            self.cover(report, is_awaited);
        }
        let charge = Charge {
            name: report.name.clone(),
            uid: report.uid.clone(),
            credits,
            lines,
            period_number,
            charge_time: self.time,
        };
        self.ledger.unacknowledged.push(charge.clone());
        let detail = Detail::Charged {
            amount: credits,
            object: ObjectName { kind: FactKind::UsageReport, name: report.name.clone() },
            source: report.source.clone(),
            window,
            period_number,
            paid_by,
            debt,
        };
        self.record(settled.checked_sub(credits)?, detail)?;
        self.cross_thresholds()?;
        Ok(charge)
    }

    /// Records that the window of a report is charged (Law 9).
    fn cover(&mut self, report: &Report, is_awaited: impl Fn(&str, Window) -> bool) {
        if !self.ledger.coverage.sources.contains_key(&report.source) {
            let accept_for_seconds = self.catalog.policies.accept_usage_for_seconds;
            self.ledger.coverage.make_room(self.time, accept_for_seconds);
        }
        let closed = self.ledger.coverage.cover(&report.source, report.window, self.time, is_awaited);
        self.closed_gaps.extend(closed);
    }

    /// Pays from the grants in burn order (Law 5). The rest becomes debt (Law 6).
    fn burn(&mut self, report: &Report, credits: Credits) -> Result<Payment, Violation> {
        let (mut owed, mut settled, mut paid_by) = (credits, Credits::ZERO, Vec::new());
        let mut claimed = Vec::new();
        for grant in &mut self.ledger.grants {
            if !owed.is_positive() {
                break;
            }
            if !grant.may_pay(report.window.end_time, report.arrival) {
                continue;
            }
            let amount = owed.min(grant.remaining);
            grant.remaining = grant.remaining.checked_sub(amount)?;
            owed = owed.checked_sub(amount)?;
            if let Some(expiration) = grant.expiration.filter(|expiration| expiration.passed) {
                settled = settled.checked_add(amount)?;
                claimed.push((expiration.time, amount));
            }
            paid_by.push(PaidBy { grant: grant.source.to_string(), amount });
        }
        self.ledger.grants.retain(|grant| grant.remaining.is_positive());
        for (time, amount) in claimed {
            self.book_expired(time, amount.negated())?;
        }
        self.ledger.debt = self.ledger.debt.checked_add(owed)?;
        Ok(Payment { paid_by, settled, debt: owed })
    }

    fn add_usage(&mut self, lines: &[RatedUsage]) -> Result<(), Violation> {
        for line in lines {
            let known = self
                .ledger
                .usage
                .iter_mut()
                .find(|usage| usage.node_type == line.node_type && usage.operation == line.operation);
            match known {
                Some(usage) => {
                    usage.quantity = usage.quantity.checked_add(line.quantity)?;
                    usage.credits = usage.credits.checked_add(line.credits)?;
                }
                None => self.ledger.usage.push(line.clone()),
            }
        }
        let catalog = self.catalog;
        let is_sold = |line: &RatedUsage| catalog.rate(&line.node_type, &line.operation).is_some();
        self.ledger.sum_up_former_usage(is_sold)?;
        Ok(())
    }

    fn add_to_day(&mut self, credits: Credits) -> Result<(), Violation> {
        let day = utc_date(self.time);
        self.ledger.last_charge_time = self.ledger.last_charge_time.max(Some(self.time));
        if credits.is_zero() {
            return Ok(());
        }
        let days = &mut self.ledger.daily_consumption;
        match days.last_mut().filter(|(last, _)| *last == day) {
            Some((_, sum)) => *sum = sum.checked_add(credits)?,
            None => days.push((day, credits)),
        }
        let surplus = days.len().saturating_sub(DAYS_KEPT);
        days.drain(..surplus);
        Ok(())
    }
}
