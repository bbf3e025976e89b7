//! Decodes the few fields of a Subscription that the gate reads, straight from JSON.
//!
//! Decoding is lenient: a value of an unexpected type counts as absent. One odd object must not stop the watch of all
//! others, and a later version of the operator may write other types.

use std::fmt;
use std::marker::PhantomData;

use flashgate_api::API_KEY_PREFIX;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::key_hash::KeyHash;

/// A Subscription, as far as the gate reads it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The metadata.
    pub metadata: Metadata,
    /// The status, as the operator wrote it.
    pub status: Status,
}

/// The metadata of a Subscription.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Namespace.
    pub namespace: Lenient<Text>,
    /// Name.
    pub name: Lenient<Text>,
    /// Version of the object.
    pub resource_version: Lenient<Text>,
    /// Hashes of the API keys that labels state.
    pub labels: Lenient<ApiKeys>,
}

/// The status of a Subscription.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// Whether gates let the account through.
    pub gate: Lenient<Fields<Gate>>,
    /// Remaining credits.
    pub credits: Lenient<Fields<Credits>>,
    /// Plan in force.
    pub plan: Lenient<Text>,
    /// Time at which the next period begins.
    pub renewal_time: Lenient<Text>,
    /// Conditions.
    pub conditions: Lenient<Items<Condition>>,
}

/// `status.gate` of a Subscription.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Gate {
    /// True if the account is let through.
    pub open: Lenient<Flag>,
    /// Why.
    pub reason: Lenient<Text>,
}

/// `status.credits` of a Subscription.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Credits {
    /// Credits that can be used.
    pub balance: Lenient<Text>,
}

/// A condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Its type.
    pub r#type: Lenient<Text>,
    /// `True`, `False` or `Unknown`.
    pub status: Lenient<Text>,
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Object {
            metadata: Lenient<Fields<Metadata>>,
            status: Lenient<Fields<Status>>,
        }
        let Lenient(Fields(Object { metadata, status })) = Lenient::deserialize(deserializer)?;
        Ok(Self { metadata: metadata.0.0, status: status.0.0 })
    }
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// The metadata of the list.
    pub metadata: PageMetadata,
    /// The objects.
    pub items: Vec<Seen>,
}

/// The metadata of a page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageMetadata {
    /// Version of the list.
    pub resource_version: String,
    /// Token of the next page. Empty at the end.
    #[serde(default, rename = "continue")]
    pub continue_token: String,
}

/// A value that is its default if the JSON has another type.
#[derive(Clone, Debug, Default)]
pub struct Lenient<T>(pub T);

/// A text, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Text(pub Option<String>);

/// True or false, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Flag(pub Option<bool>);

/// The fields of an object.
#[derive(Clone, Debug, Default)]
pub struct Fields<T>(pub T);

/// The objects of a list.
#[derive(Clone, Debug, Default)]
pub struct Items<T>(pub Vec<T>);

/// The hashes of API keys among the labels.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys(pub Vec<KeyHash>);

impl Lenient<Text> {
    /// Returns the text, if there is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.0.0.as_deref()
    }
}

/// A value that is decoded from one type of JSON, and is its default for every other.
trait Accept: Default {
    fn of_text(_text: &str) -> Self {
        Self::default()
    }

    fn of_flag(_flag: bool) -> Self {
        Self::default()
    }

    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    fn of_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

impl Accept for Text {
    fn of_text(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }
}

impl Accept for Flag {
    fn of_flag(flag: bool) -> Self {
        Self(Some(flag))
    }
}

impl<T: Default + DeserializeOwned> Accept for Fields<T> {
    fn of_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Self)
    }
}

impl<T: Default + DeserializeOwned> Accept for Items<T> {
    fn of_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut items = Vec::new();
        while let Some(Lenient(Fields(item))) = list.next_element()? {
            items.push(item);
        }
        Ok(Self(items))
    }
}

impl Accept for ApiKeys {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut hashes = Vec::new();
        while let Some((label, value)) = map.next_entry::<String, Lenient<Text>>()? {
            if label.starts_with(API_KEY_PREFIX) {
                hashes.extend(value.text().and_then(KeyHash::of_label));
            }
        }
        Ok(Self(hashes))
    }
}

impl<'de, T: Accept> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyType(PhantomData)).map(Self)
    }
}

/// Accepts JSON of every type.
struct AnyType<T>(PhantomData<T>);

impl<'de, T: Accept> Visitor<'de> for AnyType<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<T, E> {
        Ok(T::of_flag(flag))
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::of_text(text))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::of_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::of_list(list)
    }
}
