//! Verdicts: the outcome of each fact, and the reasons why a fact waits.

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
