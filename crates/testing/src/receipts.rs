//! The effects of a decision on the facts: removes objects with a final verdict, and confirms receipts.

use std::collections::HashSet;

use flashgate_ledger::decide::{Decision, PackVerdict, Verdict, Waiting};
use flashgate_ledger::facts::Facts;
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::purchase::OrderState;

/// Removes the objects that have a final verdict in `decision`.
pub fn remove_judged(facts: &mut Facts, decision: &Decision) {
    let Decision { reports, packs, payments, adjustments, .. } = decision;
    let judged = uids(reports, |_| true);
    facts.reports.retain(|report| !judged.contains(report.uid.as_str()));
    let judged =
        uids(packs, |verdict| !matches!(verdict, PackVerdict::Ordered(OrderState::AwaitingPayment(_))));
    facts.packs.retain(|pack| !judged.contains(pack.uid.as_str()));
    let judged = uids(payments, |_| true);
    facts.payments.retain(|payment| !judged.contains(payment.uid.as_str()));
    let judged = uids(adjustments, |_| true);
    facts.adjustments.retain(|adjustment| !judged.contains(adjustment.uid.as_str()));
}

/// Returns the UIDs of the objects that are not pending and whose verdict `is_final`.
fn uids<T: Waiting>(verdicts: &[Verdict<T>], is_final: impl Fn(&T) -> bool) -> HashSet<&str> {
    let judged =
        verdicts.iter().filter(|verdict| verdict.verdict.wait().is_none() && is_final(&verdict.verdict));
    judged.map(|verdict| verdict.uid.as_str()).collect()
}

/// Confirms the receipts of all unconfirmed charges of `ledger`.
pub fn confirm_receipts(facts: &mut Facts, ledger: Option<&Ledger>) {
    let charges = ledger.into_iter().flat_map(|ledger| &ledger.unacknowledged);
    facts.acknowledged = charges.map(|charge| (charge.name.clone(), charge.uid.clone())).collect();
}
