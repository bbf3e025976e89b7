//! The statement of an account, like a bank statement: its entries in words with the running balance, then the
//! sums of its periods.

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::BillingPeriod;
use flashgate_ledger::entry::{Detail, Entry, LapseCause, PaidBy, PlanPeriod};
use flashgate_ledger::invoice::{InvoiceReason, InvoiceState, VoidCause};
use flashgate_ledger::period::Window;
use flashgate_ledger::statement::{Book, Statement};
use jiff::Timestamp;

use crate::grid::{Column, Grid, Layout, NO_BREAK, Tone, grouped};

/// Returns the statement of one account.
pub fn statement<'e>(entries: impl Iterator<Item = &'e Entry>, layout: Layout) -> String {
    let columns = [
        Column::text("TIME"),
        Column::text("EVENT"),
        Column::prose("WHAT"),
        Column::amount("CREDITS"),
        Column::amount("BALANCE"),
    ];
    let mut grid = Grid::new(columns);
    let mut last_time = None;
    for entry in entries {
        let Entry { time, credits, balance, detail } = entry;
        let tone = match detail {
            Detail::Refused { .. } | Detail::Voided { .. } | Detail::Lapsed { .. } => Tone::Warning,
            _ => Tone::Plain,
        };
        let balance_tone = if balance.is_negative() { Tone::Alarm } else { Tone::Plain };
        // Consecutive entries with the same time show it once.
        let shown_time =
            if last_time == Some(*time) { String::new() } else { time.strftime("%F %T").to_string() };
        last_time = Some(*time);
        grid.row([
            (shown_time, Tone::Plain),
            (detail.kind().to_owned(), tone),
            (describe(entry), Tone::Plain),
            (signed(*credits), Tone::Plain),
            (grouped(&balance.to_string()), balance_tone),
        ]);
    }
    grid.render(layout)
}

/// Returns the sums of an account's periods. In each line the amounts add up from the opening to the closing
/// balance (Law 22).
pub fn periods(statements: &[Statement], layout: Layout) -> String {
    let amounts = ["OPENING", "GRANTED", "PURCHASED", "ADJUSTED", "REFUNDED", "CONSUMED", "EXPIRED"]
        .map(Column::amount);
    let columns = [Column::prose("PERIOD")].into_iter().chain(amounts);
    let mut grid = Grid::new(columns.chain([Column::amount("CLOSING"), Column::text("STATE")]));
    for statement in statements {
        let Statement { period_number, start_time, end_time, plan, billing_period, is_final, book, .. } =
            statement;
        let plan = plan_name(&PlanPeriod { plan: plan.clone(), billing_period: *billing_period });
        let window = format!("{} to {}", minute(*start_time), minute(*end_time));
        let Book { opening, granted, purchased, adjusted, refunded, consumed, expired } = *book;
        let taken = [refunded, consumed, expired].map(Credits::negated);
        let changes = [granted, purchased, adjusted].into_iter().chain(taken).map(signed);
        let closing = book.closing().map(|closing| closing.to_string()).unwrap_or_default();
        let cells = [format!("{period_number}: {plan}, {window}"), grouped(&opening.to_string())];
        let state = if *is_final { "Final" } else { "Open" };
        let last = [grouped(&closing), state.to_owned()];
        grid.row(cells.into_iter().chain(changes).chain(last).map(|cell| (cell, Tone::Plain)));
    }
    grid.render(layout)
}

/// Returns the description of an entry.
pub fn describe(entry: &Entry) -> String {
    match &entry.detail {
        Detail::Granted { plan, period_number, expiration_time, debt_repaid, .. } => {
            let (plan, expires) = (plan_name(plan), expires(Some(*expiration_time)));
            format!("{plan}, period {period_number}{expires}{}", repaid(*debt_repaid))
        }
        Detail::Purchased { object, pack, expiration_time, debt_repaid, .. } => {
            format!("{pack} by {object}{}{}", expires(*expiration_time), repaid(*debt_repaid))
        }
        Detail::Adjusted { object, reason, expiration_time, debt_repaid, .. } => {
            format!("{object}: {reason}{}{}", expires(*expiration_time), repaid(*debt_repaid))
        }
        Detail::Charged { amount, object, source, window, paid_by, debt, .. } => {
            let had_expired = amount.checked_sub(entry.credits.negated()).unwrap_or(Credits::ZERO);
            let had_expired = still_settling(had_expired);
            let (window, paid) = (window_text(*window), paid(paid_by, *amount));
            format!(
                "{}: {source}, {window}{paid}{had_expired}{}",
                object.name,
                part_remark(*debt, "became debt")
            )
        }
        Detail::Expired { grant, .. } => format!("what was left from {}", grant_source(grant)),
        Detail::SettlementClosed { amount, grant } => {
            let (amount, grant_source) = (grouped(&amount.to_string()), grant_source(grant));
            format!("{amount} from {grant_source} can no longer pay late usage")
        }
        Detail::Refunded { amount, grant, invoice, object } => {
            let (invoice, credits) = (format!("{invoice} by {object}"), grouped(&amount.to_string()));
            let Some(grant) = grant else {
                return format!("{invoice}: the money went back; no credits had been given for it");
            };
            let had_expired = amount.checked_sub(entry.credits.negated()).unwrap_or(Credits::ZERO);
            format!("{invoice}: {credits} left from {}{}", grant_source(grant), still_settling(had_expired))
        }
        Detail::PlanChanged { from: None, to, period_number } => {
            format!("{}, period {period_number}", plan_name(to))
        }
        Detail::PlanChanged { from: Some(from), to, period_number } => {
            format!("from {} to {}, period {period_number}", plan_name(from), plan_name(to))
        }
        Detail::Renewed { plan, period_number, period } => {
            format!("{}, period {period_number}, to {}", plan_name(plan), minute(period.end_time))
        }
        Detail::Lapsed { from, to, cause } => {
            let to = to.as_ref().map_or_else(|| "no plan".to_owned(), plan_name);
            format!("from {} to {to}; {}", plan_name(from), why_lapsed(*cause))
        }
        Detail::Refused { object, refusal } => {
            format!("{object}: {}: {}", refusal.reason, refusal.message)
        }
        Detail::Threshold { percent } => format!("{percent} % of the period's credits are used"),
        Detail::Accepted { sequence } => format!("the ledger as of sequence {sequence} was accepted"),
        detail => describe_invoice(detail),
    }
}

/// Returns the description of an entry about an invoice.
fn describe_invoice(detail: &Detail) -> String {
    match detail {
        Detail::Invoiced {
            amount,
            currency,
            invoice,
            reason,
            object,
            due_time,
            lines: _,
            billing_details: _,
        } => {
            let what =
                object.as_ref().map_or_else(|| invoice_purpose(*reason).to_owned(), ToString::to_string);
            let due = due_time.map(|due| format!("; due {}", minute(due))).unwrap_or_default();
            format!("{invoice}: {} for {what}{due}", money(*amount, currency))
        }
        Detail::Settled { amount, currency, invoice, state, object } => {
            let how =
                object.as_ref().map_or_else(|| ", at once".to_owned(), |object| format!(" by {object}"));
            let refund =
                if *state == InvoiceState::RefundDue { "; it was void, so a refund is due" } else { "" };
            format!("{invoice}: {}{how}{refund}", money(*amount, currency))
        }
        Detail::Voided { amount, currency, invoice, cause, object: _ } => {
            format!("{invoice}: {} is no longer owed; {}", money(*amount, currency), why_void(*cause))
        }
        _ => String::new(),
    }
}

const fn invoice_purpose(reason: InvoiceReason) -> &'static str {
    match reason {
        InvoiceReason::Start => "the first period",
        InvoiceReason::Renewal => "the renewal",
        InvoiceReason::Upgrade => "the upgrade",
        InvoiceReason::Reactivation => "the return from the lapse",
        InvoiceReason::Pack => "a pack",
    }
}

const fn why_void(cause: VoidCause) -> &'static str {
    match cause {
        VoidCause::Superseded => "something else took its place",
        VoidCause::PaymentCancelled => "the payment was cancelled",
        VoidCause::PaymentExpired => "it was not paid in time",
    }
}

const fn why_lapsed(cause: LapseCause) -> &'static str {
    match cause {
        LapseCause::RenewalNone => "it was not to be renewed",
        LapseCause::PaymentOverdue => "the renewal was not paid in time",
        LapseCause::PlanNotFound => "the catalog no longer has the plan",
    }
}

/// Returns the source of a grant, from its id.
fn grant_source(grant: &str) -> String {
    match grant.split_once('/') {
        Some(("plan", period_number)) => format!("period {period_number}"),
        Some(("pack", name)) => format!("CreditPack/{name}"),
        Some(("adjustment", name)) => format!("CreditAdjustment/{name}"),
        _ => grant.to_owned(),
    }
}

/// Returns the grants that paid `amount`, with their parts if there are several.
fn paid(paid_by: &[PaidBy], amount: Credits) -> String {
    match paid_by {
        [] => String::new(),
        [all] if all.amount == amount => format!("; from {}", grant_source(&all.grant)),
        parts => {
            let part = |part: &PaidBy| {
                format!("{} from {}", grouped(&part.amount.to_string()), grant_source(&part.grant))
            };
            format!("; {}", parts.iter().map(part).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Returns a plan with its billing period.
pub fn plan_name(plan: &PlanPeriod) -> String {
    let billing_period = match plan.billing_period {
        BillingPeriod::Monthly => "Monthly",
        BillingPeriod::Yearly => "Yearly",
    };
    format!("{} {billing_period}", plan.plan)
}

fn money(amount: Credits, currency: &str) -> String {
    format!("{} {currency}", grouped(&amount.to_string()))
}

/// Returns a change of the balance with its sign, or an empty text if it is zero.
fn signed(change: Credits) -> String {
    let sign = if change.is_positive() { "+" } else { "" };
    if change.is_zero() { String::new() } else { format!("{sign}{}", grouped(&change.to_string())) }
}

fn expires(time: Option<Timestamp>) -> String {
    time.map(|time| format!("; expires {}", minute(time))).unwrap_or_default()
}

/// Returns a time with a non-breaking blank. Seconds are left out if they are zero.
fn minute(time: Timestamp) -> String {
    let is_whole = time.as_second() % 60 == 0;
    let clock = if is_whole { time.strftime("%H:%M") } else { time.strftime("%T") };
    format!("{}{NO_BREAK}{clock}", time.strftime("%F"))
}

/// Returns a remark on the part of an amount that the balance no longer included (Law 7).
fn still_settling(part: Credits) -> String {
    part_remark(part, "of it had expired")
}

fn repaid(debt: Credits) -> String {
    part_remark(debt, "repaid debt")
}

/// Returns a remark on a part of an amount, or an empty text if the part is zero.
fn part_remark(part: Credits, what: &str) -> String {
    if part.is_zero() { String::new() } else { format!("; {} {what}", grouped(&part.to_string())) }
}

/// Returns a window. The date of its end is left out if it is the date of its start.
fn window_text(window: Window) -> String {
    let (start, end) = (minute(window.start_time), minute(window.end_time));
    match (start.split_once(NO_BREAK), end.split_once(NO_BREAK)) {
        (Some((from, _)), Some((to, time))) if from == to => format!("{start} to {time}"),
        _ => format!("{start} to {end}"),
    }
}
