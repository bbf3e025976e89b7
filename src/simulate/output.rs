//! The outcome for programs, as JSON or YAML with the same schema.

use flashgate_preview::convert::entry_to_json;
use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};

use super::{AccountEntry, Outcome};

impl Serialize for Outcome {
    /// Serializes `{"objects": […], "entries": […]}`. Notes and statements are left out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Outcome", 2)?;
        document.serialize_field("objects", &self.objects)?;
        document.serialize_field("entries", &Entries(&self.entries))?;
        document.end()
    }
}

/// Entries in the form of the log and the ledger.
struct Entries<'a>(&'a [AccountEntry]);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = serializer.serialize_seq(Some(self.0.len()))?;
        for AccountEntry { subscription, entry } in self.0 {
            entries.serialize_element(&entry_to_json(subscription, entry))?;
        }
        entries.end()
    }
}
