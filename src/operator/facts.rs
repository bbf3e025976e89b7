//! Second step: the facts about an account, and its clock.

use flashgate_api::fact::FactStatus;
use flashgate_api::{READY, Subscription, condition};
use flashgate_ledger::facts::{Asked, Facts, Subscription as SubscriptionFact};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::period::seconds_after;
use jiff::Timestamp;

use crate::operator::cache::rows::Rows;
use crate::operator::cache::{CachedKind, Pending};
use crate::operator::convert::{self, ConvertError};
use crate::operator::view::View;

/// Annotation with the time of an account that has a test clock.
pub const TEST_CLOCK: &str = "billing.flashgate.dev/test-clock";

/// The clock of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountClock {
    /// The current time of the account.
    pub now: Timestamp,
    /// Whether it is a test clock. A test clock moves only when its annotation changes.
    pub is_test: bool,
}

impl AccountClock {
    /// Returns the clock of an account. It is a test clock only if the account started with one.
    #[must_use]
    pub fn of(
        subscription: Option<&Subscription>,
        ledger: Option<&Ledger>,
        is_allowed: bool,
        wall_time: Timestamp,
    ) -> Self {
        let requested = subscription.and_then(|subscription| {
            let annotations = subscription.metadata.annotations.as_ref()?;
            annotations.get(TEST_CLOCK)?.parse::<Timestamp>().ok()
        });
        match ledger {
            Some(ledger) => ledger.test_clock_time.map_or(Self { now: wall_time, is_test: false }, |held| {
                Self { now: requested.map_or(held, |requested| requested.max(held)), is_test: true }
            }),
            None => match requested.filter(|_| is_allowed) {
                Some(now) => Self { now, is_test: true },
                None => Self { now: wall_time, is_test: false },
            },
        }
    }
}

/// Returns why the test clock of the Subscription's annotation is ignored, or `None` if it is not.
#[must_use]
pub fn ignored_test_clock(
    subscription: &Subscription,
    clock: AccountClock,
    is_allowed: bool,
) -> Option<String> {
    let requested = subscription.metadata.annotations.as_ref()?.get(TEST_CLOCK)?;
    let reason = match requested.parse::<Timestamp>() {
        Err(_) => "it must be a time such as '2026-01-31T10:00:00Z'".to_owned(),
        Ok(_) if !clock.is_test && !is_allowed => {
            "the operator must be started with `--allow-test-clocks` and this namespace".to_owned()
        }
        Ok(_) if !clock.is_test => {
            "the account started without one; use a Subscription with another name".to_owned()
        }
        Ok(requested) if requested < clock.now => {
            format!("it must not go back, and the account's clock is at {}", clock.now)
        }
        Ok(_) => return None,
    };
    Some(format!("test clock '{requested}' is ignored: {reason}"))
}

/// Returns all facts about the account.
///
/// # Errors
/// When a field of the Subscription is invalid.
pub fn facts_of(
    view: &View,
    ledger: Option<&Ledger>,
    acknowledged: Vec<(String, String)>,
    clock: AccountClock,
) -> Result<Facts, ConvertError> {
    let existing = view.subscription.as_deref().filter(|subscription| is_there(subscription));
    let subscription = existing.map(convert::subscription_fact).transpose()?;
    let uid = subscription.as_ref().map(|subscription| subscription.uid.clone()).unwrap_or_default();
    let mut facts = Facts {
        name: view.key.name.clone(),
        new_account_id: convert::new_account_id(&uid, clock.now),
        has_test_clock: clock.is_test,
        instant_is_open: !clock.is_test,
        subscription,
        reports: view.reports.index.facts.clone(),
        asked: view.reports.index.asked(clock.now),
        packs: view.packs.iter().map(|pending| pending.fact.clone()).collect(),
        payments: view.payments.iter().map(|pending| pending.fact.clone()).collect(),
        adjustments: view.adjustments.iter().map(|pending| pending.fact.clone()).collect(),
        acknowledged,
        unrecorded_bytes: None,
    };
    if clock.is_test {
        arrive_by_test_clock(&mut facts, view, ledger, clock.now);
    }
    Ok(facts)
}

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

/// Sets arrivals by the test clock. A new object arrives at the current time of the test clock. A pending
/// object keeps the arrival that its status records.
fn arrive_by_test_clock(facts: &mut Facts, view: &View, ledger: Option<&Ledger>, now: Timestamp) {
    if let Some(SubscriptionFact { arrival, uid, .. }) = &mut facts.subscription {
        let is_known = ledger.is_some_and(|ledger| ledger.subscription.uid == *uid);
        *arrival = if is_known { ledger.map_or(now, |ledger| ledger.start_time) } else { now };
    }
    facts.reports = arrived(&view.reports, now).collect();
    facts.asked = Asked::All;
    facts.packs = arrived(&view.packs, now).collect();
    facts.payments = arrived(&view.payments, now).collect();
    facts.adjustments = arrived(&view.adjustments, now).collect();
}

/// Returns the facts of one kind. Each arrives at `now`, or at the time since when its status shows it as
/// pending.
fn arrived<K: CachedKind>(rows: &Rows<Pending<K>>, now: Timestamp) -> impl Iterator<Item = K::Fact> {
    rows.iter().map(move |pending| {
        let conditions = pending.status.as_ref().map(FactStatus::conditions);
        let ready = conditions.and_then(|conditions| condition(conditions, READY));
        let mut fact = pending.fact.clone();
        K::set_arrival(&mut fact, ready.map_or(now, |ready| ready.last_transition_time.0.min(now)));
        fact
    })
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
