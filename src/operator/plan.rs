//! Second step: the next thing to do for an account. Pure: no client, no clock, nothing asynchronous.

#[cfg(test)]
mod tests;

use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::{
    AdjustmentVerdict, Decision, PackVerdict, PaymentVerdict, ReportVerdict, decide,
};
use flashgate_ledger::entry::{Detail, Entry};
use flashgate_ledger::facts::Asked;
use flashgate_ledger::ledger::{Ledger, Violation};
use flashgate_ledger::purchase::OrderState;
use flashgate_preview::account_clock::AccountClock;
use flashgate_preview::convert::{self, ConvertError};
use flashgate_preview::facts::{is_there, not_before_arrivals};

use crate::operator::facts::facts_of;
use crate::operator::memory::Memory;
use crate::operator::project::Trouble;
use crate::operator::view::View;

/// The next thing to do for an account.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Read a part from the API server, then plan again.
    Read(Part),
    /// Write the ledger's UID to the Subscription's status, then reconcile again. This comes before any further
    /// commit: otherwise the loss of the ledger would not be noticed.
    NameLedger(AccountClock),
    /// Commit the stored content again, because an administrator accepted it.
    Accept,
    /// Report in the Subscription's conditions why nothing can be decided, and write nothing else.
    Report(Trouble),
    /// Commit the decision, if it changes the ledger, then write its verdicts to the objects.
    Act(Box<Action>),
}

/// A part of the account that can be read from the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The API server's time.
    Time,
    /// The ledger.
    Ledger,
    /// The Subscription.
    Subscription,
}

/// A decision, and the time at which it was made.
#[derive(Debug)]
pub struct Action {
    /// The decision.
    pub decision: Decision,
    /// The account's clock.
    pub clock: AccountClock,
}

/// Whether a history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryMode {
    /// Only the ledger keeps its last entries.
    Off,
    /// Entries are recorded in a history store.
    Recorded,
}

/// The input of a plan besides the account.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The catalog.
    pub catalog: &'a Catalog,
    /// Whether the operator is paused. A paused operator neither decides nor writes.
    pub is_paused: bool,
    /// Whether the local clock agrees with the API server's.
    pub trusts_the_clock: bool,
    /// The history.
    pub history: HistoryMode,
    /// Whether Subscriptions of the account's namespace may have a test clock.
    pub allows_test_clocks: bool,
}

/// Returns the next step for the account of `view` and `memory`.
///
/// # Errors
/// When a field of the Subscription is invalid.
pub fn plan(view: &View, memory: &Memory, context: &Context<'_>) -> Result<Step, ConvertError> {
    if context.is_paused || view.is_empty() {
        return Ok(Step::Rest);
    }
    // Refusals and statuses depend on the time, as commits do.
    if !context.trusts_the_clock {
        return Ok(Step::Read(Part::Time));
    }
    if memory.is_in_doubt && !view.ledger_is_read() {
        return Ok(Step::Read(Part::Ledger));
    }
    let before = match ledger_of(view) {
        Ok(before) => before,
        Err(trouble) => return Ok(step_in_trouble(view, trouble)),
    };
    if view.ledger.as_ref().is_some_and(|ledger| ledger.is_accepted()) {
        return Ok(if view.ledger_is_read() { Step::Accept } else { Step::Read(Part::Ledger) });
    }
    if is_doubtful(view, before) && !view.subscription_is_newer() {
        return Ok(Step::Read(Part::Subscription));
    }
    let action = match decide_on(view, before, memory, context)? {
        Ok(action) => action,
        Err(_) if !view.ledger_is_read() => return Ok(Step::Read(Part::Ledger)),
        Err(violation) => return Ok(Step::Report(Trouble::from(&violation))),
    };
    if let Some(part) = missing_read(view, before, &action.decision) {
        return Ok(Step::Read(part));
    }
    if must_be_named_first(view, &action.decision) {
        return Ok(Step::NameLedger(action.clock));
    }
    Ok(Step::Act(Box::new(action)))
}

/// Returns the account state of the ledger, or `None` if there is no ledger.
fn ledger_of(view: &View) -> Result<Option<&Ledger>, Trouble> {
    let shown = view.shown_ledger();
    let Some(stored) = view.ledger.as_deref() else {
        return shown.map_or(Ok(None), |shown| Err(Trouble::Missing { uid: shown.uid.clone() }));
    };
    let forgiven = stored.spec.accepted.as_ref().map(|accepted| accepted.shown_hash.as_str());
    let is_older =
        shown.filter(|shown| shown.sequence > stored.spec.sequence && forgiven != Some(shown.hash.as_str()));
    match is_older {
        Some(shown) if !stored.is_accepted() => {
            Err(Trouble::Regression { held: stored.spec.sequence, shown: shown.sequence })
        }
        Some(_) | None => stored.ledger().map(Some).map_err(Trouble::from),
    }
}

/// Returns the reads that must confirm `trouble`, then the step that reports it. The ledger must be read after
/// the Subscription. If the ledger is missing, the Subscription that names it must be read too.
fn step_in_trouble(view: &View, trouble: Trouble) -> Step {
    if !view.ledger_is_newer() {
        return Step::Read(Part::Ledger);
    }
    if matches!(trouble, Trouble::Missing { .. }) && !view.subscription_is_read() {
        return Step::Read(Part::Subscription);
    }
    Step::Report(trouble)
}

/// Returns whether the Subscription in the view is another object than the ledger records, or an older version
/// of it.
fn is_doubtful(view: &View, before: Option<&Ledger>) -> bool {
    let Some((before, subscription)) = before.zip(view.subscription.as_deref()) else { return false };
    let uid = subscription.metadata.uid.as_deref().unwrap_or_default();
    let generation = subscription.metadata.generation.unwrap_or_default();
    uid != before.subscription.uid || generation < before.subscription.generation
}

/// Makes the decision. If the basis of waiting reports has changed, decides on all of them.
fn decide_on(
    view: &View,
    before: Option<&Ledger>,
    memory: &Memory,
    context: &Context<'_>,
) -> Result<Result<Action, Violation>, ConvertError> {
    let subscription = view.subscription.as_deref();
    let mut clock = AccountClock::of(subscription, before, context.allows_test_clocks, view.time);
    let mut facts = facts_of(view, before, memory.acknowledged.iter().cloned().collect(), clock)?;
    clock.now = not_before_arrivals(&facts, clock.now);
    facts.unrecorded_bytes =
        (context.history == HistoryMode::Recorded).then(|| unrecorded_bytes(view, memory));
    let mut decision = decide(before, &facts, context.catalog, clock.now);
    let rests_on_another =
        decision.as_ref().is_ok_and(|decision| !view.reports.index.rests_on(decision.wait_basis));
    if rests_on_another && facts.asked != Asked::All {
        facts.asked = Asked::All;
        decision = decide(before, &facts, context.catalog, clock.now);
    }
    Ok(decision.map(|decision| Action { decision, clock }))
}

/// Returns the size of the entries that are not known to be recorded in the history store.
fn unrecorded_bytes(view: &View, memory: &Memory) -> usize {
    let recording = memory.recording_of(view.ledger.as_deref());
    view.ledger.as_ref().map_or(0, |stored| convert::unrecorded_bytes(&stored.spec, recording.sequence))
}

/// Returns the part that must be read from the API server before `decision`, made on `before`, may be executed.
fn missing_read(view: &View, before: Option<&Ledger>, decision: &Decision) -> Option<Part> {
    let refuses_a_report =
        decision.reports.iter().any(|verdict| matches!(verdict.verdict, ReportVerdict::Rejected(_)));
    let refuses_an_order = refuses_an_order(decision);
    let is_first = before.is_none() && (decision.commit.is_some() || refuses_an_order);
    // No final verdict depends on a cached ledger. A verdict of an earlier commit needs a read too: if etcd was
    // restored, that commit may be lost.
    let shows_again = decision.commit.is_none() && shows_a_verdict(decision);
    if !view.ledger_is_read() && (refuses_a_report || is_first || shows_again) {
        return Some(Part::Ledger);
    }
    // A change to an account without a Subscription depends on its absence: an existing Subscription would have
    // to name the ledger first.
    let has_subscription = view.subscription.as_deref().is_some_and(is_there);
    let rests_on_absence = !has_subscription && decision.commit.is_some();
    let rests_on_subscription =
        is_first || refuses_an_order || rests_on_absence || changes_plan(before, decision);
    (rests_on_subscription && !view.subscription_is_newer()).then_some(Part::Subscription)
}

/// Returns whether a pending fact is about to show a final verdict.
fn shows_a_verdict(decision: &Decision) -> bool {
    let is_decided = |verdict: &ReportVerdict| !matches!(verdict, ReportVerdict::Waits(_));
    let is_final = |verdict: &PackVerdict| {
        !matches!(verdict, PackVerdict::Ordered(OrderState::AwaitingPayment(_)) | PackVerdict::Waits(_))
    };
    // If reports wait for receipts, this step writes the receipts of other charges.
    decision.waits_for_receipts
        || decision.reports.iter().any(|verdict| is_decided(&verdict.verdict))
        || decision.packs.iter().any(|verdict| is_final(&verdict.verdict))
        || decision.payments.iter().any(|verdict| !matches!(verdict.verdict, PaymentVerdict::Waits(_)))
        || decision.adjustments.iter().any(|verdict| !matches!(verdict.verdict, AdjustmentVerdict::Waits(_)))
}

/// Returns whether a pack, payment or adjustment is refused.
fn refuses_an_order(decision: &Decision) -> bool {
    let is_refusal = |entry: &&Entry| matches!(entry.detail, Detail::Refused { .. });
    decision.entries.iter().filter(is_refusal).any(Entry::is_part_of_ledger)
}

/// Returns whether the decision depends on the Subscription: a plan change or a period boundary. Before a
/// resumption the Subscription was already read, because the ledger recorded another object.
fn changes_plan(before: Option<&Ledger>, decision: &Decision) -> bool {
    before.zip(decision.commit.as_deref()).is_some_and(|(before, after)| {
        before.request != after.request
            || before.terms != after.terms
            || before.period != after.period
            || before.pending_change != after.pending_change
            || before.lapsed != after.lapsed
    })
}

/// Returns whether the Subscription must name the ledger before the next commit.
fn must_be_named_first(view: &View, decision: &Decision) -> bool {
    decision.commit.is_some()
        && view.ledger.is_some()
        && view.subscription.is_some()
        && !view.subscription_names_ledger()
}
