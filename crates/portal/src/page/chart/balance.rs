//! The data of the burn-down: the balances of the current period, from the history or from the ledger.

use flashgate_api::Amount;
use flashgate_ledger::Credits;
use flashgate_ledger::period::seconds_after;
use flashgate_ledger::statement::Book;
use flashgate_ledger::threshold;
use jiff::Timestamp;

use super::burn_down::{BurnDown, ThresholdLine};
use crate::account::Account;
use crate::caller::Caller;
use crate::calls::log_history;
use crate::history::{BalancePoint, HistoryError, RecordQuery, UsageQuery, records};
use crate::page::figures::Figures;
use crate::portal::Portal;

/// Points of a period that are read from a history.
const POINTS: i64 = 120;

/// Shortest distance between two points in seconds.
const LEAST_DISTANCE: i64 = 60;

/// Returns the balance of the current period. Returns `None` if the account has no period or no known balance.
pub(crate) async fn burn_down_of(portal: &Portal, caller: &Caller, account: &Account) -> Option<BurnDown> {
    let status = account.status();
    let is_known = account.book.known().is_some() || status.credits.is_some();
    let balance = is_known.then(|| Figures::of(account).balance)?;
    let period = status.period.clone()?;
    let (start, end) = (period.start_time, period.end_time);
    let mut points = match portal.with_history(caller, account) {
        Some((history, key)) => {
            let found = async {
                // A bucket excludes its start, so the first query has the balance at the start itself.
                let mut points = history.balances(&key, &buckets(seconds_after(start, -1), 1, 1)).await?;
                let length = end.as_second().saturating_sub(start.as_second());
                let seconds = (length / POINTS).max(LEAST_DISTANCE);
                let count = usize::try_from(length / seconds).unwrap_or_default().saturating_add(1);
                points.extend(history.balances(&key, &buckets(start, seconds, count)).await?);
                Ok::<_, HistoryError>(points)
            };
            found.await.inspect_err(log_history).ok()
        }
        None => None,
    }
    .unwrap_or_else(|| kept_balances(account, balance, start));
    points.retain(|point| point.time < end);
    points.push(BalancePoint { time: account.now.clamp(start, end), balance });
    Some(BurnDown {
        start,
        end,
        now: account.now,
        points,
        exhaustion: status.forecast.as_ref().and_then(|forecast| forecast.exhaustion_time),
        renews: status.renewal_time.is_some(),
        thresholds: thresholds(portal, account, balance),
    })
}

fn buckets(start: Timestamp, bucket_seconds: i64, buckets: usize) -> UsageQuery {
    UsageQuery { start, bucket_seconds, buckets, labels: Vec::new(), group_by: None }
}

/// Returns the balances after the entries that the ledger keeps, from the start of the period on.
fn kept_balances(account: &Account, balance: Credits, start: Timestamp) -> Vec<BalancePoint> {
    let entries = account.book.known().map(|book| book.entries.as_slice()).unwrap_or_default();
    let query = RecordQuery { limit: u32::MAX, ..RecordQuery::default() };
    let page = records::of_ledger(entries, balance, &query);
    let points = page.records.iter().rev().filter(|record| record.time >= start);
    points.map(|record| BalancePoint { time: record.time, balance: record.balance }).collect()
}

/// Returns the balances at which the thresholds of this period are reached (Law 23), if nothing else changes the balance.
/// Thresholds above 100 % are debt, and are left out.
fn thresholds(portal: &Portal, account: &Account, balance: Credits) -> Vec<ThresholdLine> {
    let Some(book) = book_of(account) else { return Vec::new() };
    let Some(available) = book.available().ok().filter(|available| available.is_positive()) else {
        return Vec::new();
    };
    let own = account.subscription.spec.alert_thresholds_percent.as_ref();
    let own =
        own.map(|own| own.iter().filter_map(|percent| u32::try_from(*percent).ok()).collect::<Vec<u32>>());
    let line = |percent: &u32| {
        let share = available.nanos().saturating_mul(i128::from(*percent)).div_euclid(100);
        let before = balance.nanos().saturating_add(book.consumed.nanos());
        let balance = Credits::from_nanos(before.saturating_sub(share)).ok()?;
        (*percent <= 100).then_some(ThresholdLine { percent: *percent, balance })
    };
    threshold::thresholds(own.as_deref(), &portal.catalog().policies).iter().filter_map(line).collect()
}

/// Returns the sums of the current period: from the ledger, or else from the status.
fn book_of(account: &Account) -> Option<Book> {
    let of_ledger = account.book.known().and_then(|book| book.ledger.statements.current());
    if let Some(statement) = of_ledger {
        return Some(statement.book);
    }
    let sums = account.status().this_period?;
    let parsed = |amount: &Amount| amount.as_str().parse().ok();
    Some(Book {
        opening: parsed(&sums.opening)?,
        granted: parsed(&sums.granted)?,
        purchased: parsed(&sums.purchased)?,
        adjusted: parsed(&sums.adjusted)?,
        refunded: parsed(&sums.refunded)?,
        consumed: parsed(&sums.consumed)?,
        expired: parsed(&sums.expired)?,
    })
}
