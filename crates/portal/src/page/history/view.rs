//! The page with the statement of an account.

use flashgate_history::query::entries::Place;
use flashgate_ledger::Credits;
use maud::{Markup, html};

use super::query::{View, kind_name, kinds_of_entries};
use super::sentence::sentence;
use crate::account::Account;
use crate::book::BookState;
use crate::history::{Record, RecordContent, RecordPage};
use crate::page::format;
use crate::page::layout::{Part, table_region};
use crate::page::pager::{Pager, Side};
use crate::page::visitor::Visitor;
use crate::page::without_history::{forbidden, notice};
use crate::portal::Portal;

/// Returns the content of the page. `has_history` is false if the records are those that the ledger keeps.
pub(super) fn content(
    portal: &Portal,
    visitor: &Visitor,
    account: &Account,
    view: &View,
    page: &RecordPage,
    has_history: bool,
) -> Markup {
    html! {
        div class="page-head" {
            h1 { "History" }
            a class="button" href=(address(visitor, &view.address(Some(("format", "csv"))))) download { "Download CSV" }
        }
        (filters(visitor, view))
        @if !has_history { (without_history(&account.book)) }
        @if page.records.is_empty() {
            p class="card empty muted" {
                @if view.is_filtered() { "No entries match." } @else { "There are no entries." }
            }
        } @else {
            (table_region("Entries", &table(portal, page)))
        }
        (pager(visitor, view, page))
    }
}

/// Returns what is shown without a history, and why.
fn without_history(book: &BookState) -> Markup {
    match book {
        BookState::Known(_) => notice("only the last entries, which the ledger keeps, are shown"),
        BookState::Absent => notice("the account has no ledger yet"),
        BookState::Forbidden => forbidden(),
        BookState::Unreadable => {
            notice("the ledger cannot be read either, see the conditions of the Subscription")
        }
    }
}

/// Returns the form with the filters.
fn filters(visitor: &Visitor, view: &View) -> Markup {
    let [kind, from, to, text] = &view.given;
    html! {
        form class="inline spaced" method="get" action=(visitor.part(Part::History)) role="search" {
            div class="field" {
                label for="kind" { "Kind" }
                select id="kind" name="kind" {
                    option value="" { "All" }
                    @for known in kinds_of_entries() {
                        option value=(known) selected[known == kind] { (kind_name(known)) }
                    }
                }
            }
            div class="field" {
                label for="from" { "From" }
                input type="date" id="from" name="from" value=(from);
            }
            div class="field" {
                label for="to" { "To" }
                input type="date" id="to" name="to" value=(to);
            }
            div class="field" {
                label for="text" { "Name or label begins with" }
                input type="search" id="text" name="text" value=(text) maxlength="256";
            }
            button type="submit" { "Filter" }
            @if view.is_filtered() { a class="button quiet" href=(visitor.part(Part::History)) { "Clear" } }
        }
    }
}

fn table(portal: &Portal, page: &RecordPage) -> Markup {
    html! {
        table class="data statement" {
            caption class="hidden" { "Entries, newest first" }
            thead {
                tr {
                    th scope="col" { "Time" }
                    th scope="col" { "Entry" }
                    th scope="col" class="number wide-only" { "Change" }
                    th scope="col" class="number wide-only" { "Balance" }
                }
            }
            tbody { @for record in &page.records { (row(portal, record)) } }
        }
    }
}

fn row(portal: &Portal, record: &Record) -> Markup {
    let kind = match record.content {
        RecordContent::Opening => "Opening",
        RecordContent::Gap { .. } => "Gap",
        RecordContent::Entry(..) => kind_name(record.kind()),
    };
    let change = record.credits().filter(|credits| !credits.is_zero()).map(change).unwrap_or_default();
    let balance = html! {
        span class=[record.balance.is_negative().then_some("negative")] { (format::credits(record.balance)) }
    };
    html! {
        tr data-testid="history-row" id=(format!("entry-{}", record.id)) {
            td class="when" { (format::time(record.time)) }
            th scope="row" class="explanation" {
                span class=(badge(record)) { (kind) } " "
                (sentence(portal.catalog(), record))
                // The columns of amounts are hidden on narrow screens.
                span class="narrow-only" {
                    @if !change.0.is_empty() { "Change " (change) ", balance " } @else { "Balance " }
                    (balance)
                }
            }
            td class="number wide-only" { (change) }
            td class="number wide-only" { (balance) }
        }
    }
}

/// Returns a change of the balance.
fn change(credits: Credits) -> Markup {
    html! { span class=[credits.is_positive().then_some("positive")] { (format::signed(credits)) } }
}

/// Returns the classes of the mark of a kind.
fn badge(record: &Record) -> &'static str {
    match record.kind() {
        "Granted" | "Purchased" | "Adjusted" | "Settled" => "badge good",
        "Refused" | "Lapsed" | "Gap" => "badge bad",
        "Invoiced" | "Threshold" | "Expired" | "Refunded" => "badge warning",
        _ => "badge",
    }
}

/// Returns the links to newer and older entries.
fn pager(visitor: &Visitor, view: &View, page: &RecordPage) -> Markup {
    let side = match view.query.place {
        Place::Newest => Side::Newest,
        Place::Before(_) => Side::Before,
        Place::After(_) => Side::After,
    };
    let ends = page.records.first().zip(page.records.last());
    let ends = ends.map(|(first, last)| (first.number.to_string(), last.number.to_string()));
    Pager::of(side, page.has_more, ends, |further| address(visitor, &view.address(further))).markup()
}

fn address(visitor: &Visitor, query: &str) -> String {
    let path = visitor.part(Part::History);
    if query.is_empty() { path } else { format!("{path}?{query}") }
}
