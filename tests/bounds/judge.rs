//! The admission of a ledger or status by the shipped definitions.

use flashgate_api::{CreditLedger, CreditLedgerSpec};
use flashgate_billing::admission::Admission;
use serde::Serialize;

/// Bytes of a ledger that the store has room for, metadata besides: etcd takes requests of one and a half MiB.
const STORED_BYTES: usize = 1_450_000;

/// Judges ledgers and statuses.
pub struct Judge {
    admission: Admission,
    largest: usize,
}

impl Judge {
    /// Compiles the definitions.
    pub fn new() -> Self {
        Self { admission: Admission::new().expect("the definitions hold"), largest: 0 }
    }

    /// Returns how many bytes the largest ledger had.
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Judges a ledger as it is to be stored.
    pub fn ledger(&mut self, name: &str, spec: &CreditLedgerSpec) -> Result<(), String> {
        let bytes = serde_json::to_vec(spec).map_err(|error| error.to_string())?.len();
        self.largest = self.largest.max(bytes);
        if bytes > STORED_BYTES {
            return Err(format!("the ledger has {bytes} bytes: {}", shares(spec)));
        }
        self.object(&CreditLedger::new(name, spec.clone()))
    }

    /// Judges any object.
    pub fn object(&self, object: &impl Serialize) -> Result<(), String> {
        let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
        self.admission.admit(&object, None).map(|_| ()).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            errors.join("; ").chars().take(2_000).collect()
        })
    }
}

/// Returns how many bytes each field takes.
fn shares(spec: &CreditLedgerSpec) -> String {
    let fields = serde_json::to_value(spec).unwrap_or_default();
    let fields = fields.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name} {}", value.to_string().len())).collect::<Vec<_>>().join(", ")
}
