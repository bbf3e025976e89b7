//! Second step: the facts about an account, and the clock it lives by.

use flashgate_ledger::facts::{Facts, Subscription as SubscriptionFact};
use flashgate_ledger::ledger::Ledger;
use jiff::Timestamp;

use crate::api::Subscription;
use crate::operator::convert::{self, ConvertError};
use crate::operator::observe::Seen;

/// Annotation with the frozen "now" of an account that lives by a test clock.
pub const TEST_CLOCK: &str = "billing.flashgate.dev/test-clock";

/// What an account takes for the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountClock {
    /// The present.
    pub now: Timestamp,
    /// Whether it is a test clock's: then nothing happens until it is moved on.
    pub is_test: bool,
}

impl AccountClock {
    /// Returns the clock of an account: a test clock only if the account was begun with one.
    #[must_use]
    pub fn of(
        subscription: Option<&Subscription>,
        ledger: Option<&Ledger>,
        is_allowed: bool,
        wall_time: Timestamp,
    ) -> Self {
        let asked = subscription.and_then(|subscription| {
            let annotations = subscription.metadata.annotations.as_ref()?;
            annotations.get(TEST_CLOCK)?.parse::<Timestamp>().ok()
        });
        match ledger {
            Some(ledger) => ledger.test_clock_time.map_or(Self { now: wall_time, is_test: false }, |held| {
                Self { now: asked.map_or(held, |asked| asked.max(held)), is_test: true }
            }),
            None => match asked.filter(|_| is_allowed) {
                Some(now) => Self { now, is_test: true },
                None => Self { now: wall_time, is_test: false },
            },
        }
    }
}

/// Returns everything that is stated about the account.
///
/// # Errors
/// When the Subscription says something that cannot be understood.
pub fn facts_of(
    seen: &Seen,
    ledger: Option<&Ledger>,
    acknowledged: Vec<(String, String)>,
    clock: AccountClock,
) -> Result<Facts, ConvertError> {
    let subscription = seen.subscription.as_deref().map(convert::subscription_fact).transpose()?;
    let uid = subscription.as_ref().map(|subscription| subscription.uid.clone()).unwrap_or_default();
    let mut facts = Facts {
        name: seen.key.name.clone(),
        new_account_id: convert::new_account_id(&uid, clock.now),
        has_test_clock: clock.is_test,
        instant_is_open: !clock.is_test,
        subscription,
        reports: seen.reports.iter().map(|pending| pending.fact.clone()).collect(),
        packs: seen.packs.iter().map(|pending| pending.fact.clone()).collect(),
        payments: seen.payments.iter().map(|pending| pending.fact.clone()).collect(),
        adjustments: seen.adjustments.iter().map(|pending| pending.fact.clone()).collect(),
        acknowledged,
        ledger_bytes: seen.ledger.as_deref().map_or(0, |ledger| convert::ledger_bytes(&ledger.spec)),
    };
    if clock.is_test {
        arrive_by_test_clock(&mut facts, ledger, clock.now);
    }
    Ok(facts)
}

/// Returns the present, which nothing that has arrived can be later than: arrivals are the API server's times, and the
/// local clock may be a little behind it.
#[must_use]
pub fn not_before_arrivals(facts: &Facts, now: Timestamp) -> Timestamp {
    let subscription = facts.subscription.iter().map(|subscription| subscription.arrival);
    let arrivals = subscription
        .chain(facts.reports.iter().map(|report| report.arrival))
        .chain(facts.packs.iter().map(|pack| pack.arrival))
        .chain(facts.payments.iter().map(|payment| payment.arrival))
        .chain(facts.adjustments.iter().map(|adjustment| adjustment.arrival));
    arrivals.fold(now, Timestamp::max)
}

/// Lets everything arrive at the test clock's time: what is created while the clock stands still arrives then.
fn arrive_by_test_clock(facts: &mut Facts, ledger: Option<&Ledger>, now: Timestamp) {
    if let Some(SubscriptionFact { arrival, uid, .. }) = &mut facts.subscription {
        let is_known = ledger.is_some_and(|ledger| ledger.subscription.uid == *uid);
        *arrival = if is_known { ledger.map_or(now, |ledger| ledger.start_time) } else { now };
    }
    let arrivals = facts.reports.iter_mut().map(|report| &mut report.arrival);
    let arrivals = arrivals.chain(facts.packs.iter_mut().map(|pack| &mut pack.arrival));
    let arrivals = arrivals.chain(facts.payments.iter_mut().map(|payment| &mut payment.arrival));
    let arrivals = arrivals.chain(facts.adjustments.iter_mut().map(|adjustment| &mut adjustment.arrival));
    for arrival in arrivals {
        *arrival = now;
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
    }
}
