//! The overview of an account: balance, plan, period, and the facts that need attention.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use flashgate_api::{READY, SubscriptionStatus, condition};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::BillingPeriod;
use maud::{Markup, html};

use super::attention::{Attention, attention};
use super::chart::{BurnDown, burn_down, burn_down_of};
use super::figures::{Figures, PackCount};
use super::format::{credits, day, money, price, time, time_text};
use super::layout::{Part, missing, page, table_region};
use super::problem::Problem;
use super::undo::{self, invoice_of_change};
use super::visitor::Visitor;
use crate::account::Account;
use crate::offers::plan_name;
use crate::portal::Portal;

/// Returns the routes of this part.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/", get(show))
}

async fn show(State(portal): State<Portal>, visitor: Visitor) -> Result<Markup, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let balances = burn_down_of(&portal, &visitor.caller, &account).await;
    Ok(page(&visitor, Part::Overview, "Overview", &content(&portal, &visitor, &account, balances.as_ref())))
}

fn content(portal: &Portal, visitor: &Visitor, account: &Account, balances: Option<&BurnDown>) -> Markup {
    let status = account.status();
    let found = attention(portal.catalog(), &account.subscription, account.now);
    html! {
        h1 { "Overview" }
        (attention_list(visitor, &found))
        div class="cards" {
            (balance_card(account, &status))
            (plan_card(portal, visitor, account, &status))
            (packs_card(portal, visitor, account))
        }
        @if let Some(balances) = balances {
            section class="card" aria-labelledby="burn-down-heading" {
                h2 id="burn-down-heading" { "Balance of this period" }
                (burn_down(balances))
            }
        }
        @if let Some(right) = account.book.missing_right() {
            (missing(
                &format!("You lack the right '{right}'."),
                "The figures are those that the operator published last, and effects of changes cannot be shown.",
            ))
        }
        (conditions(&status))
    }
}

fn attention_list(visitor: &Visitor, found: &[Attention]) -> Markup {
    html! {
        @if !found.is_empty() {
            section aria-labelledby="attention" {
                h2 id="attention" { "Needs attention" }
                ul class="attention" {
                    @for each in found {
                        li class=(each.severity.class()) {
                            span class={ "badge " (each.severity.class()) } { (each.label) }
                            p { (each.message) }
                            @if let Some(url) = &each.pay_url {
                                a class="button primary" href=(url) rel="noreferrer" { "Pay now" }
                            } @else if let Some(part) = each.part {
                                a class="button" href=(visitor.part(part)) { (part.name()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn balance_card(account: &Account, status: &SubscriptionStatus) -> Markup {
    let figures = Figures::of(account);
    let parts = [
        ("Plan", figures.plan, false),
        ("Packs", figures.packs, false),
        ("Adjustments", figures.adjustments, false),
        ("Debt", figures.debt, true),
    ];
    html! {
        section class="card" aria-labelledby="balance-title" {
            h2 id="balance-title" { "Balance" }
            p class="figure" {
                data data-testid="balance" value=(figures.balance) class=[figures.balance.is_negative().then_some("negative")] {
                    (credits(figures.balance))
                }
                " " span class="unit" { "credits" }
            }
            (used(status))
            dl class="facts" {
                @for (name, amount, is_subtracted) in parts {
                    div {
                        dt { (name) }
                        dd { @if is_subtracted && amount.is_positive() { "-" } (credits(amount)) }
                    }
                }
                @if figures.settling.is_positive() {
                    div {
                        dt { "Settling" span class="muted block" { "Expired; pays for late reports only" } }
                        dd { (credits(figures.settling)) }
                    }
                }
            }
        }
    }
}

/// Returns the share of the period's credits that is used.
fn used(status: &SubscriptionStatus) -> Markup {
    let Some(period) = &status.this_period else { return html! {} };
    let percent = period.used_percent.as_str();
    let consumed: Credits = period.consumed.as_str().parse().unwrap_or_default();
    html! {
        div class="meter-row" {
            meter id="used" min="0" max="100" value=(percent) aria-labelledby="used-text" { (percent) " %" }
            p id="used-text" class="muted" { (percent) " % of this period used (" (credits(consumed)) " credits)" }
        }
    }
}

fn plan_card(portal: &Portal, visitor: &Visitor, account: &Account, status: &SubscriptionStatus) -> Markup {
    let billing_period = status.billing_period.map(billing_period_name);
    html! {
        section class="card" aria-labelledby="plan-title" {
            h2 id="plan-title" { "Plan" }
            @if let Some(plan) = &status.plan {
                p class="figure" {
                    data data-testid="plan" value=(plan) { (plan_name(portal.catalog(), plan)) }
                }
            } @else {
                p class="figure muted" data-testid="plan" { "None" }
            }
            dl class="facts" {
                @if let Some(billing_period) = billing_period {
                    div { dt { "Billed" } dd { (billing_period) (price_in_force(portal, account)) } }
                }
                @if let Some(period) = &status.period {
                    div { dt { "Period " (period.number) } dd { (day(period.start_time)) " to " (day(period.end_time)) } }
                }
                div {
                    dt { "Renews" }
                    dd {
                        @if let Some(renewal) = status.renewal_time {
                            time data-testid="renews" datetime=(renewal) { (time_text(renewal)) }
                        } @else { span data-testid="renews" { "Never" } }
                    }
                }
            }
            (pending_change(portal, visitor, account, status))
            a class="button" href=(visitor.part(Part::Plan)) { "Change plan" }
        }
    }
}

/// Returns the price of a period of the plan in force, if it is known.
fn price_in_force(portal: &Portal, account: &Account) -> Markup {
    let Some(terms) = account.terms() else { return html! {} };
    html! { ", " (price(terms.price, &portal.catalog().currency)) }
}

/// Returns the change that is not in effect yet, with the form that undoes it: a change at the end of the period, or one
/// whose invoice is open.
fn pending_change(
    portal: &Portal,
    visitor: &Visitor,
    account: &Account,
    status: &SubscriptionStatus,
) -> Markup {
    let spec = &account.subscription.spec;
    let change = status.pending_change.as_ref().map(|change| {
        (change.plan.as_str(), change.billing_period, html! { "on " (time(change.effective_time)) })
    });
    let unpaid = || {
        let invoice = invoice_of_change(account)?;
        let amount = money(invoice.amount, &invoice.currency);
        Some((spec.plan.as_str(), spec.billing_period, html! { "when " (amount) " are paid" }))
    };
    let Some((plan, billing_period, when)) = change.or_else(unpaid) else { return html! {} };
    html! {
        div class="notice pending" {
            p data-testid="pending-change" {
                "Changes to " strong { (plan_name(portal.catalog(), plan)) }
                ", " (billing_period_name(billing_period)) ", " (when) "."
            }
            (undo::form(visitor))
        }
    }
}

/// Returns a billing period in lower case, as part of a sentence.
pub(crate) const fn billing_period_name(billing_period: BillingPeriod) -> &'static str {
    match billing_period {
        BillingPeriod::Monthly => "monthly",
        BillingPeriod::Yearly => "yearly",
    }
}

fn packs_card(portal: &Portal, visitor: &Visitor, account: &Account) -> Markup {
    html! {
        section class="card" aria-labelledby="packs-title" {
            h2 id="packs-title" { "Packs this month" }
            @if let Some(count) = PackCount::of(portal.catalog(), account) {
                p class="figure" data-testid="packs-used" { (count.used) " of " (count.limit) }
                @if let Some(next) = count.next_time { p class="muted" { "The next one from " (time(next)) "." } }
                @else { p class="muted" { "The count starts again on " (time(count.month_end)) "." } }
            } @else { p class="figure muted" { "-" } }
            a class="button" href=(visitor.part(Part::Packs)) { "Buy credits" }
        }
    }
}

/// Returns the conditions of the Subscription, if it is not ready.
fn conditions(status: &SubscriptionStatus) -> Markup {
    let is_ready = condition(&status.conditions, READY).is_none_or(|ready| ready.status == "True");
    if is_ready {
        return html! {};
    }
    let table = html! {
        table class="data" {
            caption class="hidden" { "Conditions of the Subscription" }
            thead { tr { th scope="col" { "Condition" } th scope="col" { "Status" } th scope="col" { "Reason" } th scope="col" { "Message" } } }
            tbody {
                @for each in &status.conditions {
                    tr { th scope="row" { (each.type_) } td { (each.status) } td { (each.reason) } td class="message" { (each.message) } }
                }
            }
        }
    };
    html! {
        section aria-labelledby="conditions" {
            h2 id="conditions" { "Conditions" }
            (table_region("Conditions", &table))
        }
    }
}
