//! The JSON form of entries in the ledger, in the log and in the output of `simulate`.

use flashgate_ledger::Credits;
use flashgate_ledger::entry::{Detail, Entry};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::sorted::Sorted;

/// Returns an entry as JSON: `{"time", "subscription", "kind", "credits", "balance", "detail"}`, amounts as decimals
/// in text, keys of `detail` that do not apply left out.
///
/// `subscription` is `namespace/name`. The schema of it is [`entry_schema`].
///
/// # Panics
/// Never: every entry has a form in JSON.
#[must_use]
pub fn entry_to_json(subscription: &str, entry: &Entry) -> Value {
    let Entry { time, credits, balance, detail } = entry;
    let entry = WireEntry { time: *time, subscription, credits: *credits, balance: *balance, detail };
    serde_json::to_value(entry).expect("an entry has a form in JSON")
}

/// Returns the record of an entry, as ledgers store it and history stores hash it: its JSON with the `sequence` of its
/// commit and its `index` in it, keys sorted.
pub(super) fn entry_record(subscription: &str, entry: &Entry, sequence: i64, index: u32) -> String {
    let mut record = entry_to_json(subscription, entry);
    record["sequence"] = sequence.into();
    record["index"] = index.into();
    serde_json::to_string(&Sorted(&record)).expect("an entry has a form in JSON")
}

/// Returns the JSON Schema of an entry as text: `docs/reference/entries.schema.json`.
#[must_use]
pub fn entry_schema() -> String {
    format!("{:#}\n", schemars::schema_for!(WireEntry).to_value())
}

/// One line of an account's history.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "Entry")]
struct WireEntry<'a> {
    /// When it took effect.
    time: Timestamp,
    /// The account, as `namespace/name` of its Subscription.
    subscription: &'a str,
    /// Signed change of the balance.
    credits: Credits,
    /// Balance after it.
    balance: Credits,
    #[serde(flatten)]
    detail: &'a Detail,
}
