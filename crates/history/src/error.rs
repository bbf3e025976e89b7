//! Errors of the store.

use std::sync::Arc;

use crate::record::AccountId;

/// An error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, or it refuses the operation.
    #[error("the history store is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The store has no tables yet. `run --history` creates them.
    #[error("the history store has no tables yet: start `run` with this history first")]
    NotMigrated,
    /// The tables cannot be created or upgraded.
    #[error("the tables of the history store cannot be upgraded")]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// A stored value is outside of its range or cannot be parsed.
    #[error("the history store has a value of '{column}' that cannot be read: {problem}")]
    Corrupt {
        /// The column.
        column: &'static str,
        /// The value, and the reason.
        problem: String,
    },
    /// An amount is outside of the exact range.
    #[error(transparent)]
    AmountOverflow(#[from] flashgate_ledger::credits::AmountOverflow),
    /// An export cannot be written.
    #[error("the export cannot be written")]
    Write(#[source] std::io::Error),
    /// A batch of a copy was refused.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_missing_table(&error) { Self::NotMigrated } else { Self::Unavailable(error) }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Write(error)
    }
}

/// Returns true if a table does not exist: code 42P01 of PostgreSQL. SQLite has no code for it.
fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
    })
}

/// The reason why a batch was not recorded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The store cannot be reached. Recording the batch again is safe, also if it took effect.
    #[error("the history store is not available")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The store refuses a value of the batch.
    #[error("the history store refuses a value of the batch")]
    Refused(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// An entry is recorded with another hash. Either the stored history or the ledger was changed.
    #[error(
        "entry {number} of {account} is recorded with hash {stored}, and the ledger has hash {given}: run `history \
         verify` to find the change"
    )]
    Conflict {
        /// The account.
        account: Box<AccountId>,
        /// Number of the entry.
        number: i64,
        /// Recorded hash.
        stored: String,
        /// Hash of the ledger.
        given: String,
    },
    /// The batch contradicts itself. This is a bug in the program.
    #[error("the batch of {account} cannot be recorded: {problem}")]
    Invalid {
        /// The account.
        account: Box<AccountId>,
        /// The contradiction.
        problem: String,
    },
}

impl RecordError {
    /// Returns true if the error concerns one account only. Other accounts of the same transaction can be recorded.
    #[must_use]
    pub const fn is_of_one_account(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Invalid { .. } | Self::Refused(_))
    }
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Record(error) => error,
            StoreError::Unavailable(error) if is_refused_value(&error) => Self::Refused(Arc::new(error)),
            StoreError::Corrupt { .. } | StoreError::AmountOverflow(_) => Self::Refused(Arc::new(error)),
            other => Self::Unavailable(Arc::new(other)),
        }
    }
}

/// Returns true if the database refuses a value: a violated constraint, or a data exception of PostgreSQL (class 22).
fn is_refused_value(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Encode(_) => true,
        sqlx::Error::Database(error) => {
            !matches!(error.kind(), sqlx::error::ErrorKind::Other)
                || error.code().is_some_and(|code| code.len() == 5 && code.starts_with("22"))
        }
        _ => false,
    }
}

impl From<sqlx::Error> for RecordError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}
