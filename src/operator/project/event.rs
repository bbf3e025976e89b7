//! Events about a committed decision. Each is published once.

#[cfg(test)]
mod tests;

use flashgate_api::event::Event;
use flashgate_api::reason::Reason;
use flashgate_api::{READY, STALLED, SubscriptionStatus, condition};
use flashgate_ledger::Credits;
use flashgate_ledger::decide::Decision;
use flashgate_ledger::entry::{Detail, Entry, FactKind, LapseCause, ObjectName};
use flashgate_ledger::invoice::{InvoiceState, VoidCause};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::period::Window;
use flashgate_ledger::refusal::Refusal;

use super::ready_condition::describe_plan;

/// An Event before it is published. Without an object it is about the Subscription.
pub type AccountEvent = Event<Option<ObjectName>>;

/// Returns the Events of a decision, in order. An ordinary charge has no Event. Credits are exhausted at
/// `exhaustion_limit` (Law 29).
#[must_use]
pub fn events(decision: &Decision, exhaustion_limit: Credits) -> Vec<AccountEvent> {
    let gaps = decision.closed_gaps.iter().map(|(source, gap)| gap_closed(source, *gap));
    let exhausted = exhausted(&decision.entries, exhaustion_limit);
    decision.entries.iter().filter_map(entry_event).chain(gaps).chain(exhausted).collect()
}

/// Returns the Event about the UsageReport called `report`, which was refused.
#[must_use]
pub fn refusal_event(report: &str, refusal: &Refusal) -> AccountEvent {
    let object = ObjectName { kind: FactKind::UsageReport, name: report.to_owned() };
    Event::warning(Some(object), refusal.reason.into(), refusal.message.clone())
}

/// Returns the Event about a Subscription that resumes the account of an earlier one with its name.
#[must_use]
pub fn resumption_event(before: &Ledger, after: &Ledger) -> Option<AccountEvent> {
    if before.subscription.uid == after.subscription.uid {
        return None;
    }
    let account = "the Subscription resumes the account of an earlier one of its name";
    let debt = before.debt;
    Some(if debt.is_positive() {
        let message = format!(
            "{account}, which has a debt of {debt} credits: credits that arrive repay the debt first; to begin without \
             it, an administrator gives a CreditAdjustment"
        );
        Event::warning(None, Reason::Resumed, message)
    } else {
        let message = format!("{account}: balance, purchases and limits are as they were");
        Event::normal(None, Reason::Resumed, message)
    })
}

/// Returns the Event about a Subscription whose stored status changes from `before` to `after`: it is stalled,
/// or a change is postponed to the period's end.
///
/// A stored status changes once for each occurrence, even if operators restart or hand over. The same reason
/// gets another Event only if the spec was edited and the message differs. Without an edit, the message of the
/// same fault may differ at each try.
#[must_use]
pub fn status_event(before: Option<&SubscriptionStatus>, after: &SubscriptionStatus) -> Option<AccountEvent> {
    let ready = condition(&after.conditions, READY)?;
    let reason = Reason::from_name(&ready.reason)?;
    let known = before.and_then(|before| condition(&before.conditions, READY));
    let is_edited = before.and_then(|before| before.observed_generation) != after.observed_generation;
    if known
        .is_some_and(|known| known.reason == ready.reason && (known.message == ready.message || !is_edited))
    {
        return None;
    }
    if reason == Reason::ArrivalInFuture || condition(&after.conditions, STALLED).is_some() {
        return Some(Event::warning(None, reason, ready.message.clone()));
    }
    let is_put_off = matches!(reason, Reason::ChangePending | Reason::NotRenewing);
    is_put_off.then(|| Event::normal(None, reason, ready.message.clone()))
}

fn entry_event(entry: &Entry) -> Option<AccountEvent> {
    // The Event of a refused report is published with its receipt. Otherwise each decision before the receipt
    // would repeat it.
    if !entry.is_part_of_ledger() {
        return None;
    }
    Some(match entry.detail.clone() {
        Detail::Granted { amount, plan, period_number, expiration_time, .. } => {
            let plan = describe_plan(&plan);
            let message =
                format!("{amount} credits of {plan} for period {period_number}, until {expiration_time}");
            Event::normal(None, Reason::Granted, message)
        }
        Detail::Purchased { amount, object, pack, .. } => Event::normal(
            Some(object),
            Reason::Purchased,
            format!("{amount} credits of pack '{pack}' were granted"),
        ),
        Detail::Adjusted { amount, object, .. } => {
            Event::normal(Some(object), Reason::Granted, format!("{amount} credits were granted"))
        }
        Detail::Refunded { amount, invoice, .. } => Event::normal(
            None,
            Reason::Refunded,
            format!("invoice {invoice} was refunded, {amount} credits were taken"),
        ),
        Detail::PlanChanged { from, to, period_number } => {
            let from = from.as_ref().map_or_else(|| "no plan".to_owned(), describe_plan);
            let message = format!("{from} changed to {} with period {period_number}", describe_plan(&to));
            Event::normal(None, Reason::PlanChanged, message)
        }
        Detail::Renewed { plan, period_number, period } => {
            let message =
                format!("{} began period {period_number}, until {}", describe_plan(&plan), period.end_time);
            Event::normal(None, Reason::Renewed, message)
        }
        Detail::Lapsed { from, to, cause } => {
            let because = match cause {
                LapseCause::RenewalNone => "as `renewal: None` asks",
                LapseCause::PaymentOverdue => "its renewal was not paid in time",
                LapseCause::PlanNotFound => "the catalog no longer offers it",
            };
            let to = to.as_ref().map_or_else(|| "no plan".to_owned(), describe_plan);
            Event::warning(
                None,
                Reason::Lapsed,
                format!("{} lapsed to {to}: {because}", describe_plan(&from)),
            )
        }
        Detail::Threshold { percent } => {
            let message = format!("{percent} % of the period's credits are used");
            Event::warning(None, Reason::ThresholdReached, message)
        }
        Detail::Accepted { sequence } => {
            let message = format!("an administrator accepted the CreditLedger as of sequence {sequence}");
            Event::warning(None, Reason::LedgerAccepted, message)
        }
        Detail::Refused { object, refusal } => {
            Event::warning(Some(object), refusal.reason.into(), refusal.message)
        }
        Detail::Invoiced { .. } | Detail::Settled { .. } | Detail::Voided { .. } => {
            return invoice_event(&entry.detail);
        }
        Detail::Charged { .. } | Detail::Expired { .. } | Detail::SettlementClosed { .. } => return None,
    })
}

fn invoice_event(detail: &Detail) -> Option<AccountEvent> {
    match detail {
        // An invoice that is settled when it is issued has no payment to wait for.
        Detail::Invoiced { amount, currency, invoice, due_time: Some(due), .. } => {
            let message =
                format!("invoice {invoice} over {amount} {currency} waits for its payment, due at {due}");
            Some(Event::normal(None, Reason::InvoiceIssued, message))
        }
        Detail::Settled { amount, currency, invoice, state: InvoiceState::RefundDue, .. } => {
            let message =
                format!("invoice {invoice} was paid although it was void: return {amount} {currency}");
            Some(Event::warning(None, Reason::RefundDue, message))
        }
        Detail::Voided { invoice, cause, .. } => {
            let (event, because): (fn(_, _, _) -> _, _) = match cause {
                VoidCause::Superseded => (Event::normal, "something else took its place"),
                VoidCause::PaymentCancelled => (Event::warning, "its payment was cancelled"),
                VoidCause::PaymentExpired => (Event::warning, "it was not paid in time"),
            };
            let message = format!("invoice {invoice} is no longer owed: {because}");
            Some(event(None, Reason::InvoiceVoided, message))
        }
        _ => None,
    }
}

fn gap_closed(source: &str, gap: Window) -> AccountEvent {
    let Window { start_time, end_time } = gap;
    let message = format!(
        "source '{source}' or its account has too many separate stretches, so the gap from {start_time} to {end_time} \
         was closed: a report that would fill it is refused as GapClosed; report windows without gaps"
    );
    Event::warning(None, Reason::GapClosed, message)
}

/// Reports that the credits are exhausted: the balance fell to `limit` (Law 29). It compares the balance before and after
/// the whole decision: credits that expire when the next grant arrives did not run out.
fn exhausted(entries: &[Entry], limit: Credits) -> Option<AccountEvent> {
    let (first, last) = (entries.first()?, entries.last()?);
    let had_credits = first.balance.checked_sub(first.credits).is_ok_and(|before| before > limit);
    (had_credits && last.balance <= limit).then(|| {
        let message = format!("the balance is {}: usage becomes debt until credits arrive", last.balance);
        Event::warning(None, Reason::CreditsExhausted, message)
    })
}
