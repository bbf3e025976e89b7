//! Statements: the sums of one period (Law 22).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalog::BillingPeriod;
use crate::credits::{AmountOverflow, Credits, is_zero};

/// Closed statements that the ledger keeps in addition to the current one.
pub const STATEMENTS_KEPT: usize = 13;

/// The sums of one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Book {
    /// Balance at its start.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub opening: Credits,
    /// Plan credits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub granted: Credits,
    /// Pack credits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub purchased: Credits,
    /// Credits of adjustments.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub adjusted: Credits,
    /// Credits taken back with a refund.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refunded: Credits,
    /// Credits consumed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub consumed: Credits,
    /// Credits that expired, without those that late usage claimed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub expired: Credits,
}

/// A line of a [`Book`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookLine {
    /// Plan credits.
    Granted,
    /// Pack credits.
    Purchased,
    /// Credits of adjustments.
    Adjusted,
    /// Credits taken back with a refund.
    Refunded,
    /// Credits consumed.
    Consumed,
    /// Credits that expired.
    Expired,
}

impl Book {
    /// Returns all credits received, including the opening balance. It is the base of the used share (Law 23).
    ///
    /// # Errors
    /// Returns an error if the sum overflows.
    pub fn available(&self) -> Result<Credits, AmountOverflow> {
        Credits::sum([self.opening, self.granted, self.purchased, self.adjusted])
    }

    /// Returns the balance at the end.
    ///
    /// # Errors
    /// Returns an error if the sum overflows.
    pub fn closing(&self) -> Result<Credits, AmountOverflow> {
        self.available()?.checked_sub(Credits::sum([self.refunded, self.consumed, self.expired])?)
    }

    /// Adds `amount`, which may be negative, to `line`. Returns the change of the closing balance.
    ///
    /// # Errors
    /// Returns an error if the sum overflows.
    pub fn add(&mut self, line: BookLine, amount: Credits) -> Result<Credits, AmountOverflow> {
        let (place, change) = match line {
            BookLine::Granted => (&mut self.granted, amount),
            BookLine::Purchased => (&mut self.purchased, amount),
            BookLine::Adjusted => (&mut self.adjusted, amount),
            BookLine::Refunded => (&mut self.refunded, amount.negated()),
            BookLine::Consumed => (&mut self.consumed, amount.negated()),
            BookLine::Expired => (&mut self.expired, amount.negated()),
        };
        *place = place.checked_add(amount)?;
        Ok(change)
    }
}

/// The statement of one period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// Number of the period.
    pub period_number: u32,
    /// Start of the period.
    pub start_time: Timestamp,
    /// End of the period. It is the planned end for the current period.
    pub end_time: Timestamp,
    /// Plan of the period.
    pub plan: String,
    /// Billing period of the plan.
    pub billing_period: BillingPeriod,
    /// Instant from which nothing more can be booked in it. Absent for the current period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_time: Option<Timestamp>,
    /// True if that time has passed.
    #[serde(rename = "final", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
    /// The sums.
    pub book: Book,
}

/// The kept statements, oldest first. The last one is that of the current period, if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    /// Statements in the order of their periods.
    pub kept: Vec<Statement>,
    /// Sums of the time without a period, which the next period takes over. Its opening balance is unused.
    pub next: Book,
}

impl Statements {
    /// Returns the current period's statement.
    #[must_use]
    pub fn current(&self) -> Option<&Statement> {
        self.kept.last().filter(|statement| statement.final_time.is_none())
    }

    /// Books `amount` on `line` in the current period.
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn book_now(&mut self, line: BookLine, amount: Credits) -> Result<Option<u32>, AmountOverflow> {
        let current = self.kept.len().checked_sub(1).filter(|_| self.current().is_some());
        self.book_in(current, line, amount)
    }

    /// Books `amount` on `line` in the period with start < `time` <= end. If its statement is final, books it
    /// in the current period. If there is no current period, books it in the next one. Returns the number of
    /// the period.
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn book_at(
        &mut self,
        time: Timestamp,
        line: BookLine,
        amount: Credits,
    ) -> Result<Option<u32>, AmountOverflow> {
        let index = self.kept.partition_point(|statement| statement.end_time < time);
        match self.kept.get(index) {
            Some(statement) if !statement.is_final => self.book_in(Some(index), line, amount),
            _ => self.book_now(line, amount),
        }
    }

    /// Returns true if an amount dated at `time` is booked in the current period, or in the next one if there
    /// is none.
    #[must_use]
    pub fn books_now(&self, time: Timestamp) -> bool {
        let index = self.kept.partition_point(|statement| statement.end_time < time);
        let is_last = index.saturating_add(1) == self.kept.len();
        let earlier = self.kept.get(index).filter(|statement| !statement.is_final);
        earlier.is_none_or(|_| is_last && self.current().is_some())
    }

    fn book_in(
        &mut self,
        index: Option<usize>,
        line: BookLine,
        amount: Credits,
    ) -> Result<Option<u32>, AmountOverflow> {
        let Some(index) = index else {
            self.next.add(line, amount)?;
            return Ok(None);
        };
        let mut later = self.kept.iter_mut().skip(index);
        let Some(statement) = later.next() else { return Ok(None) };
        let change = statement.book.add(line, amount)?;
        for after in later {
            after.book.opening = after.book.opening.checked_add(change)?;
        }
        Ok(Some(statement.period_number))
    }

    /// Begins the statement of a period, with the sums of the time without a period.
    ///
    /// # Errors
    /// Returns an error if a sum overflows.
    pub fn begin(&mut self, mut statement: Statement) -> Result<(), AmountOverflow> {
        let opening = self.kept.last().map_or(Ok(Credits::ZERO), |last| last.book.closing())?;
        statement.book = Book { opening, ..std::mem::take(&mut self.next) };
        self.kept.push(statement);
        let surplus = self.kept.len().saturating_sub(STATEMENTS_KEPT.saturating_add(1));
        self.kept.drain(..surplus);
        Ok(())
    }

    /// Ends the current statement at `end_time`. Nothing is booked in it from `final_time` on.
    pub fn end(&mut self, end_time: Timestamp, final_time: Timestamp) {
        if let Some(statement) = self.kept.last_mut().filter(|statement| statement.final_time.is_none()) {
            statement.end_time = end_time;
            statement.final_time = Some(final_time);
        }
    }

    /// Marks each statement as final whose final time has passed.
    pub fn finalize(&mut self, now: Timestamp) {
        for statement in &mut self.kept {
            statement.is_final |= statement.final_time.is_some_and(|time| time <= now);
        }
    }
}
