//! Invoices of a history, page by page.

use flashgate_history::InvoiceRow;
use flashgate_history::query::invoices::InvoicePlace;
use flashgate_ledger::invoice::InvoiceState;
use flashgate_preview::effect::Money;
use jiff::Timestamp;
use serde_json::Value;

/// The place of a page of invoices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InvoicesFrom {
    /// The newest invoices.
    #[default]
    Newest,
    /// The invoices before this number.
    Before(String),
    /// The invoices after this number.
    After(String),
}

impl InvoicesFrom {
    /// Returns the place in a store.
    #[must_use]
    pub fn place(&self) -> InvoicePlace<'_> {
        match self {
            Self::Newest => InvoicePlace::Newest,
            Self::Before(number) => InvoicePlace::Before(number),
            Self::After(number) => InvoicePlace::After(number),
        }
    }
}

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedInvoice {
    /// Number that users see.
    pub number: String,
    /// Instant at which it was issued, or of its first known change.
    pub time: Timestamp,
    /// Its purpose, such as `Renewal`. Empty if the entry that issued it was lost.
    pub reason: String,
    /// Money owed. Absent if the entries that state it were lost.
    pub money: Option<Money>,
    /// Its state.
    pub state: InvoiceState,
    /// Time at which it becomes overdue. A history does not have it.
    pub due_time: Option<Timestamp>,
    /// Its items as JSON, if they are known.
    pub lines: Option<Value>,
    /// The customer's billing details when it was issued as JSON, if there were some.
    pub billing_details: Option<Value>,
}

/// A page of invoices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPage {
    /// Invoices of the page, newest first.
    pub invoices: Vec<ListedInvoice>,
    /// Whether more invoices follow in the direction of the place: older ones, or newer ones after a number.
    pub has_more: bool,
}

impl ListedInvoice {
    /// Returns a recorded invoice, unless a later version recorded a state that is unknown here.
    #[must_use]
    pub fn of_stored(row: InvoiceRow) -> Option<Self> {
        let InvoiceRow { number, time, reason, amount, currency, state, billing_details, lines, .. } = row;
        let json = |text: Option<String>| serde_json::from_str(&text?).ok();
        Some(Self {
            number,
            time,
            reason,
            money: (!currency.is_empty()).then_some(Money { amount, currency }),
            state: InvoiceState::ALL.into_iter().find(|known| known.as_str() == state)?,
            due_time: None,
            lines: json(lines),
            billing_details: json(billing_details),
        })
    }
}
