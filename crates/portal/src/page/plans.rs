//! The plans side by side, each billing period with its effect on the account.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use flashgate_api::Renewal;
use flashgate_ledger::catalog::{BillingPeriod, Offer, PackPurchases, Plan};
use flashgate_preview::effect::{Change, When};
use maud::{Markup, html};

use super::effects::{Known, Outlook, summary, unknown_notice};
use super::format::{credits, price};
use super::layout::{Part, page};
use super::overview::billing_period_name;
use super::problem::Problem;
use super::visitor::Visitor;
use crate::account::Account;
use crate::calls::pending_payment::plan_in_force;
use crate::offers::{BILLING_PERIODS, period_id};
use crate::portal::Portal;

/// Returns the routes of this part.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/plan", get(show)).merge(super::plan_choice::routes())
}

async fn show(State(portal): State<Portal>, visitor: Visitor) -> Result<Markup, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let outlook = Outlook::of(&portal, &visitor.caller, &account).await?;
    let content = html! {
        h1 { "Change plan" }
        p class="muted" {
            "An upgrade begins at once, or when it is paid, and a downgrade at the end of the period. \
             Nothing changes before you confirm."
        }
        (unknown_notice(account.book.missing_right()))
        div class="cards plans" {
            @for plan in &portal.catalog().plans { (card(&portal, &visitor, &account, &outlook, plan)) }
        }
    };
    Ok(page(&visitor, Part::Plan, "Change plan", &content))
}

fn card(portal: &Portal, visitor: &Visitor, account: &Account, outlook: &Outlook<'_>, plan: &Plan) -> Markup {
    let in_force = plan_in_force(account);
    let is_in_force = in_force.as_ref().is_some_and(|(name, _)| *name == plan.name);
    let title = format!("plan-{}", plan.name);
    html! {
        section class={ "card plan" @if is_in_force { " current" } } aria-labelledby=(title) {
            div class="plan-head" {
                h2 id=(title) { (plan.display_name) }
                @if is_in_force { span class="badge good" { "In force" } }
            }
            @for billing_period in BILLING_PERIODS {
                @if let Some(offer) = plan.offer(billing_period) {
                    (choice(portal, visitor, account, outlook, &Choice { plan, billing_period, offer }))
                } @else {
                    div class="choice" { p class="hint" { "No " (billing_period_name(billing_period)) " periods." } }
                }
            }
            p class="muted push" {
                @match plan.pack_purchases {
                    PackPurchases::Allowed => "Packs of credits can be bought.",
                    PackPurchases::Refused => "Without packs.",
                }
            }
        }
    }
}

/// A billing period of a plan that the catalog offers.
#[derive(Clone, Copy)]
pub(crate) struct Choice<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The length of its periods.
    pub billing_period: BillingPeriod,
    /// Its credits and price.
    pub offer: Offer,
}

impl Choice<'_> {
    /// Returns the change that requests it.
    pub(crate) fn change(&self) -> Change {
        Change::Plan { plan: self.plan.name.clone(), billing_period: self.billing_period }
    }

    /// Returns why it cannot be chosen, if it cannot: it is in force and renews, or the operator would refuse it.
    pub(crate) fn refusal(&self, account: &Account, known: &Known) -> Option<String> {
        let spec = &account.subscription.spec;
        let is_requested = spec.plan == self.plan.name
            && spec.billing_period == self.billing_period
            && spec.renewal == Renewal::Automatic;
        let has =
            if self.is_in_force(account) { "You have this plan" } else { "You have requested this plan" };
        match known {
            Known::Refused(reason) => Some(reason.clone()),
            Known::Accepted(effect) if is_requested && effect.takes_effect == When::Never => {
                Some(has.to_owned())
            }
            Known::Unknown(_) if is_requested => Some(has.to_owned()),
            Known::Accepted(_) | Known::Unknown(_) => None,
        }
    }

    fn is_in_force(&self, account: &Account) -> bool {
        let in_force = plan_in_force(account);
        in_force.is_some_and(|(plan, period)| plan == self.plan.name && period == self.billing_period)
    }

    /// Returns the effect in one line. The plan in force takes back what was requested after it.
    fn line(&self, account: &Account, known: &Known) -> Markup {
        match known {
            Known::Accepted(effect) if self.is_in_force(account) && effect.granted.is_zero() => {
                html! { "Keeps this plan, and takes back the requested change." }
            }
            known => summary(known),
        }
    }
}

fn choice(
    portal: &Portal,
    visitor: &Visitor,
    account: &Account,
    outlook: &Outlook<'_>,
    choice: &Choice<'_>,
) -> Markup {
    let Choice { plan, billing_period, offer } = choice;
    let id = period_id(&plan.name, *billing_period);
    let known = outlook.effect(&choice.change());
    let refusal = choice.refusal(account, &known);
    let (test_id, reason) = (format!("choose-{id}"), format!("effect-{id}"));
    let unit = match billing_period {
        BillingPeriod::Monthly => "month",
        BillingPeriod::Yearly => "year",
    };
    html! {
        div class="choice" {
            p class="price" {
                strong { (price(offer.price, &portal.catalog().currency)) }
                span class="muted" { " a " (unit) }
            }
            p { (credits(offer.credits)) " credits a " (unit) }
            p id=(reason) class="hint" {
                @if let Some(refusal) = &refusal { (super::problem::sentence(refusal)) } @else { (choice.line(account, &known)) }
            }
            @if refusal.is_some() {
                button class="button" type="button" disabled data-testid=(test_id) aria-describedby=(reason) {
                    "Choose " (billing_period_name(*billing_period))
                    span class="hidden" { " " (plan.display_name) }
                }
            } @else {
                a class="button" href=(visitor.path(&format!("plan/{id}"))) data-testid=(test_id) aria-describedby=(reason) {
                    "Choose " (billing_period_name(*billing_period))
                    span class="hidden" { " " (plan.display_name) }
                }
            }
        }
    }
}
