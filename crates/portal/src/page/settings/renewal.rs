//! The renewal of the plan at the end of its period: on or off, with its effect.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use flashgate_api::Renewal;
use flashgate_preview::effect::Change as Considered;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::chosen::Format;
use super::super::confirmation::Confirmation;
use super::super::effects::Outlook;
use super::super::format::time;
use super::super::forms::Sent;
use super::super::layout::Part;
use super::super::problem::Problem;
use super::super::visitor::Visitor;
use super::super::writes::{Changed, Way, change, file};
use crate::account::Account;
use crate::changes::Change;
use crate::manifest;
use crate::parameters::parsed;
use crate::portal::Portal;

pub(super) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/settings/renewal", get(show).post(post))
}

/// Returns the renewal that the account does not have: the one to choose.
fn other(account: &Account) -> Renewal {
    match account.subscription.spec.renewal {
        Renewal::Automatic => Renewal::None,
        Renewal::None => Renewal::Automatic,
    }
}

/// Returns the section of the settings.
pub(super) fn section(visitor: &Visitor, account: &Account) -> Markup {
    let status = account.status();
    let is_automatic = account.subscription.spec.renewal == Renewal::Automatic;
    html! {
        section class="card" aria-labelledby="renewal" {
            h2 id="renewal" { "Renewal" }
            p {
                @if is_automatic { strong { "On." } " The plan renews at the end of each period." }
                @else { strong { "Off." } " The plan ends with its period. Credits of packs stay." }
                @if let Some(period) = &status.period { " This period ends on " (time(period.end_time)) "." }
            }
            a class="button" href=(visitor.path("settings/renewal")) {
                @if is_automatic { "Turn renewal off" } @else { "Turn renewal on" }
            }
        }
    }
}

/// The form of the confirmation. It names the renewal, so that sending it twice changes nothing twice.
#[derive(Deserialize)]
struct RenewalForm {
    key: Renewal,
}

async fn show(
    State(portal): State<Portal>,
    visitor: Visitor,
    query: Result<Query<Format>, QueryRejection>,
) -> Result<Response, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let wanted = other(&account);
    if parsed(query)?.is_yaml() {
        return Ok(file(&object(&account, wanted)));
    }
    let way = Way::of_change(&portal, &visitor.caller).await?;
    draw(&portal, &visitor, &account, wanted, way).await
}

async fn post(
    State(portal): State<Portal>,
    visitor: Visitor,
    Sent(RenewalForm { key: wanted }): Sent<RenewalForm>,
) -> Result<Response, Problem> {
    let decide = |account: &Account| {
        let is_set = account.subscription.spec.renewal == wanted;
        Ok((!is_set).then(|| Change::of_spec(json!({ "renewal": wanted }))))
    };
    match change(&portal, &visitor.caller, decide).await? {
        Changed::Made(changed) => {
            portal.decided(&visitor.caller, changed.metadata.generation.unwrap_or_default()).await?;
            Ok(Redirect::to(&format!("{}?saved=1", visitor.part(Part::Settings))).into_response())
        }
        Changed::Shown(_, reason) => {
            let account = portal.account(&visitor.caller).await?;
            draw(&portal, &visitor, &account, wanted, Way::Manifest(reason)).await
        }
    }
}

fn object(account: &Account, wanted: Renewal) -> Value {
    manifest::of_change(&account.subscription, &json!({ "renewal": wanted }))
}

async fn draw(
    portal: &Portal,
    visitor: &Visitor,
    account: &Account,
    wanted: Renewal,
    way: Way,
) -> Result<Response, Problem> {
    let outlook = Outlook::of(portal, &visitor.caller, account).await?;
    let (title, note, key) = match wanted {
        Renewal::None => (
            "Turn renewal off",
            "The plan stays in force until the end of its period. You can turn renewal on again until then.",
            "None",
        ),
        Renewal::Automatic => ("Turn renewal on", "The plan renews at the end of each period.", "Automatic"),
    };
    let confirmation = Confirmation {
        part: Part::Settings,
        title: title.to_owned(),
        button: title.to_owned(),
        note: html! { (note) },
        refusal: None,
        known: Some(outlook.effect(&Considered::Renewal(wanted))),
        object: object(account, wanted),
        way,
        key,
        problem: None,
    };
    Ok(confirmation.response(portal, visitor, StatusCode::OK))
}
