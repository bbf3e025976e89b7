//! Conversion between recorded values and rows of the tables.

use std::collections::BTreeMap;

use flashgate_ledger::Credits;
use flashgate_ledger::ledger::Totals;
use flashgate_ledger::period::Window;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::chain::{canonical_json, hex};
use crate::database::{DataRow, Value, push_amount, push_quantity, push_time};
use crate::error::StoreError;
use crate::record::{EntryRecord, Opening, UsageRecord};
use crate::totals;

/// Kind of the row that stands for entries before the first recorded one.
pub(crate) const OPENING: &str = "Opening";

/// Kind of the row that stands for lost entries.
pub(crate) const GAP: &str = "Gap";

/// The key of a row of `entries`.
#[derive(Clone, Copy)]
pub(crate) struct RowKey<'a> {
    pub account: i64,
    pub branch: &'a str,
    pub superseded: bool,
}

/// Returns the values of an entry. `totals` are the lifetime sums before it, if they do not follow from earlier rows.
pub(crate) fn entry_values(key: RowKey<'_>, entry: &EntryRecord, totals: Option<&Totals>) -> Vec<Value> {
    let EntryRecord { number, sequence, index, time, kind, credits, balance, detail, hash } = entry;
    let mut values = vec![
        Value::Integer(key.account),
        Value::text(key.branch),
        Value::Integer(*number),
        Value::Integer(*sequence),
        Value::Integer(i64::from(*index)),
    ];
    push_time(&mut values, *time);
    values.push(Value::text(kind));
    push_amount(&mut values, *credits);
    push_amount(&mut values, *balance);
    values.extend([
        // JSON escapes NUL characters.
        Value::Text(canonical_json(detail)),
        Value::text(hash),
        Value::Flag(false),
        Value::OptionalText(totals.map(|totals| totals::to_json(totals).to_string())),
        Value::Flag(key.superseded),
    ]);
    values
}

/// Returns the values of a cover: the row that stands for all entries up to an opening that have no rows.
pub(crate) fn cover_values(key: RowKey<'_>, opening: &Opening) -> Vec<Value> {
    let Opening { number, sequence, time, hash, balance, totals } = opening;
    let mut values = vec![
        Value::Integer(key.account),
        Value::text(key.branch),
        Value::Integer(*number),
        Value::Integer(*sequence),
        Value::Integer(0),
    ];
    push_time(&mut values, *time);
    values.push(Value::text(OPENING));
    push_amount(&mut values, Credits::ZERO);
    push_amount(&mut values, *balance);
    values.extend([
        Value::Text("{}".to_owned()),
        Value::text(hash),
        Value::Flag(true),
        Value::OptionalText(Some(totals::to_json(totals).to_string())),
        Value::Flag(key.superseded),
    ]);
    values
}

/// A row of `entries` without its account.
pub(crate) struct EntryRow {
    pub branch: String,
    pub is_cover: bool,
    pub totals: Option<Totals>,
    pub entry: EntryRecord,
}

impl EntryRow {
    /// Reads a row of the query `ROWS`.
    pub fn from_data(row: &DataRow) -> Result<Self, StoreError> {
        let index = row.integer(3)?;
        let corrupt = |column, problem: String| StoreError::Corrupt { column, problem };
        let detail = row.raw_text(11)?;
        let entry = EntryRecord {
            number: row.integer(1)?,
            sequence: row.integer(2)?,
            index: u32::try_from(index).map_err(|error| corrupt("entry_index", error.to_string()))?,
            time: row.time(4)?,
            kind: row.text(6)?,
            credits: row.amount(7)?,
            balance: row.amount(9)?,
            detail: serde_json::from_str(&detail).map_err(|error| corrupt("detail", error.to_string()))?,
            hash: row.text(12)?,
        };
        let totals = row.optional_text(14)?.map(|text| totals::from_json(&text)).transpose()?;
        Ok(Self { branch: row.text(0)?, is_cover: row.flag(13)?, totals, entry })
    }

    /// Returns the state that a cover holds.
    pub fn into_opening(self) -> Opening {
        let EntryRecord { number, sequence, time, balance, hash, .. } = self.entry;
        Opening { number, sequence, time, hash, balance, totals: self.totals.unwrap_or_default() }
    }
}

/// Returns the key of a group of usage within an entry. A key of the texts themselves could exceed the size that an
/// index of PostgreSQL accepts.
pub(crate) fn group_key(usage: &UsageRecord) -> String {
    let labels: Json =
        usage.labels.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect();
    let group =
        Json::from(vec![Json::from(usage.node_type.as_str()), Json::from(usage.operation.as_str()), labels]);
    hex(&Sha256::digest(canonical_json(&group).as_bytes()))
}

/// Returns the values of a row of usage.
pub(crate) fn usage_values(key: RowKey<'_>, usage: &UsageRecord) -> Vec<Value> {
    let UsageRecord { entry, report, report_uid, source, window, charge_time, .. } = usage;
    let UsageRecord { node_type, operation, labels, labels_known, quantity, credits, .. } = usage;
    let mut values = vec![
        Value::Integer(key.account),
        Value::Integer(*entry),
        Value::text(key.branch),
        Value::Text(group_key(usage)),
        Value::text(report),
        Value::text(report_uid),
        Value::text(source),
    ];
    push_time(&mut values, window.start_time);
    push_time(&mut values, window.end_time);
    push_time(&mut values, *charge_time);
    values.extend([
        Value::text(node_type),
        Value::text(operation),
        // A map is sorted, and JSON escapes NUL characters.
        Value::Text(labels.clone().into_iter().collect::<Json>().to_string()),
        Value::Flag(*labels_known),
    ]);
    push_quantity(&mut values, *quantity);
    push_amount(&mut values, *credits);
    values
}

/// Reads the column `labels`.
pub(crate) fn labels(text: &str) -> Result<BTreeMap<String, String>, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Corrupt { column: "labels", problem: error.to_string() })
}

/// Reads a row of the query `USAGE`, with its branch.
pub(crate) fn usage_from_data(row: &DataRow) -> Result<(String, UsageRecord), StoreError> {
    let labels = labels(&row.raw_text(13)?)?;
    let usage = UsageRecord {
        entry: row.integer(0)?,
        report: row.text(2)?,
        report_uid: row.text(3)?,
        source: row.text(4)?,
        window: Window { start_time: row.time(5)?, end_time: row.time(7)? },
        charge_time: row.time(9)?,
        node_type: row.text(11)?,
        operation: row.text(12)?,
        labels,
        labels_known: row.flag(14)?,
        quantity: row.quantity(15)?,
        credits: row.amount(18)?,
    };
    Ok((row.text(1)?, usage))
}
