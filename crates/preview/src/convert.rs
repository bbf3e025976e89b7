//! Converts between custom resources and the types of the laws: parse, don't validate.
//!
//! Wire types hold the texts of the objects. This module returns the types of [`flashgate_ledger`], or an error
//! with the path of the field and the required value.

use std::fmt::Write as _;

use flashgate_api::CreditLedgerSpec;
use flashgate_ledger::credits::ParseCreditsError;
use flashgate_ledger::quantity::ParseQuantityError;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

mod coverage;
mod entry;
mod facts;
mod history;
mod labels;
mod ledger;
mod sorted;
#[cfg(test)]
mod tests;

/// Counters of the work of this thread on ledgers, for tests: each version must be parsed once.
#[cfg(feature = "effort")]
pub mod effort {
    use std::cell::Cell;

    thread_local! {
        /// Hashes computed.
        pub static HASHES: Cell<u32> = const { Cell::new(0) };
        /// Ledgers parsed.
        pub static READS_OF_FIELDS: Cell<u32> = const { Cell::new(0) };
    }
}

use entry::entry_record;
pub use entry::{entry_schema, entry_to_json};
pub use facts::{adjustment_fact, pack_fact, payment_fact, report_fact, subscription_fact};
pub use history::{Recording, UnrecordedCharge, batch_of, unrecorded_bytes, unrecorded_charges, usage_of};
pub use labels::{LabelGroup, LabelGroups, label_groups};
pub use ledger::{
    Commit, accepted_ledger_from_wire, accepted_ledger_to_wire, ledger_from_wire, ledger_to_wire,
    unacknowledged,
};
use sorted::Sorted;

/// Version of the ledger's format that is written, and the newest that is read. A ledger of format 1, which
/// version 0.1.0 wrote, gets format 2 with its next commit.
pub const FORMAT_VERSION: i32 = 2;

/// Number of entries that a ledger keeps if all are recorded in a history store, or if there is no store. The log has
/// all of them.
pub const ENTRIES_KEPT: usize = 20;

/// Bytes of entries above which a ledger drops the oldest. It always keeps the last.
pub const ENTRY_BYTES: usize = 64 * 1_024;

/// Characters of the id of a branch of the history.
const BRANCH_LENGTH: usize = 16;

/// Characters of the id that an account's invoice numbers carry.
const ACCOUNT_ID_LENGTH: usize = 8;

/// An error in an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A ledger was written by a later version of the operator.
    #[error(
        "`spec.formatVersion` is {found}, and this operator knows {FORMAT_VERSION}: it must be upgraded to write this \
         ledger"
    )]
    NewerFormat {
        /// Version that was found.
        found: i32,
    },
    /// A later version of the operator wrote a field of a ledger that this version cannot preserve.
    #[error(
        "`{path}` is not known to this operator: a later version wrote it, and the operator must be upgraded to write \
         this ledger"
    )]
    NewerField {
        /// Path of the field, such as `spec.terms.overdraft`, or of the record that has it.
        path: String,
    },
    /// The hash of a ledger does not match its content.
    #[error(
        "`spec.hash` is '{stored}', and the content's is '{computed}': another writer changed the ledger"
    )]
    WrongHash {
        /// Hash that was found.
        stored: String,
        /// Hash of the content.
        computed: String,
    },
    /// The value of a field is invalid.
    #[error("`{path}`: {problem}")]
    Field {
        /// Path of the field, such as `spec.usage[3].quantity`.
        path: String,
        /// The problem.
        problem: Problem,
    },
}

/// The problem with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not an amount.
    #[error(transparent)]
    Amount(#[from] ParseCreditsError),
    /// It is not a quantity.
    #[error(transparent)]
    Quantity(#[from] ParseQuantityError),
    /// It is not above zero.
    #[error("'{0}' is not above 0; it must be greater than 0")]
    NotPositive(String),
    /// The sum of its lines is too large.
    #[error(
        "the quantities of '{node_type}/{operation}' exceed 10^18; their sum must be less than or equal to that"
    )]
    SumTooLarge {
        /// Node type of the lines.
        node_type: String,
        /// Operation of the lines.
        operation: String,
    },
    /// It is a number that is too large or too small.
    #[error("{value} is out of range; it must be from {least} to {most}")]
    OutOfRange {
        /// The number.
        value: i64,
        /// The least that is allowed.
        least: i64,
        /// The most that is allowed.
        most: i64,
    },
    /// It is a time with a fraction of a second.
    #[error("'{0}' is not a whole second; it must be a time such as '2026-01-31T10:00:00Z'")]
    FractionOfSecond(Timestamp),
    /// It ends before it starts.
    #[error("'{0}' is not later than `startTime`; it must be")]
    NotLater(Timestamp),
    /// It is missing.
    #[error("it is missing; the API server must have set it")]
    Missing,
    /// It is not a record of a ledger.
    #[error("it is not a record of this format: {0}")]
    Record(String),
}

impl ConvertError {
    /// Returns the error that `problem` is at `path`.
    fn at(path: impl Into<String>, problem: impl Into<Problem>) -> Self {
        Self::Field { path: path.into(), problem: problem.into() }
    }
}

/// Returns the hash of a ledger: SHA-256, in lower-case hexadecimal, of its canonical JSON (keys sorted, no spaces)
/// without the field `hash`.
///
/// # Panics
/// Never: every field of a ledger has a form in JSON.
#[must_use]
pub fn hash_of(spec: &CreditLedgerSpec) -> String {
    #[cfg(feature = "effort")]
    effort::HASHES.set(effort::HASHES.get() + 1);
    let mut content = serde_json::to_value(spec).expect("a ledger has a form in JSON");
    if let Some(fields) = content.as_object_mut() {
        fields.remove("hash");
    }
    sha256(canonical(&content))
}

/// Returns the id of an account whose first commit is made at `now` (Law 18). Invoice numbers contain it, so a
/// payment for an account that was reset does not match the new account.
#[must_use]
pub fn new_account_id(subscription_uid: &str, now: Timestamp) -> String {
    let mut id = sha256(format!("{subscription_uid}/{now}"));
    id.truncate(ACCOUNT_ID_LENGTH);
    id
}

/// Returns JSON without spaces, with sorted keys.
///
/// # Panics
/// Never: every value has a form in JSON.
fn canonical(value: &Value) -> Vec<u8> {
    // `Display` of a value gives the same text, but takes three times as long.
    serde_json::to_vec(&Sorted(value)).expect("a value has a form in JSON")
}

/// Returns the SHA-256 of a text in lower-case hexadecimal.
fn sha256(text: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(text);
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
