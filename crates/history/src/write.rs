//! Records batches.

use std::collections::{BTreeSet, HashSet};

use crate::database::{Connection, Value};
use crate::error::{RecordError, StoreError};
use crate::invoices;
use crate::plan::{self, BranchRow, Plan, StoredRow, StoredRows};
use crate::record::{AccountId, Batch, EntryRecord, Recorded};
use crate::rows::{self, RowKey};
use crate::statements as sql;
use crate::store::{Store, store_id};

/// An account in a transaction that locks it.
pub(crate) struct LockedAccount {
    pub id: i64,
    /// Number of the first row that retention kept, or 0.
    pub pruned_number: i64,
}

impl Store {
    /// Records all batches in one transaction, in order, and returns one result for each. Recording a batch again adds
    /// nothing.
    ///
    /// For each account it inserts the entries that the store does not have. If entries are lost between the store and
    /// the batch, it writes a row of kind `Gap` with the balance, hash and totals after them, or of kind `Opening` if
    /// the store has nothing of the account.
    ///
    /// # Errors
    /// Returns an error if the store is not available, if an entry is stored with another hash, or if a batch
    /// contradicts itself. Then none of the batches is recorded. If the connection is lost during the commit, they may
    /// be recorded.
    pub async fn record(&self, batches: &[Batch]) -> Result<Vec<Recorded>, RecordError> {
        for batch in batches {
            plan::check(batch)?;
        }
        let mut transaction = self.pool.begin().await?;
        // All writers lock accounts in the same order, so they cannot block each other.
        let mut order: Vec<usize> = (0..batches.len()).collect();
        order.sort_by_key(|index| batches.get(*index).map(|batch| &batch.account));
        let mut recorded: Vec<(usize, Recorded)> = Vec::with_capacity(batches.len());
        for index in order {
            if let Some(batch) = batches.get(index) {
                recorded.push((index, record(&mut transaction.connection(), batch).await?));
            }
        }
        let store = store_id(&mut transaction.connection()).await?;
        transaction.commit().await?;
        recorded.sort_by_key(|(index, _)| *index);
        let with_store = |(_, recorded): (usize, Recorded)| Recorded { store: store.clone(), ..recorded };
        Ok(recorded.into_iter().map(with_store).collect())
    }
}

/// Records one batch in a transaction.
async fn record(connection: &mut Connection<'_>, batch: &Batch) -> Result<Recorded, RecordError> {
    let account = lock_account(connection, &batch.account).await?;
    let mut branches = branches(connection, account.id).await?;
    let is_changed = match branches.iter().position(|known| known.branch == batch.branch) {
        Some(index) => extend_branch(connection, account.id, &mut branches, index, batch).await?,
        None => add_branch(connection, account.id, &mut branches, batch).await?,
    };
    let position = branches.iter().position(|known| known.branch == batch.branch).unwrap_or_default();
    let until = branches.get(..=position).unwrap_or_default();
    let stored = window(connection, account.id, until, batch).await?;
    let plan = plan::plan(batch, &stored, account.pruned_number)?;
    let rows = RowsOfBatch { account: account.id, branches: &branches, until, batch, plan: &plan };
    rows.write(connection, is_changed).await?;
    Ok(plan.recorded)
}

/// Returns the account, locked until the end of the transaction. Creates it if it is new.
pub(crate) async fn lock_account(
    connection: &mut Connection<'_>,
    account: &AccountId,
) -> Result<LockedAccount, StoreError> {
    let key =
        || vec![Value::text(&account.namespace), Value::text(&account.name), Value::text(&account.account)];
    let mut rows = connection.fetch(sql::ACCOUNT, key()).await?;
    if rows.is_empty() {
        connection.execute(sql::INSERT_ACCOUNT, key()).await?;
        rows = connection.fetch(sql::ACCOUNT, key()).await?;
    }
    let row = rows.first().ok_or(StoreError::Unavailable(sqlx::Error::RowNotFound))?;
    Ok(LockedAccount { id: row.integer(0)?, pruned_number: row.integer(1)? })
}

/// Returns the branches of an account in their order.
pub(crate) async fn branches(
    connection: &mut Connection<'_>,
    account: i64,
) -> Result<Vec<BranchRow>, StoreError> {
    let rows = connection.fetch(sql::BRANCHES, vec![Value::Integer(account)]).await?;
    rows.iter()
        .map(|row| {
            Ok(BranchRow { branch: row.text(0)?, position: row.integer(1)?, first_number: row.integer(2)? })
        })
        .collect()
}

/// Returns the stored rows that the plan of a batch needs, in the history that ends with the last of `branches`.
async fn window(
    connection: &mut Connection<'_>,
    account: i64,
    branches: &[BranchRow],
    batch: &Batch,
) -> Result<StoredRows, StoreError> {
    let first = batch.opening.number;
    let last = batch.entries.last().map_or(first, |entry| entry.number);
    let mut stored = StoredRows::new();
    for (index, branch) in branches.iter().enumerate() {
        let (lowest, highest) = plan::owned_range(branches, index);
        let numbers = [lowest, highest, first, last].map(Value::Integer);
        let mut values = vec![Value::Integer(account), Value::text(&branch.branch)];
        values.extend(numbers);
        for row in connection.fetch(sql::WINDOW, values).await? {
            let found = StoredRow { hash: row.text(1)?, is_cover: row.flag(2)?, sequence: row.integer(3)? };
            stored.insert(row.integer(0)?, found);
        }
    }
    Ok(stored)
}

/// Adds the branch of a batch to the account. Returns true if it may have superseded rows.
///
/// The branch without a name is the oldest, also if it arrives late. Any other new branch is the newest: it replaces
/// the rows of earlier branches from its first entry on.
async fn add_branch(
    connection: &mut Connection<'_>,
    account: i64,
    branches: &mut Vec<BranchRow>,
    batch: &Batch,
) -> Result<bool, StoreError> {
    let id = Value::Integer(account);
    let added = if batch.branch.is_empty() {
        if let Some(next) = branches.first() {
            let values = vec![id.clone(), Value::Integer(next.first_number), Value::text(&next.branch)];
            connection.execute(sql::MOVE_TO_FIRST_BRANCH, values).await?;
        }
        BranchRow { branch: String::new(), position: 0, first_number: 0 }
    } else {
        let stored = window(connection, account, branches, batch).await?;
        let first_number = plan::first_number(batch, &stored);
        supersede(connection, account, branches, first_number).await?;
        let position = branches.last().map_or(0, |last| last.position).saturating_add(1);
        BranchRow { branch: batch.branch.clone(), position, first_number }
    };
    let BranchRow { branch, position, first_number } = &added;
    let values = vec![id, Value::text(branch), Value::Integer(*position), Value::Integer(*first_number)];
    connection.execute(sql::INSERT_BRANCH, values).await?;
    branches.push(added);
    branches.sort_by_key(|branch| branch.position);
    Ok(!batch.branch.is_empty())
}

/// Moves the beginning of a known branch to an earlier entry, if the batch shows that it begins earlier. Returns true
/// if it does.
///
/// The first batch of a branch can lack its first entries. A late batch or a copy can have them.
async fn extend_branch(
    connection: &mut Connection<'_>,
    account: i64,
    branches: &mut [BranchRow],
    index: usize,
    batch: &Batch,
) -> Result<bool, StoreError> {
    let (earlier, rest) = branches.split_at_mut(index);
    let Some(branch) = rest.first_mut().filter(|_| index > 0) else {
        return Ok(false);
    };
    if batch.opening.number.saturating_add(1) >= branch.first_number {
        return Ok(false);
    }
    let stored = window(connection, account, earlier, batch).await?;
    let first_number = plan::first_number(batch, &stored);
    if first_number >= branch.first_number {
        return Ok(false);
    }
    // The opening of its first batch is stored with the earlier branch.
    let cover = branch.first_number.saturating_sub(1);
    let name = Value::text(&branch.branch);
    let move_cover = vec![Value::Integer(account), Value::Integer(cover), name.clone()];
    connection.execute(sql::MOVE_COVER, move_cover).await?;
    supersede(connection, account, earlier, first_number).await?;
    connection
        .execute(sql::SET_FIRST_NUMBER, vec![Value::Integer(account), name, Value::Integer(first_number)])
        .await?;
    branch.first_number = first_number;
    Ok(true)
}

/// Marks the rows of `branches` from a number on as superseded.
async fn supersede(
    connection: &mut Connection<'_>,
    account: i64,
    branches: &[BranchRow],
    first_number: i64,
) -> Result<(), StoreError> {
    for branch in branches {
        let values = vec![Value::Integer(account), Value::Integer(first_number), Value::text(&branch.branch)];
        connection.execute(sql::SUPERSEDE, values).await?;
    }
    Ok(())
}

/// The rows that a batch adds.
struct RowsOfBatch<'a> {
    account: i64,
    /// All branches of the account.
    branches: &'a [BranchRow],
    /// The branches up to the one of the batch.
    until: &'a [BranchRow],
    batch: &'a Batch,
    plan: &'a Plan<'a>,
}

impl RowsOfBatch<'_> {
    /// Returns the key of the row with `number`.
    fn key(&self, number: i64) -> RowKey<'_> {
        let owner = plan::owner(self.until, number).map_or("", |branch| branch.branch.as_str());
        let current = plan::owner(self.branches, number).map_or("", |branch| branch.branch.as_str());
        RowKey { account: self.account, branch: owner, superseded: owner != current }
    }

    async fn write(
        &self,
        connection: &mut Connection<'_>,
        are_some_superseded: bool,
    ) -> Result<(), RecordError> {
        let Self { batch, plan, .. } = self;
        let replaced = plan.replaced.iter().map(|number| {
            vec![Value::Integer(self.account), Value::Integer(*number), Value::text(self.key(*number).branch)]
        });
        connection.insert(sql::DELETE_COVER, replaced.collect()).await?;
        let mut entries = Vec::with_capacity(plan.entries.len().saturating_add(1));
        if plan.adds_opening {
            entries.push(rows::cover_values(self.key(batch.opening.number), &batch.opening));
        }
        for entry in &plan.entries {
            // The content that an administrator accepts can have any balance and totals.
            let is_restart =
                entry.kind == "Accepted" && entry.number == batch.opening.number.saturating_add(1);
            let totals = is_restart.then_some(&batch.opening.totals);
            entries.push(rows::entry_values(self.key(entry.number), entry, totals));
        }
        connection.insert(sql::INSERT_ENTRIES, entries).await?;
        connection.insert(sql::INSERT_USAGE, self.usage()?).await?;
        if are_some_superseded {
            // Entries that are superseded now may have changed invoices.
            let first_number = self.until.last().map_or(0, |branch| branch.first_number);
            invoices::rebuild(connection, self.account, first_number).await?;
        } else {
            let is_current = |entry: &&&EntryRecord| !self.key(entry.number).superseded;
            let current: Vec<&EntryRecord> = plan.entries.iter().filter(is_current).copied().collect();
            invoices::apply(connection, self.account, &current).await?;
        }
        Ok(())
    }

    /// Returns the rows of usage of the entries that are inserted.
    fn usage(&self) -> Result<Vec<Vec<Value>>, RecordError> {
        let inserted: HashSet<i64> = self.plan.entries.iter().map(|entry| entry.number).collect();
        let mut keys = BTreeSet::new();
        let mut rows = Vec::new();
        for usage in self.batch.usage.iter().filter(|usage| inserted.contains(&usage.entry)) {
            if !keys.insert((usage.entry, rows::group_key(usage))) {
                let problem = format!(
                    "entry {} has two rows of usage for {} {} {:?}",
                    usage.entry, usage.node_type, usage.operation, usage.labels
                );
                return Err(RecordError::Invalid { account: Box::new(self.batch.account.clone()), problem });
            }
            rows.push(rows::usage_values(self.key(usage.entry), usage));
        }
        Ok(rows)
    }
}
