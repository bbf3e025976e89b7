//! The price list, with a calculator.

mod calculator;
mod words;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{Catalog, Rate};
use maud::{Markup, html};

use super::figures::Figures;
use super::format;
use super::layout::{Part, page, table_region};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::account::Account;
use crate::offers::RateWords;
use crate::parameters::{given, parsed};
use crate::portal::Portal;

use calculator::{Calculated, RateParameters, calculate, chosen, id_of, packs_for, units};
pub(crate) use words::{nodes_name, operation_name, quantity_text, rate_name};

/// Returns the routes of this part.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/rates", get(show))
}

async fn show(
    State(portal): State<Portal>,
    visitor: Visitor,
    query: Result<Query<RateParameters>, QueryRejection>,
) -> Result<Markup, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let parameters = parsed(query)?;
    let catalog = portal.catalog();
    let rate = chosen(catalog, &parameters)?;
    let calculated = rate.map(|rate| calculate(rate, &parameters)).transpose()?.flatten();
    let content = html! {
        h1 { "Rates" }
        (price_list(catalog))
        @if let Some(rate) = rate {
            section class="card" aria-labelledby="calculator" {
                h2 id="calculator" { "Calculator" }
                (form(&visitor, catalog, rate, &parameters))
                @if let Some(calculated) = &calculated { (result(catalog, &account, calculated)) }
            }
        }
    };
    Ok(page(&visitor, Part::Rates, "Rates", &content))
}

/// Returns the rates of the catalog.
fn price_list(catalog: &Catalog) -> Markup {
    let table = html! {
        table class="data" {
            caption class="hidden" { "Price list" }
            thead {
                tr {
                    th scope="col" { "Usage" }
                    th scope="col" class="number" { "Credits" }
                    th scope="col" { "Unit" }
                }
            }
            tbody {
                @for rate in &catalog.rates {
                    @let (credits, unit) = price(rate);
                    tr {
                        th scope="row" { (rate_name(&rate.node_type, &rate.operation)) }
                        td class="number" { (format::credits(credits)) }
                        td { "for " (unit) }
                    }
                }
            }
        }
    };
    html! {
        @if catalog.rates.is_empty() {
            p class="card empty muted" { "The catalog has no rates: usage is not charged." }
        } @else {
            (table_region("Price list", &table))
        }
    }
}

/// Returns the credits of a rate, and the quantity that costs them.
fn price(rate: &Rate) -> (Credits, String) {
    let words = RateWords::of(&rate.node_type, &rate.operation);
    match (words.unit, words.rate(rate)) {
        (Some("GB"), Some(credits)) => (credits, "1 GB (10^9 bytes)".to_owned()),
        (Some(unit), Some(credits)) => (credits, unit.to_owned()),
        _ => (rate.credits, quantity_text(&rate.operation, rate.unit)),
    }
}

fn form(visitor: &Visitor, catalog: &Catalog, chosen: &Rate, parameters: &RateParameters) -> Markup {
    let unit = given(parameters.unit.as_ref()).unwrap_or_default();
    let rate_address = |rate: &Rate| format!("{}?rate={}", visitor.part(Part::Rates), id_of(rate));
    html! {
        // The units depend on the operation, so the rate is chosen first.
        nav class="choices" aria-label="Rate" {
            @for rate in &catalog.rates {
                @let is_chosen = id_of(rate) == id_of(chosen);
                a href=(rate_address(rate)) aria-current=[is_chosen.then_some("true")] {
                    (rate_name(&rate.node_type, &rate.operation))
                }
            }
        }
        form class="inline" method="get" action=(visitor.part(Part::Rates)) {
            input type="hidden" name="rate" value=(id_of(chosen));
            div class="field" {
                label for="quantity" { "Quantity" }
                input type="text" id="quantity" name="quantity" inputmode="decimal" required size="12"
                    value=(given(parameters.quantity.as_ref()).unwrap_or("1"));
            }
            div class="field" {
                label for="unit" { "Unit" }
                select id="unit" name="unit" {
                    @for (word, name, _) in units(&chosen.operation) {
                        option value=(word) selected[unit == *word] { (name) }
                    }
                }
            }
            button type="submit" class="primary" { "Calculate" }
        }
    }
}

/// Returns the price of a quantity, and its effect on the account.
fn result(catalog: &Catalog, account: &Account, calculated: &Calculated) -> Markup {
    let Calculated { node_type, operation, quantity, credits } = calculated;
    let figures = Figures::of(account);
    let rest = figures.balance.checked_sub(*credits).unwrap_or(figures.balance);
    html! {
        div class="result" role="status" {
            p class="figure" { (format::credits(*credits)) " " span class="unit" { "credits" } }
            p {
                (quantity_text(operation, *quantity)) " of " (operation_name(operation).to_lowercase()) " on "
                (nodes_name(node_type)) ", in one report. The price of each report is rounded once, half-even, to 9 decimals."
            }
            dl class="facts" {
                div { dt { "Balance now" } dd { (format::credits(figures.balance)) } }
                div { dt { "Credits of packs in it" } dd { (format::credits(figures.packs)) } }
                div {
                    dt { "Balance after it" }
                    dd class=[rest.is_negative().then_some("negative")] { (format::credits(rest)) }
                }
            }
            @if !catalog.packs.is_empty() && credits.is_positive() { (pack_prices(catalog, *credits)) }
        }
    }
}

/// Returns the packs that would pay for a sum.
fn pack_prices(catalog: &Catalog, credits: Credits) -> Markup {
    let rows = catalog.packs.iter().filter_map(|pack| Some((pack, packs_for(pack, credits)?)));
    let table = html! {
        table class="data" {
            caption class="hidden" { "Packs for this sum" }
            thead {
                tr {
                    th scope="col" { "Packs for this sum" }
                    th scope="col" class="number" { "Packs" }
                    th scope="col" class="number" { "Price" }
                }
            }
            tbody {
                @for (pack, (count, price)) in rows {
                    tr {
                        th scope="row" { (pack.display_name) }
                        td class="number" { (count) }
                        td class="number" { (format::price(price, &catalog.currency)) }
                    }
                }
            }
        }
    };
    table_region("Packs for this sum", &table)
}
