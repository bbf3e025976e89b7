//! The chain of entry hashes, which proves that no entry is missing or changed.

use std::borrow::Cow;
use std::fmt::Write as _;

use flashgate_ledger::Credits;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::record::EntryRecord;

/// A canonical text that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("the stored text of an entry cannot be parsed")]
pub struct ParseEntryError(#[source] serde_json::Error);

/// Returns the canonical JSON of an entry: `balance`, `credits`, `detail`, `index`, `kind`, `sequence`, `subscription`
/// and `time`, with sorted keys at every depth and without spaces.
///
/// `subscription` is `namespace/name`. Amounts are decimals as text, and the time is RFC 3339 text.
#[must_use]
pub fn canonical(subscription: &str, entry: &EntryRecord) -> String {
    let EntryRecord { number: _, sequence, index, time, kind, credits, balance, detail, hash: _ } = entry;
    let fields = [
        ("balance", Value::String(balance.to_string())),
        ("credits", Value::String(credits.to_string())),
        ("detail", detail.clone()),
        ("index", Value::from(*index)),
        ("kind", Value::String(kind.clone())),
        ("sequence", Value::from(*sequence)),
        ("subscription", Value::String(subscription.to_owned())),
        ("time", Value::String(time.to_string())),
    ];
    canonical_json(
        &fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into(),
    )
}

/// Key of the details of an entry that no hash covers, because they are personal data that may be erased.
pub const BILLING_DETAILS: &str = "billingDetails";

/// Returns the hash of an entry: SHA-256 of `previous` followed by [`canonical`] without billing details, as 64
/// lower-case hexadecimal digits.
///
/// `previous` is the hash of the entry before it, and empty for the first entry.
#[must_use]
pub fn hash(previous: &str, subscription: &str, entry: &EntryRecord) -> String {
    hash_of_text(previous, &canonical(subscription, entry))
}

/// Returns the hash of an entry from its canonical text.
#[must_use]
pub fn hash_of_text(previous: &str, canonical: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(previous.as_bytes());
    digest.update(without_billing_details(canonical).as_bytes());
    hex(&digest.finalize())
}

/// Returns a canonical text without billing details. Most entries have none and are returned as they are.
fn without_billing_details(canonical: &str) -> Cow<'_, str> {
    if !canonical.contains(BILLING_DETAILS) {
        return Cow::Borrowed(canonical);
    }
    let Ok(mut entry) = serde_json::from_str::<Value>(canonical) else { return Cow::Borrowed(canonical) };
    if let Some(detail) = entry.get_mut("detail").and_then(Value::as_object_mut) {
        detail.remove(BILLING_DETAILS);
    }
    Cow::Owned(canonical_json(&entry))
}

/// Returns bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // A String accepts every write.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns `value` as JSON with sorted keys and without spaces.
///
/// The result does not depend on the features of `serde_json`: another crate may enable `preserve_order`.
pub(crate) fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (position, (key, value)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_canonical(value, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// The fields of a canonical text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CanonicalEntry {
    balance: Credits,
    credits: Credits,
    detail: Value,
    index: u32,
    kind: String,
    sequence: i64,
    #[serde(rename = "subscription")]
    _subscription: String,
    time: Timestamp,
}

impl EntryRecord {
    /// Returns the entry of a canonical text, with its number and its hash. `previous_hash` is the hash of the entry
    /// before it, and empty for the first entry.
    ///
    /// # Errors
    /// Returns an error if `text` is not the canonical text of an entry.
    pub fn from_canonical(text: &str, number: i64, previous_hash: &str) -> Result<Self, ParseEntryError> {
        let parsed: CanonicalEntry = serde_json::from_str(text).map_err(ParseEntryError)?;
        let CanonicalEntry { balance, credits, detail, index, kind, sequence, _subscription: _, time } =
            parsed;
        let hash = hash_of_text(previous_hash, text);
        Ok(Self { number, sequence, index, time, kind, credits, balance, detail, hash })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> EntryRecord {
        EntryRecord {
            number: 2,
            sequence: 7,
            index: 1,
            time: "2026-03-01T10:00:00.5Z".parse().expect("time"),
            kind: "Charged".to_owned(),
            credits: "-0.5".parse().expect("amount"),
            balance: "9.5".parse().expect("amount"),
            detail: json!({"source": "gw\u{0}", "amount": "0.5", "window": {"startTime": "b", "endTime": "a"}}),
            hash: String::new(),
        }
    }

    const TEXT: &str = r#"{"balance":"9.5","credits":"-0.5","detail":{"amount":"0.5","source":"gw\u0000","window":{"endTime":"a","startTime":"b"}},"index":1,"kind":"Charged","sequence":7,"subscription":"team/acme","time":"2026-03-01T10:00:00.5Z"}"#;

    #[test]
    fn the_canonical_text_has_sorted_keys_and_no_spaces() {
        assert_eq!(canonical("team/acme", &entry()), TEXT);
    }

    #[test]
    fn the_hash_is_the_one_of_sha256sum() {
        // printf '%s%s' abc "$TEXT" | sha256sum
        let expected = "c77449443ec26c53b9fdd77143a681420bccac7a2dcc3c209ed8df8950fd9dd4";
        assert_eq!(hash("abc", "team/acme", &entry()), expected);
        assert_ne!(hash("", "team/acme", &entry()), expected);
        assert_ne!(hash("abc", "team/acme2", &entry()), expected);
    }

    #[test]
    fn billing_details_can_be_erased_without_a_change_of_the_hash() {
        let (mut invoiced, mut erased) = (entry(), entry());
        invoiced.detail = json!({"amount": "100", "billingDetails": {"name": "Acme"}});
        erased.detail = json!({"amount": "100"});
        assert!(canonical("team/acme", &invoiced).contains("Acme"));
        assert_eq!(hash("abc", "team/acme", &invoiced), hash("abc", "team/acme", &erased));
        erased.detail = json!({"amount": "100", "reason": "billingDetails"});
        assert_ne!(hash("abc", "team/acme", &invoiced), hash("abc", "team/acme", &erased));
    }

    #[test]
    fn a_canonical_text_is_read_back() {
        let read = EntryRecord::from_canonical(TEXT, 2, "abc").expect("entry");
        assert_eq!(read, EntryRecord { hash: hash("abc", "team/acme", &entry()), ..entry() });
        assert!(EntryRecord::from_canonical("{}", 2, "abc").is_err());
    }
}
