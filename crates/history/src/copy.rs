//! Copies a history to another store.

use flashgate_ledger::Credits;
use flashgate_ledger::ledger::Totals;
use futures::TryStreamExt;
use jiff::Timestamp;

use crate::database::Value;
use crate::error::StoreError;
use crate::plan::{BranchRow, owned_range};
use crate::read::{BranchUsage, PAGE, StoredAccount};
use crate::record::{AccountId, Batch, Opening};
use crate::rows::EntryRow;
use crate::statements as sql;
use crate::store::Store;
use crate::verify::{AccountReport, verify_account};
use crate::{totals, write};

/// The result of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyReport {
    /// Accounts of the source.
    pub accounts: u64,
    /// Entries of the source, with those that a later branch supersedes.
    pub entries: u64,
    /// Differences after the copy, one sentence each.
    pub problems: Vec<String>,
}

/// Copies every account of `source` to `target`, and compares the results. Both stores have tables already.
///
/// It records the entries as the operator does. So it can be repeated after an interruption, and while the operator
/// records into `target`. Entries of the source replace rows of kind `Opening` and `Gap` of the target. It calls
/// `progress` with the number of entries so far.
///
/// # Errors
/// Returns an error if a store is not available, or if an entry is stored with another hash in `target`.
pub async fn copy(
    source: &Store,
    target: &Store,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<CopyReport, StoreError> {
    let mut report = CopyReport::default();
    let mut accounts = std::pin::pin!(source.accounts(None));
    while let Some(account) = accounts.try_next().await? {
        let branches = {
            let mut session = source.pool.session().await?;
            write::branches(&mut session.connection(), account.key).await?
        };
        for index in 0..branches.len() {
            let until = branches.get(..=index).unwrap_or_default();
            copy_branch(source, target, &account, until, &mut report.entries, progress).await?;
        }
        report.accounts = report.accounts.saturating_add(1);
        report.problems.extend(compare(source, target, &account).await?);
    }
    Ok(report)
}

/// Copies the rows of the last of `branches`.
async fn copy_branch(
    source: &Store,
    target: &Store,
    account: &StoredAccount,
    branches: &[BranchRow],
    copied: &mut u64,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(), StoreError> {
    let Some(last) = branches.last() else {
        return Ok(());
    };
    // The branch continues the rows of earlier branches, so the walk begins with them.
    let mut ranges: Vec<(i64, i64, &BranchRow)> = branches
        .iter()
        .enumerate()
        .map(|(index, branch)| {
            let (first, last) = owned_range(branches, index);
            (first, last, branch)
        })
        .filter(|(first, last, _)| first <= last)
        .collect();
    ranges.sort_by_key(|(first, _, _)| *first);
    let mut state = start();
    for (first, end, branch) in ranges {
        let mut after = first.saturating_sub(1);
        loop {
            let page = page(source, account, branch, after, end).await?;
            let Some(newest) = page.last() else { break };
            after = newest.entry.number;
            if branch.branch == last.branch {
                let usage =
                    source.usage(account, page.first().map_or(0, |row| row.entry.number), after).await?;
                let batches = batches(&account.id, &mut state, page, &usage)?;
                *copied = batches.iter().fold(*copied, |sum, batch| {
                    sum.saturating_add(u64::try_from(batch.entries.len()).unwrap_or(u64::MAX))
                });
                target.record(&batches).await?;
                progress(*copied);
            } else {
                for row in page {
                    advance(&mut state, row)?;
                }
            }
        }
    }
    Ok(())
}

async fn page(
    source: &Store,
    account: &StoredAccount,
    branch: &BranchRow,
    after: i64,
    end: i64,
) -> Result<Vec<EntryRow>, StoreError> {
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let mut values = vec![Value::Integer(account.key), Value::text(&branch.branch)];
    values.extend([after, end, limit].map(Value::Integer));
    let mut session = source.pool.session().await?;
    let rows = session.connection().fetch(sql::ROWS_OF_BRANCH, values).await?;
    rows.iter().map(EntryRow::from_data).collect()
}

/// Returns the state before the first entry of an account.
fn start() -> Opening {
    Opening {
        number: 0,
        sequence: 0,
        time: Timestamp::UNIX_EPOCH,
        hash: String::new(),
        balance: Credits::ZERO,
        totals: Totals::default(),
    }
}

/// Moves on to the state after a row.
fn advance(state: &mut Opening, row: EntryRow) -> Result<(), StoreError> {
    if row.is_cover {
        *state = row.into_opening();
        return Ok(());
    }
    let EntryRow { entry, totals, .. } = row;
    state.totals = totals.map_or_else(|| totals::after(state.totals, &entry), Ok)?;
    state.number = entry.number;
    state.sequence = entry.sequence;
    state.time = entry.time;
    state.balance = entry.balance;
    state.hash = entry.hash;
    Ok(())
}

/// Returns batches with the rows of a page: one for each run of entries without a gap. `state` is the state before the
/// page, and then after it.
fn batches(
    account: &AccountId,
    state: &mut Opening,
    page: Vec<EntryRow>,
    usage: &[BranchUsage],
) -> Result<Vec<Batch>, StoreError> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut is_open = false;
    for row in page {
        let branch = row.branch.clone();
        let empty = |opening: &Opening| Batch {
            account: account.clone(),
            branch: branch.clone(),
            opening: opening.clone(),
            entries: Vec::new(),
            usage: Vec::new(),
        };
        let is_next = row.entry.number == state.number.saturating_add(1);
        let is_restart = row.totals.is_some();
        if row.is_cover || !is_next {
            // A cover, the first row that retention kept, or a row after a hole: the copy begins with the state after
            // it.
            advance(state, row)?;
            batches.push(empty(state));
            is_open = true;
            continue;
        }
        if is_restart {
            // The content that an administrator accepted has its own balance and totals.
            state.balance = row.entry.balance;
            state.totals = row.totals.unwrap_or_default();
        }
        if !is_open || is_restart {
            batches.push(empty(state));
            is_open = true;
        }
        if let Some(batch) = batches.last_mut() {
            let number = row.entry.number;
            let own = usage.iter().filter(|(name, usage)| usage.entry == number && *name == branch);
            batch.usage.extend(own.map(|(_, usage)| usage.clone()));
            batch.entries.push(row.entry.clone());
        }
        advance(state, row)?;
    }
    Ok(batches)
}

/// Returns the differences of an account between the two stores.
async fn compare(source: &Store, target: &Store, account: &StoredAccount) -> Result<Vec<String>, StoreError> {
    let id = &account.id;
    let mut candidates = std::pin::pin!(target.accounts(Some((id.namespace.clone(), id.name.clone()))));
    let mut copy = None;
    while let Some(found) = candidates.try_next().await? {
        if found.id == *id {
            copy = Some(found);
        }
    }
    let Some(copy) = copy else {
        return Ok(vec![format!("{id} is missing in the target")]);
    };
    let given = verify_account(source, account).await?;
    let copied = verify_account(target, &copy).await?;
    Ok(differences(&given, &copied))
}

fn differences(given: &AccountReport, copied: &AccountReport) -> Vec<String> {
    let id = &given.account;
    let new = copied.problems.iter().filter(|problem| !given.problems.contains(problem));
    let mut problems: Vec<String> = new.map(|problem| format!("{id}: {problem}")).collect();
    if copied.number < given.number {
        problems.push(format!("{id} ends with entry {} instead of {}", copied.number, given.number));
    } else if copied.number == given.number && copied.hash != given.hash {
        problems.push(format!("{id} ends with hash {} instead of {}", copied.hash, given.hash));
    }
    problems
}
