//! Pages of the invoices of one account, newest first.

use crate::columns::invoice_columns;
use crate::database::{Sql, Value};
use crate::error::StoreError;
use crate::invoices::InvoiceRow;
use crate::read::StoredAccount;
use crate::store::Store;

/// A page of invoices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvoicePage {
    /// Invoices of the page, newest first.
    pub invoices: Vec<InvoiceRow>,
    /// Whether more invoices follow in the direction of the place: older ones, or newer ones after a number.
    pub has_more: bool,
}

/// The place of a page of invoices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvoicePlace<'a> {
    /// The newest invoices.
    #[default]
    Newest,
    /// The invoices before this number.
    Before(&'a str),
    /// The invoices after this number.
    After(&'a str),
}

macro_rules! page {
    ($store:ident, $comparison:literal, $order:literal) => {
        concat!(
            "SELECT ",
            invoice_columns!($store),
            " FROM invoices WHERE account_id = $1 \
             AND (length(invoice), invoice) ",
            $comparison,
            " ($2, $3) ORDER BY length(invoice) ",
            $order,
            ", invoice ",
            $order,
            " LIMIT $4"
        )
    };
}

/// The invoices before the number $3, which has $2 characters, newest first.
const OLDER: Sql = Sql { sqlite: page!(sqlite, "<", "DESC"), postgres: page!(postgres, "<", "DESC") };

/// The invoices after the number $3, which has $2 characters, oldest first.
const NEWER: Sql = Sql { sqlite: page!(sqlite, ">", "ASC"), postgres: page!(postgres, ">", "ASC") };

impl Store {
    /// Returns a page of the invoices of an account with at most `limit` invoices, newest first.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a stored value cannot be read.
    pub async fn invoice_page(
        &self,
        account: &StoredAccount,
        place: InvoicePlace<'_>,
        limit: u32,
    ) -> Result<InvoicePage, StoreError> {
        let (statement, length, number) = match place {
            InvoicePlace::Newest => (OLDER, i64::from(i32::MAX), ""),
            InvoicePlace::Before(number) => (OLDER, length(number), number),
            InvoicePlace::After(number) => (NEWER, length(number), number),
        };
        let values = vec![
            Value::Integer(account.key),
            Value::Integer(length),
            Value::text(number),
            Value::Integer(i64::from(limit).saturating_add(1)),
        ];
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(statement, values).await?;
        let mut invoices: Vec<InvoiceRow> =
            rows.iter().map(InvoiceRow::from_data).collect::<Result<_, _>>()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = invoices.len() > limit;
        invoices.truncate(limit);
        if matches!(place, InvoicePlace::After(_)) {
            invoices.reverse();
        }
        Ok(InvoicePage { invoices, has_more })
    }
}

/// Returns the length of a number in characters, as the databases count it.
fn length(number: &str) -> i64 {
    i64::try_from(number.chars().count()).unwrap_or(i64::MAX)
}

/// Returns the statements of this module with sample values.
pub(super) fn indexed() -> Vec<(&'static str, Sql, Vec<Value>)> {
    let values = || {
        let (number, limit) = (Value::Text("acme-1f3a9c2e-0007".to_owned()), Value::Integer(50));
        vec![Value::Integer(1), Value::Integer(18), number, limit]
    };
    vec![("older invoices", OLDER, values()), ("newer invoices", NEWER, values())]
}
