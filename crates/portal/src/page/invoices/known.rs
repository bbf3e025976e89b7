//! The invoices that the ledger or the status of an account has, and their place beside those of a history.

use std::collections::HashMap;

use flashgate_api::subscription::Invoice;
use flashgate_preview::effect::Money;

use crate::account::Account;
use crate::history::{InvoicesFrom, ListedInvoice, ListedPage};

/// Returns the invoices of the ledger, or else of the status, newest first.
pub(super) fn invoices(account: &Account) -> Vec<ListedInvoice> {
    let mut found: Vec<ListedInvoice> = match account.book.known() {
        Some(book) => book.ledger.invoices.iter().map(|invoice| of_ledger(&book.ledger, invoice)).collect(),
        None => account.status().invoices.iter().filter_map(of_status).collect(),
    };
    found.reverse();
    found
}

fn of_ledger(
    ledger: &flashgate_ledger::ledger::Ledger,
    invoice: &flashgate_ledger::invoice::Invoice,
) -> ListedInvoice {
    ListedInvoice {
        number: ledger.invoice_name(invoice.number),
        time: invoice.time,
        reason: invoice.reason().as_str().to_owned(),
        money: Some(Money { amount: invoice.amount, currency: invoice.currency.clone() }),
        state: invoice.state,
        due_time: invoice.due_time,
        lines: None,
        billing_details: None,
    }
}

/// Returns an invoice of a status, unless its amount is malformed.
fn of_status(invoice: &Invoice) -> Option<ListedInvoice> {
    Some(ListedInvoice {
        number: invoice.number.clone(),
        time: invoice.time,
        reason: invoice.reason.clone(),
        money: Some(Money {
            amount: invoice.amount.as_str().parse().ok()?,
            currency: invoice.currency.clone(),
        }),
        state: invoice.state,
        due_time: invoice.due_time,
        lines: None,
        billing_details: None,
    })
}

/// Returns a stored invoice with the state that the account has now.
pub(super) fn newer(known: ListedInvoice, stored: ListedInvoice) -> ListedInvoice {
    let ListedInvoice { lines, billing_details, .. } = stored;
    ListedInvoice { lines, billing_details, ..known }
}

/// Returns a page of a history with the states that the account has now. The first page gets the invoices that are not
/// recorded yet.
pub(super) fn merged(page: ListedPage, known: Vec<ListedInvoice>, from: &InvoicesFrom) -> ListedPage {
    let key = |invoice: &ListedInvoice| (invoice.number.len(), invoice.number.clone());
    let newest = page.invoices.first().map(key);
    let is_later = |invoice: &&ListedInvoice| newest.as_ref().is_none_or(|newest| key(invoice) > *newest);
    let mut invoices: Vec<ListedInvoice> = match from {
        InvoicesFrom::Newest => known.iter().filter(is_later).cloned().collect(),
        InvoicesFrom::Before(_) | InvoicesFrom::After(_) => Vec::new(),
    };
    let mut by_number: HashMap<String, ListedInvoice> =
        known.into_iter().map(|invoice| (invoice.number.clone(), invoice)).collect();
    invoices.extend(page.invoices.into_iter().map(|stored| match by_number.remove(&stored.number) {
        Some(known) => newer(known, stored),
        None => stored,
    }));
    ListedPage { invoices, has_more: page.has_more }
}

/// Returns a page of invoices, which are newest first.
pub(super) fn page(mut invoices: Vec<ListedInvoice>, from: &InvoicesFrom, limit: u32) -> ListedPage {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let position = |number: &str| invoices.iter().position(|invoice| invoice.number == number);
    match from {
        InvoicesFrom::Newest => {}
        InvoicesFrom::Before(number) => {
            let place = position(number).map_or(invoices.len(), |place| place + 1);
            invoices.drain(..place);
        }
        InvoicesFrom::After(number) => {
            let place = position(number).unwrap_or_default();
            invoices.truncate(place);
        }
    }
    let has_more = invoices.len() > limit;
    if matches!(from, InvoicesFrom::After(_)) {
        invoices.drain(..invoices.len().saturating_sub(limit));
    }
    invoices.truncate(limit);
    ListedPage { invoices, has_more }
}

#[cfg(test)]
mod tests {
    use flashgate_ledger::Credits;
    use flashgate_ledger::invoice::InvoiceState;

    use super::*;

    fn invoice(number: u32, state: InvoiceState) -> ListedInvoice {
        ListedInvoice {
            number: format!("acme-1f3a9c2e-{number:04}"),
            time: "2026-03-01T10:00:00Z".parse().expect("time"),
            reason: "Pack".to_owned(),
            money: Some(Money { amount: Credits::whole(20), currency: "USD".to_owned() }),
            state,
            due_time: None,
            lines: None,
            billing_details: None,
        }
    }

    fn settled(numbers: impl IntoIterator<Item = u32>) -> Vec<ListedInvoice> {
        numbers.into_iter().map(|number| invoice(number, InvoiceState::Settled)).collect()
    }

    fn numbers(page: &ListedPage) -> Vec<&str> {
        page.invoices.iter().map(|invoice| &invoice.number[14..]).collect()
    }

    #[test]
    fn pages_join_without_a_gap_in_both_directions() {
        let of = |from: InvoicesFrom| page(settled((1..=5).rev()), &from, 2);
        let named = |number: u32| format!("acme-1f3a9c2e-{number:04}");
        let newest = of(InvoicesFrom::Newest);
        assert_eq!((numbers(&newest), newest.has_more), (vec!["0005", "0004"], true));
        let older = of(InvoicesFrom::Before(named(2)));
        assert_eq!((numbers(&older), older.has_more), (vec!["0001"], false));
        let newer = of(InvoicesFrom::After(named(2)));
        assert_eq!((numbers(&newer), newer.has_more), (vec!["0004", "0003"], true));
        assert_eq!(numbers(&of(InvoicesFrom::Before("other".to_owned()))), Vec::<&str>::new());
    }

    #[test]
    fn the_state_of_the_account_is_newer_than_that_of_the_history() {
        let stored = ListedPage { invoices: settled([9_999, 9_998, 9_997]), has_more: true };
        let mut known = settled([10_000]);
        known.push(invoice(9_998, InvoiceState::Refunded));
        let first = merged(stored.clone(), known.clone(), &InvoicesFrom::Newest);
        assert_eq!(numbers(&first), ["10000", "9999", "9998", "9997"]);
        assert_eq!(first.invoices[2].state, InvoiceState::Refunded);
        let later = merged(stored, known, &InvoicesFrom::Before("acme-1f3a9c2e-10000".to_owned()));
        assert_eq!(numbers(&later), ["9999", "9998", "9997"]);
    }
}
