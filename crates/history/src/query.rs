//! Queries of one account: pages of transactions, entries and invoices, and sums over time.
//!
//! A transaction is an entry by which credits arrived, or usage that was charged. A page is selected by its keys, which
//! the indexes hold, and then read by a range of numbers.

pub mod entries;
mod entry_statements;
pub mod invoices;
mod statements;

use std::collections::{BTreeMap, HashMap};

use futures::TryStreamExt as _;
use jiff::Timestamp;

use flashgate_ledger::Credits;

use crate::database::{Connection, DataRow, Sql, Value};
use crate::error::StoreError;
use crate::read::StoredAccount;
use crate::record::{EntryRecord, UsageRecord};
use crate::rows::{self, EntryRow};
use crate::store::Store;
use crate::sums::UsageSum;

/// The transactions to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Whether entries by which credits arrived are read.
    pub credits: bool,
    /// Whether charged usage is read.
    pub usage: bool,
    /// First instant.
    pub from: Option<Timestamp>,
    /// Last instant.
    pub to: Option<Timestamp>,
    /// Label that usage must have, with its value.
    pub label: Option<(String, String)>,
}

/// A transaction of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// Credits arrived, or a charge whose usage is not known.
    Entry {
        /// Branch of the entry.
        branch: String,
        /// The entry.
        entry: EntryRecord,
    },
    /// Usage was charged.
    Usage {
        /// Branch of the entry.
        branch: String,
        /// The usage.
        usage: UsageRecord,
    },
}

/// A page of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionPage {
    /// Transactions of the page, newest first.
    pub transactions: Vec<Transaction>,
    /// Number of transactions on all pages.
    pub total: u64,
}

/// Credits that usage of one rate and set of labels cost, by the time at which its windows ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketUsage {
    /// Index of the bucket.
    pub bucket: i64,
    /// Node type.
    pub node_type: String,
    /// Operation.
    pub operation: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Credits.
    pub credits: Credits,
}

/// Credits that arrived, by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketCredits {
    /// Index of the bucket.
    pub bucket: i64,
    /// Kind of the entries: `Granted`, `Purchased` or `Adjusted`.
    pub kind: String,
    /// Credits.
    pub credits: Credits,
}

/// The balance at the end of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketBalance {
    /// Index of the bucket.
    pub bucket: i64,
    /// Instant of the last entry of the bucket.
    pub time: Timestamp,
    /// Balance after that entry.
    pub balance: Credits,
}

/// Buckets of equal length. A bucket includes its end and excludes its start. Fractions of seconds do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Start of the first bucket.
    pub start: Timestamp,
    /// Length in seconds; above zero.
    pub seconds: i64,
    /// Number of buckets.
    pub count: i64,
}

impl Buckets {
    fn integers(self, account: &StoredAccount) -> [i64; 4] {
        let start = self.start.as_second();
        let end = start.saturating_add(self.seconds.saturating_mul(self.count));
        [account.key, start, end, self.seconds]
    }

    fn values(self, account: &StoredAccount) -> Vec<Value> {
        self.integers(account).map(Value::Integer).to_vec()
    }
}

/// The key of a transaction. `group` is empty for an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    number: i64,
    branch: String,
    group: String,
}

impl Store {
    /// Returns the account of a Subscription with this id. Without an id, or if no account has it, returns the account
    /// that was recorded last.
    ///
    /// # Errors
    /// Returns an error if the store is not available or has no tables.
    pub async fn account_of(
        &self,
        namespace: &str,
        name: &str,
        account: Option<&str>,
    ) -> Result<Option<StoredAccount>, StoreError> {
        let subscription = Some((namespace.to_owned(), name.to_owned()));
        let accounts: Vec<StoredAccount> = self.accounts(subscription).try_collect().await?;
        let named = accounts.iter().find(|stored| Some(stored.id.account.as_str()) == account);
        Ok(named.or_else(|| accounts.iter().max_by_key(|stored| stored.key)).cloned())
    }

    /// Returns a page of the transactions of an account, newest first. Rows that a later branch supersedes are left out.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a stored value cannot be read.
    pub async fn transactions(
        &self,
        account: &StoredAccount,
        filter: &TransactionFilter,
        offset: u64,
        limit: u32,
    ) -> Result<TransactionPage, StoreError> {
        let mut session = self.pool.session().await?;
        let mut connection = session.connection();
        let counted = connection.fetch(statements::COUNT, filter.values(account)).await?;
        let total = counted.first().map_or(Ok(0), |row| row.integer(0))?;
        let mut values = filter.values(account);
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        values.extend([Value::Integer(i64::from(limit)), Value::Integer(offset)]);
        let keys = connection.fetch(statements::KEYS, values).await?;
        let keys: Vec<Key> = keys.iter().map(key).collect::<Result<_, _>>()?;
        let transactions = read(&mut connection, account, filter, keys).await?;
        Ok(TransactionPage { transactions, total: u64::try_from(total).unwrap_or_default() })
    }

    /// Returns the sums of charged usage by bucket, node type, operation and labels.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a stored value cannot be read.
    pub async fn usage_by_bucket(
        &self,
        account: &StoredAccount,
        buckets: Buckets,
    ) -> Result<Vec<BucketUsage>, StoreError> {
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(statements::USAGE_SUMS, buckets.values(account)).await?;
        let sum = |row: &DataRow| {
            Ok(BucketUsage {
                bucket: row.integer(0)?,
                node_type: row.text(1)?,
                operation: row.text(2)?,
                labels: rows::labels(&row.raw_text(3)?)?,
                credits: row.amount(4)?,
            })
        };
        rows.iter().map(sum).collect()
    }

    /// Returns the sums of credits that arrived, by bucket and kind.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a stored value cannot be read.
    pub async fn credits_by_bucket(
        &self,
        account: &StoredAccount,
        buckets: Buckets,
    ) -> Result<Vec<BucketCredits>, StoreError> {
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(statements::CREDIT_SUMS, buckets.values(account)).await?;
        let sum = |row: &DataRow| {
            Ok(BucketCredits { bucket: row.integer(0)?, kind: row.text(1)?, credits: row.amount(2)? })
        };
        rows.iter().map(sum).collect()
    }

    /// Returns the sums of charged usage by node type and operation, over all buckets. Their labels are empty.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a sum exceeds the exact range.
    pub async fn usage_by_rate(
        &self,
        account: &StoredAccount,
        buckets: Buckets,
    ) -> Result<Vec<UsageSum>, StoreError> {
        let [account, start, end, _] = buckets.integers(account);
        let values = [account, start, end].map(Value::Integer).to_vec();
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(statements::RATE_SUMS, values).await?;
        rows.iter().map(UsageSum::from_data).collect()
    }

    /// Returns the balance after the last entry of each bucket. Buckets without entries are left out.
    ///
    /// # Errors
    /// Returns an error if the store is not available, or if a stored value cannot be read.
    pub async fn balances_by_bucket(
        &self,
        account: &StoredAccount,
        buckets: Buckets,
    ) -> Result<Vec<BucketBalance>, StoreError> {
        let mut session = self.pool.session().await?;
        let rows = session.connection().fetch(entry_statements::BALANCES, buckets.values(account)).await?;
        let balance = |row: &DataRow| {
            Ok(BucketBalance { bucket: row.integer(0)?, time: row.time(1)?, balance: row.amount(3)? })
        };
        rows.iter().map(balance).collect()
    }
}

impl TransactionFilter {
    fn values(&self, account: &StoredAccount) -> Vec<Value> {
        let (from, to) = (self.from.unwrap_or(Timestamp::MIN), self.to.unwrap_or(Timestamp::MAX));
        let mut values = vec![Value::Integer(account.key)];
        for time in [from, to] {
            values.extend([
                Value::Integer(time.as_second()),
                Value::Integer(i64::from(time.subsec_nanosecond())),
            ]);
        }
        let fragment = self.label.as_ref().map(|(name, value)| label_fragment(name, value));
        values.extend([
            // Only usage has labels.
            Value::Flag(self.credits && fragment.is_none()),
            Value::Flag(self.usage),
            Value::Text(fragment.unwrap_or_default()),
        ]);
        values
    }
}

/// Returns the part of a text of labels that has this label. Each label follows `{` or `,`, and quotation marks within
/// names and values are escaped, so no other label has this part.
fn label_fragment(name: &str, value: &str) -> String {
    format!("{}:{}", serde_json::Value::from(name), serde_json::Value::from(value))
}

fn key(row: &DataRow) -> Result<Key, StoreError> {
    Ok(Key { number: row.integer(0)?, branch: row.text(1)?, group: row.raw_text(2)? })
}

/// Returns the transactions with these keys, in their order.
async fn read(
    connection: &mut Connection<'_>,
    account: &StoredAccount,
    filter: &TransactionFilter,
    keys: Vec<Key>,
) -> Result<Vec<Transaction>, StoreError> {
    let mut found: HashMap<Key, Transaction> = HashMap::new();
    let within = |is_usage: bool| {
        let numbers = keys.iter().filter(|key| key.group.is_empty() != is_usage).map(|key| key.number);
        numbers.clone().min().zip(numbers.max())
    };
    if let Some(range) = within(false) {
        for row in fetch(connection, statements::ENTRIES, account, filter, range).await? {
            let EntryRow { branch, entry, .. } = EntryRow::from_data(&row)?;
            let key = Key { number: entry.number, branch: branch.clone(), group: String::new() };
            found.insert(key, Transaction::Entry { branch, entry });
        }
    }
    if let Some(range) = within(true) {
        for row in fetch(connection, statements::USAGE, account, filter, range).await? {
            let (branch, usage) = rows::usage_from_data(&row)?;
            let key = Key { number: usage.entry, branch: branch.clone(), group: rows::group_key(&usage) };
            found.insert(key, Transaction::Usage { branch, usage });
        }
    }
    Ok(keys.iter().filter_map(|key| found.remove(key)).collect())
}

/// Returns the rows of a statement with a number within a range, both ends included.
async fn fetch(
    connection: &mut Connection<'_>,
    sql: Sql,
    account: &StoredAccount,
    filter: &TransactionFilter,
    (first, last): (i64, i64),
) -> Result<Vec<DataRow>, StoreError> {
    let mut values = filter.values(account);
    values.extend([Value::Integer(first), Value::Integer(last)]);
    connection.fetch(sql, values).await
}

/// Returns the statements of this module with sample values. Their plans must use an index.
pub(crate) fn indexed() -> Vec<(&'static str, Sql, Vec<Value>)> {
    let number = Value::Integer;
    let filter = || {
        let numbers = [1, 0, 0, 9, 0].map(number);
        let mut values = numbers.to_vec();
        values.extend([Value::Flag(true), Value::Flag(true), Value::Text("\"repo\":\"media\"".to_owned())]);
        values
    };
    let with = |further: [i64; 2]| filter().into_iter().chain(further.map(number)).collect();
    let buckets = || [1, 0, 9, 3].map(number).to_vec();
    let mut statements = vec![
        ("count of transactions", statements::COUNT, filter()),
        ("keys of transactions", statements::KEYS, with([50, 0])),
        ("entries of transactions", statements::ENTRIES, with([1, 9])),
        ("usage of transactions", statements::USAGE, with([1, 9])),
        ("usage by bucket", statements::USAGE_SUMS, buckets()),
        ("credits by bucket", statements::CREDIT_SUMS, buckets()),
        ("usage by rate", statements::RATE_SUMS, [1, 0, 9].map(number).to_vec()),
    ];
    statements.extend(entry_statements::indexed());
    statements.extend(invoices::indexed());
    statements
}
