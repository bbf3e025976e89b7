//! JSON with sorted keys.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A value that is written with the keys of each object sorted.
///
/// The text does not depend on the features of `serde_json`: another crate of a build may enable `preserve_order`.
pub(super) struct Sorted<'a>(pub &'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().map(|(key, value)| (key, Sorted(value))).collect();
                fields.sort_unstable_by_key(|(key, _)| *key);
                serializer.collect_map(fields)
            }
            Value::Array(values) => serializer.collect_seq(values.iter().map(Sorted)),
            scalar => scalar.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth_and_lists_keep_their_order() {
        let text = r#"{"b":[{"z":1,"a":null},"x"],"a":{"d":true,"c":"\u00e9"}}"#;
        let value: Value = serde_json::from_str(text).expect("JSON");
        let sorted = serde_json::to_string(&Sorted(&value)).expect("text");
        assert_eq!(sorted, r#"{"a":{"c":"é","d":true},"b":[{"a":null,"z":1},"x"]}"#);
    }
}
