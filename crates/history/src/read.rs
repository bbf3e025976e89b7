//! Reads accounts, rows and usage, page by page.

use std::collections::VecDeque;

use flashgate_ledger::ledger::Totals;
use futures::stream::{self, Stream};
use jiff::Timestamp;

use crate::database::Value;
use crate::error::StoreError;
use crate::invoices::InvoiceRow;
use crate::record::{AccountId, EntryRecord, Gap, Opening, UsageRecord};
use crate::rows::{self, EntryRow};
use crate::statements as sql;
use crate::store::Store;

/// Rows that are read at once. A row has at most about 64 KiB, so a page stays below 32 MiB.
pub(crate) const PAGE: usize = 500;

/// Accounts that are read at once.
const ACCOUNTS_PAGE: usize = 500;

/// The rows to read. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// First instant of the rows.
    pub from: Option<Timestamp>,
    /// First instant after the rows.
    pub to: Option<Timestamp>,
    /// Namespace and name of the only Subscription.
    pub subscription: Option<(String, String)>,
}

impl Filter {
    /// Returns true if a row at `time` is to be read.
    #[must_use]
    pub fn includes(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }

    /// Returns a range of whole seconds, both included, that has every row.
    fn seconds(&self) -> (i64, i64) {
        let from = self.from.map_or(i64::MIN, |from| from.as_second().saturating_sub(1));
        let to = self.to.map_or(i64::MAX, |to| to.as_second().saturating_add(1));
        (from, to)
    }
}

/// An account of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAccount {
    /// The account.
    pub id: AccountId,
    /// Its key in this store.
    pub(crate) key: i64,
}

/// A row of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Branch of the row.
    pub branch: String,
    /// The entry, or the entries that the row stands for.
    pub content: RowContent,
}

/// The content of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowContent {
    /// An entry.
    Entry {
        /// The entry.
        entry: EntryRecord,
        /// Lifetime sums up to the entry, if they do not follow from earlier rows: after an accepted ledger, and at the
        /// first row that retention kept.
        totals: Option<Totals>,
    },
    /// The state at which recording began, for an account that is older than its history.
    Opening(Opening),
    /// Lost entries, with the state after them.
    Gap(Gap, Opening),
}

impl Row {
    /// Returns the number of the entry, or of the last entry that the row stands for.
    #[must_use]
    pub const fn number(&self) -> i64 {
        match &self.content {
            RowContent::Entry { entry, .. } => entry.number,
            RowContent::Opening(opening) | RowContent::Gap(_, opening) => opening.number,
        }
    }

    /// Returns the instant of the entry, or of the last entry that the row stands for.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        match &self.content {
            RowContent::Entry { entry, .. } => entry.time,
            RowContent::Opening(opening) | RowContent::Gap(_, opening) => opening.time,
        }
    }

    /// Converts a stored row. `before` is the number of the row before it, if there is one.
    pub(crate) fn from_stored(row: EntryRow, before: Option<i64>) -> Self {
        let branch = row.branch.clone();
        let content = if !row.is_cover {
            RowContent::Entry { totals: row.totals, entry: row.entry }
        } else if let Some(before) = before {
            let gap = Gap { first: before.saturating_add(1), last: row.entry.number };
            RowContent::Gap(gap, row.into_opening())
        } else {
            RowContent::Opening(row.into_opening())
        };
        Self { branch, content }
    }
}

/// Usage with the branch of its entry.
pub(crate) type BranchUsage = (String, UsageRecord);

/// The rows of an account, page by page.
pub(crate) struct Pages<'a> {
    store: &'a Store,
    account: i64,
    filter: &'a Filter,
    last: i64,
    /// Number of the last row before the next page, if it was read.
    before: Option<i64>,
    is_done: bool,
}

impl<'a> Pages<'a> {
    pub const fn new(store: &'a Store, account: &StoredAccount, filter: &'a Filter) -> Self {
        Self { store, account: account.key, filter, last: i64::MIN, before: None, is_done: false }
    }

    /// Returns the next page. It can be empty. After the last page it returns `None`.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        if self.is_done {
            return Ok(None);
        }
        let (from, to) = self.filter.seconds();
        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let values = [self.account, self.last, i64::MAX, from, to, limit].map(Value::Integer).to_vec();
        let mut session = self.store.pool.session().await?;
        let data = session.connection().fetch(sql::ROWS, values).await?;
        self.is_done = data.len() < PAGE;
        let mut page = Vec::with_capacity(data.len());
        for row in &data {
            let row = EntryRow::from_data(row)?;
            let number = row.entry.number;
            if row.is_cover && self.before.is_none_or(|_| self.filter.from.is_some()) {
                // The row before it can be outside of the filter.
                let values = [self.account, number].map(Value::Integer).to_vec();
                let rows = session.connection().fetch(sql::PREVIOUS_NUMBER, values).await?;
                self.before = rows.first().map(|row| row.integer(0)).transpose()?;
            }
            let row = Row::from_stored(row, self.before);
            self.before = Some(number);
            self.last = number;
            if self.filter.includes(row.time()) {
                page.push(row);
            }
        }
        Ok(Some(page))
    }
}

impl Store {
    /// Returns the accounts in the order of namespace, name and account id: all of them, or those of one Subscription
    /// (namespace and name).
    ///
    /// # Errors
    /// Items are errors if the store is not available or has no tables.
    pub fn accounts(
        &self,
        subscription: Option<(String, String)>,
    ) -> impl Stream<Item = Result<StoredAccount, StoreError>> + Send + '_ {
        let is_all = subscription.is_none();
        let (namespace, name) = subscription.unwrap_or_default();
        let first = AccountId { namespace, name, account: String::new() };
        let state = (first, VecDeque::new(), false);
        stream::try_unfold(state, move |(mut last, mut page, mut is_done)| async move {
            if page.is_empty() && !is_done {
                let found = self.accounts_after(&last, is_all).await?;
                is_done = found.len() < ACCOUNTS_PAGE;
                if let Some(end) = found.last() {
                    last.clone_from(&end.id);
                }
                page.extend(found);
            }
            Ok(page.pop_front().map(|account| (account, (last, page, is_done))))
        })
    }

    async fn accounts_after(&self, last: &AccountId, is_all: bool) -> Result<Vec<StoredAccount>, StoreError> {
        let query = if is_all { sql::ACCOUNTS } else { sql::ACCOUNTS_OF_SUBSCRIPTION };
        let limit = i64::try_from(ACCOUNTS_PAGE).unwrap_or(i64::MAX);
        let key = [&last.namespace, &last.name, &last.account].map(|text| Value::text(text));
        let values = key.into_iter().chain([Value::Integer(limit)]).collect();
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(query, values).await?;
        rows.iter()
            .map(|row| {
                let id = AccountId { namespace: row.text(0)?, name: row.text(1)?, account: row.text(2)? };
                Ok(StoredAccount { id, key: row.integer(3)? })
            })
            .collect()
    }

    /// Returns the rows of an account in the order of their numbers, which is the order of sequence and index. Rows
    /// that a later branch supersedes are left out. The Subscription of `filter` has no effect.
    ///
    /// It reads page by page. Rows that are written meanwhile are read if they come later in the order.
    ///
    /// # Errors
    /// Items are errors if the store is not available, or if a stored value cannot be read.
    pub fn rows<'a>(
        &'a self,
        account: &StoredAccount,
        filter: &'a Filter,
    ) -> impl Stream<Item = Result<Row, StoreError>> + Send + 'a {
        let state = (Pages::new(self, account, filter), VecDeque::new());
        stream::try_unfold(state, |(mut pages, mut page)| async move {
            while page.is_empty() {
                match pages.next().await? {
                    Some(rows) => page.extend(rows),
                    None => return Ok(None),
                }
            }
            Ok(page.pop_front().map(|row| (row, (pages, page))))
        })
    }

    /// Returns the usage of an account's entries from number `first` to `last`, both included, ordered by entry.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a stored value cannot be read.
    pub async fn usage(
        &self,
        account: &StoredAccount,
        first: i64,
        last: i64,
    ) -> Result<Vec<(String, UsageRecord)>, StoreError> {
        let values = [account.key, first, last].map(Value::Integer).to_vec();
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(sql::USAGE, values).await?;
        rows.iter().map(rows::usage_from_data).collect()
    }

    /// Returns the usage of the entries of `page`, each with its branch.
    pub(crate) async fn usage_of(
        &self,
        account: &StoredAccount,
        page: &[Row],
    ) -> Result<Vec<BranchUsage>, StoreError> {
        match (page.first(), page.last()) {
            (Some(first), Some(last)) => self.usage(account, first.number(), last.number()).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Returns the invoice of an account with a number such as `acme-1f3a9c2e-0007`.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a stored value cannot be read.
    pub async fn invoice(
        &self,
        account: &StoredAccount,
        number: &str,
    ) -> Result<Option<InvoiceRow>, StoreError> {
        let values = vec![Value::Integer(account.key), Value::text(number)];
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(sql::INVOICE, values).await?;
        rows.first().map(InvoiceRow::from_data).transpose()
    }

    /// Returns the next invoices of an account after the one with number `after`, at most 500, ordered by number. An
    /// empty text begins with the first.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a stored value cannot be read.
    pub async fn invoices(
        &self,
        account: &StoredAccount,
        after: &str,
    ) -> Result<Vec<InvoiceRow>, StoreError> {
        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let values = vec![Value::Integer(account.key), Value::text(after), Value::Integer(limit)];
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(sql::INVOICES, values).await?;
        rows.iter().map(InvoiceRow::from_data).collect()
    }
}
