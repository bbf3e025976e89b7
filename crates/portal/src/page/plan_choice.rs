//! The choice of a plan: its effect, and the confirmation.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use flashgate_api::Renewal;
use maud::html;
use serde_json::{Value, json};

use super::chosen::{Chosen, ConfirmForm};
use super::confirmation::{Confirmation, new_key};
use super::effects::Outlook;
use super::forms::Sent;
use super::layout::Part;
use super::overview::billing_period_name;
use super::plans::Choice;
use super::problem::Problem;
use super::writes::{Way, file};
use crate::account::Account;
use crate::calls::buy_subscription::unknown_period;
use crate::manifest;
use crate::offers::offered;
use crate::portal::Portal;
use crate::refused::Refused;

/// Returns the routes of the choice.
pub(super) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/plan/{choice}", get(show).post(confirm))
}

async fn show(State(portal): State<Portal>, chosen: Chosen) -> Result<Response, Problem> {
    let choice = choice(&portal, &chosen.choice)?;
    if chosen.format.is_yaml() {
        return Ok(file(&object(&chosen.account, &choice)));
    }
    let way = Way::of_change(&portal, &chosen.visitor.caller).await?;
    draw(&portal, &chosen, &choice, way, &new_key(&portal)?, None).await
}

async fn confirm(
    State(portal): State<Portal>,
    chosen: Chosen,
    Sent(ConfirmForm { key }): Sent<ConfirmForm>,
) -> Result<Response, Problem> {
    let choice = choice(&portal, &chosen.choice)?;
    let (caller, id) = (&chosen.visitor.caller, chosen.choice.clone());
    match portal.buy_plan(caller, &chosen.account, id, key.clone()).await {
        Ok(session) => Ok(chosen.outcome(&session)),
        Err(refused) => {
            let way = Way::after(&refused, "patch subscriptions");
            let problem = way.is_none().then_some(refused);
            draw(&portal, &chosen, &choice, way.unwrap_or(Way::Write), &key, problem).await
        }
    }
}

fn choice<'a>(portal: &'a Portal, id: &str) -> Result<Choice<'a>, Refused> {
    let (plan, billing_period, offer) =
        offered(portal.catalog(), id).ok_or_else(|| unknown_period(portal))?;
    Ok(Choice { plan, billing_period, offer })
}

/// Returns the Subscription that requests the choice.
fn object(account: &Account, choice: &Choice<'_>) -> Value {
    let changes = json!({
        "plan": choice.plan.name, "billingPeriod": choice.billing_period, "renewal": Renewal::Automatic,
    });
    manifest::of_change(&account.subscription, &changes)
}

async fn draw(
    portal: &Portal,
    chosen: &Chosen,
    choice: &Choice<'_>,
    way: Way,
    key: &str,
    problem: Option<Refused>,
) -> Result<Response, Problem> {
    let Chosen { visitor, account, .. } = chosen;
    let outlook = Outlook::of(portal, &visitor.caller, account).await?;
    let known = outlook.effect(&choice.change());
    let (plan, period) = (&choice.plan.display_name, billing_period_name(choice.billing_period));
    let confirmation = Confirmation {
        part: Part::Plan,
        title: format!("Change to {plan}, {period}"),
        button: format!("Change to {plan}"),
        note: html! {
            @if account.subscription.spec.renewal == Renewal::None { "The plan then renews automatically again." }
        },
        refusal: choice.refusal(account, &known),
        known: Some(known),
        object: object(account, choice),
        way,
        key,
        problem,
    };
    Ok(confirmation.response(portal, visitor, StatusCode::OK))
}
