//! The choice of a plan: its effect, and the confirmation.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use flashgate_api::Renewal;
use maud::html;
use serde::Deserialize;
use serde_json::{Value, json};

use super::confirmation::{Confirmation, Format, new_key};
use super::effects::Outlook;
use super::forms::Sent;
use super::layout::Part;
use super::overview::billing_period_name;
use super::plans::Choice;
use super::problem::Problem;
use super::visitor::Visitor;
use super::writes::{Way, file};
use crate::account::Account;
use crate::calls::buy_subscription::unknown_period;
use crate::manifest;
use crate::offers::offered;
use crate::parameters::parsed;
use crate::portal::Portal;
use crate::refused::Refused;

/// Returns the routes of the choice.
pub(super) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/plan/{choice}", get(show).post(confirm))
}

/// The names in the path.
#[derive(Deserialize)]
pub(super) struct ChoicePath {
    /// Id of a billing period, or name of a pack.
    pub choice: String,
}

/// The form of a confirmation.
#[derive(Deserialize)]
pub(super) struct ConfirmForm {
    /// The key that all repetitions of this form have.
    pub key: String,
}

async fn show(
    State(portal): State<Portal>,
    visitor: Visitor,
    Path(path): Path<ChoicePath>,
    query: Result<Query<Format>, QueryRejection>,
) -> Result<Response, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let choice = choice(&portal, &path.choice)?;
    if parsed(query)?.is_yaml() {
        return Ok(file(&object(&account, &choice)));
    }
    let way = Way::of_change(&portal, &visitor.caller).await?;
    draw(&portal, &visitor, &account, &choice, way, &new_key(&portal)?, None).await
}

async fn confirm(
    State(portal): State<Portal>,
    visitor: Visitor,
    Path(path): Path<ChoicePath>,
    Sent(ConfirmForm { key }): Sent<ConfirmForm>,
) -> Result<Response, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let choice = choice(&portal, &path.choice)?;
    match portal.buy_plan(&visitor.caller, &account, path.choice.clone(), key.clone()).await {
        Ok(session) => Ok(Redirect::to(&visitor.path(&format!("outcome/{session}"))).into_response()),
        Err(refused) => {
            let way = Way::after(&refused, "patch subscriptions");
            let problem = way.is_none().then_some(refused);
            draw(&portal, &visitor, &account, &choice, way.unwrap_or(Way::Write), &key, problem).await
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
    visitor: &Visitor,
    account: &Account,
    choice: &Choice<'_>,
    way: Way,
    key: &str,
    problem: Option<Refused>,
) -> Result<Response, Problem> {
    let outlook = Outlook::of(portal, &visitor.caller, account).await?;
    let known = outlook.effect(portal, account, &choice.change());
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
