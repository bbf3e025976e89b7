//! The statuses of reports, packs, payments and adjustments, derived from their verdicts.

use flashgate_api::reason::Reason;
use flashgate_api::{
    CreditAdjustmentState, CreditAdjustmentStatus, CreditPackState, CreditPackStatus, PaymentStatus,
    UsageReportState, UsageReportStatus,
};
use flashgate_ledger::adjustment::AdjustmentOutcome;
use flashgate_ledger::decide::{AdjustmentVerdict, PackVerdict, PaymentVerdict, ReportVerdict, Wait};
use flashgate_ledger::ledger::{AdjustmentRecord, Charge, Ledger};
use flashgate_ledger::payment::PaymentOutcome;
use flashgate_ledger::period::utc_date;
use flashgate_ledger::purchase::{OrderState, Purchase, PurchaseState};
use flashgate_ledger::refusal::Refusal;
use jiff::Timestamp;

use super::condition::{Readiness, arrival_in_future, conditions};
use super::{amount, usage};

/// Returns the status of a UsageReport.
#[must_use]
pub fn report_status(
    before: Option<&UsageReportStatus>,
    generation: i64,
    verdict: &ReportVerdict,
    now: Timestamp,
) -> UsageReportStatus {
    let (state, readiness) = match verdict {
        ReportVerdict::Charged(charge) => return charge_status(before, generation, charge, now),
        ReportVerdict::Rejected(refusal) => (Some(UsageReportState::Rejected), refused(refusal)),
        ReportVerdict::Waits(wait) => (None, waits(*wait)),
    };
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    UsageReportStatus {
        observed_generation: Some(generation),
        state,
        conditions: conditions(known, readiness.findings(), generation, now),
        ..UsageReportStatus::default()
    }
}

/// Returns the status of a UsageReport that was charged. The same charge always gives the same status.
#[must_use]
pub fn charge_status(
    before: Option<&UsageReportStatus>,
    generation: i64,
    charge: &Charge,
    now: Timestamp,
) -> UsageReportStatus {
    let Charge { name: _, uid: _, credits, lines, period_number, charge_time } = charge;
    let booked = match period_number {
        Some(number) => format!("in period {number}"),
        None => "in the next period, since none is in force".to_owned(),
    };
    let readiness = Readiness::done(Reason::Charged, format!("charged {credits} credits, booked {booked}"));
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    UsageReportStatus {
        observed_generation: Some(generation),
        state: Some(UsageReportState::Charged),
        credits: Some(amount(*credits)),
        lines: lines.iter().map(usage).collect(),
        period_number: period_number.map(i64::from),
        charge_time: Some(*charge_time),
        conditions: conditions(known, readiness.findings(), generation, now),
    }
}

/// Returns the status of a CreditPack. `ledger` is the account's, if there is one.
#[must_use]
pub fn pack_status(
    before: Option<&CreditPackStatus>,
    generation: i64,
    verdict: &PackVerdict,
    ledger: Option<&Ledger>,
    now: Timestamp,
) -> CreditPackStatus {
    let (sold, state, readiness) = match verdict {
        PackVerdict::Waits(wait) => (None, None, waits(*wait)),
        PackVerdict::Ordered(order) => show_order(order, ledger),
    };
    let next_available_time = match verdict {
        PackVerdict::Ordered(OrderState::Refused(refusal)) => refusal.next_available_time,
        PackVerdict::Ordered(_) | PackVerdict::Waits(_) => None,
    };
    let invoice = sold.and_then(|sold| Some(ledger?.invoice_name(sold.invoice?)));
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    CreditPackStatus {
        observed_generation: Some(generation),
        state,
        credits: sold.map(|sold| amount(sold.credits)),
        price: sold.map(|sold| amount(sold.price)),
        currency: sold.map(|sold| sold.currency.clone()),
        invoice,
        grant_time: sold.and_then(grant_time),
        next_available_time,
        conditions: conditions(known, readiness.findings(), generation, now),
    }
}

/// Returns the purchase of an order, its state, and its readiness.
fn show_order<'a>(
    order: &'a OrderState,
    ledger: Option<&Ledger>,
) -> (Option<&'a Purchase>, Option<CreditPackState>, Readiness) {
    match order {
        OrderState::AwaitingPayment(sold) => {
            (Some(sold), Some(CreditPackState::AwaitingPayment), awaits_payment(sold, ledger))
        }
        OrderState::Granted(sold) => {
            let message = format!("granted {}; use a new name to buy again", granted_as(sold));
            (Some(sold), Some(CreditPackState::Granted), Readiness::done(Reason::Granted, message))
        }
        OrderState::GrantedLongAgo => {
            let message =
                "an order of this name was granted long ago; use a new name to buy again".to_owned();
            (None, Some(CreditPackState::Granted), Readiness::done(Reason::Granted, message))
        }
        OrderState::Refunded(sold) => {
            let message = format!(
                "granted {}, then refunded, and what was left of its credits was taken; use a new name to buy again",
                granted_as(sold)
            );
            (Some(sold), Some(CreditPackState::Refunded), Readiness::done(Reason::Refunded, message))
        }
        OrderState::Refused(refusal) => (None, Some(CreditPackState::Refused), refused(refusal)),
    }
}

fn awaits_payment(sold: &Purchase, ledger: Option<&Ledger>) -> Readiness {
    let invoice = ledger.zip(sold.invoice).map(|(ledger, number)| {
        let due = ledger
            .invoices
            .iter()
            .find(|invoice| invoice.number == number)
            .and_then(|invoice| invoice.due_time)
            .map(|due| format!(", due at {due}"))
            .unwrap_or_default();
        format!(
            "invoice {} over {} {} is open{due}; ",
            ledger.invoice_name(number),
            sold.price,
            sold.currency
        )
    });
    let message = format!(
        "{}{} credits are granted when a Payment reports it as settled",
        invoice.unwrap_or_default(),
        sold.credits
    );
    Readiness::waits(Reason::AwaitingPayment, message)
}

fn grant_time(sold: &Purchase) -> Option<Timestamp> {
    match sold.state {
        PurchaseState::Granted { time } => Some(time),
        PurchaseState::Refunded { grant_time } => Some(grant_time),
        PurchaseState::AwaitingPayment | PurchaseState::Refused { .. } => None,
    }
}

/// Returns a text with the date and name of a granted order.
fn granted_as(sold: &Purchase) -> String {
    let date = grant_time(sold).map(|time| format!("{} ", utc_date(time))).unwrap_or_default();
    format!("{date}as order '{}'", sold.name)
}

/// Returns the status of a Payment.
#[must_use]
pub fn payment_status(
    before: Option<&PaymentStatus>,
    generation: i64,
    verdict: &PaymentVerdict,
    now: Timestamp,
) -> PaymentStatus {
    let (state, readiness) = match verdict {
        PaymentVerdict::Waits(wait) => (None, waits(*wait)),
        PaymentVerdict::Judged(PaymentOutcome::Refused(refusal)) => {
            (Some(flashgate_api::PaymentVerdict::Refused), refused(refusal))
        }
        PaymentVerdict::Judged(applied) => {
            (Some(flashgate_api::PaymentVerdict::Applied), payment_readiness(applied))
        }
    };
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    PaymentStatus {
        observed_generation: Some(generation),
        state,
        conditions: conditions(known, readiness.findings(), generation, now),
    }
}

/// Returns the readiness of a Payment with this outcome.
fn payment_readiness(applied: &PaymentOutcome) -> Readiness {
    match applied {
        PaymentOutcome::RefundDue => Readiness::stuck(
            Reason::RefundDue,
            "the invoice was void when it was paid, so nothing was given for it; return the money, then report that \
             with a Payment of state 'Refunded'"
                .to_owned(),
        ),
        PaymentOutcome::Returned => Readiness::done(
            Reason::Refunded,
            "the invoice was void when it was paid, so nothing was given for it; the money was returned".to_owned(),
        ),
        PaymentOutcome::Applied | PaymentOutcome::Refused(_) => {
            Readiness::done(Reason::Applied, "applied to its invoice".to_owned())
        }
    }
}

/// Returns the status of a CreditAdjustment.
#[must_use]
pub fn adjustment_status(
    before: Option<&CreditAdjustmentStatus>,
    generation: i64,
    verdict: &AdjustmentVerdict,
    now: Timestamp,
) -> CreditAdjustmentStatus {
    let (state, readiness) = match verdict {
        AdjustmentVerdict::Waits(wait) => (None, waits(*wait)),
        AdjustmentVerdict::Judged(AdjustmentOutcome::Refused(refusal)) => {
            (Some(CreditAdjustmentState::Refused), refused(refusal))
        }
        AdjustmentVerdict::Judged(AdjustmentOutcome::Granted(AdjustmentRecord { credits, time })) => {
            let message =
                format!("granted {credits} credits {}; use a new name to give more", utc_date(*time));
            (Some(CreditAdjustmentState::Granted), Readiness::done(Reason::Granted, message))
        }
        AdjustmentVerdict::Judged(AdjustmentOutcome::GrantedLongAgo) => {
            let message =
                "an adjustment of this name was granted long ago; use a new name to give more".to_owned();
            (Some(CreditAdjustmentState::Granted), Readiness::done(Reason::Granted, message))
        }
    };
    let known = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    CreditAdjustmentStatus {
        observed_generation: Some(generation),
        state,
        conditions: conditions(known, readiness.findings(), generation, now),
    }
}

/// Returns the readiness of a fact that was refused.
fn refused(refusal: &Refusal) -> Readiness {
    Readiness::stuck(refusal.reason.into(), refusal.message.clone())
}

/// Returns the readiness of a fact that waits.
fn waits(wait: Wait) -> Readiness {
    match wait {
        Wait::WindowNotOver(end) => {
            Readiness::waits(Reason::WindowNotOver, format!("the window ends at {end}; it is charged then"))
        }
        Wait::NoSubscription(until) => Readiness::waits(
            Reason::SubscriptionMissing,
            format!("Subscription not found; create it before {until}"),
        ),
        Wait::NotStarted(start) => Readiness::waits(
            Reason::NotStarted,
            format!("the account starts at {start}; the object is processed then"),
        ),
        Wait::ArrivalInFuture(arrival) => Readiness::waits(Reason::ArrivalInFuture, arrival_in_future(arrival)),
        Wait::FirstPeriod => Readiness::waits(
            Reason::FirstPeriodAwaited,
            "the account's first period has not begun; it begins with its payment, or when a known plan is asked for"
                .to_owned(),
        ),
        Wait::SubscriptionBack => Readiness::waits(
            Reason::SubscriptionMissing,
            "the Subscription was deleted; create it again to continue".to_owned(),
        ),
        Wait::Receipts => Readiness::waits(
            Reason::ReceiptsAwaited,
            "the statuses of earlier charges are not written yet; the report is processed right after".to_owned(),
        ),
    }
}
