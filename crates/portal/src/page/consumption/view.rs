//! The page about consumption.

use maud::{Markup, html};

use super::data::{Consumption, Source};
use super::range::{By, PROPERTIES, View, word_of};
use super::table::{Columns, Table};
use crate::calls::stats::buckets::WINDOWS;
use crate::page::chart::bars;
use crate::page::format;
use crate::page::layout::{Part, table_region};
use crate::page::visitor::Visitor;
use crate::page::without_history::{forbidden, notice};

/// Returns the content of the page.
pub(super) fn content(visitor: &Visitor, view: &View, data: &Consumption) -> Markup {
    let (first, last) = view.range.days();
    html! {
        div class="page-head" {
            h1 { "Consumption" }
            a class="button" href=(link(visitor, view, "csv")) download { "Download CSV" }
        }
        (ranges(visitor, view))
        (properties(visitor, view))
        (incomplete(data.source))
        section class="card" {
            h2 {
                @if data.source == Source::Status { "The current period" } @else { (first) " to " (last) " (UTC)" }
            }
            @if data.source == Source::Nothing || data.source == Source::Forbidden {
                p class="muted" { "The consumption is not known." }
            } @else {
                (figures(&data.table))
                @if data.table.rows.is_empty() {
                    p class="muted" { "No consumption in this time." }
                } @else if let Some(series) = &data.bars {
                    (bars(series))
                }
            }
        }
        @if !data.table.rows.is_empty() {
            (table_region("Consumption", &data.table.markup()))
        }
    }
}

/// Returns the choice of the range: windows, and a form with two days.
fn ranges(visitor: &Visitor, view: &View) -> Markup {
    let by = word(view.by);
    let (first, last) = view.range.days();
    html! {
        div class="filters" {
            nav class="choices" aria-label="Range" {
                @for (word, window) in WINDOWS {
                    @let is_current = view.range.window == Some(window);
                    a href=(address(visitor, &format!("window={word}&by={by}"))) aria-current=[is_current.then_some("true")] {
                        (word)
                    }
                }
            }
            form class="inline" method="get" action=(visitor.part(Part::Consumption)) {
                input type="hidden" name="by" value=(by);
                div class="field" {
                    label for="from" { "From" }
                    input type="date" id="from" name="from" value=(first) required;
                }
                div class="field" {
                    label for="to" { "To" }
                    input type="date" id="to" name="to" value=(last) required;
                }
                button type="submit" { "Show" }
            }
        }
    }
}

/// Returns the choice of the property.
fn properties(visitor: &Visitor, view: &View) -> Markup {
    html! {
        nav class="choices" aria-label="Show by" {
            @for (word, name, by) in PROPERTIES {
                @let current = (by == view.by).then_some("true");
                a href=(address(visitor, &format!("{}&by={word}", range_words(view)))) aria-current=[current] { (name) }
            }
        }
    }
}

/// Returns the sums.
fn figures(table: &Table) -> Markup {
    let sum = |part: fn(&super::table::TableRow) -> flashgate_ledger::Credits| {
        let amounts = table.rows.iter().map(part);
        format::credits(flashgate_ledger::Credits::sum(amounts).unwrap_or_default())
    };
    html! {
        p class="figure" { (format::credits(table.total())) " " span class="unit" { "credits" } }
        @if table.columns != Columns::Nothing {
            p class="muted" { "Storage " (sum(|row| row.storage)) ", AI " (sum(|row| row.ai)) }
        }
    }
}

/// Returns the reason why data are incomplete.
fn incomplete(source: Source) -> Markup {
    match source {
        Source::History => html! {},
        Source::Ledger => notice("only the last days that the ledger keeps are shown"),
        Source::Status => notice("only the usage of the current period is shown"),
        Source::Nothing => notice("only a history has labels"),
        Source::Forbidden => forbidden(),
    }
}

/// Returns the word of a property in the URL.
fn word(by: By) -> &'static str {
    PROPERTIES.iter().find(|(_, _, known)| *known == by).map_or("", |(word, _, _)| word)
}

/// Returns the parameters of the range.
fn range_words(view: &View) -> String {
    let (first, last) = view.range.days();
    match view.range.window {
        Some(window) => format!("window={}", word_of(window)),
        None => format!("from={first}&to={last}"),
    }
}

/// Returns the address of the same view in another format.
fn link(visitor: &Visitor, view: &View, format: &str) -> String {
    address(visitor, &format!("{}&by={}&format={format}", range_words(view), word(view.by)))
}

fn address(visitor: &Visitor, query: &str) -> String {
    format!("{}?{query}", visitor.part(Part::Consumption))
}
