//! The facts that objects state, the same way for all four kinds: UsageReport, CreditPack, Payment and
//! CreditAdjustment.

use std::fmt;
use std::sync::Arc;

use flashgate_api::fact::{FactObject, FactStatus};
use flashgate_api::{CreditAdjustment, CreditPack, Payment, READY, UsageReport, condition};
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::{self, Facts};
use jiff::Timestamp;

use crate::convert::{self, ConvertError, LabelGroups};

/// A kind whose objects state facts.
pub trait StatedKind: FactObject {
    /// The fact.
    type Fact: Clone + fmt::Debug + Send + Sync;
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

    /// Returns when an object arrived by a test clock that shows `now`: at that time, or when its status first showed
    /// it as pending.
    #[must_use]
    fn arrival_by_test_clock(status: Option<&Self::Status>, now: Timestamp) -> Timestamp {
        let conditions = status.map(FactStatus::conditions);
        let ready = conditions.and_then(|conditions| condition(conditions, READY));
        ready.map_or(now, |ready| ready.last_transition_time.0.min(now))
    }
}

impl StatedKind for UsageReport {
    type Fact = Arc<facts::Report>;
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
}

impl StatedKind for CreditPack {
    type Fact = facts::PackOrder;
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
}

impl StatedKind for Payment {
    type Fact = facts::Payment;
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
}

impl StatedKind for CreditAdjustment {
    type Fact = facts::Adjustment;
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
}
