//! The decision: facts and timers in time order, up to now (Law 0).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::account::Account;
use crate::adjustment::AdjustmentOutcome;
use crate::catalog::Catalog;
use crate::entry::Entry;
use crate::facts::Facts;
use crate::idle::wait_for_account;
use crate::ledger::{Charge, Ledger, SubscriptionIdentity, Violation};
use crate::payment::PaymentOutcome;
use crate::period::Window;
use crate::purchase::OrderState;
use crate::queue::Acceptance;
use crate::refusal::Refusal;
use crate::replay::Replay;

/// The result of a decision: what to write, what to report, and when to decide again.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The ledger to commit; absent when there is nothing to commit.
    pub commit: Option<Box<Ledger>>,
    /// Entries in order, including refused reports, which are not part of the ledger.
    pub entries: Vec<Entry>,
    /// Gaps between charged windows that had to close, by source (Law 9).
    pub closed_gaps: Vec<(String, Window)>,
    /// The outcome of each report that was charged or refused, and of each that waits and that the facts ask about.
    pub reports: Vec<Verdict<ReportVerdict>>,
    /// The outcome of each pack.
    pub packs: Vec<Verdict<PackVerdict>>,
    /// The outcome of each payment.
    pub payments: Vec<Verdict<PaymentVerdict>>,
    /// The outcome of each adjustment.
    pub adjustments: Vec<Verdict<AdjustmentVerdict>>,
    /// When something will happen by itself; absent when nothing will.
    pub wake_time: Option<Timestamp>,
    /// Whether facts are left that the next commit will take up.
    pub has_more: bool,
    /// Whether reports are due that can be charged only when earlier charges have their receipts.
    pub waits_for_receipts: bool,
    /// The inputs that decide how reports wait, besides the time and each report itself.
    pub wait_basis: WaitBasis,
}

/// The inputs that decide how reports wait, besides the time and each report itself. While they are the same, the wait
/// of a report changes only with its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitBasis(pub(crate) Acceptance);

/// The outcome of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<T> {
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// The outcome.
    pub verdict: T,
}

/// The outcome of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportVerdict {
    /// It was charged by this commit.
    Charged(Charge),
    /// It was refused; final once decided on a ledger that is known to be current.
    Rejected(Refusal),
    /// It waits.
    Waits(Wait),
}

/// The outcome of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackVerdict {
    /// It is an order with this state.
    Ordered(OrderState),
    /// It waits.
    Waits(Wait),
}

/// The outcome of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentVerdict {
    /// It was applied or refused.
    Judged(PaymentOutcome),
    /// It waits.
    Waits(Wait),
}

/// The outcome of an adjustment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdjustmentVerdict {
    /// It was granted or refused.
    Judged(AdjustmentOutcome),
    /// It waits.
    Waits(Wait),
}

/// The reason why a fact waits; the wait ends by itself or runs out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The window ends at this time.
    WindowNotOver(Timestamp),
    /// There is no Subscription; it can appear until this time.
    NoSubscription(Timestamp),
    /// The account starts at this time.
    NotStarted(Timestamp),
    /// It was created at this time, which the clock has not reached (Law 0).
    ArrivalInFuture(Timestamp),
    /// The first period has not begun.
    FirstPeriod,
    /// The first period has begun while the Subscription is deleted; nothing is invoiced before it is back.
    SubscriptionBack,
    /// Earlier charges wait for their receipts; the next commit takes it up.
    Receipts,
}

/// A verdict that may be that its object waits.
pub trait Waiting {
    /// Returns the wait, if the object waits.
    fn wait(&self) -> Option<Wait>;
}

macro_rules! waiting {
    ($($verdict:ty),*) => {$(
        impl Waiting for $verdict {
            fn wait(&self) -> Option<Wait> {
                if let Self::Waits(wait) = self { Some(*wait) } else { None }
            }
        }
    )*};
}

waiting!(ReportVerdict, PackVerdict, PaymentVerdict, AdjustmentVerdict);

/// Decides on an account: applies `facts` and the passing of time up to `now` to `ledger`.
///
/// # Guarantees
/// - Deciding again on the committed result with the same facts commits nothing (quiescence).
/// - The order of the facts in their lists does not matter.
/// - Deciding at a later time what could have been decided before gives the same amounts (Law 0).
///
/// # Errors
/// An invariant that does not hold; then nothing may be written for this account.
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
    // A report that is pending again, since its status was lost, gets its receipt again as long as that is held.
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

/// Returns the ledger of an account whose start has come, or nothing while it has not (Law 17).
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

impl Wait {
    /// Returns when the wait ends by itself, if it does.
    #[must_use]
    pub fn ends(self) -> Option<Timestamp> {
        match self {
            Self::WindowNotOver(time)
            | Self::NoSubscription(time)
            | Self::NotStarted(time)
            | Self::ArrivalInFuture(time) => Some(time),
            Self::FirstPeriod | Self::SubscriptionBack | Self::Receipts => None,
        }
    }
}
