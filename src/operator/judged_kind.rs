//! The steps of a fact, the same for all four kinds: its object is parsed, the laws give a verdict, and its
//! status shows the verdict. The operator and the simulation share this code.

use std::fmt;
use std::sync::Arc;

use flashgate_api::fact::FactObject;
use flashgate_api::{CreditAdjustment, CreditPack, Payment, UsageReport};
use flashgate_ledger::decide::{
    AdjustmentVerdict, Decision, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Waiting,
};
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::{self, Facts};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::payment::PaymentOutcome;
use flashgate_ledger::purchase::OrderState;
use jiff::Timestamp;

use crate::operator::convert::{self, ConvertError, LabelGroups};
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
pub trait JudgedKind: FactObject {
    /// The fact.
    type Fact: Clone + fmt::Debug + Send + Sync;
    /// The verdict of the laws.
    type Verdict: Waiting + Sync;
    /// The kind, as entries name it.
    const KIND: FactKind;

    /// Returns the fact that the object states.
    ///
    /// # Errors
    /// The first field with an invalid value.
    fn fact(&self) -> Result<Self::Fact, ConvertError>;

    /// Returns the usage by labels of a report. Other kinds have none.
    fn labels(&self) -> Option<LabelGroups> {
        None
    }

    /// Returns when the fact arrived.
    fn arrival(fact: &Self::Fact) -> Timestamp;

    /// Sets when the fact arrived.
    fn set_arrival(fact: &mut Self::Fact, arrival: Timestamp);

    /// Adds a fact to those of an account.
    fn add(facts: &mut Facts, fact: Self::Fact);

    /// Keeps those facts of an account whose name passes `is_kept`.
    fn retain(facts: &mut Facts, is_kept: impl Fn(&str) -> bool);

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
    type Fact = Arc<facts::Report>;
    type Verdict = ReportVerdict;
    const KIND: FactKind = FactKind::UsageReport;

    fn fact(&self) -> Result<Arc<facts::Report>, ConvertError> {
        convert::report_fact(self).map(Arc::new)
    }

    fn labels(&self) -> Option<LabelGroups> {
        convert::label_groups(self).ok()
    }

    fn arrival(fact: &Arc<facts::Report>) -> Timestamp {
        fact.arrival
    }

    fn set_arrival(fact: &mut Arc<facts::Report>, arrival: Timestamp) {
        Arc::make_mut(fact).arrival = arrival;
    }

    fn add(facts: &mut Facts, fact: Arc<facts::Report>) {
        facts.reports.insert(fact);
    }

    fn retain(facts: &mut Facts, is_kept: impl Fn(&str) -> bool) {
        facts.reports.retain(|report| is_kept(&report.name));
    }

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
    type Fact = facts::PackOrder;
    type Verdict = PackVerdict;
    const KIND: FactKind = FactKind::CreditPack;

    fn fact(&self) -> Result<facts::PackOrder, ConvertError> {
        convert::pack_fact(self)
    }

    fn arrival(fact: &facts::PackOrder) -> Timestamp {
        fact.arrival
    }

    fn set_arrival(fact: &mut facts::PackOrder, arrival: Timestamp) {
        fact.arrival = arrival;
    }

    fn add(facts: &mut Facts, fact: facts::PackOrder) {
        facts.packs.push(fact);
    }

    fn retain(facts: &mut Facts, is_kept: impl Fn(&str) -> bool) {
        facts.packs.retain(|pack| is_kept(&pack.name));
    }

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
    type Fact = facts::Payment;
    type Verdict = PaymentVerdict;
    const KIND: FactKind = FactKind::Payment;

    fn fact(&self) -> Result<facts::Payment, ConvertError> {
        convert::payment_fact(self)
    }

    fn arrival(fact: &facts::Payment) -> Timestamp {
        fact.arrival
    }

    fn set_arrival(fact: &mut facts::Payment, arrival: Timestamp) {
        fact.arrival = arrival;
    }

    fn add(facts: &mut Facts, fact: facts::Payment) {
        facts.payments.push(fact);
    }

    fn retain(facts: &mut Facts, is_kept: impl Fn(&str) -> bool) {
        facts.payments.retain(|payment| is_kept(&payment.name));
    }

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
    type Fact = facts::Adjustment;
    type Verdict = AdjustmentVerdict;
    const KIND: FactKind = FactKind::CreditAdjustment;

    fn fact(&self) -> Result<facts::Adjustment, ConvertError> {
        convert::adjustment_fact(self)
    }

    fn arrival(fact: &facts::Adjustment) -> Timestamp {
        fact.arrival
    }

    fn set_arrival(fact: &mut facts::Adjustment, arrival: Timestamp) {
        fact.arrival = arrival;
    }

    fn add(facts: &mut Facts, fact: facts::Adjustment) {
        facts.adjustments.push(fact);
    }

    fn retain(facts: &mut Facts, is_kept: impl Fn(&str) -> bool) {
        facts.adjustments.retain(|adjustment| is_kept(&adjustment.name));
    }

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
