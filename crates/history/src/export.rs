//! Writes the history as JSON lines, CSV, FOCUS or Parquet.

mod csv;
mod focus;
mod json;
mod parquet;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::str::FromStr;

use futures::TryStreamExt;
use serde_json::Value;

use crate::error::StoreError;
use crate::invoices::InvoiceRow;
use crate::read::{Filter, Pages, Row, RowContent, StoredAccount};
use crate::record::{AccountId, UsageRecord};
use crate::store::Store;

/// The version of FOCUS, the FinOps Open Cost and Usage Specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FocusVersion {
    /// Version 1.0.
    #[default]
    V1_0,
    /// Version 1.2, with amounts in credits as a pricing currency.
    V1_2,
}

/// The error for a text that is not a format of exports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFormatError {
    /// No such format.
    #[error("'{0}' is not a format: it must be jsonl, csv, focus or parquet")]
    Format(String),
    /// No such version of FOCUS.
    #[error("'{0}' is not a supported version of FOCUS: it must be 1.0 or 1.2")]
    FocusVersion(String),
}

impl FromStr for FocusVersion {
    type Err = ParseFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1.0" => Ok(Self::V1_0),
            "1.2" => Ok(Self::V1_2),
            _ => Err(ParseFormatError::FocusVersion(text.to_owned())),
        }
    }
}

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line: an entry of `entries.schema.json`, with `sequence` and `index`.
    JsonLines,
    /// Comma-separated values, one line an entry.
    Csv,
    /// Comma-separated values in the columns of FOCUS, one line a charge.
    Focus(FocusVersion),
    /// Apache Parquet, one row an entry.
    Parquet,
}

impl FromStr for Format {
    type Err = ParseFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "jsonl" => Ok(Self::JsonLines),
            "csv" => Ok(Self::Csv),
            "focus" => Ok(Self::Focus(FocusVersion::default())),
            "parquet" => Ok(Self::Parquet),
            _ => Err(ParseFormatError::Format(text.to_owned())),
        }
    }
}

/// Writes the rows of `filter` to `output` in the order of account, sequence and index, and returns the number of rows.
///
/// It calls `progress` with the number of rows so far, after each page of at most 500. Memory does not grow with the
/// history.
///
/// # Errors
/// Returns an error if the store is not available, if a stored value cannot be read, or if `output` fails.
pub async fn write(
    store: &Store,
    format: Format,
    filter: &Filter,
    output: &mut (dyn Write + Send),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<u64, StoreError> {
    let mut sink: Box<dyn Sink + Send + '_> = match format {
        Format::JsonLines => Box::new(json::JsonLines::new(output)),
        Format::Csv => Box::new(csv::Csv::new(output)?),
        Format::Focus(version) => Box::new(focus::Focus::new(output, version)?),
        Format::Parquet => Box::new(parquet::Parquet::new(output)?),
    };
    let is_focus = matches!(format, Format::Focus(_));
    let mut count = 0_u64;
    let mut accounts = std::pin::pin!(store.accounts(filter.subscription.clone()));
    while let Some(account) = accounts.try_next().await? {
        let mut pages = Pages::new(store, &account, filter);
        while let Some(rows) = pages.next().await? {
            let added = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            let (usage, invoices) =
                if is_focus { charges(store, &account, &rows).await? } else { Default::default() };
            sink.page(&Page { account: &account.id, rows, usage, invoices })?;
            count = count.saturating_add(added);
            progress(count);
        }
    }
    sink.finish()?;
    Ok(count)
}

/// Usage by branch and number of its entry.
type UsageByEntry = HashMap<(String, i64), Vec<UsageRecord>>;

/// Returns the usage of a page, and the invoices that it refunds.
async fn charges(
    store: &Store,
    account: &StoredAccount,
    rows: &[Row],
) -> Result<(UsageByEntry, BTreeMap<String, InvoiceRow>), StoreError> {
    let mut usage = UsageByEntry::new();
    for (branch, record) in store.usage_of(account, rows).await? {
        usage.entry((branch, record.entry)).or_default().push(record);
    }
    let mut invoices = BTreeMap::new();
    for row in rows {
        if let RowContent::Entry { entry, .. } = &row.content
            && entry.kind == "Refunded"
            && let Some(number) = entry.detail.get("invoice").and_then(Value::as_str)
            && let Some(invoice) = store.invoice(account, number).await?
        {
            invoices.insert(number.to_owned(), invoice);
        }
    }
    Ok((usage, invoices))
}

/// A page of rows of one account.
struct Page<'a> {
    account: &'a AccountId,
    rows: Vec<Row>,
    /// Only for FOCUS.
    usage: UsageByEntry,
    /// Only for FOCUS.
    invoices: BTreeMap<String, InvoiceRow>,
}

/// A format that is being written.
trait Sink {
    /// Writes a page.
    fn page(&mut self, page: &Page<'_>) -> Result<(), StoreError>;

    /// Writes the end.
    fn finish(&mut self) -> Result<(), StoreError>;
}
