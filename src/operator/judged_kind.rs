//! The verdict on a fact, the same for all four kinds: the laws give it, and the status of the object shows it. The
//! operator and the simulation share this code.

use flashgate_api::{CreditAdjustment, CreditPack, Payment, UsageReport};
use flashgate_ledger::decide::{
    AdjustmentVerdict, Decision, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Waiting,
};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::payment::PaymentOutcome;
use flashgate_ledger::purchase::OrderState;
use flashgate_preview::stated_kind::StatedKind;
use jiff::Timestamp;

use crate::operator::project;

/// Whether a verdict can still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finality {
    /// The object has no verdict yet.
    Waits,
    /// The object has a verdict that a later fact can change: a grant can be refunded, and a refund that is due
    /// can be returned.
    CanChange,
    /// The verdict never changes.
    Final,
}

/// A kind whose objects state facts and get a verdict.
pub trait JudgedKind: StatedKind {
    /// The verdict of the laws.
    type Verdict: Waiting + Sync;

    /// Returns the verdicts on the objects of this kind.
    fn verdicts(decision: &Decision) -> &[Verdict<Self::Verdict>];

    /// Returns whether `verdict` can still change.
    fn finality(verdict: &Self::Verdict) -> Finality;

    /// Returns the status that shows `verdict`. `before` is the current status, and `ledger` is the account's,
    /// if there is one.
    fn show(
        before: Option<&Self::Status>,
        generation: i64,
        verdict: &Self::Verdict,
        ledger: Option<&Ledger>,
        now: Timestamp,
    ) -> Self::Status;
}

impl JudgedKind for UsageReport {
    type Verdict = ReportVerdict;

    fn verdicts(decision: &Decision) -> &[Verdict<ReportVerdict>] {
        &decision.reports
    }

    fn finality(verdict: &ReportVerdict) -> Finality {
        match verdict {
            ReportVerdict::Waits(_) => Finality::Waits,
            ReportVerdict::Charged(_) | ReportVerdict::Rejected(_) => Finality::Final,
        }
    }

    fn show(
        before: Option<&Self::Status>,
        generation: i64,
        verdict: &ReportVerdict,
        _: Option<&Ledger>,
        now: Timestamp,
    ) -> Self::Status {
        project::report_status(before, generation, verdict, now)
    }
}

impl JudgedKind for CreditPack {
    type Verdict = PackVerdict;

    fn verdicts(decision: &Decision) -> &[Verdict<PackVerdict>] {
        &decision.packs
    }

    fn finality(verdict: &PackVerdict) -> Finality {
        match verdict {
            PackVerdict::Waits(_) | PackVerdict::Ordered(OrderState::AwaitingPayment(_)) => Finality::Waits,
            PackVerdict::Ordered(OrderState::Granted(_) | OrderState::GrantedLongAgo) => Finality::CanChange,
            PackVerdict::Ordered(OrderState::Refused(_) | OrderState::Refunded(_)) => Finality::Final,
        }
    }

    fn show(
        before: Option<&Self::Status>,
        generation: i64,
        verdict: &PackVerdict,
        ledger: Option<&Ledger>,
        now: Timestamp,
    ) -> Self::Status {
        project::pack_status(before, generation, verdict, ledger, now)
    }
}

impl JudgedKind for Payment {
    type Verdict = PaymentVerdict;

    fn verdicts(decision: &Decision) -> &[Verdict<PaymentVerdict>] {
        &decision.payments
    }

    fn finality(verdict: &PaymentVerdict) -> Finality {
        match verdict {
            PaymentVerdict::Waits(_) => Finality::Waits,
            PaymentVerdict::Judged(PaymentOutcome::RefundDue) => Finality::CanChange,
            PaymentVerdict::Judged(
                PaymentOutcome::Applied | PaymentOutcome::Refused(_) | PaymentOutcome::Returned,
            ) => Finality::Final,
        }
    }

    fn show(
        before: Option<&Self::Status>,
        generation: i64,
        verdict: &PaymentVerdict,
        _: Option<&Ledger>,
        now: Timestamp,
    ) -> Self::Status {
        project::payment_status(before, generation, verdict, now)
    }
}

impl JudgedKind for CreditAdjustment {
    type Verdict = AdjustmentVerdict;

    fn verdicts(decision: &Decision) -> &[Verdict<AdjustmentVerdict>] {
        &decision.adjustments
    }

    fn finality(verdict: &AdjustmentVerdict) -> Finality {
        match verdict {
            AdjustmentVerdict::Waits(_) => Finality::Waits,
            AdjustmentVerdict::Judged(_) => Finality::Final,
        }
    }

    fn show(
        before: Option<&Self::Status>,
        generation: i64,
        verdict: &AdjustmentVerdict,
        _: Option<&Ledger>,
        now: Timestamp,
    ) -> Self::Status {
        project::adjustment_status(before, generation, verdict, now)
    }
}
