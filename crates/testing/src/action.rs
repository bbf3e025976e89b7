//! The actions of users, administrators and payment agents about an account.

use flashgate_ledger::Credits;
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::{PaymentState, Request};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::period::Window;
use jiff::Timestamp;

/// One action about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Does nothing. It replaces an action that a failure does not need.
    Rest,
    /// Creates the Subscription; does nothing if it exists.
    Subscribe {
        /// The request of the new Subscription.
        request: Request,
        /// The start of the account. Absent if it is the creation of the Subscription.
        start_time: Option<Timestamp>,
    },
    /// Changes the request of the Subscription; does nothing if there is no Subscription.
    Edit {
        /// The new request.
        request: Request,
    },
    /// Deletes the Subscription.
    Unsubscribe,
    /// Creates a UsageReport.
    Report {
        /// Name of the object.
        name: String,
        /// Source of the usage.
        source: String,
        /// Time window of the usage.
        window: Window,
        /// Lines of the report.
        usage: Vec<UsageLine>,
    },
    /// Creates a CreditPack.
    Buy {
        /// Name of the object.
        name: String,
        /// Pack of the catalog.
        pack: String,
    },
    /// Creates a Payment.
    Pay {
        /// Name of the object.
        name: String,
        /// The invoice that the payment is for.
        invoice: InvoiceChoice,
        /// The reported state.
        state: PaymentState,
        /// The money that moved. Absent for the amount of the invoice.
        amount: Option<Credits>,
    },
    /// Creates a CreditAdjustment.
    Adjust {
        /// Name of the object.
        name: String,
        /// Credits to give.
        credits: Credits,
        /// Time at which they expire. Absent if they never expire.
        expiration_time: Option<Timestamp>,
    },
    /// Deletes an object.
    Delete {
        /// Kind of the object.
        kind: FactKind,
        /// Name of the object.
        name: String,
    },
    /// Puts another edition of the catalog in force.
    ChangeCatalog {
        /// Position of the edition in the list of editions.
        edition: usize,
    },
}

/// One line of a UsageReport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// Node type.
    pub node_type: String,
    /// Operation.
    pub operation: String,
    /// Quantity, such as `12G`.
    pub quantity: String,
}

impl UsageLine {
    /// Returns the line with these values.
    pub fn new(node_type: &str, operation: &str, quantity: impl Into<String>) -> Self {
        Self { node_type: node_type.to_owned(), operation: operation.to_owned(), quantity: quantity.into() }
    }
}

/// The invoice that a payment is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvoiceChoice {
    /// The invoice with this number.
    Number(u32),
    /// The invoice at this distance from the newest one.
    BeforeNewest(usize),
    /// The invoice with this name.
    Name(String),
}

impl InvoiceChoice {
    /// Returns name and amount of the invoice, if `ledger` has it.
    pub fn find(&self, ledger: &Ledger) -> Option<(String, Credits)> {
        let mut newest_first = ledger.invoices.iter().rev();
        let invoice = match self {
            Self::Number(number) => newest_first.find(|invoice| invoice.number == *number),
            Self::BeforeNewest(count) => newest_first.nth(*count),
            Self::Name(name) => newest_first.find(|invoice| ledger.invoice_name(invoice.number) == *name),
        }?;
        Some((ledger.invoice_name(invoice.number), invoice.amount))
    }
}
