//! A CreditLedger as the API server holds it, read once for each of its versions.

use std::ops::Deref;
use std::sync::OnceLock;

use flashgate_ledger::ledger::Ledger;
use kube::ResourceExt as _;

use crate::api::CreditLedger;
use crate::operator::convert::{self, ConvertError};

/// Annotation of a CreditLedger with which an administrator accepts its content, at this sequence, as the truth.
pub const ACCEPT_SEQUENCE: &str = "billing.flashgate.dev/accept-sequence";

/// A CreditLedger with the account state that it holds. Its hash is computed, and its fields are read, at the first question.
#[derive(Debug)]
pub struct StoredLedger {
    object: CreditLedger,
    read: OnceLock<Result<Ledger, ConvertError>>,
}

impl StoredLedger {
    /// Returns the object with nothing read of it yet.
    #[must_use]
    pub fn new(object: CreditLedger) -> Self {
        Self { object, read: OnceLock::new() }
    }

    /// Returns the object that was written to hold `ledger`, as the API server returned it. It is read like any other where
    /// the API server returned something else.
    #[must_use]
    pub fn written(object: CreditLedger, sent: &crate::api::CreditLedgerSpec, ledger: Ledger) -> Self {
        let read = OnceLock::new();
        if object.spec == *sent {
            let _ = read.set(Ok(ledger));
        }
        Self { object, read }
    }

    /// Returns the account state that it holds. Whether an administrator accepted its content decides whether its hash counts.
    ///
    /// # Errors
    /// When a later version of the operator wrote it, when it is not what its hash was computed of, or when a field does not
    /// hold what it must.
    pub fn ledger(&self) -> Result<&Ledger, &ConvertError> {
        let read = || {
            let name = self.object.name_any();
            if self.is_accepted() {
                convert::accepted_ledger_from_wire(&name, &self.object.spec)
            } else {
                convert::ledger_from_wire(&name, &self.object.spec)
            }
        };
        self.read.get_or_init(read).as_ref()
    }

    /// Returns whether an administrator accepted the content of this very version as the truth.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        let annotations = self.object.metadata.annotations.as_ref();
        let sequence = annotations.and_then(|annotations| annotations.get(ACCEPT_SEQUENCE));
        sequence.is_some_and(|sequence| *sequence == self.object.spec.sequence.to_string())
    }
}

impl Deref for StoredLedger {
    type Target = CreditLedger;

    fn deref(&self) -> &CreditLedger {
        &self.object
    }
}
