//! The outcome of a confirmed change: the state of its session, and the next step.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use flashgate_ledger::invoice::InvoiceState;
use maud::{Markup, html};
use serde::Deserialize;

use super::figures::Figures;
use super::format::{credits, money, time};
use super::layout::{Part, page};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::account::{Account, AccountInvoice};
use crate::calls::checkout_session::Found;
use crate::calls::pending_payment::plan_in_force;
use crate::offers::plan_name;
use crate::portal::Portal;
use crate::refused::Refused;
use crate::sessions::{self, Session};
use crate::verdict::{SessionStatus, checkout_url};

/// Returns the route of the outcome.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/outcome/{session}", get(show))
}

/// The session in the path.
#[derive(Deserialize)]
struct OutcomePath {
    session: String,
}

async fn show(
    State(portal): State<Portal>,
    visitor: Visitor,
    Path(OutcomePath { session }): Path<OutcomePath>,
) -> Result<Markup, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let Found(status, ..) = portal.session(&visitor.caller, &account, &session).await?;
    let invoice = invoice(&portal, &visitor, &account, &session).await?;
    let is_order = matches!(sessions::parse(&session), Session::Order(_));
    let part = if is_order { Part::Packs } else { Part::Plan };
    let is_later = !is_order && account.status().pending_change.is_some();
    let title = title(status, is_order, is_later, invoice.as_ref());
    Ok(page(&visitor, part, title, &content(&portal, &visitor, &account, title, status, invoice.as_ref())))
}

/// Returns the invoice of a session, if there is one and the account still shows it.
async fn invoice(
    portal: &Portal,
    visitor: &Visitor,
    account: &Account,
    session: &str,
) -> Result<Option<AccountInvoice>, Refused> {
    let number = match sessions::parse(session) {
        Session::Invoice(number) => Some(number.to_owned()),
        Session::Order(name) => {
            portal.order(&visitor.caller, name).await?.and_then(|order| order.status?.invoice)
        }
        Session::Change(_) | Session::Free(_) => None,
    };
    Ok(number.and_then(|number| account.invoices().into_iter().find(|invoice| invoice.number == number)))
}

/// Returns the heading. A change that is later waits for the end of the period.
fn title(
    status: SessionStatus,
    is_order: bool,
    is_later: bool,
    invoice: Option<&AccountInvoice>,
) -> &'static str {
    match status {
        SessionStatus::Open if invoice.is_some() => "Waiting for the payment",
        SessionStatus::Open => "Waiting for the operator",
        SessionStatus::Complete if is_order => "The credits arrived",
        SessionStatus::Complete if is_later => "The change is planned",
        SessionStatus::Complete => "The change is made",
        SessionStatus::Expired => "Nothing was changed",
    }
}

fn content(
    portal: &Portal,
    visitor: &Visitor,
    account: &Account,
    title: &str,
    status: SessionStatus,
    invoice: Option<&AccountInvoice>,
) -> Markup {
    let open = invoice.filter(|invoice| invoice.state == InvoiceState::Open);
    let pay_url = open.and_then(|invoice| checkout_url(portal.catalog(), &invoice.number));
    let pending = account.status().pending_change;
    html! {
        h1 { (title) }
        section class="card" aria-labelledby="now" {
            h2 id="now" { "Your account now" }
            dl class="facts" {
                div { dt { "Balance" } dd { (credits(Figures::of(account).balance)) " credits" } }
                div {
                    dt { "Plan" }
                    dd {
                        @if let Some((plan, _)) = plan_in_force(account) { (plan_name(portal.catalog(), &plan)) }
                        @else { "None" }
                    }
                }
                @if let Some(change) = &pending {
                    div { dt { "Next plan" } dd { (plan_name(portal.catalog(), &change.plan)) ", from " (time(change.effective_time)) } }
                }
                @if let Some(invoice) = invoice {
                    div {
                        dt { "Invoice " (invoice.number) }
                        dd { (money(invoice.amount, &invoice.currency)) ", " (state(invoice.state)) }
                    }
                }
            }
            @match (status, open) {
                (SessionStatus::Open, Some(_)) => p { "The change takes effect when the invoice is paid. Load this page again after the payment." },
                (SessionStatus::Open, None) => p { "The operator has not decided yet. Load this page again in a few seconds." },
                (SessionStatus::Expired, _) => p { "The overview shows the reason, if something is left to do." },
                (SessionStatus::Complete, _) => {},
            }
            p class="actions" {
                @if let Some(url) = &pay_url { a class="button primary" href=(url) rel="noreferrer" { "Pay now" } }
                a class="button" href=(visitor.part(Part::Overview)) { "Overview" }
                a class="button quiet" href=(visitor.part(Part::Invoices)) { "Invoices" }
            }
        }
    }
}

/// Returns the state of an invoice as part of a sentence.
const fn state(state: InvoiceState) -> &'static str {
    match state {
        InvoiceState::Open => "open",
        InvoiceState::Settled => "settled",
        InvoiceState::Void => "void",
        InvoiceState::RefundDue => "to be paid back",
        InvoiceState::Refunded => "paid back",
    }
}
