//! The changes of an account's facts that result from actions: objects as the API server stores them.

use std::collections::HashMap;

use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::{Adjustment, Facts, PackOrder, Payment, Report, Subscription, UsageTotal};

use crate::action::UsageLine;

/// One change of the facts about an account, or of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The Subscription was created or edited. This is its new state.
    Subscription(Subscription),
    /// The Subscription was deleted.
    Unsubscribed,
    /// The edition of the catalog at this position is in force now.
    Catalog(usize),
    /// A UsageReport was created.
    Report(Report),
    /// A CreditPack was created.
    Pack(PackOrder),
    /// A Payment was created.
    Payment(Payment),
    /// A CreditAdjustment was created.
    Adjustment(Adjustment),
    /// The object of this kind and name was deleted.
    Deleted(FactKind, String),
}

impl Change {
    /// Returns true if the change is of the Subscription or the catalog. An operator that is down misses such a
    /// change if another one follows.
    pub const fn is_edit(&self) -> bool {
        matches!(self, Self::Subscription(_) | Self::Unsubscribed | Self::Catalog(_))
    }

    /// Applies the change to `facts`. A change of the catalog does not change them.
    pub fn make(self, facts: &mut Facts) {
        match self {
            Self::Subscription(subscription) => facts.subscription = Some(subscription),
            Self::Unsubscribed => facts.subscription = None,
            Self::Catalog(_) => {}
            Self::Report(report) => facts.reports.insert(report),
            Self::Pack(pack) => facts.packs.push(pack),
            Self::Payment(payment) => facts.payments.push(payment),
            Self::Adjustment(adjustment) => facts.adjustments.push(adjustment),
            Self::Deleted(kind, name) => match kind {
                FactKind::UsageReport => facts.reports.retain(|report| report.name != name),
                FactKind::CreditPack => facts.packs.retain(|pack| pack.name != name),
                FactKind::Payment => facts.payments.retain(|payment| payment.name != name),
                FactKind::CreditAdjustment => facts.adjustments.retain(|gift| gift.name != name),
            },
        }
    }
}

/// Returns the sums of `lines` by node type and operation, in the order of their first lines.
pub fn totals(lines: &[UsageLine]) -> Vec<UsageTotal> {
    let mut totals: Vec<UsageTotal> = Vec::new();
    let mut positions = HashMap::new();
    for (first_line, UsageLine { node_type, operation, quantity }) in lines.iter().enumerate() {
        let quantity = quantity.parse().expect("quantity");
        let position = *positions.entry((node_type, operation)).or_insert(totals.len());
        match totals.get_mut(position) {
            Some(total) => total.quantity = total.quantity.checked_add(quantity).expect("a sum"),
            None => totals.push(UsageTotal {
                node_type: node_type.clone(),
                operation: operation.clone(),
                quantity,
                first_line,
            }),
        }
    }
    totals
}
