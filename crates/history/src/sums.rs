//! Sums of usage, computed by the database and exact.

use std::collections::BTreeMap;

use flashgate_ledger::credits::AmountOverflow;
use flashgate_ledger::{Credits, Quantity};
use jiff::Timestamp;

use crate::database::{DataRow, Value};
use crate::error::StoreError;
use crate::read::StoredAccount;
use crate::statements as sql;
use crate::store::Store;

/// The sum of an account's usage of one node type, operation and set of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSum {
    /// Node type.
    pub node_type: String,
    /// Operation.
    pub operation: String,
    /// Labels. Empty for usage without labels, and for usage whose labels were lost.
    pub labels: BTreeMap<String, String>,
    /// Charges that the sum has.
    pub charges: i64,
    /// Quantity used, in the unit of the operation.
    pub quantity: Quantity,
    /// Credits charged.
    pub credits: Credits,
}

impl Store {
    /// Returns the sums of an account's usage that was charged in whole seconds from `from` to before `to`, ordered by
    /// node type, operation and labels. Usage of superseded entries is left out.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a sum exceeds the exact range.
    pub async fn usage_sums(
        &self,
        account: &StoredAccount,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<UsageSum>, StoreError> {
        let values = [account.key, from.as_second(), to.as_second()].map(Value::Integer).to_vec();
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(sql::USAGE_SUMS, values).await?;
        rows.iter().map(UsageSum::from_data).collect()
    }
}

impl UsageSum {
    /// Reads a row of sums.
    pub(crate) fn from_data(row: &DataRow) -> Result<Self, StoreError> {
        let corrupt = |column, problem: String| StoreError::Corrupt { column, problem };
        let (quantity, credits) = match row {
            DataRow::Sqlite(_) => (combined(row, 4, 18)?, combined(row, 8, 9)?),
            DataRow::Postgres(_) => (row.raw_text(4)?, row.raw_text(5)?),
        };
        Ok(Self {
            node_type: row.text(0)?,
            operation: row.text(1)?,
            labels: serde_json::from_str(&row.raw_text(2)?)
                .map_err(|error| corrupt("labels", error.to_string()))?,
            charges: row.integer(3)?,
            quantity: Quantity::from_total(trimmed(&quantity)).map_err(|_| AmountOverflow)?,
            credits: trimmed(&credits).parse().map_err(|_| AmountOverflow)?,
        })
    }
}

/// Returns the decimal of sums of parts. Each part counts 10^-9 of the one before it, and the last one counts 10^-`digits`.
fn combined(row: &DataRow, column: usize, digits: usize) -> Result<String, StoreError> {
    let mut units = 0_i128;
    for index in 0..2 + digits / 9 {
        let part = i128::from(row.integer(column + index)?);
        let scaled = units.checked_mul(1_000_000_000).and_then(|units| units.checked_add(part));
        units = scaled.ok_or(AmountOverflow)?;
    }
    let sign = if units < 0 { "-" } else { "" };
    let plain = format!("{:0width$}", units.unsigned_abs(), width = digits + 1);
    let (whole, fraction) = plain.split_at(plain.len() - digits);
    Ok(format!("{sign}{whole}.{fraction}"))
}

/// Returns a decimal without trailing zeros.
fn trimmed(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}
