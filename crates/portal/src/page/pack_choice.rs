//! The choice of a pack: its effect, and the confirmation.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use flashgate_api::{CreditPack, CreditPackSpec, CreditPackState, SubscriptionRef};
use flashgate_ledger::catalog::Pack;
use flashgate_preview::effect::Change;
use maud::html;
use serde_json::Value;

use super::chosen::{Chosen, ConfirmForm};
use super::confirmation::{Confirmation, new_key};
use super::effects::Outlook;
use super::format::price;
use super::forms::Sent;
use super::layout::Part;
use super::packs::refusal;
use super::problem::Problem;
use super::visitor::Visitor;
use super::writes::{Way, file};
use crate::calls::buy_pack::{self, unknown_pack};
use crate::manifest;
use crate::orders::{key_hash, order_name};
use crate::portal::Portal;
use crate::refused::Refused;
use crate::sessions;

/// Returns the routes of the choice.
pub(super) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/packs/{choice}", get(show).post(confirm))
}

async fn show(State(portal): State<Portal>, chosen: Chosen) -> Result<Response, Problem> {
    let pack = pack(&portal, &chosen.choice)?;
    let key = if chosen.format.key.is_empty() { new_key(&portal)? } else { chosen.format.key.clone() };
    if chosen.format.is_yaml() {
        return Ok(file(&object(&chosen.visitor, pack, &key)));
    }
    let way = Way::of_purchase(&portal, &chosen.visitor.caller).await?;
    draw(&portal, &chosen, pack, way, &key, None).await
}

async fn confirm(
    State(portal): State<Portal>,
    chosen: Chosen,
    Sent(ConfirmForm { key }): Sent<ConfirmForm>,
) -> Result<Response, Problem> {
    let pack = pack(&portal, &chosen.choice)?;
    match buy(&portal, &chosen, pack, &key).await {
        Ok(session) => Ok(chosen.outcome(&session)),
        Err(refused) => {
            let way = Way::after(&refused, "create creditpacks");
            let problem = way.is_none().then_some(refused);
            draw(&portal, &chosen, pack, way.unwrap_or(Way::Write), &key, problem).await
        }
    }
}

/// Buys a pack. Returns the session of the order.
async fn buy(portal: &Portal, chosen: &Chosen, pack: &Pack, key: &str) -> Result<String, Refused> {
    let caller = &chosen.visitor.caller;
    let ordered = portal.buy_pack(caller, &chosen.account, &pack.name, Some(key)).await?;
    let state = ordered.decided.as_ref().and_then(|order| order.status.as_ref()?.state);
    if state == Some(CreditPackState::Refused) {
        return Err(buy_pack::refusal(ordered.decided.as_ref()));
    }
    Ok(sessions::of_order(&ordered.name))
}

fn pack<'a>(portal: &'a Portal, name: &str) -> Result<&'a Pack, Refused> {
    portal.catalog().pack(name).ok_or_else(|| unknown_pack(portal))
}

/// Returns the order of a pack.
fn object(visitor: &Visitor, pack: &Pack, key: &str) -> Value {
    let caller = &visitor.caller;
    let name = order_name(&caller.name, &key_hash(&caller.namespace, &caller.name, key));
    let spec = CreditPackSpec {
        subscription_ref: SubscriptionRef { name: caller.name.clone() },
        pack: pack.name.clone(),
    };
    manifest::of_order(&caller.namespace, &CreditPack::new(&name, spec))
}

async fn draw(
    portal: &Portal,
    chosen: &Chosen,
    pack: &Pack,
    way: Way,
    key: &str,
    problem: Option<Refused>,
) -> Result<Response, Problem> {
    let Chosen { visitor, account, .. } = chosen;
    let outlook = Outlook::of(portal, &visitor.caller, account).await?;
    let known = outlook.effect(&Change::Pack { pack: pack.name.clone() });
    let confirmation = Confirmation {
        part: Part::Packs,
        title: format!("Buy {}", pack.display_name),
        button: format!("Buy for {}", price(pack.price, &portal.catalog().currency)),
        note: html! { "The name of the order is its idempotency key: sending this form twice buys once." },
        // The refusal of the attempt says more.
        refusal: if problem.is_some() { None } else { refusal(portal, account, pack, &known) },
        known: Some(known),
        object: object(visitor, pack, key),
        way,
        key,
        problem,
    };
    Ok(confirmation.response(portal, visitor, StatusCode::OK))
}
