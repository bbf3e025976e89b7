//! The history of all accounts: every entry of every ledger, kept in SQLite or PostgreSQL.
//!
//! The history is a read model. The ledger of an account stays the only truth, and billing works the same without a
//! history. The operator gives each account's recent entries to [`Store::record`], which is idempotent: it adds the
//! entries that the store does not have, and records a gap where entries are lost.
//!
//! | task | where |
//! |---|---|
//! | the entries and their hash chain | [`record`], [`chain`] |
//! | record | [`Store::record`], [`Recorder`] |
//! | read | [`Store::accounts`], [`Store::rows`], [`Store::usage`], [`Store::usage_sums`], [`Store::invoice`] |
//! | query one account | [`query`], [`Store::transactions`], [`Store::usage_by_bucket`], [`Store::credits_by_bucket`] |
//! | check | [`verify`](verify::verify) |
//! | export | [`export`] |
//! | copy to another store | [`copy`](copy::copy) |
//! | retention | [`prune`](prune::prune) |
//!
//! Rows are never sums: each amount is exact, and sums are computed from whole numbers.

pub mod chain;
mod columns;
pub mod copy;
mod database;
pub mod error;
pub mod export;
mod invoices;
mod migrate;
mod plan;
pub mod prune;
pub mod query;
mod read;
pub mod record;
mod recorder;
mod rows;
mod statements;
mod store;
mod sums;
mod text;
pub mod totals;
mod url;
pub mod verify;
mod write;

pub use error::{RecordError, StoreError};
pub use invoices::InvoiceRow;
pub use read::{Filter, Row, RowContent, StoredAccount};
pub use record::{AccountId, Batch, EntryRecord, Gap, Opening, Recorded, UsageRecord};
pub use recorder::Recorder;
pub use store::Store;
pub use sums::UsageSum;
pub use url::{HistoryUrl, ParseUrlError};
