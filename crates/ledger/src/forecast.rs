//! The forecast: the rate of consumption, and the time at which the credits are used up (Law 24).

use jiff::Timestamp;
use jiff::civil::Date;

use crate::credits::{AmountOverflow, Credits};
use crate::ledger::{Ledger, Violation};
use crate::period::{DAY_SECONDS, seconds_after, seconds_between, utc_date};
use crate::rating::ratio;

/// UTC days over which consumption is averaged, including today.
const DAYS: i64 = 7;

/// The forecast at the last charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The last charge.
    pub as_of_time: Timestamp,
    /// Credits per day, over at most the last seven days.
    pub credits_per_day: Credits,
    /// Time at which the balance reaches zero at that rate. It is counted from the last charge or from the last
    /// change of the balance, whichever is later. Absent if nothing is used or nothing is left.
    pub exhaustion_time: Option<Timestamp>,
}

impl Ledger {
    /// Returns the forecast at the last charge, if there was one.
    ///
    /// # Errors
    /// Returns an error if an amount exceeds the exact range.
    pub fn forecast(&self) -> Result<Option<Forecast>, Violation> {
        let Some(as_of_time) = self.last_charge_time else { return Ok(None) };
        let today = utc_date(as_of_time);
        let recent = self.daily_consumption.iter().filter(|(day, _)| is_recent(*day, today));
        let consumed = Credits::sum(recent.map(|(_, credits)| *credits))?;
        let elapsed =
            seconds_between(self.start_time, as_of_time).clamp(DAY_SECONDS, DAY_SECONDS.saturating_mul(DAYS));
        let day = DAY_SECONDS.unsigned_abs();
        let per_day = ratio(consumed.nanos().unsigned_abs(), day.into(), elapsed.unsigned_abs().into())?;
        let credits_per_day = Credits::from_nanos(i128::try_from(per_day).map_err(|_| AmountOverflow)?)?;
        let balance = self.balance()?;
        let exhaustion_time = (credits_per_day.is_positive() && balance.is_positive()).then(|| {
            let day = i128::from(DAY_SECONDS);
            let seconds =
                balance.nanos().checked_mul(day).and_then(|all| all.checked_div(credits_per_day.nanos()));
            let seconds = seconds.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(i64::MAX);
            seconds_after(as_of_time.max(self.last_balance_change_time.unwrap_or(as_of_time)), seconds)
        });
        let exhaustion_time = exhaustion_time.filter(|time| *time < Timestamp::MAX);
        Ok(Some(Forecast { as_of_time, credits_per_day, exhaustion_time }))
    }
}

/// Returns true if `day` is one of the last seven days, of which `today` is one.
pub(crate) fn is_recent(day: Date, today: Date) -> bool {
    day.until(today).is_ok_and(|span| i64::from(span.get_days()) < DAYS)
}
