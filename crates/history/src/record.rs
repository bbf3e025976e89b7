//! The values that the operator records.

use std::collections::BTreeMap;
use std::fmt;

use flashgate_ledger::credits::AmountOverflow;
use flashgate_ledger::ledger::Totals;
use flashgate_ledger::period::Window;
use flashgate_ledger::{Credits, Quantity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::totals;

/// An account of the history.
///
/// A Subscription that is deleted and created again gets a new ledger, and so a new account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    /// Namespace of the Subscription.
    pub namespace: String,
    /// Name of the Subscription.
    pub name: String,
    /// Id of its ledger: `spec.account`.
    pub account: String,
}

impl AccountId {
    /// Returns the Subscription as `namespace/name`.
    #[must_use]
    pub fn subscription(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for AccountId {
    /// Writes the account as `namespace/name (account)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{} ({})", self.namespace, self.name, self.account)
    }
}

/// One entry of a ledger, as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRecord {
    /// Number of the entry within the account, from 1.
    pub number: i64,
    /// Sequence of the commit that wrote it.
    pub sequence: i64,
    /// Position within the commit, from 0.
    pub index: u32,
    /// Instant at which it took effect.
    pub time: Timestamp,
    /// Kind of entry, such as `Charged`.
    pub kind: String,
    /// Signed change of the balance.
    pub credits: Credits,
    /// Balance after it.
    pub balance: Credits,
    /// Fields that explain its numbers, an object of `entries.schema.json`.
    pub detail: Value,
    /// Hash of the entry and of all entries before it: 64 hexadecimal digits. See [`chain::hash`](crate::chain::hash).
    pub hash: String,
}

/// The state of an account before the first entry of a batch. The chain of hashes starts from it.
///
/// A ledger stores it as a record, so the names of its fields are part of the ledger's format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Opening {
    /// Number of the last entry before the batch. 0 if the account has no earlier entries.
    pub number: i64,
    /// Sequence of the commit of that entry. 0 if there is none.
    pub sequence: i64,
    /// Instant of that entry, or the start of the account.
    pub time: Timestamp,
    /// Hash of that entry. Empty if `number` is 0.
    pub hash: String,
    /// Balance after that entry.
    pub balance: Credits,
    /// Sums since the start of the account up to that entry.
    pub totals: Totals,
}

impl Opening {
    /// Moves on to the state after `entry`, which must be the next one.
    ///
    /// # Errors
    /// Returns an error if a sum exceeds the exact range. The state is then unchanged.
    pub fn advance(&mut self, entry: &EntryRecord) -> Result<(), AmountOverflow> {
        self.totals = totals::after(self.totals, entry)?;
        self.number = entry.number;
        self.sequence = entry.sequence;
        self.time = entry.time;
        self.hash.clone_from(&entry.hash);
        self.balance = entry.balance;
        Ok(())
    }
}

/// Charged usage of one report, node type, operation and set of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// Number of its `Charged` entry.
    pub entry: i64,
    /// Name of the UsageReport.
    pub report: String,
    /// UID of the UsageReport.
    pub report_uid: String,
    /// Source of the report.
    pub source: String,
    /// Time window of the report.
    pub window: Window,
    /// Instant of the charge.
    pub charge_time: Timestamp,
    /// Node type.
    pub node_type: String,
    /// Operation.
    pub operation: String,
    /// Labels of the lines of the report.
    pub labels: BTreeMap<String, String>,
    /// False if the labels were lost before the usage was recorded.
    pub labels_known: bool,
    /// Quantity used, in the unit of the operation.
    pub quantity: Quantity,
    /// Credits charged for it.
    pub credits: Credits,
}

/// All entries that a ledger still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The account.
    pub account: AccountId,
    /// Id of the branch: empty until an administrator accepts a stored ledger, then 16 hexadecimal digits, new each
    /// time.
    pub branch: String,
    /// State before the first of `entries`, or before the next entry if there are none.
    pub opening: Opening,
    /// Entries with consecutive numbers from `opening.number` + 1.
    pub entries: Vec<EntryRecord>,
    /// Usage of the `Charged` entries that may not be recorded yet.
    pub usage: Vec<UsageRecord>,
}

/// Entries that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Number of the first lost entry.
    pub first: i64,
    /// Number of the last lost entry.
    pub last: i64,
}

impl fmt::Display for Gap {
    /// Writes the gap as `entries 3 to 7`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "entries {} to {}", self.first, self.last)
    }
}

/// The result of recording a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Id of the store.
    pub store: String,
    /// Number of the last entry that the store now has or covers with a gap.
    pub number: i64,
    /// Sequence of the commit of that entry.
    pub sequence: i64,
    /// Gap that this call had to write.
    pub gap: Option<Gap>,
}
