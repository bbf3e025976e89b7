//! Validates ledgers and statuses against the shipped CRDs.

use flashgate_api::{CreditLedger, CreditLedgerSpec};
use flashgate_billing::admission::Admission;
use serde::Serialize;

/// Maximum bytes of a stored ledger, without metadata. etcd accepts requests of up to 1.5 MiB.
const STORED_BYTES: usize = 1_450_000;

/// Validates ledgers and statuses.
pub struct Validator {
    admission: Admission,
    largest: usize,
}

impl Validator {
    /// Compiles the CRDs.
    pub fn new() -> Self {
        Self { admission: Admission::new().expect("the CRDs compile"), largest: 0 }
    }

    /// Returns the size of the largest ledger in bytes.
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Validates a ledger as it will be stored.
    pub fn ledger(&mut self, name: &str, spec: &CreditLedgerSpec) -> Result<(), String> {
        let bytes = serde_json::to_vec(spec).map_err(|error| error.to_string())?.len();
        self.largest = self.largest.max(bytes);
        if bytes > STORED_BYTES {
            return Err(format!("the ledger has {bytes} bytes: {}", shares(spec)));
        }
        self.object(&CreditLedger::new(name, spec.clone()))
    }

    /// Validates any object.
    pub fn object(&self, object: &impl Serialize) -> Result<(), String> {
        let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
        self.admission.admit(&object, None).map(|_| ()).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            errors.join("; ").chars().take(2_000).collect()
        })
    }
}

/// Returns the size of each field in bytes.
fn shares(spec: &CreditLedgerSpec) -> String {
    let fields = serde_json::to_value(spec).unwrap_or_default();
    let fields = fields.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name} {}", value.to_string().len())).collect::<Vec<_>>().join(", ")
}
