//! Every state of our objects, and the health that tools must report for it.

use std::path::PathBuf;

use super::customizations;

/// A row of the table of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// The operator has not seen this generation.
    Unseen,
    /// The change completes without any action.
    Waits,
    /// A payment is due, and there is still time.
    AwaitsPayment,
    /// Every request is complete.
    Done,
    /// The subscription ended as requested, and no plan is in force.
    Inactive,
    /// The request was refused, or somebody must act.
    Refused,
    /// The object is being deleted.
    Deleting,
}

impl Row {
    /// Returns the state that Helm and Flux must report.
    pub const fn kstatus(self) -> &'static str {
        match self {
            Self::Unseen | Self::Waits | Self::AwaitsPayment => "InProgress",
            Self::Done | Self::Inactive => "Current",
            Self::Refused => "Failed",
            Self::Deleting => "Terminating",
        }
    }

    /// Returns the state that Argo CD must report.
    pub const fn argo_cd(self) -> &'static str {
        match self {
            Self::Unseen | Self::Waits | Self::Deleting => "Progressing",
            Self::AwaitsPayment | Self::Inactive => "Suspended",
            Self::Done => "Healthy",
            Self::Refused => "Degraded",
        }
    }
}

/// A state to record.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Kind of the object.
    pub kind: &'static str,
    /// Name of the recording.
    pub name: &'static str,
    /// The row of the table of conditions.
    pub row: Row,
    /// The reason of the condition Ready; empty if there is none yet.
    pub reason: &'static str,
    /// The condition with the message for people.
    pub telling: &'static str,
}

impl State {
    /// Returns the file of the recording.
    pub fn file(&self) -> PathBuf {
        customizations(self.kind).join("testdata").join(self.name).with_extension("yaml")
    }

    const fn telling(self, telling: &'static str) -> Self {
        Self { telling, ..self }
    }
}

const fn state(kind: &'static str, name: &'static str, row: Row, reason: &'static str) -> State {
    State { kind, name, row, reason, telling: "Ready" }
}

/// The kinds, in the order of the documentation.
pub const KINDS: [&str; 7] = [
    "Subscription",
    "CreditPack",
    "UsageReport",
    "Payment",
    "CreditAdjustment",
    "CreditLedger",
    "UsageMeter",
];

/// Every state to record.
pub const STATES: [State; 52] = [
    state("Subscription", "not_seen", Row::Unseen, ""),
    state("Subscription", "edit_not_seen", Row::Unseen, "InForce"),
    state("Subscription", "not_started", Row::Waits, "NotStarted"),
    state("Subscription", "awaiting_payment", Row::AwaitsPayment, "AwaitingPayment"),
    state("Subscription", "renewal_awaiting_payment", Row::AwaitsPayment, "AwaitingPayment"),
    state("Subscription", "in_force", Row::Done, "InForce"),
    state("Subscription", "change_pending", Row::Done, "ChangePending"),
    state("Subscription", "not_renewing", Row::Done, "NotRenewing"),
    state("Subscription", "lapsed", Row::Done, "Lapsed"),
    state("Subscription", "credits_low", Row::Done, "InForce").telling("CreditsLow"),
    state("Subscription", "credits_exhausted", Row::Done, "InForce").telling("CreditsExhausted"),
    state("Subscription", "inactive", Row::Inactive, "Lapsed"),
    state("Subscription", "plan_not_found", Row::Refused, "PlanNotFound"),
    state("Subscription", "payment_overdue", Row::Refused, "PaymentOverdue"),
    state("Subscription", "ledger_missing", Row::Refused, "LedgerMissing"),
    state("Subscription", "terminating", Row::Deleting, "InForce"),
    state("CreditPack", "not_seen", Row::Unseen, ""),
    state("CreditPack", "subscription_missing", Row::Waits, "SubscriptionMissing"),
    state("CreditPack", "first_period_awaited", Row::Waits, "FirstPeriodAwaited"),
    state("CreditPack", "awaiting_payment", Row::AwaitsPayment, "AwaitingPayment"),
    state("CreditPack", "granted", Row::Done, "Granted"),
    state("CreditPack", "refunded", Row::Done, "Refunded"),
    state("CreditPack", "plan_not_eligible", Row::Refused, "PlanNotEligible"),
    state("CreditPack", "pack_limit_reached", Row::Refused, "PackLimitReached"),
    state("CreditPack", "payment_cancelled", Row::Refused, "PaymentCancelled"),
    state("CreditPack", "terminating", Row::Deleting, "Granted"),
    state("UsageReport", "not_seen", Row::Unseen, ""),
    state("UsageReport", "subscription_missing", Row::Waits, "SubscriptionMissing"),
    state("UsageReport", "window_not_over", Row::Waits, "WindowNotOver"),
    state("UsageReport", "charged", Row::Done, "Charged"),
    state("UsageReport", "duplicate_window", Row::Refused, "DuplicateWindow"),
    state("UsageReport", "terminating", Row::Deleting, "Charged"),
    state("Payment", "not_seen", Row::Unseen, ""),
    state("Payment", "subscription_missing", Row::Waits, "SubscriptionMissing"),
    state("Payment", "applied", Row::Done, "Applied"),
    state("Payment", "wrong_amount", Row::Refused, "WrongAmount"),
    state("Payment", "refund_due", Row::Refused, "RefundDue"),
    state("Payment", "terminating", Row::Deleting, "Applied"),
    state("CreditAdjustment", "not_seen", Row::Unseen, ""),
    state("CreditAdjustment", "subscription_missing", Row::Waits, "SubscriptionMissing"),
    state("CreditAdjustment", "granted", Row::Done, "Granted"),
    state("CreditAdjustment", "already_expired", Row::Refused, "AlreadyExpired"),
    state("CreditAdjustment", "terminating", Row::Deleting, "Granted"),
    state("CreditLedger", "open", Row::Done, ""),
    state("CreditLedger", "terminating", Row::Deleting, ""),
    state("UsageMeter", "not_seen", Row::Unseen, ""),
    state("UsageMeter", "edit_not_seen", Row::Unseen, "WindowsReported"),
    state("UsageMeter", "reported", Row::Done, "WindowsReported"),
    state("UsageMeter", "unknown_account", Row::Refused, "UnknownAccount"),
    state("UsageMeter", "source_unreachable", Row::Refused, "SourceUnreachable"),
    state("UsageMeter", "unknown_server", Row::Refused, "UnknownServer"),
    state("UsageMeter", "terminating", Row::Deleting, "WindowsReported"),
];

/// Returns a recorded state.
pub fn named(kind: &str, name: &str) -> State {
    let found = STATES.iter().find(|state| state.kind == kind && state.name == name);
    *found.unwrap_or_else(|| unreachable!("no {kind} {name} is recorded"))
}
