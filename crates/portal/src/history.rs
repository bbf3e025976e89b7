//! The history of an account, as far as answers need it.
//!
//! A store of the history has all of it. Without one, the ledger's own entries are the history of the last days, and
//! answers say `historyAvailable: false`.

pub mod invoices;
pub mod ledger_only;
pub mod query;
pub mod records;
pub mod store;
pub mod sums;

use flashgate_ledger::Credits;
use flashgate_ledger::invoice::InvoiceState;
use futures::future::BoxFuture;
use jiff::Timestamp;

pub use invoices::{InvoicesFrom, ListedInvoice, ListedPage};
pub use query::{Direction, Grouping, TransactionQuery, UsageQuery};
pub use records::{Record, RecordContent, RecordPage, RecordQuery};
pub use sums::{BalancePoint, RateSum};

/// The account whose history is read. Namespace and name are always those of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// Namespace of the Subscription.
    pub namespace: String,
    /// Name of the Subscription.
    pub name: String,
    /// Id of the account in its ledger. If it is unknown, the last account of that name is read.
    pub account: Option<String>,
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The store does not answer, or has no tables yet.
    #[error("the history cannot be read")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A credit transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Identifier within the account.
    pub id: String,
    /// Instant at which it took effect.
    pub time: Timestamp,
    /// Credits: negative for consumption.
    pub credits: Credits,
    /// The cause.
    pub cause: Cause,
}

/// The cause of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Usage was charged.
    Usage(Box<Usage>),
    /// The credits of a plan arrived.
    Plan {
        /// Name of the plan.
        plan: String,
        /// Number of the period.
        period_number: i64,
    },
    /// An administrator gave credits.
    Adjustment {
        /// The reason.
        reason: String,
    },
    /// The credits of a pack arrived.
    Pack {
        /// Name of the pack.
        pack: String,
    },
}

/// Charged usage. Without a history the lines of a report are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Name of the report.
    pub report: String,
    /// Source of the report.
    pub source: String,
    /// Start and end of the time window, if they are known.
    pub window: Option<(Timestamp, Timestamp)>,
    /// The line, if it is known.
    pub line: Option<UsageLine>,
}

/// A line of usage: all usage of one report with the same rate and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// Node type.
    pub node_type: String,
    /// Operation.
    pub operation: String,
    /// Quantity.
    pub quantity: flashgate_ledger::Quantity,
    /// Labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

impl Transaction {
    /// Returns the value of a label, if the transaction is usage that has it.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        match &self.cause {
            Cause::Usage(usage) => usage.line.as_ref()?.labels.get(name).map(String::as_str),
            Cause::Plan { .. } | Cause::Adjustment { .. } | Cause::Pack { .. } => None,
        }
    }
}

/// Returns the identifier of an entry within an account: its number, after the branch if that has a name.
#[must_use]
pub fn entry_id(branch: &str, number: i64) -> String {
    if branch.is_empty() { number.to_string() } else { format!("{branch}-{number}") }
}

/// A page of transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionPage {
    /// Transactions of the page, newest first.
    pub transactions: Vec<Transaction>,
    /// Number of transactions on all pages.
    pub total: u64,
}

/// An invoice of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceRecord {
    /// Number that users see.
    pub number: String,
    /// Instant at which it was issued.
    pub time: Timestamp,
    /// Money owed.
    pub amount: Credits,
    /// Currency of the amount.
    pub currency: String,
    /// Its state.
    pub state: InvoiceState,
}

/// Credits consumed in one bucket of time, by group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSum {
    /// Index of the bucket.
    pub bucket: usize,
    /// Value of the label by which usage is grouped, or the rate. Empty if it is not grouped.
    pub group: String,
    /// Whether the usage is storage. All other usage is AI.
    pub is_storage: bool,
    /// Credits consumed.
    pub credits: Credits,
}

/// Credits that arrived in one bucket of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditSum {
    /// Index of the bucket.
    pub bucket: usize,
    /// Whether they were purchased. If not, they were granted or adjusted.
    pub is_purchase: bool,
    /// Credits that arrived.
    pub credits: Credits,
}

/// The history of all accounts.
pub trait History: Send + Sync {
    /// Returns a page of transactions, newest first.
    fn transactions<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a TransactionQuery,
    ) -> BoxFuture<'a, Result<TransactionPage, HistoryError>>;

    /// Returns all invoices, newest first.
    fn invoices<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> BoxFuture<'a, Result<Vec<InvoiceRecord>, HistoryError>>;

    /// Returns the sums of consumption by bucket, group and kind. Buckets without consumption are left out.
    fn usage<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Vec<UsageSum>, HistoryError>>;

    /// Returns the usage of all buckets by rate. Labels and the grouping of the query have no effect.
    fn rates<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Vec<RateSum>, HistoryError>>;

    /// Returns the balance after the last entry of each bucket, oldest first. Buckets without entries are left out, and
    /// labels and the grouping of the query have no effect.
    fn balances<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Vec<BalancePoint>, HistoryError>>;

    /// Returns a page of records, newest first.
    fn records<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a RecordQuery,
    ) -> BoxFuture<'a, Result<RecordPage, HistoryError>>;

    /// Returns a page of at most `limit` invoices, newest first.
    fn invoice_page<'a>(
        &'a self,
        account: &'a AccountKey,
        from: &'a InvoicesFrom,
        limit: u32,
    ) -> BoxFuture<'a, Result<ListedPage, HistoryError>>;

    /// Returns the invoice with this number, if there is one.
    fn invoice<'a>(
        &'a self,
        account: &'a AccountKey,
        number: &'a str,
    ) -> BoxFuture<'a, Result<Option<ListedInvoice>, HistoryError>>;

    /// Returns the sums of arrived credits by bucket and kind. Buckets without them are left out.
    fn credits<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Vec<CreditSum>, HistoryError>>;

    /// Checks that the history can be read.
    fn check(&self) -> BoxFuture<'_, Result<(), HistoryError>>;
}
