//! Third step: decide, and say what the decision may rest on. Pure: no client, no clock, nothing asynchronous.

use flashgate_ledger::decide::{AdjustmentVerdict, Decision, PackVerdict, PaymentVerdict, ReportVerdict};
use flashgate_ledger::entry::{Detail, FactKind};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::purchase::OrderState;

/// What has to be read from the server before a decision may be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Nothing.
    Nothing,
    /// The ledger: no final verdict rests on a cached one, nor does an account's first commit.
    Ledger,
    /// The Subscription, after the ledger: what it decides rests on nothing older.
    Subscription,
}

/// How well the parts are known that a decision was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knowledge {
    /// Whether the ledger was read from the server.
    pub ledger_is_fresh: bool,
    /// Whether the Subscription was read from the server after the ledger.
    pub subscription_is_fresh: bool,
    /// Whether there is a Subscription, as far as is known.
    pub has_subscription: bool,
}

/// Returns what `decision`, made on `before`, lacks to be carried out.
#[must_use]
pub fn lack(before: Option<&Ledger>, decision: &Decision, knowledge: Knowledge) -> Lack {
    let refuses_a_report =
        decision.reports.iter().any(|verdict| matches!(verdict.verdict, ReportVerdict::Rejected(_)));
    let refuses_an_order = refuses_an_order(decision);
    let is_first = before.is_none() && (decision.commit.is_some() || refuses_an_order);
    if !knowledge.ledger_is_fresh && (refuses_a_report || is_first) {
        return Lack::Ledger;
    }
    // What an earlier commit decided is shown as the server holds it now: where etcd was restored, that commit may be lost.
    if !knowledge.ledger_is_fresh && decision.commit.is_none() && shows_a_verdict(decision) {
        return Lack::Ledger;
    }
    // What is done to an account without a Subscription rests on there being none: else it would have to name the ledger.
    let rests_on_absence = !knowledge.has_subscription && decision.commit.is_some();
    let rests_on_subscription =
        is_first || refuses_an_order || rests_on_absence || changes_plan(before, decision);
    if rests_on_subscription && !knowledge.subscription_is_fresh { Lack::Subscription } else { Lack::Nothing }
}

/// Returns whether a fact without a verdict is to show a final one.
fn shows_a_verdict(decision: &Decision) -> bool {
    let is_final = |verdict: &PackVerdict| {
        !matches!(verdict, PackVerdict::Ordered(OrderState::AwaitingPayment(_)) | PackVerdict::Waits(_))
    };
    let is_decided = |verdict: &ReportVerdict| !matches!(verdict, ReportVerdict::Waits(_));
    // Reports that wait for receipts have the receipts of other charges written.
    decision.waits_for_receipts
        || decision.reports.iter().any(|verdict| is_decided(&verdict.verdict))
        || decision.packs.iter().any(|verdict| is_final(&verdict.verdict))
        || decision.payments.iter().any(|verdict| !matches!(verdict.verdict, PaymentVerdict::Waits(_)))
        || decision.adjustments.iter().any(|verdict| !matches!(verdict.verdict, AdjustmentVerdict::Waits(_)))
}

/// Returns whether a pack, payment or adjustment is refused.
fn refuses_an_order(decision: &Decision) -> bool {
    decision.entries.iter().any(|entry| {
        matches!(&entry.detail, Detail::Refused { object, .. } if object.kind != FactKind::UsageReport)
    })
}

/// Returns whether the Subscription decides: a plan change or a boundary. Of a resumption the server was asked before,
/// since the ledger recorded another object.
fn changes_plan(before: Option<&Ledger>, decision: &Decision) -> bool {
    before.zip(decision.commit.as_deref()).is_some_and(|(before, after)| {
        before.request != after.request
            || before.terms != after.terms
            || before.period != after.period
            || before.pending_change != after.pending_change
            || before.lapsed != after.lapsed
    })
}
