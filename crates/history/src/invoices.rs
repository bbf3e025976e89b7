//! Invoices, derived from the entries that issue, settle, void and refund them.

use flashgate_ledger::Credits;
use jiff::Timestamp;
use serde_json::Value as Json;

use crate::chain::canonical_json;
use crate::database::{Connection, DataRow, Value, push_amount, push_time};
use crate::error::StoreError;
use crate::record::EntryRecord;
use crate::rows::EntryRow;
use crate::statements as sql;

/// Kinds of entries that change an invoice.
const KINDS: [&str; 5] = ["Invoiced", "Settled", "Voided", "Refunded", "Purchased"];

/// Rows that a rebuild reads at once.
const PAGE: i64 = 500;

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceRow {
    /// Number of the invoice, such as `acme-1f3a9c2e-0007`.
    pub number: String,
    /// Number of the entry that issued it. 0 if that entry is not recorded.
    pub issued_entry: i64,
    /// Number of the last entry that changed its state.
    pub state_entry: i64,
    /// Instant at which it was issued, or of the first recorded change if `issued_entry` is 0.
    pub time: Timestamp,
    /// Its purpose, such as `Renewal`. Empty if `issued_entry` is 0.
    pub reason: String,
    /// Money owed.
    pub amount: Credits,
    /// Currency of the amount. Empty if it is not known.
    pub currency: String,
    /// Its state: `Open`, `Settled`, `Void`, `RefundDue` or `Refunded`.
    pub state: String,
    /// Billing details when it was issued, as JSON. Absent if the entry has none.
    pub billing_details: Option<String>,
    /// Lines when it was issued, as JSON. Absent if the entry has none.
    pub lines: Option<String>,
}

impl InvoiceRow {
    pub(crate) fn from_data(row: &DataRow) -> Result<Self, StoreError> {
        Ok(Self {
            number: row.text(0)?,
            issued_entry: row.integer(1)?,
            state_entry: row.integer(2)?,
            time: row.time(3)?,
            reason: row.text(5)?,
            amount: row.amount(6)?,
            currency: row.text(8)?,
            state: row.text(9)?,
            billing_details: row.optional_text(10)?,
            lines: row.optional_text(11)?,
        })
    }

    fn values(&self, account: i64) -> Vec<Value> {
        let mut values = vec![
            Value::Integer(account),
            Value::text(&self.number),
            Value::Integer(self.issued_entry),
            Value::Integer(self.state_entry),
        ];
        push_time(&mut values, self.time);
        values.push(Value::text(&self.reason));
        push_amount(&mut values, self.amount);
        values.extend([
            Value::text(&self.currency),
            Value::text(&self.state),
            Value::OptionalText(self.billing_details.clone()),
            Value::OptionalText(self.lines.clone()),
        ]);
        values
    }

    /// Returns the invoice that `entry` changes, before the change.
    fn unknown(number: &str, entry: &EntryRecord) -> Self {
        Self {
            number: number.to_owned(),
            issued_entry: 0,
            state_entry: 0,
            time: entry.time,
            reason: String::new(),
            amount: Credits::ZERO,
            currency: String::new(),
            state: "Open".to_owned(),
            billing_details: None,
            lines: None,
        }
    }

    /// Applies an entry. Entries can arrive in any order: a state applies only from a later entry.
    fn apply(&mut self, entry: &EntryRecord) {
        let text = |key: &str| entry.detail.get(key).and_then(Json::as_str);
        let json = |key: &str| entry.detail.get(key).map(canonical_json);
        // The amount of `Refunded` and `Purchased` is in credits.
        if matches!(entry.kind.as_str(), "Invoiced" | "Settled" | "Voided") {
            self.amount = crate::totals::amount(entry);
            text("currency").unwrap_or_default().clone_into(&mut self.currency);
        }
        if entry.kind == "Invoiced" {
            self.issued_entry = entry.number;
            self.time = entry.time;
            text("reason").unwrap_or_default().clone_into(&mut self.reason);
            self.billing_details = json("billingDetails");
            self.lines = json("lines");
        }
        if entry.number <= self.state_entry {
            return;
        }
        let state = match entry.kind.as_str() {
            "Invoiced" if text("dueTime").is_some() => "Open",
            "Settled" => text("state").unwrap_or("Settled"),
            "Voided" => "Void",
            "Refunded" => "Refunded",
            // An invoice without a due time is settled when it is issued. A pack arrives when its invoice is settled.
            _ => "Settled",
        };
        state.clone_into(&mut self.state);
        self.state_entry = entry.number;
    }
}

/// Applies entries to the invoices of an account.
pub(crate) async fn apply(
    connection: &mut Connection<'_>,
    account: i64,
    entries: &[&EntryRecord],
) -> Result<(), StoreError> {
    for entry in entries {
        let number = entry.detail.get("invoice").and_then(Json::as_str);
        let Some(number) = number.filter(|_| KINDS.contains(&entry.kind.as_str())) else {
            continue;
        };
        let rows = connection.fetch(sql::INVOICE, vec![Value::Integer(account), Value::text(number)]).await?;
        let stored = rows.first().map(InvoiceRow::from_data).transpose()?;
        let mut invoice = stored.unwrap_or_else(|| InvoiceRow::unknown(number, entry));
        invoice.apply(entry);
        connection.execute(sql::UPSERT_INVOICE, invoice.values(account)).await?;
    }
    Ok(())
}

/// Derives the invoices of an account again that superseded entries from `first_number` on may have changed.
pub(crate) async fn rebuild(
    connection: &mut Connection<'_>,
    account: i64,
    first_number: i64,
) -> Result<(), StoreError> {
    connection.execute(sql::DELETE_INVOICES, [account, first_number].map(Value::Integer).to_vec()).await?;
    // Applying an entry again changes nothing, so other invoices stay as they are.
    let mut last = i64::MIN;
    loop {
        let values = [account, last, i64::MAX, i64::MIN, i64::MAX, PAGE].map(Value::Integer).to_vec();
        let rows = connection.fetch(sql::ROWS, values).await?;
        let entries: Vec<EntryRow> = rows.iter().map(EntryRow::from_data).collect::<Result<_, _>>()?;
        let Some(end) = entries.last() else {
            return Ok(());
        };
        last = end.entry.number;
        let entries: Vec<&EntryRecord> = entries.iter().map(|row| &row.entry).collect();
        apply(connection, account, &entries).await?;
    }
}
