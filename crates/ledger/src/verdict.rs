//! Verdicts: the outcome of each fact, and the reasons why a fact is pending.

use jiff::Timestamp;

use crate::adjustment::AdjustmentOutcome;
use crate::ledger::Charge;
use crate::payment::PaymentOutcome;
use crate::purchase::OrderState;
use crate::refusal::Refusal;

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
    /// It was refused. This is final if the ledger of the decision is known to be current.
    Rejected(Refusal),
    /// It is pending.
    Waits(Wait),
}

/// The outcome of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackVerdict {
    /// The order has this state.
    Ordered(OrderState),
    /// It is pending.
    Waits(Wait),
}

/// The outcome of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentVerdict {
    /// It was applied or refused.
    Judged(PaymentOutcome),
    /// It is pending.
    Waits(Wait),
}

/// The outcome of an adjustment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdjustmentVerdict {
    /// It was granted or refused.
    Judged(AdjustmentOutcome),
    /// It is pending.
    Waits(Wait),
}

/// The reason why a fact is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The window ends at this time.
    WindowNotOver(Timestamp),
    /// There is no Subscription. It can appear until this time.
    NoSubscription(Timestamp),
    /// The account starts at this time.
    NotStarted(Timestamp),
    /// The fact was created at this time, which the clock has not reached (Law 0).
    ArrivalInFuture(Timestamp),
    /// The first period has not begun.
    FirstPeriod,
    /// The first period has begun, but the Subscription is deleted. Nothing is invoiced until it exists again.
    SubscriptionBack,
    /// Receipts of earlier charges are not confirmed. The next commit decides this fact.
    Receipts,
}

/// A verdict that can be a wait.
pub trait Waiting {
    /// Returns the wait, if the object is pending.
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

impl Wait {
    /// Returns the time at which the wait ends without a new fact, if there is one.
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
