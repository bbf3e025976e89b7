//! Entries as a bank statement: what happened to an account, in words, with the running balance.

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::BillingPeriod;
use flashgate_ledger::entry::{Detail, Entry, ObjectName, PlanPeriod};
use flashgate_ledger::invoice::InvoiceState;
use flashgate_ledger::period::Window;
use jiff::Timestamp;

use super::table::{Column, GLUE, Grid, Layout, Tone, grouped};

/// Returns the statement of one account.
pub(super) fn statement<'e>(entries: impl Iterator<Item = &'e Entry>, layout: Layout) -> String {
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
        let sign = if credits.is_positive() { "+" } else { "" };
        let change = if credits.is_zero() {
            String::new()
        } else {
            format!("{sign}{}", grouped(&credits.to_string()))
        };
        let tone = match detail {
            Detail::Refused { .. } | Detail::Voided { .. } | Detail::Lapsed { .. } => Tone::Warning,
            _ => Tone::Plain,
        };
        let balance_tone = if balance.is_negative() { Tone::Alarm } else { Tone::Plain };
        // A time is written once for all that happened at it.
        let shown_time =
            if last_time == Some(*time) { String::new() } else { time.strftime("%F %T").to_string() };
        last_time = Some(*time);
        grid.row([
            (shown_time, Tone::Plain),
            (detail.kind().to_owned(), tone),
            (describe(entry), Tone::Plain),
            (change, Tone::Plain),
            (grouped(&balance.to_string()), balance_tone),
        ]);
    }
    grid.render(layout)
}

/// Returns what happened, in words.
fn describe(entry: &Entry) -> String {
    match &entry.detail {
        Detail::Granted { plan, period_number, expiration_time, debt_repaid, .. } => {
            let plan = plan_name(plan);
            format!("{plan}, period {period_number}, to {}{}", minute(*expiration_time), repaid(*debt_repaid))
        }
        Detail::Purchased { object, pack, expiration_time, debt_repaid, .. } => {
            format!("{pack} by {}{}{}", name(object), expires(*expiration_time), repaid(*debt_repaid))
        }
        Detail::Adjusted { object, reason, expiration_time, debt_repaid, .. } => {
            format!("{}: {reason}{}{}", name(object), expires(*expiration_time), repaid(*debt_repaid))
        }
        Detail::Charged { amount, object, source, window, debt, .. } => {
            let settled = amount.checked_sub(entry.credits.negated()).unwrap_or(Credits::ZERO);
            let settled = also(settled, "paid by credits that had expired");
            format!("{}: {source}, {}{settled}{}", object.name, window_text(*window), also(*debt, "is debt"))
        }
        Detail::Expired { grant, .. } => grant.clone(),
        Detail::SettlementClosed { amount, grant } => {
            format!("{grant}; {} can no longer be claimed", grouped(&amount.to_string()))
        }
        Detail::Refunded { grant, invoice, object, .. } => format!("{grant}; {invoice} by {}", name(object)),
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
            format!("from {} to {to}; {}", plan_name(from), cause.as_str())
        }
        Detail::Invoiced { amount, currency, invoice, reason, object, due_time } => {
            let what = object.as_ref().map_or_else(|| reason.as_str().to_owned(), name);
            let due = due_time.map(|due| format!("; due {}", minute(due))).unwrap_or_default();
            format!("{invoice}: {} for {what}{due}", money(*amount, currency))
        }
        Detail::Settled { amount, currency, invoice, state, object } => {
            let object = object.as_ref().map(|object| format!(" by {}", name(object))).unwrap_or_default();
            let refund =
                if *state == InvoiceState::RefundDue { "; it was void, so a refund is due" } else { "" };
            format!("{invoice}: {}{object}{refund}", money(*amount, currency))
        }
        Detail::Voided { amount, currency, invoice, cause } => {
            format!("{invoice}: {}; {}", money(*amount, currency), cause.as_str())
        }
        Detail::Threshold { percent } => format!("{percent} % of the period's credits are used"),
        Detail::Accepted { sequence } => format!("the book as of sequence {sequence} is the truth"),
        Detail::Refused { object, refusal } => {
            format!("{}: {}: {}", name(object), refusal.reason, refusal.message)
        }
    }
}

fn name(object: &ObjectName) -> String {
    format!("{}/{}", object.kind.as_str(), object.name)
}

fn plan_name(plan: &PlanPeriod) -> String {
    let billing_period = match plan.billing_period {
        BillingPeriod::Monthly => "Monthly",
        BillingPeriod::Yearly => "Yearly",
    };
    format!("{} {billing_period}", plan.plan)
}

fn money(amount: Credits, currency: &str) -> String {
    format!("{} {currency}", grouped(&amount.to_string()))
}

fn expires(time: Option<Timestamp>) -> String {
    time.map(|time| format!("; expires {}", minute(time))).unwrap_or_default()
}

/// Returns a time as people write it, seconds only where there are any; it stays on one line.
fn minute(time: Timestamp) -> String {
    let is_whole = time.as_second() % 60 == 0;
    let clock = if is_whole { time.strftime("%H:%M") } else { time.strftime("%T") };
    format!("{}{GLUE}{clock}", time.strftime("%F"))
}

fn repaid(debt: Credits) -> String {
    also(debt, "repaid debt")
}

/// Returns a remark on a part of an amount, where there is one.
fn also(part: Credits, what: &str) -> String {
    if part.is_zero() { String::new() } else { format!("; {} {what}", grouped(&part.to_string())) }
}

/// Returns a window; the date of its end only where it is another.
fn window_text(window: Window) -> String {
    let (start, end) = (minute(window.start_time), minute(window.end_time));
    match (start.split_once(GLUE), end.split_once(GLUE)) {
        (Some((from, _)), Some((to, time))) if from == to => format!("{start} to {time}"),
        _ => format!("{start} to {end}"),
    }
}
