//! Objects without the fields that the operator does not read. A user can fill the metadata of an object up to
//! the limit of the API server, and the operator must not keep that in memory.

use std::marker::PhantomData;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::{Kind, Version};

/// Annotations that the operator reads.
const ANNOTATIONS: [&str; 2] = ["billing.flashgate.dev/test-clock", "billing.flashgate.dev/accept-sequence"];

/// Longest value of an annotation that the operator reads.
const ANNOTATION_CHARS: usize = 256;

/// Fields of `metadata` that the operator reads of every kind.
const METADATA: [&str; 7] =
    ["name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"];

/// An object of kind `K` whose metadata is trimmed when it is decoded, or the reason why it cannot be decoded.
#[derive(Clone, Debug)]
pub struct Trimmed<K>(pub Result<K, Undecoded>);

/// An object that does not have the form of its kind.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct Undecoded {
    /// Identity of the object.
    pub version: Version,
    /// The error.
    pub error: String,
}

impl<'de, K: Kind> Deserialize<'de> for Trimmed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Value::deserialize(deserializer)?;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            trim(metadata, K::IS_WRITTEN_WHOLE);
        }
        Ok(Self(
            K::deserialize(&object)
                .map_err(|error| Undecoded { version: version_of(&object), error: error.to_string() }),
        ))
    }
}

/// Removes the fields that the operator does not read. An object that the operator replaces keeps the metadata
/// of others, because a PUT would otherwise remove it from the server.
fn trim(metadata: &mut Map<String, Value>, is_written_whole: bool) {
    if is_written_whole {
        metadata.remove("managedFields");
        return;
    }
    metadata.retain(|field, _| field == "annotations" || METADATA.contains(&field.as_str()));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, value| {
            let is_short = value.as_str().is_some_and(|value| value.len() <= ANNOTATION_CHARS);
            is_short && ANNOTATIONS.contains(&name.as_str())
        });
    }
}

fn version_of(object: &Value) -> Version {
    let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    Version {
        namespace: field("namespace"),
        name: field("name"),
        uid: field("uid"),
        resource_version: field("resourceVersion"),
    }
}

/// The metadata of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMetadata {
    /// resourceVersion of the list.
    pub resource_version: String,
    /// Continue token of the next page. Empty at the end.
    #[serde(rename = "continue")]
    pub continue_token: String,
}

/// Decodes a list and passes on each item as soon as it is decoded, so that it holds one at a time.
///
/// # Errors
/// Returns an error if the text is not a list of such items. Items before the error were passed on.
pub fn decode_list<T>(text: &[u8], take: &mut dyn FnMut(T)) -> Result<ListMetadata, serde_json::Error>
where
    T: for<'de> Deserialize<'de>,
{
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let metadata = deserializer.deserialize_map(ListVisitor { take })?;
    deserializer.end()?;
    Ok(metadata)
}

struct ListVisitor<'a, T> {
    take: &'a mut dyn FnMut(T),
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<'_, T> {
    type Value = ListMetadata;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ListMetadata, A::Error> {
        let mut metadata = ListMetadata::default();
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "metadata" => metadata = map.next_value()?,
                "items" => map.next_value_seed(Items { take: &mut *self.take, items: PhantomData })?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(metadata)
    }
}

struct Items<'a, T> {
    take: &'a mut dyn FnMut(T),
    items: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Items<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // An empty list can have `null` items.
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<'_, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the items of a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            (self.take)(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use flashgate_api::Subscription;

    fn fat(kind: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": kind, "spec": spec,
            "metadata": {
                "name": "acme", "namespace": "a", "uid": "1", "resourceVersion": "7", "generation": 2,
                "labels": {"team": "a"}, "finalizers": ["example.com/hold"],
                "annotations": {
                    "billing.flashgate.dev/test-clock": "2026-01-31T10:00:00Z",
                    "billing.flashgate.dev/accept-sequence": "9".repeat(257),
                    "example.com/note": "x".repeat(200_000),
                },
                "managedFields": [{"manager": "kubectl"}],
                "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "2"}],
            },
        })
    }

    #[test]
    fn an_object_keeps_only_the_metadata_that_the_operator_reads() {
        let object = fat("Subscription", &json!({"plan": "starter"}));
        let Trimmed(subscription) = serde_json::from_value::<Trimmed<Subscription>>(object).expect("JSON");
        let metadata = serde_json::to_value(subscription.expect("decoded").metadata).expect("JSON");
        assert_eq!(
            metadata,
            json!({
                "name": "acme", "namespace": "a", "uid": "1", "resourceVersion": "7", "generation": 2,
                "annotations": {"billing.flashgate.dev/test-clock": "2026-01-31T10:00:00Z"},
            })
        );
    }

    #[test]
    fn a_replaced_object_keeps_the_metadata_of_others() {
        let mut object = fat("CreditLedger", &json!({}));
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        let count = metadata.len();
        trim(metadata, true);
        assert_eq!(metadata.len(), count - 1);
        assert!(!metadata.contains_key("managedFields"));
        assert_eq!(metadata["annotations"].as_object().map(Map::len), Some(3));
    }

    #[test]
    fn an_undecodable_object_is_named_and_the_rest_of_the_list_is_decoded() {
        let list = json!({
            "kind": "SubscriptionList", "metadata": {"resourceVersion": "12", "continue": "more"},
            "items": [
                fat("Subscription", &json!({"plan": 7})), fat("Subscription", &json!({"plan": "starter"})),
            ],
        });
        let mut taken = Vec::new();
        let text = serde_json::to_vec(&list).expect("JSON");
        let metadata = decode_list(&text, &mut |item: Trimmed<Subscription>| taken.push(item.0));
        let expected = ListMetadata { resource_version: "12".to_owned(), continue_token: "more".to_owned() };
        assert_eq!(metadata.expect("list"), expected);
        assert_eq!(taken.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
        let undecoded = taken.remove(0).expect_err("a plan is no number");
        assert_eq!((undecoded.version.name.as_str(), undecoded.version.uid.as_str()), ("acme", "1"));
        assert!(undecoded.error.contains("invalid type"), "{}", undecoded.error);
    }

    #[test]
    fn an_empty_list_may_have_null_items() {
        for text in [r#"{"metadata":{"resourceVersion":"3"},"items":null}"#, r#"{"metadata":{},"items":[]}"#]
        {
            let mut count = 0;
            decode_list(text.as_bytes(), &mut |_: Trimmed<Subscription>| count += 1).expect("list");
            assert_eq!(count, 0);
        }
    }
}
