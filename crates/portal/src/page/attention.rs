//! The facts about an account that need the attention of its owner.

use flashgate_api::{READY, Renewal, STALLED, Subscription, SubscriptionStatus, condition};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::invoice::InvoiceState;
use jiff::Timestamp;

use super::format::{credits, money, time_text};
use super::layout::Part;
use super::problem::sentence;
use crate::verdict::checkout_url;

/// Urgency of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Something stopped, or stops soon.
    Bad,
    /// Something stops later.
    Warning,
    /// Good to know.
    Information,
}

impl Severity {
    /// Returns the class of the style sheet.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }
}

/// A fact that needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attention {
    /// Its urgency.
    pub severity: Severity,
    /// The fact in one or two words.
    pub label: &'static str,
    /// The fact and the next step, in a sentence.
    pub message: String,
    /// The page on which an invoice is paid, if this is about an open one.
    pub pay_url: Option<String>,
    /// The part of the page that helps, if there is one.
    pub part: Option<Part>,
}

impl Attention {
    fn new(severity: Severity, label: &'static str, message: String) -> Self {
        Self { severity, label, message, pay_url: None, part: None }
    }

    fn with_part(self, part: Part) -> Self {
        Self { part: Some(part), ..self }
    }
}

/// Returns the facts of a status that need attention, the most urgent ones first.
pub(crate) fn attention(catalog: &Catalog, subscription: &Subscription, now: Timestamp) -> Vec<Attention> {
    let is_seen = |status: &&SubscriptionStatus| status.observed_generation.is_some_and(|seen| seen >= 0);
    let Some(status) = subscription.status.as_ref().filter(is_seen) else { return vec![not_seen()] };
    let mut found: Vec<Attention> = readiness(status).into_iter().collect();
    found.extend(invoices(catalog, status, now));
    found.extend(balance(status));
    found.extend(end(subscription, status));
    found.sort_by_key(|attention| attention.severity);
    found
}

fn not_seen() -> Attention {
    let message = "The operator has not seen this account yet. This takes a second or two.";
    Attention::new(Severity::Information, "New", message.to_owned())
}

/// Returns the reason why the operator has not done everything that the Subscription requests.
fn readiness(status: &SubscriptionStatus) -> Option<Attention> {
    let ready = condition(&status.conditions, READY)?;
    if ready.status == "True" {
        return None;
    }
    let has_open_invoice = status.invoices.iter().any(|invoice| invoice.state == InvoiceState::Open);
    let is_stalled = condition(&status.conditions, STALLED).is_some_and(|stalled| stalled.status == "True");
    if has_open_invoice && !is_stalled {
        // The account awaits the payment, which has its own row.
        return None;
    }
    let (severity, label) =
        if is_stalled { (Severity::Bad, "Action needed") } else { (Severity::Information, "In progress") };
    Some(Attention::new(severity, label, sentence(&ready.message)))
}

fn invoices(catalog: &Catalog, status: &SubscriptionStatus, now: Timestamp) -> Vec<Attention> {
    let open = status.invoices.iter().filter(|invoice| invoice.state == InvoiceState::Open);
    let show = |invoice: &flashgate_api::subscription::Invoice| {
        let amount: Credits = invoice.amount.as_str().parse().unwrap_or_default();
        let is_overdue = invoice.due_time.is_some_and(|due| due < now);
        let (severity, label) =
            if is_overdue { (Severity::Bad, "Overdue") } else { (Severity::Warning, "Invoice open") };
        let due = invoice.due_time.map(|due| format!(" Pay it by {}.", time_text(due))).unwrap_or_default();
        let (number, amount) = (&invoice.number, money(amount, &invoice.currency));
        let message = format!("Invoice {number} for {amount} is not paid ({}).{due}", invoice.reason);
        let pay_url = checkout_url(catalog, number);
        Attention { pay_url, ..Attention::new(severity, label, message) }.with_part(Part::Invoices)
    };
    open.map(show).collect()
}

/// Returns the end of a plan that no other plan follows.
fn end(subscription: &Subscription, status: &SubscriptionStatus) -> Option<Attention> {
    let period = status.period.as_ref().filter(|_| subscription.spec.renewal == Renewal::None)?;
    if status.renewal_time.is_some() || status.pending_change.is_some() {
        return None;
    }
    let message = format!("The plan ends on {}, and no plan follows.", time_text(period.end_time));
    Some(Attention::new(Severity::Warning, "Ends", message).with_part(Part::Settings))
}

fn balance(status: &SubscriptionStatus) -> Vec<Attention> {
    let mut found = Vec::new();
    let is_true =
        |kind: &str| condition(&status.conditions, kind).is_some_and(|condition| condition.status == "True");
    let debt: Credits =
        status.credits.as_ref().and_then(|left| left.debt.as_str().parse().ok()).unwrap_or_default();
    let forecast = status.forecast.as_ref();
    let exhaustion = forecast
        .filter(|forecast| forecast.exhausts_before_renewal == Some(true))
        .and_then(|forecast| forecast.exhaustion_time.zip(Some(&forecast.credits_per_day)));
    if debt.is_positive() {
        let message =
            format!("The account owes {} credits. The next credits repay them first.", credits(debt));
        found.push(Attention::new(Severity::Bad, "Debt", message).with_part(Part::Packs));
    } else if is_true("CreditsExhausted") {
        let message = "The credits are used up. Further usage becomes debt until credits arrive.";
        found.push(Attention::new(Severity::Bad, "No credits", message.to_owned()).with_part(Part::Packs));
    } else if let Some((time, per_day)) = exhaustion {
        let per_day = per_day.as_str().parse().map_or_else(|_| String::new(), credits);
        let message = format!(
            "At {per_day} credits a day, the credits are used up on {}, before the renewal.",
            time_text(time)
        );
        found.push(Attention::new(Severity::Warning, "Runs out", message).with_part(Part::Consumption));
    } else if is_true("CreditsLow") {
        let used =
            status.this_period.as_ref().map(|period| period.used_percent.to_string()).unwrap_or_default();
        let message = format!("{used} % of the credits of this period are used.");
        found.push(Attention::new(Severity::Warning, "Credits low", message).with_part(Part::Consumption));
    }
    found
}

#[cfg(test)]
mod tests {
    use flashgate_testing::catalog::{external, shipped};
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::{NOW, accounts};

    fn condition(kind: &str, status: &str) -> Value {
        json!({
            "type": kind, "status": status, "reason": "Any", "message": "the plan is unknown",
            "lastTransitionTime": NOW,
        })
    }

    fn invoice(due: &str) -> Value {
        json!({
            "number": "acme-1", "time": "2026-02-01T10:00:00Z", "reason": "Start", "amount": "100", "currency": "USD",
            "state": "Open", "dueTime": due,
        })
    }

    /// Returns the labels of an account whose status has these fields besides a balance.
    fn labels(fields: &Value) -> Vec<&'static str> {
        let mut status = accounts::status("1100");
        json_patch::merge(&mut status, fields);
        let subscription = accounts::subscription("starter", &status);
        let found = attention(&external(), &subscription, NOW.parse().expect("time"));
        found.into_iter().map(|attention| attention.label).collect()
    }

    #[test]
    fn the_most_urgent_fact_comes_first() {
        assert_eq!(labels(&json!({})), Vec::<&str>::new());
        let stalled = json!([condition("Ready", "False"), condition("Stalled", "True")]);
        assert_eq!(labels(&json!({"conditions": stalled})), ["Action needed"]);
        let waits = json!([condition("Ready", "False")]);
        assert_eq!(labels(&json!({"conditions": waits})), ["In progress"]);
        let late = json!({
            "conditions": [condition("CreditsLow", "True")],
            "invoices": [invoice("2026-03-01T10:00:00Z"), invoice("2026-02-09T10:00:00Z")],
        });
        assert_eq!(labels(&late), ["Overdue", "Invoice open", "Credits low"]);
        let awaits = json!({"conditions": waits, "invoices": [invoice("2026-03-01T10:00:00Z")]});
        assert_eq!(labels(&awaits), ["Invoice open"], "the invoice is what it waits for");
    }

    #[test]
    fn only_the_most_urgent_fact_about_credits_is_shown() {
        let forecast = json!({
            "asOfTime": NOW, "creditsPerDay": "10", "exhaustionTime": "2026-02-20T10:00:00Z",
            "exhaustsBeforeRenewal": true,
        });
        let low = json!([condition("CreditsLow", "True")]);
        assert_eq!(labels(&json!({"forecast": forecast, "conditions": low})), ["Runs out"]);
        let exhausted = json!([condition("CreditsLow", "True"), condition("CreditsExhausted", "True")]);
        assert_eq!(labels(&json!({"forecast": forecast, "conditions": exhausted})), ["No credits"]);
        assert_eq!(labels(&json!({"credits": {"debt": "30"}, "conditions": exhausted})), ["Debt"]);
    }

    #[test]
    fn an_account_that_the_operator_has_not_seen_is_new() {
        for status in [Value::Null, json!({"observedGeneration": -1})] {
            let subscription = accounts::subscription("starter", &status);
            let found = attention(&shipped(), &subscription, NOW.parse().expect("time"));
            assert_eq!(found.iter().map(|attention| attention.label).collect::<Vec<_>>(), ["New"]);
        }
    }

    #[test]
    fn a_plan_that_no_plan_follows_is_named() {
        let mut subscription = accounts::subscription("starter", &accounts::status("1100"));
        subscription.spec.renewal = Renewal::None;
        let found = attention(&shipped(), &subscription, NOW.parse().expect("time"));
        assert_eq!(found[0].message, "The plan ends on 28 Feb 2026, 10:00 UTC, and no plan follows.");
    }
}
