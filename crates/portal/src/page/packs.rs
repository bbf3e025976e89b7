//! The packs of credits: the purchases of this month, the packs to buy, and the purchases so far.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use flashgate_api::{CreditPack, CreditPackState, READY, condition};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Pack;
use flashgate_preview::effect::Change;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use maud::{Markup, html};

use super::effects::{Known, Outlook, summary, unknown_notice};
use super::figures::PackCount;
use super::format::{credits, money, price, time};
use super::layout::{Part, missing, page, table_region};
use super::problem::{Problem, sentence};
use super::visitor::Visitor;
use crate::account::Account;
use crate::caller::Caller;
use crate::calls::buy_pack::check_status;
use crate::kubernetes::CallError;
use crate::offers::pack_name;
use crate::portal::Portal;
use crate::refused::Refused;
use crate::verdict::checkout_url;

/// Most purchases that are shown.
const PURCHASES_SHOWN: usize = 100;

/// Returns the routes of this part.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/packs", get(show)).merge(super::pack_choice::routes())
}

async fn show(State(portal): State<Portal>, visitor: Visitor) -> Result<Markup, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let (outlook, purchases) = futures::try_join!(
        Outlook::of(&portal, &visitor.caller, &account),
        purchases(&portal, &visitor.caller),
    )?;
    let content = html! {
        h1 { "Packs" }
        (unknown_notice(account.book.missing_right()))
        (meter(&portal, &account))
        section aria-labelledby="buy" {
            h2 id="buy" { "Buy credits" }
            div class="cards" {
                @for pack in &portal.catalog().packs { (card(&portal, &visitor, &account, &outlook, pack)) }
            }
            @if portal.catalog().packs.is_empty() { p class="muted" { "The catalog has no packs." } }
        }
        section aria-labelledby="purchases" {
            h2 id="purchases" { "Purchases" }
            @match &purchases {
                Some(purchases) => (purchase_list(&portal, purchases)),
                None => (missing(
                    "You lack the right 'list creditpacks'.",
                    "Ask the administrator of the namespace for it to see your purchases.",
                )),
            }
        }
    };
    Ok(page(&visitor, Part::Packs, "Packs", &content))
}

/// Returns the purchases of an account, newest first, or nothing if the caller may not list them.
async fn purchases(portal: &Portal, caller: &Caller) -> Result<Option<Vec<CreditPack>>, Refused> {
    let fields = format!("spec.subscriptionRef.name={}", caller.name);
    let mut found: Vec<CreditPack> = Vec::new();
    let listed =
        portal.kubernetes.list(&caller.token, &caller.namespace, &fields, |order| found.push(order)).await;
    match listed {
        Ok(()) => {
            found.retain(|order: &CreditPack| order.spec.subscription_ref.name == caller.name);
            found.sort_by_key(|order| std::cmp::Reverse((ordered_at(order), order.name_any())));
            Ok(Some(found))
        }
        Err(CallError::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the time at which a pack was ordered.
fn ordered_at(order: &CreditPack) -> Option<Timestamp> {
    order.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn meter(portal: &Portal, account: &Account) -> Markup {
    let Some(count) = PackCount::of(portal.catalog(), account) else {
        return html! { p class="muted" { "Packs can be bought as soon as the operator has seen the account." } };
    };
    html! {
        section class="card" aria-labelledby="month" {
            h2 id="month" { "This month" }
            p class="figure" data-testid="packs-used" { (count.used) " of " (count.limit) }
            meter min="0" max=(count.limit.max(1)) value=(count.used) aria-labelledby="month" {
                (count.used) " of " (count.limit)
            }
            p class="muted" {
                @if let Some(next) = count.next_time { "The limit is reached. The next pack can be bought from " (time(next)) " on." }
                @else { "Months are counted from the start of the account. The next one begins on " (time(count.month_end)) "." }
            }
        }
    }
}

/// Returns why a pack cannot be bought now, if it cannot.
pub(super) fn refusal(portal: &Portal, account: &Account, pack: &Pack, known: &Known) -> Option<String> {
    let refused =
        check_status(portal, account, pack).err().map(|refused| match refused.next_available_time {
            Some(next) => format!(
                "the packs of this month are used up; the next one from {}",
                super::format::time_text(next)
            ),
            None => refused.message,
        });
    refused.or_else(|| match known {
        Known::Refused(reason) => Some(reason.clone()),
        Known::Accepted(_) | Known::Unknown(_) => None,
    })
}

fn card(portal: &Portal, visitor: &Visitor, account: &Account, outlook: &Outlook<'_>, pack: &Pack) -> Markup {
    let known = outlook.effect(&Change::Pack { pack: pack.name.clone() });
    let refusal = refusal(portal, account, pack, &known);
    let (test_id, title, reason) =
        (format!("buy-{}", pack.name), format!("pack-{}", pack.name), format!("effect-{}", pack.name));
    html! {
        section class="card" aria-labelledby=(title) {
            h3 id=(title) { (pack.display_name) }
            p class="price" { strong { (price(pack.price, &portal.catalog().currency)) } }
            p {
                (credits(pack.credits)) " credits"
                @if let Some(days) = pack.expires_after_days { ", which expire after " (days) " days" }
                @else { ", which do not expire" }
            }
            p id=(reason) class="hint" {
                @if let Some(refusal) = &refusal { (sentence(refusal)) } @else { (summary(&known)) }
            }
            @if refusal.is_some() {
                button class="button" type="button" disabled data-testid=(test_id) aria-describedby=(reason) {
                    "Buy " (pack.display_name)
                }
            } @else {
                a class="button" href=(visitor.path(&format!("packs/{}", pack.name))) data-testid=(test_id) aria-describedby=(reason) {
                    "Buy " (pack.display_name)
                }
            }
        }
    }
}

fn purchase_list(portal: &Portal, purchases: &[CreditPack]) -> Markup {
    if purchases.is_empty() {
        return html! { p class="muted" { "No pack was bought yet." } };
    }
    let table = html! {
        table class="data" {
            caption class="hidden" { "Purchases, newest first" }
            thead {
                tr {
                    th scope="col" { "Ordered" }
                    th scope="col" { "Pack" }
                    th scope="col" class="number" { "Credits" }
                    th scope="col" class="number" { "Price" }
                    th scope="col" { "State" }
                    th scope="col" { "Order" }
                }
            }
            tbody { @for order in purchases.iter().take(PURCHASES_SHOWN) { (purchase(portal, order)) } }
        }
    };
    html! {
        (table_region("Purchases", &table))
        @if purchases.len() > PURCHASES_SHOWN {
            p class="muted" { "These are the last " (PURCHASES_SHOWN) " of " (purchases.len()) " purchases. The history has all of them." }
        }
    }
}

fn purchase(portal: &Portal, order: &CreditPack) -> Markup {
    let status = order.status.clone().unwrap_or_default();
    let amount = |text: &Option<flashgate_api::Amount>| {
        text.as_ref().and_then(|text| text.as_str().parse::<Credits>().ok())
    };
    let (given, paid) = (amount(&status.credits), amount(&status.price));
    let currency = status.currency.as_deref().unwrap_or(&portal.catalog().currency);
    let message = condition(&status.conditions, READY).map(|ready| sentence(&ready.message));
    let (class, label) = match status.state {
        None => ("", "Pending"),
        Some(CreditPackState::AwaitingPayment) => ("warning", "Awaits payment"),
        Some(CreditPackState::Granted) => ("good", "Granted"),
        Some(CreditPackState::Refused) => ("bad", "Refused"),
        Some(CreditPackState::Refunded) => ("", "Refunded"),
    };
    let is_open = status.state == Some(CreditPackState::AwaitingPayment);
    let pay_url = status.invoice.as_deref().filter(|_| is_open);
    let pay_url = pay_url.and_then(|invoice| checkout_url(portal.catalog(), invoice));
    html! {
        tr data-testid="purchase-row" {
            td class="nowrap" { @if let Some(ordered) = ordered_at(order) { (time(ordered)) } }
            td class="nowrap" { (pack_name(portal.catalog(), &order.spec.pack)) }
            td class="number" { @if let Some(given) = given { (credits(given)) } @else { "-" } }
            td class="number" { @if let Some(paid) = paid { (money(paid, currency)) } @else { "-" } }
            td {
                span class={ "badge " (class) } { (label) }
                @if let Some(url) = &pay_url { " " a href=(url) rel="noreferrer" { "Pay now" } }
                @if status.state != Some(CreditPackState::Granted) && let Some(message) = &message {
                    span class="muted block" { (message) }
                }
            }
            td class="name" { (order.name_any()) }
        }
    }
}
