//! Pages of the entries of one account, newest first.
//!
//! A page begins before or after the number of an entry (keyset pagination), so every page is as fast as the first one.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::entry_statements as sql;
use crate::database::{DataRow, Sql, Value};
use crate::error::StoreError;
use crate::read::{Row, RowContent, StoredAccount};
use crate::record::UsageRecord;
use crate::rows::EntryRow;
use crate::statements;
use crate::store::Store;

/// The kind of charges, the only frequent one.
const CHARGED: &str = "Charged";

/// Rows between two charges up to which their usage is read by one query.
const CLOSE: i64 = 16;

/// The entries to read. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// First instant.
    pub from: Option<Timestamp>,
    /// Last instant.
    pub to: Option<Timestamp>,
    /// Kinds of the entries.
    pub kinds: Kinds,
    /// Beginning of a text in the detail of the entry or of the value of a label of its usage. The text may follow the
    /// kind of an object, as in `UsageReport/gw-1`.
    pub text: Option<String>,
}

/// The kinds of entries to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kinds {
    /// All of them.
    #[default]
    All,
    /// All but charges, which are most of the entries.
    BesidesCharges,
    /// One kind. `Opening` selects the rows that stand for entries that are not recorded.
    Only(String),
}

/// The place of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The newest entries.
    #[default]
    Newest,
    /// The entries before this number.
    Before(i64),
    /// The entries after this number.
    After(i64),
}

/// A row with its usage, if it is a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedRow {
    /// The row.
    pub row: Row,
    /// Usage that was charged. Empty for another kind of entry, and for a charge whose usage is not known.
    pub usage: Vec<UsageRecord>,
}

/// A page of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryPage {
    /// Rows of the page, newest first.
    pub rows: Vec<ExplainedRow>,
    /// Whether more entries follow in the direction of the place: older ones, or newer ones for [`Place::After`].
    pub has_more: bool,
}

impl EntryFilter {
    /// Returns the values of a statement for numbers between `after` and `before`, both excluded.
    fn values(&self, account: &StoredAccount, after: i64, before: i64, limit: u32) -> Vec<Value> {
        let mut values = vec![Value::Integer(account.key), Value::Integer(after), Value::Integer(before)];
        for time in [self.from.unwrap_or(Timestamp::MIN), self.to.unwrap_or(Timestamp::MAX)] {
            values.extend([
                Value::Integer(time.as_second()),
                Value::Integer(i64::from(time.subsec_nanosecond())),
            ]);
        }
        let kind = match &self.kinds {
            Kinds::Only(kind) => kind.clone(),
            Kinds::All | Kinds::BesidesCharges => String::new(),
        };
        let (value, name) = self.text.as_deref().map(fragments).unwrap_or_default();
        values.extend([
            Value::Text(kind),
            Value::Text(value),
            Value::Text(name),
            Value::Integer(i64::from(limit)),
        ]);
        values
    }

    /// Returns the statement for a direction.
    fn statement(&self, is_newer: bool) -> Sql {
        let has_charges = match &self.kinds {
            Kinds::All => true,
            Kinds::BesidesCharges => false,
            Kinds::Only(kind) => kind == CHARGED,
        };
        match (has_charges, is_newer) {
            (true, false) => sql::OLDER,
            (true, true) => sql::NEWER,
            (false, false) => sql::OLDER_BESIDES_CHARGES,
            (false, true) => sql::NEWER_BESIDES_CHARGES,
        }
    }
}

/// Returns the part of a JSON text by which a value begins with `text`, and the part by which the name of an object does.
fn fragments(text: &str) -> (String, String) {
    let quoted = serde_json::Value::from(text).to_string();
    // Without the quotation mark at the end.
    let open = quoted.strip_suffix('"').unwrap_or(&quoted);
    (format!(":{open}"), open.replacen('"', "/", 1))
}

impl Store {
    /// Returns a page of the entries of an account with at most `limit` rows, newest first. Rows that a later branch
    /// supersedes are left out.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a stored value cannot be read.
    pub async fn entry_page(
        &self,
        account: &StoredAccount,
        filter: &EntryFilter,
        place: Place,
        limit: u32,
    ) -> Result<EntryPage, StoreError> {
        let (after, before, is_newer) = match place {
            Place::Newest => (i64::MIN, i64::MAX, false),
            Place::Before(number) => (i64::MIN, number, false),
            Place::After(number) => (number, i64::MAX, true),
        };
        let values = filter.values(account, after, before, limit.saturating_add(1));
        let mut rows = self.entry_rows(account, filter.statement(is_newer), values).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        if is_newer {
            rows.reverse();
        }
        let mut usage = self.usage_of_charges(account, &rows).await?;
        let explained = |row: Row| {
            let usage = usage.remove(&(row.number(), row.branch.clone())).unwrap_or_default();
            ExplainedRow { row, usage }
        };
        Ok(EntryPage { rows: rows.into_iter().map(explained).collect(), has_more })
    }

    async fn entry_rows(
        &self,
        account: &StoredAccount,
        statement: Sql,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut session = self.pool.session().await?;
        let data = session.connection().fetch(statement, values).await?;
        let mut rows = Vec::with_capacity(data.len());
        for stored in data.iter().map(EntryRow::from_data) {
            let stored = stored?;
            let mut before = None;
            if stored.is_cover {
                let values = [account.key, stored.entry.number].map(Value::Integer).to_vec();
                let found = session.connection().fetch(statements::PREVIOUS_NUMBER, values).await?;
                before = found.first().map(|row: &DataRow| row.integer(0)).transpose()?;
            }
            rows.push(Row::from_stored(stored, before));
        }
        Ok(rows)
    }

    /// Returns the usage of the charges among rows, by number and branch. Charges that are close to each other are read
    /// together.
    async fn usage_of_charges(
        &self,
        account: &StoredAccount,
        rows: &[Row],
    ) -> Result<BTreeMap<(i64, String), Vec<UsageRecord>>, StoreError> {
        let is_charge =
            |row: &&Row| matches!(&row.content, RowContent::Entry { entry, .. } if entry.kind == CHARGED);
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for number in rows.iter().rev().filter(is_charge).map(Row::number) {
            match ranges.last_mut() {
                Some((_, last)) if number.saturating_sub(*last) <= CLOSE => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        let mut found: BTreeMap<(i64, String), Vec<UsageRecord>> = BTreeMap::new();
        for (first, last) in ranges {
            for (branch, usage) in self.usage(account, first, last).await? {
                found.entry((usage.entry, branch)).or_default().push(usage);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_searched_at_the_beginning_of_values_and_after_the_kind_of_an_object() {
        for (text, value, name) in
            [("gw-1", ":\"gw-1", "/gw-1"), ("a\"b\\", ":\"a\\\"b\\\\", "/a\\\"b\\\\"), ("", ":\"", "/")]
        {
            assert_eq!(fragments(text), (value.to_owned(), name.to_owned()), "{text}");
        }
    }
}
