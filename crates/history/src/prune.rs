//! Retention: deletes old rows.

use flashgate_ledger::ledger::Totals;
use flashgate_ledger::period::{DAY_SECONDS, seconds_after};
use futures::TryStreamExt;
use jiff::Timestamp;

use crate::database::{Connection, Value};
use crate::error::StoreError;
use crate::read::{PAGE, StoredAccount};
use crate::rows::EntryRow;
use crate::statements as sql;
use crate::store::Store;
use crate::{totals, write};

/// Deletes the rows of every account that are older than `keep_days` days at `now`, and returns the number of deleted
/// entries. 0 days keep everything.
///
/// The last row before the cut stays as the first row, with the lifetime totals up to it, so that chain and sums still
/// verify from there. Invoices that are open or changed since then stay too. An account without newer rows keeps its
/// last row.
///
/// # Errors
/// Returns an error if the store is not available. Accounts before it in the order are pruned then.
pub async fn prune(store: &Store, now: Timestamp, keep_days: u32) -> Result<u64, StoreError> {
    if keep_days == 0 {
        return Ok(0);
    }
    let cut = seconds_after(now, DAY_SECONDS.saturating_mul(i64::from(keep_days)).saturating_neg());
    let mut deleted = 0_u64;
    let mut accounts = std::pin::pin!(store.accounts(None));
    while let Some(account) = accounts.try_next().await? {
        deleted = deleted.saturating_add(prune_account(store, &account, cut).await?);
    }
    Ok(deleted)
}

/// Deletes the old rows of one account in a transaction.
async fn prune_account(store: &Store, account: &StoredAccount, cut: Timestamp) -> Result<u64, StoreError> {
    let mut transaction = store.pool.begin().await?;
    let mut connection = transaction.connection();
    let locked = write::lock_account(&mut connection, &account.id).await?;
    let Some(kept) = kept_row(&mut connection, account.key, cut).await? else {
        return Ok(0);
    };
    if kept <= locked.pruned_number {
        return Ok(0);
    }
    let totals = totals_at(&mut connection, account.key, kept).await?;
    let numbers = [account.key, kept].map(Value::Integer);
    let mut set_totals = numbers.to_vec();
    set_totals.push(Value::Text(totals::to_json(&totals).to_string()));
    connection.execute(sql::SET_TOTALS, set_totals).await?;
    let deleted = connection.execute(sql::DELETE_BEFORE, numbers.to_vec()).await?;
    connection.execute(sql::PRUNE_INVOICES, numbers.to_vec()).await?;
    connection.execute(sql::SET_PRUNED, numbers.to_vec()).await?;
    transaction.commit().await?;
    Ok(deleted)
}

/// Returns the number of the row that becomes the first one, if there is a row before it.
async fn kept_row(
    connection: &mut Connection<'_>,
    account: i64,
    cut: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let since = [account, cut.as_second()].map(Value::Integer).to_vec();
    let newer = connection.fetch(sql::FIRST_SINCE, since).await?;
    let first_newer = newer.first().map(|row| row.integer(0)).transpose()?.unwrap_or(i64::MAX);
    let before =
        connection.fetch(sql::PREVIOUS_NUMBER, [account, first_newer].map(Value::Integer).to_vec()).await?;
    before.first().map(|row| row.integer(0)).transpose()
}

/// Returns the lifetime totals up to a row.
async fn totals_at(connection: &mut Connection<'_>, account: i64, number: i64) -> Result<Totals, StoreError> {
    let mut sums = Totals::default();
    let mut last = i64::MIN;
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    loop {
        let values = [account, last, number, i64::MIN, i64::MAX, limit].map(Value::Integer).to_vec();
        let page = connection.fetch(sql::ROWS, values).await?;
        if page.is_empty() {
            return Ok(sums);
        }
        for row in &page {
            let row = EntryRow::from_data(row)?;
            last = row.entry.number;
            sums = row.totals.map_or_else(|| totals::after(sums, &row.entry), Ok)?;
        }
    }
}
