//! The decision: facts and timers in time order, up to now (Law 0).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::account::Account;
use crate::catalog::Catalog;
pub use crate::decision::{Decision, WaitBasis};
use crate::facts::Facts;
use crate::idle::wait_for_account;
use crate::ledger::{Charge, Ledger, SubscriptionIdentity, Violation};
use crate::replay::Replay;
pub use crate::verdict::{
    AdjustmentVerdict, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Wait, Waiting,
};

/// Decides on an account: applies `facts` and all timers up to `now` to `ledger`.
///
/// # Guarantees
/// - Deciding again on the committed result with the same facts commits nothing (quiescence).
/// - The order of the facts in their lists does not matter.
/// - A later decision gives the same amounts as an earlier one (Law 0).
///
/// # Errors
/// Returns the violation if an invariant does not hold. Nothing may then be written for this account.
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
    // A report whose status was lost is pending again. It gets its receipt again while the ledger holds it.
    account.ledger.unacknowledged.retain(|charge| {
        let Charge { name, uid, .. } = charge;
        !acknowledged.contains(&(name.as_str(), uid.as_str())) || facts.reports.get(name, uid).is_some()
    });
    let charged =
        before.unacknowledged.iter().map(|charge| (charge.name.as_str(), charge.uid.as_str())).collect();
    let is_new = ledger.is_none();
    let mut replay = Replay::new(account, facts, &charged, is_new, now);
    replay.enqueue_reports();
    replay.enqueue_orders();
    replay.run()?;
    replay.conclude(before, is_new)
}

/// Returns the ledger of an account whose start time has passed, or `None` before (Law 17).
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
