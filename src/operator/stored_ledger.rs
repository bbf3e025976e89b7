//! A CreditLedger as the API server stores it, parsed once for each of its versions.

use std::ops::Deref;
use std::sync::OnceLock;

use flashgate_api::{CreditLedger, CreditLedgerSpec};
use flashgate_ledger::ledger::Ledger;
use flashgate_preview::convert::{self, ConvertError};
use kube::ResourceExt as _;

/// Annotation of a CreditLedger with which an administrator accepts its content at this sequence.
pub const ACCEPT_SEQUENCE: &str = "billing.flashgate.dev/accept-sequence";

/// A CreditLedger with its account state. The first call of [`ledger`](Self::ledger) computes the hash and
/// parses the fields.
#[derive(Debug)]
pub struct StoredLedger {
    object: CreditLedger,
    read: OnceLock<Result<Ledger, ConvertError>>,
}

impl StoredLedger {
    /// Returns the object without parsing it.
    #[must_use]
    pub fn new(mut object: CreditLedger) -> Self {
        object.metadata.managed_fields = None;
        Self { object, read: OnceLock::new() }
    }

    /// Returns an object that was written with the content of `ledger`, as the API server returned it. If the
    /// API server returned other content, the object is parsed like any other.
    #[must_use]
    pub fn written(object: CreditLedger, sent: &CreditLedgerSpec, ledger: Ledger) -> Self {
        let stored = Self::new(object);
        let read = if stored.spec == *sent { OnceLock::from(Ok(ledger)) } else { OnceLock::new() };
        Self { read, ..stored }
    }

    /// Returns its account state. The hash is not checked if an administrator accepted the content.
    ///
    /// # Errors
    /// When a later version of the operator wrote it, when its hash does not match, or when a field has an
    /// invalid value.
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

    /// Returns whether an administrator accepted the content at exactly this sequence.
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

#[cfg(test)]
mod tests {
    use flashgate_preview::convert::{Commit, ledger_to_wire};
    use flashgate_testing::TestAccount;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

    use super::*;

    fn written() -> (CreditLedger, Ledger) {
        let ledger = TestAccount::on_plan("starter", "2026-01-31T10:00:00Z").ledger.expect("begun");
        (
            CreditLedger::new("acme", ledger_to_wire(&ledger, None, &[], Commit::of("sim/acme", "test"))),
            ledger,
        )
    }

    #[test]
    fn the_cache_keeps_no_managed_fields() {
        let (mut object, ledger) = written();
        object.metadata.managed_fields = Some(vec![ManagedFieldsEntry::default()]);
        let sent = object.spec.clone();
        assert_eq!(StoredLedger::new(object.clone()).metadata.managed_fields, None);
        assert_eq!(StoredLedger::written(object, &sent, ledger).metadata.managed_fields, None);
    }

    #[test]
    fn a_written_ledger_is_not_parsed_unless_the_api_server_stored_something_else() {
        let (object, ledger) = written();
        let sent = object.spec.clone();
        let stored = StoredLedger::written(object.clone(), &sent, ledger.clone());
        assert_eq!(stored.ledger(), Ok(&ledger));
        let mut other = object;
        other.spec.writer.push_str(" and a webhook");
        let stored = StoredLedger::written(other, &sent, ledger);
        assert!(matches!(stored.ledger(), Err(ConvertError::WrongHash { .. })), "{:?}", stored.ledger());
    }

    #[test]
    fn its_hash_is_checked_unless_an_administrator_accepted_exactly_this_sequence() {
        let (mut object, ledger) = written();
        object.spec.writer.push_str(" and another writer");
        for (sequence, is_accepted) in [(object.spec.sequence, true), (object.spec.sequence + 1, false)] {
            let annotation = (ACCEPT_SEQUENCE.to_owned(), sequence.to_string());
            object.metadata.annotations = Some([annotation].into());
            let stored = StoredLedger::new(object.clone());
            assert_eq!((stored.is_accepted(), stored.ledger().is_ok()), (is_accepted, is_accepted));
            assert_eq!(stored.ledger().ok(), Some(&ledger).filter(|_| is_accepted));
        }
    }
}
