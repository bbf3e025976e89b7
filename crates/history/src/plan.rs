//! Plans the rows that a batch adds to a branch, as a pure function.

use std::collections::BTreeMap;

use crate::error::RecordError;
use crate::record::{Batch, EntryRecord, Gap, Recorded};

/// A stored row, as far as a plan needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRow {
    /// Hash of the entry with its number.
    pub hash: String,
    /// True if it stands for all entries up to its number that have no rows.
    pub is_cover: bool,
    /// Sequence of the commit.
    pub sequence: i64,
}

/// Stored rows by number.
pub(crate) type StoredRows = BTreeMap<i64, StoredRow>;

/// The rows that a batch adds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan<'b> {
    /// Numbers of covers that entries replace.
    pub replaced: Vec<i64>,
    /// True if the opening of the batch becomes a cover.
    pub adds_opening: bool,
    /// Entries to insert.
    pub entries: Vec<&'b EntryRecord>,
    /// The result of the call.
    pub recorded: Recorded,
}

/// A branch of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BranchRow {
    /// Id of the branch.
    pub branch: String,
    /// Place in the order of branches. 0 for the branch without a name.
    pub position: i64,
    /// Number of its first entry.
    pub first_number: i64,
}

/// Returns the branch that holds the entry `number` in the history that ends with `branches`: the last branch that
/// begins at or before it, or the first branch.
///
/// `branches` are in the order of their positions.
pub(crate) fn owner(branches: &[BranchRow], number: i64) -> Option<&BranchRow> {
    branches.iter().rev().find(|branch| branch.first_number <= number).or_else(|| branches.first())
}

/// Returns the range of numbers, both included, that the branch at `index` holds in the history that ends with
/// `branches`.
pub(crate) fn owned_range(branches: &[BranchRow], index: usize) -> (i64, i64) {
    let first = branches.get(index).filter(|_| index > 0).map_or(i64::MIN, |branch| branch.first_number);
    let later = branches.iter().skip(index.saturating_add(1)).map(|branch| branch.first_number).min();
    (first, later.map_or(i64::MAX, |number| number.saturating_sub(1)))
}

/// Returns an error if the numbers of a batch are not consecutive, or if usage belongs to no `Charged` entry number.
pub(crate) fn check(batch: &Batch) -> Result<(), RecordError> {
    let invalid =
        |problem: String| RecordError::Invalid { account: Box::new(batch.account.clone()), problem };
    let mut expected = batch.opening.number;
    if expected < 0 {
        return Err(invalid(format!("its opening has number {expected}")));
    }
    for entry in &batch.entries {
        expected = expected.saturating_add(1);
        if entry.number != expected {
            return Err(invalid(format!(
                "entry {} follows entry {}",
                entry.number,
                expected.saturating_sub(1)
            )));
        }
    }
    Ok(())
}

/// Returns the number of the first entry of a new branch. `stored` are the rows of the branch before it.
///
/// Entries that both branches share belong to the earlier branch. If the opening has another hash than the row with its
/// number, the new branch begins with the opening.
pub(crate) fn first_number(batch: &Batch, stored: &StoredRows) -> i64 {
    let opening = &batch.opening;
    let is_linked = stored.get(&opening.number).is_none_or(|row| row.hash == opening.hash);
    if !is_linked {
        return opening.number;
    }
    let is_shared = |entry: &&EntryRecord| {
        stored.get(&entry.number).is_some_and(|row| !row.is_cover && row.hash == entry.hash)
    };
    let shared = batch.entries.iter().take_while(is_shared).last();
    shared.map_or(opening.number, |entry| entry.number).saturating_add(1)
}

/// Plans the rows for `batch`. `stored` has the rows from the opening to the last entry of the batch, the last row
/// before them, the first row after them and the last row of all. Entries up to `pruned` are not recorded again.
///
/// # Errors
/// Returns an error if an entry is stored with another hash.
pub(crate) fn plan<'b>(batch: &'b Batch, stored: &StoredRows, pruned: i64) -> Result<Plan<'b>, RecordError> {
    let opening = &batch.opening;
    let is_stored = |number: i64, given: &str| match stored.get(&number) {
        Some(row) if row.hash != given => Err(RecordError::Conflict {
            account: Box::new(batch.account.clone()),
            number,
            stored: row.hash.clone(),
            given: given.to_owned(),
        }),
        row => Ok(row),
    };
    let mut replaced = Vec::new();
    let mut entries = Vec::new();
    for entry in &batch.entries {
        match is_stored(entry.number, &entry.hash)? {
            Some(row) if row.is_cover && entry.number > pruned => {
                replaced.push(entry.number);
                entries.push(entry);
            }
            None if entry.number > pruned => entries.push(entry),
            _ => {}
        }
    }
    let opening_row = if opening.number > 0 { is_stored(opening.number, &opening.hash)? } else { None };
    let before = stored.range(..opening.number).next_back();
    let after = stored.range(opening.number.saturating_add(1)..).next();
    // A cover after the opening stands for it already, unless an entry now follows it directly.
    let is_covered = after.is_some_and(|(_, row)| row.is_cover);
    let is_followed = entries.first().is_some_and(|entry| entry.number == opening.number.saturating_add(1));
    let is_needed = opening.number > pruned && opening_row.is_none() && (!is_covered || is_followed);
    let gap = before
        .filter(|_| is_needed && !is_covered)
        .map(|(number, _)| Gap { first: number.saturating_add(1), last: opening.number });
    let (number, sequence) = last_contiguous(batch, stored);
    Ok(Plan {
        replaced,
        adds_opening: is_needed,
        entries,
        recorded: Recorded { store: String::new(), number, sequence, gap },
    })
}

/// Returns number and sequence of the last entry that is stored, or covered, without a hole after the opening.
fn last_contiguous(batch: &Batch, stored: &StoredRows) -> (i64, i64) {
    let opening = (batch.opening.number, batch.opening.sequence);
    let given = batch.entries.last().map_or(opening, |entry| (entry.number, entry.sequence));
    let Some((next, row)) = stored.range(given.0.saturating_add(1)..).next() else {
        return given;
    };
    if *next > given.0.saturating_add(1) && !row.is_cover {
        return given;
    }
    stored.last_key_value().map_or(given, |(number, row)| (*number, row.sequence))
}

#[cfg(test)]
mod tests;
