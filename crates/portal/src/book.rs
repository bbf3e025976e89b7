//! The ledger of an account, as far as answers need it.

use flashgate_api::{CreditLedger, CreditLedgerSpec};
use flashgate_ledger::Credits;
use flashgate_ledger::ledger::Ledger;
use flashgate_preview::convert::{self, ConvertError};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::hash::short_hash;
use crate::history::entry_id;

/// Bytes of the hash that identifies an entry without a number.
const ID_BYTES: usize = 8;

/// A ledger that was read.
#[derive(Clone, Debug)]
pub struct Book {
    /// The account.
    pub ledger: Ledger,
    /// The entries that the ledger keeps, oldest first.
    pub entries: Vec<KeptEntry>,
}

/// An entry that a ledger keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEntry {
    /// Identifier within the account.
    pub id: String,
    /// Number of the entry. A ledger of version 0.1.0 has none.
    pub number: Option<i64>,
    /// The content.
    pub content: EntryContent,
}

/// The content of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EntryContent {
    /// Instant at which it took effect.
    pub time: Timestamp,
    /// The kind of entry, such as `Charged`.
    pub kind: String,
    /// Signed change of the balance.
    pub credits: Credits,
    /// The fields that explain the numbers.
    pub detail: Value,
}

impl EntryContent {
    /// Returns `detail.amount`, or zero if there is none.
    #[must_use]
    pub fn amount(&self) -> Credits {
        self.text("amount").and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Returns a text of the detail.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.detail.get(field)?.as_str()
    }
}

/// The ledger of an account, or the reason why it is unknown.
#[derive(Clone, Debug)]
pub enum BookState {
    /// It was read.
    Known(Box<Book>),
    /// The account has no ledger yet.
    Absent,
    /// The caller may not read it.
    Forbidden,
    /// It cannot be read: it breaks its hash, or a later version wrote it.
    Unreadable,
}

impl BookState {
    /// Returns the ledger, if it is known.
    #[must_use]
    pub fn known(&self) -> Option<&Book> {
        match self {
            Self::Known(book) => Some(book),
            Self::Absent | Self::Forbidden | Self::Unreadable => None,
        }
    }

    /// Returns the right that the caller lacks to read it, if that is the reason.
    #[must_use]
    pub const fn missing_right(&self) -> Option<&'static str> {
        match self {
            Self::Forbidden => Some("get creditledgers"),
            Self::Known(_) | Self::Absent | Self::Unreadable => None,
        }
    }
}

impl Book {
    /// Returns the ledger in an object of Kubernetes.
    ///
    /// # Errors
    /// When a later operator wrote it, when its hash does not match, or when a field is not of the known format.
    pub fn of(name: &str, object: &CreditLedger) -> Result<Self, ConvertError> {
        let ledger = convert::ledger_from_wire(name, &object.spec)?;
        Ok(Self { ledger, entries: kept_entries(&object.spec) })
    }
}

/// Returns the entries that a ledger keeps. A record that is not an entry is left out: no decision depends on it.
fn kept_entries(spec: &CreditLedgerSpec) -> Vec<KeptEntry> {
    let branch = spec.entry_branch.as_deref().unwrap_or_default();
    // The last entry has this number, and the others the numbers before it.
    let numbers = (1..=spec.entry_number.unwrap_or_default()).rev();
    let numbers = numbers.map(Some).chain(std::iter::repeat(None));
    let read = |(record, number): (&String, Option<i64>)| {
        let content = serde_json::from_str(record).ok()?;
        // A ledger of version 0.1.0 has no numbers.
        let id = number.map_or_else(|| short_hash(record, ID_BYTES), |number| entry_id(branch, number));
        Some(KeptEntry { id, number, content })
    };
    let mut entries: Vec<KeptEntry> = spec.entries.iter().rev().zip(numbers).filter_map(read).collect();
    entries.reverse();
    entries
}
