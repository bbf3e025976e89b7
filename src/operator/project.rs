//! Derives statuses and Events from the ledger.
//!
//! Pure: the same input gives the same status, so a steady state writes nothing. `lastTransitionTime` changes
//! only with the `status` of its condition. If a status is lost, it can be rebuilt from the ledger.

use flashgate_api::Amount;
use flashgate_api::reason::Reason;
use flashgate_api::subscription::{LedgerReference, RatedUsage as WireRatedUsage};
use flashgate_ledger::Credits;
use flashgate_ledger::ledger::{Ledger, RatedUsage, Violation};
use flashgate_preview::convert::ConvertError;

mod condition;
mod event;
mod invoice;
mod next_period;
mod ready_condition;
mod receipt;
mod subscription;
#[cfg(test)]
mod tests;

pub use condition::arrival_in_future;
pub use event::{AccountEvent, events, refusal_event, resumption_event, status_event};
pub use receipt::{adjustment_status, charge_status, pack_status, payment_status, report_status};
pub use subscription::{shown_until, subscription_status};

/// The state of the ledger that a Subscription shows.
#[derive(Clone, Debug)]
pub enum LedgerState<'a> {
    /// There is none yet.
    Absent,
    /// It is valid.
    Sound {
        /// Its committed content.
        ledger: &'a Ledger,
        /// The reference to that commit.
        reference: LedgerReference,
    },
    /// No decision can be made on it. Only conditions are written.
    Troubled(Trouble),
}

/// Why no decision can be made on a ledger or its Subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// An invariant does not hold, or the hash does not match the content.
    #[error(
        "{0}; nothing is written until an administrator restores the CreditLedger, or accepts its content with the \
         annotation `billing.flashgate.dev/accept-sequence`"
    )]
    Inconsistent(String),
    /// It is older than the one that the status names.
    #[error(
        "the CreditLedger is at sequence {held}, but `status.ledger` has {shown}; an administrator must restore the \
         newer one, or accept this one with the annotation `billing.flashgate.dev/accept-sequence: \"{held}\"`"
    )]
    Regression {
        /// Sequence that was found.
        held: i64,
        /// Sequence that the Subscription's status names.
        shown: i64,
    },
    /// It is gone.
    #[error(
        "the CreditLedger with UID '{uid}', which `status.ledger` names, does not exist; an administrator must restore \
         it, or remove `/status/ledger` to reset the account"
    )]
    Missing {
        /// UID that the Subscription's status names.
        uid: String,
    },
    /// A later version of the operator wrote it.
    #[error(
        "the CreditLedger has format {0}, which this operator does not know; the operator must be upgraded"
    )]
    NewerFormat(i32),
    /// A later version of the operator wrote a field of it.
    #[error("{0}")]
    NewerField(String),
    /// A field has an invalid value.
    #[error("{0}")]
    Undecodable(String),
    /// The API server refused its next commit, and a retry does not help: a policy or a CRD of another version
    /// causes it.
    #[error(
        "the API server rejected the write of the CreditLedger: {0}; nothing is granted or charged until an administrator \
         removes the policy that rejects it, or applies the CRDs of the operator's version"
    )]
    Refused(String),
}

impl Trouble {
    /// Returns whether a ledger is corrupt. A missing ledger does not count, because a namespace that is being
    /// deleted may lose its ledgers before its Subscriptions.
    #[must_use]
    pub const fn is_violation(&self) -> bool {
        !matches!(self, Self::Missing { .. })
    }

    /// Returns the reason that conditions, events and metrics show.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Inconsistent(_) => Reason::LedgerInconsistent,
            Self::Regression { .. } => Reason::LedgerRegression,
            Self::Missing { .. } => Reason::LedgerMissing,
            Self::NewerFormat(_) | Self::NewerField(_) => Reason::LedgerNewerFormat,
            Self::Undecodable(_) => Reason::Undecodable,
            Self::Refused(_) => Reason::CommitRefused,
        }
    }
}

impl From<&ConvertError> for Trouble {
    fn from(error: &ConvertError) -> Self {
        match error {
            ConvertError::NewerFormat { found } => Self::NewerFormat(*found),
            ConvertError::NewerField { .. } => Self::NewerField(error.to_string()),
            ConvertError::WrongHash { .. } => Self::Inconsistent(error.to_string()),
            ConvertError::Field { .. } => Self::Undecodable(error.to_string()),
        }
    }
}

impl From<&Violation> for Trouble {
    fn from(violation: &Violation) -> Self {
        Self::Inconsistent(violation.to_string())
    }
}

/// Returns credits as an amount of the custom resources.
fn amount(credits: Credits) -> Amount {
    Amount(credits.to_string())
}

/// Returns the usage of one rate as statuses show it.
fn usage(usage: &RatedUsage) -> WireRatedUsage {
    let RatedUsage { node_type, operation, quantity, credits } = usage;
    WireRatedUsage {
        node_type: node_type.clone(),
        operation: operation.clone(),
        quantity: quantity.to_string(),
        credits: amount(*credits),
    }
}
