//! The numbered entries of a stored ledger: the part of the history that it still holds.
//!
//! Each entry has a number and is hashed together with the hash of the entry before it. A ledger keeps its last
//! entries, and with a history store also those that are not known to be recorded there.

use std::collections::{BTreeMap, VecDeque};

use flashgate_api::CreditLedgerSpec;
use flashgate_history::{AccountId, Batch, EntryRecord, Opening, UsageRecord, chain};
use flashgate_ledger::entry::{Entry, FactKind};
use flashgate_ledger::ledger::{Charge, Ledger, RatedUsage};
use flashgate_ledger::period::Window;
use flashgate_ledger::split::split;
use flashgate_ledger::{Credits, Quantity};
use serde::Deserialize;

use super::labels::{LabelGroup, LabelGroups};
use super::ledger::{read_record, read_totals};
use super::{BRANCH_LENGTH, ConvertError, ENTRIES_KEPT, ENTRY_BYTES, Problem, entry_record, sha256};

/// The known state of the recording of a ledger's entries in a history store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Id of the store. Absent until the store was reached.
    pub store: Option<String>,
    /// Sequence of the last commit whose entries are recorded. It is 0 if none is known to be.
    pub sequence: i64,
}

/// The entries that a ledger holds.
pub(super) struct Held {
    /// Records of entries without a number: an earlier version wrote them, or they belong to another branch.
    unnumbered: Vec<String>,
    /// State before the first numbered entry.
    pub(super) opening: Opening,
    /// Records of the numbered entries, oldest first.
    numbered: VecDeque<String>,
    /// Number of the last entry.
    pub(super) number: i64,
    /// Hash of the last entry.
    pub(super) hash: String,
    /// Branch of the numbered entries.
    pub(super) branch: Option<String>,
}

impl Held {
    /// Returns what a stored ledger holds, or what a new account holds.
    pub(super) fn of(stored: Option<&CreditLedgerSpec>) -> Self {
        let Some(stored) = stored else { return Self::from(Opening::default(), Vec::new(), None) };
        let opening = stored.entries_opening.as_deref().map(|opening| read_record("entriesOpening", opening));
        let (Some(number), Ok(opening)) = (stored.entry_number, opening.transpose()) else {
            return Self::from_now(stored, None);
        };
        let opening: Opening = opening.unwrap_or_default();
        let count = usize::try_from(number.saturating_sub(opening.number)).unwrap_or(usize::MAX);
        let Some(first) = stored.entries.len().checked_sub(count) else {
            return Self::from_now(stored, None);
        };
        let (unnumbered, numbered) = stored.entries.split_at(first);
        Self {
            unnumbered: unnumbered.to_vec(),
            opening,
            numbered: numbered.iter().cloned().collect(),
            number,
            hash: stored.entry_hash.clone().unwrap_or_default(),
            branch: stored.entry_branch.clone(),
        }
    }

    /// Returns what a stored ledger holds if its history restarts from its present state: an earlier version
    /// wrote it, or an administrator accepted its content, which begins `branch`.
    pub(super) fn from_now(stored: &CreditLedgerSpec, branch: Option<String>) -> Self {
        // The ledger was read before, so its totals have a valid form.
        let totals = read_totals(&stored.totals).unwrap_or_default();
        let known = i64::try_from(stored.entries.len()).unwrap_or_default();
        let opening = Opening {
            number: stored.entry_number.unwrap_or(known),
            sequence: stored.sequence,
            time: stored.clock_time,
            hash: stored.entry_hash.clone().unwrap_or_default(),
            balance: totals.balance().unwrap_or_default(),
            totals,
        };
        Self::from(opening, stored.entries.clone(), branch)
    }

    fn from(opening: Opening, unnumbered: Vec<String>, branch: Option<String>) -> Self {
        let (number, hash) = (opening.number, opening.hash.clone());
        Self { unnumbered, opening, numbered: VecDeque::new(), number, hash, branch }
    }

    /// Adds the entries of the commit `sequence`.
    pub(super) fn add(&mut self, entries: &[Entry], sequence: i64, subscription: &str) {
        let entries = entries.iter().filter(|entry| entry.is_part_of_ledger());
        for (entry, index) in entries.zip(0_u32..) {
            let record = entry_record(subscription, entry, sequence, index);
            self.number = self.number.saturating_add(1);
            self.hash = chain::hash_of_text(&self.hash, &record);
            self.numbered.push_back(record);
        }
    }

    /// Drops the oldest entries. Keeps the last [`ENTRIES_KEPT`], and all that are not known to be recorded in a
    /// history store, as long as they have at most [`ENTRY_BYTES`]. Always keeps the last.
    pub(super) fn forget(&mut self, recording: Option<&Recording>) {
        let lengths = self.unnumbered.iter().chain(&self.numbered).map(String::len);
        let mut bytes = lengths.sum::<usize>();
        let count = |held: &Self| held.unnumbered.len().saturating_add(held.numbered.len());
        let surplus = count(self).saturating_sub(ENTRIES_KEPT).min(self.unnumbered.len());
        bytes = bytes.saturating_sub(self.unnumbered.drain(..surplus).map(|record| record.len()).sum());
        while bytes > ENTRY_BYTES && !self.unnumbered.is_empty() && count(self) > 1 {
            bytes = bytes.saturating_sub(self.unnumbered.remove(0).len());
        }
        while let Some(record) = self.numbered.front().filter(|_| self.numbered.len() > 1) {
            let is_full = bytes > ENTRY_BYTES;
            if !is_full && count(self) <= ENTRIES_KEPT {
                break;
            }
            // Each record was written by this version, so it can be read.
            let Ok(entry) = EntryRecord::from_canonical(
                record,
                self.opening.number.saturating_add(1),
                &self.opening.hash,
            ) else {
                break;
            };
            if !is_full && recording.is_some_and(|recording| entry.sequence > recording.sequence) {
                break;
            }
            if self.opening.advance(&entry).is_err() {
                break;
            }
            bytes = bytes.saturating_sub(record.len());
            self.numbered.pop_front();
        }
    }

    /// Returns the records of all entries, oldest first.
    pub(super) fn records(self) -> Vec<String> {
        self.unnumbered.into_iter().chain(self.numbered).collect()
    }
}

/// Returns the id of the branch that begins when an administrator accepts the content of `stored`. The ledger that
/// the status showed then differs each time, so no branch begins twice.
pub(super) fn new_branch(stored: &CreditLedgerSpec, shown_hash: &str, writer: &str) -> String {
    let mut id = sha256(format!("{}/{}/{shown_hash}/{writer}", stored.hash, stored.sequence));
    id.truncate(BRANCH_LENGTH);
    id
}

/// Returns the size of the entries of commits after `recorded_sequence`, in bytes.
pub fn unrecorded_bytes(stored: &CreditLedgerSpec, recorded_sequence: i64) -> usize {
    if recorded_sequence >= stored.sequence {
        return 0;
    }
    let held = Held::of(Some(stored));
    let is_recorded = |record: &&String| {
        let entry = EntryRecord::from_canonical(record, 0, "");
        entry.is_ok_and(|entry| entry.sequence <= recorded_sequence)
    };
    held.numbered.iter().skip_while(is_recorded).map(String::len).sum()
}

/// A charge whose usage is not known to be recorded, with the number of its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnrecordedCharge {
    /// Number of the `Charged` entry.
    pub number: i64,
    /// Source of the report.
    pub source: String,
    /// Time window of the report.
    pub window: Window,
    /// The charge.
    pub charge: Charge,
}

/// Returns all entries that a stored ledger holds, for a history store. The usage of their charges is to be added.
///
/// # Errors
/// When an entry is not a record of this format, or when the hash of the last entry differs: another writer changed
/// the entries.
pub fn batch_of(account: AccountId, stored: &CreditLedgerSpec) -> Result<Batch, ConvertError> {
    let Held { opening, numbered, hash, branch, .. } = Held::of(Some(stored));
    let mut entries: Vec<EntryRecord> = Vec::with_capacity(numbered.len());
    for (record, index) in numbered.iter().zip(1..) {
        let previous = entries.last().map_or(&opening.hash, |entry| &entry.hash);
        let entry = EntryRecord::from_canonical(record, opening.number.saturating_add(index), previous);
        entries.push(entry.map_err(|error| invalid("spec.entries", &error))?);
    }
    let computed = entries.last().map_or(&opening.hash, |entry| &entry.hash);
    if *computed != hash {
        return Err(ConvertError::WrongHash { stored: hash, computed: computed.clone() });
    }
    Ok(Batch { account, branch: branch.unwrap_or_default(), opening, entries, usage: Vec::new() })
}

/// Returns the charges of `ledger` whose entries in `batch` belong to a commit after `recorded_sequence`.
///
/// # Errors
/// When the detail of a charge is not of this format.
pub fn unrecorded_charges(
    batch: &Batch,
    ledger: &Ledger,
    recorded_sequence: i64,
) -> Result<Vec<UnrecordedCharge>, ConvertError> {
    let mut held: Vec<&Charge> = ledger.unacknowledged.iter().collect();
    let mut charges = Vec::new();
    let entries = batch.entries.iter().filter(|entry| entry.sequence > recorded_sequence);
    for entry in entries.filter(|entry| entry.kind == "Charged") {
        let detail: ChargedDetail =
            serde_json::from_value(entry.detail.clone()).map_err(|error| invalid("spec.entries", &error))?;
        let is_charge = |charge: &&Charge| {
            let name = detail.object.strip_prefix(FactKind::UsageReport.as_str());
            name.and_then(|name| name.strip_prefix('/')) == Some(&charge.name)
                && charge.charge_time == entry.time
                && charge.credits == detail.amount
        };
        // A charge leaves the ledger only after its entry was recorded.
        let Some(index) = held.iter().position(is_charge) else { continue };
        let charge = held.swap_remove(index).clone();
        let ChargedDetail { source, window, .. } = detail;
        charges.push(UnrecordedCharge { number: entry.number, source, window, charge });
    }
    Ok(charges)
}

/// The fields of the detail of a `Charged` entry that its usage needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChargedDetail {
    amount: Credits,
    object: String,
    source: String,
    window: Window,
}

fn invalid(path: &str, error: &impl ToString) -> ConvertError {
    ConvertError::at(path, Problem::Record(error.to_string()))
}

/// Returns the usage of a charge: one row for each rate and group of labels. The credits of a rate are split over its
/// groups (Law 27). If the labels are not known any more, there is one row for each rate.
#[must_use]
pub fn usage_of(unrecorded: &UnrecordedCharge, groups: Option<&LabelGroups>) -> Vec<UsageRecord> {
    let UnrecordedCharge { number, source, window, charge } = unrecorded;
    let row = |line: &RatedUsage, labels, labels_known, quantity, credits| UsageRecord {
        entry: *number,
        report: charge.name.clone(),
        report_uid: charge.uid.clone(),
        source: source.clone(),
        window: *window,
        charge_time: charge.charge_time,
        node_type: line.node_type.clone(),
        operation: line.operation.clone(),
        labels,
        labels_known,
        quantity,
        credits,
    };
    let rows = charge.lines.iter().flat_map(|line| {
        let groups: Vec<&LabelGroup> = groups.into_iter().flat_map(|groups| groups.of(line)).collect();
        let quantities: Vec<Quantity> = groups.iter().map(|group| group.quantity).collect();
        match split(line.credits, &quantities) {
            Ok(parts) if !parts.is_empty() => {
                let rows = groups.into_iter().zip(parts);
                rows.map(|(group, part)| row(line, group.labels.clone(), true, group.quantity, part))
                    .collect()
            }
            // The quantities were added before, so their sum does not overflow.
            Ok(_) | Err(_) => vec![row(line, BTreeMap::new(), false, line.quantity, line.credits)],
        }
    });
    rows.collect()
}
