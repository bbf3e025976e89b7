//! Short texts of verdicts.

use flashgate_ledger::adjustment::AdjustmentOutcome;
use flashgate_ledger::decide::{AdjustmentVerdict, PackVerdict, PaymentVerdict, ReportVerdict};
use flashgate_ledger::payment::PaymentOutcome;
use flashgate_ledger::purchase::OrderState;
use flashgate_ledger::refusal::{Refusal, RefusalReason};

/// A verdict that can be summarized.
pub trait Summary {
    /// Returns a short text, such as `charged 370`, `DuplicateWindow` or `waits`.
    fn summary(&self) -> String;

    /// Returns the refusal, if the verdict is one.
    fn refusal(&self) -> Option<&Refusal>;

    /// Returns the reason of the refusal, if the verdict is one.
    fn reason(&self) -> Option<RefusalReason> {
        self.refusal().map(|refusal| refusal.reason)
    }
}

impl Summary for ReportVerdict {
    fn summary(&self) -> String {
        match self {
            Self::Charged(charge) => format!("charged {}", charge.credits),
            Self::Rejected(refusal) => refusal.reason.to_string(),
            Self::Waits(_) => "waits".to_owned(),
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Rejected(refusal) = self { Some(refusal) } else { None }
    }
}

impl Summary for PackVerdict {
    fn summary(&self) -> String {
        match self {
            Self::Ordered(OrderState::Granted(_)) => "granted".to_owned(),
            Self::Ordered(OrderState::GrantedLongAgo) => "granted long ago".to_owned(),
            Self::Ordered(OrderState::AwaitingPayment(_)) => "awaits payment".to_owned(),
            Self::Ordered(OrderState::Refunded(_)) => "refunded".to_owned(),
            Self::Ordered(OrderState::Refused(refusal)) => refusal.reason.to_string(),
            Self::Waits(_) => "waits".to_owned(),
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Ordered(OrderState::Refused(refusal)) = self { Some(refusal) } else { None }
    }
}

impl Summary for PaymentVerdict {
    fn summary(&self) -> String {
        match self {
            Self::Judged(PaymentOutcome::Applied) => "applied".to_owned(),
            Self::Judged(PaymentOutcome::RefundDue) => "refund due".to_owned(),
            Self::Judged(PaymentOutcome::Returned) => "returned".to_owned(),
            Self::Judged(PaymentOutcome::Refused(refusal)) => refusal.reason.to_string(),
            Self::Waits(_) => "waits".to_owned(),
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Judged(PaymentOutcome::Refused(refusal)) = self { Some(refusal) } else { None }
    }
}

impl Summary for AdjustmentVerdict {
    fn summary(&self) -> String {
        match self {
            Self::Judged(AdjustmentOutcome::Granted(record)) => format!("granted {}", record.credits),
            Self::Judged(AdjustmentOutcome::GrantedLongAgo) => "granted long ago".to_owned(),
            Self::Judged(AdjustmentOutcome::Refused(refusal)) => refusal.reason.to_string(),
            Self::Waits(_) => "waits".to_owned(),
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Judged(AdjustmentOutcome::Refused(refusal)) = self { Some(refusal) } else { None }
    }
}
