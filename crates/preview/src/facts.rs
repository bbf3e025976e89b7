//! The facts about an account: what its objects state, and when they arrived.

use flashgate_api::Subscription;
use flashgate_ledger::facts::{Facts, Subscription as SubscriptionFact};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::period::seconds_after;
use jiff::Timestamp;

/// Seconds by which an arrival may be ahead of the local clock. An object that is further ahead is decided when
/// the clock reaches it (Law 0).
pub const ARRIVAL_TOLERANCE_SECONDS: i64 = 60;

/// Returns the current time, which is at least that of every arrival within the tolerance. Arrivals are the API
/// server's times, and the local clock may be slightly behind. An arrival that is further ahead does not move
/// the clock, reason one of several API servers may have a wrong clock.
#[must_use]
pub fn not_before_arrivals(facts: &Facts, now: Timestamp) -> Timestamp {
    let latest = seconds_after(now, ARRIVAL_TOLERANCE_SECONDS);
    let subscription = facts.subscription.iter().map(|subscription| subscription.arrival);
    let arrivals = subscription
        .chain(facts.reports.last_arrival_until(latest))
        .chain(facts.packs.iter().map(|pack| pack.arrival))
        .chain(facts.payments.iter().map(|payment| payment.arrival))
        .chain(facts.adjustments.iter().map(|adjustment| adjustment.arrival));
    arrivals.filter(|arrival| *arrival <= latest).fold(now, Timestamp::max)
}

/// Returns whether the Subscription exists. One with a deletion timestamp counts as deleted, even if finalizers
/// keep it (Law 19).
#[must_use]
pub fn is_there(subscription: &Subscription) -> bool {
    subscription.metadata.deletion_timestamp.is_none()
}

/// Sets the arrival of a Subscription by a test clock that shows `now`. A Subscription that `ledger` knows arrived at
/// the start of the account.
pub fn arrive_by_test_clock(
    subscription: Option<&mut SubscriptionFact>,
    ledger: Option<&Ledger>,
    now: Timestamp,
) {
    if let Some(subscription) = subscription {
        let known = ledger.filter(|ledger| ledger.subscription.uid == subscription.uid);
        subscription.arrival = known.map_or(now, |ledger| ledger.start_time);
    }
}

#[cfg(test)]
mod tests {
    use flashgate_ledger::facts::PackOrder;

    use super::*;

    #[test]
    fn a_local_clock_that_is_behind_does_not_make_what_has_arrived_wait() {
        let time = |second| Timestamp::from_second(second).expect("time");
        let pack =
            PackOrder { name: "a".into(), uid: "1".into(), arrival: time(105), pack: "plus-100".into() };
        let facts = Facts { packs: vec![pack], ..Facts::default() };
        assert_eq!(not_before_arrivals(&facts, time(100)), time(105));
        assert_eq!(not_before_arrivals(&facts, time(110)), time(110));
        assert_eq!(not_before_arrivals(&facts, time(45)), time(105));
    }

    #[test]
    fn an_arrival_more_than_a_minute_ahead_moves_no_clock() {
        let time = |second| Timestamp::from_second(second).expect("time");
        let pack = |name: &str, second| PackOrder {
            name: name.into(),
            uid: name.into(),
            arrival: time(second),
            pack: "plus-100".into(),
        };
        let facts = Facts { packs: vec![pack("a", 161), pack("b", 130)], ..Facts::default() };
        assert_eq!(not_before_arrivals(&facts, time(100)), time(130));
    }
}
