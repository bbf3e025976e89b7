//! Reads consecutive JSON values, as `kubectl` does.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::scalar;
use super::yaml::Mistake;

/// Reads the values of `text`, each with the line on which it begins. Returns `None` if the text may be YAML.
pub(super) fn read(text: &str, first_line: usize) -> Option<Result<Vec<(usize, Value)>, Mistake>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let line_at = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        let blank = text.get(offset..).unwrap_or_default();
        let blank = blank.split(|character: char| !character.is_whitespace()).next().unwrap_or_default();
        let breaks = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
        first_line.saturating_add(breaks(before)).saturating_add(breaks(blank))
    };
    let mut values = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Node>();
    loop {
        let line = line_at(stream.byte_offset());
        match stream.next() {
            None => return Some(Ok(values)),
            Some(Ok(Node(value))) => values.push((line, value)),
            // One mapping in braces may be YAML. Several can only be JSON.
            Some(Err(_)) if values.is_empty() => return None,
            Some(Err(error)) => {
                let line = first_line.saturating_add(error.line()).saturating_sub(1);
                return Some(Err(Mistake { line, message: format!("must be JSON: {error}") }));
            }
        }
    }
}

/// A value without duplicate keys, with numbers as the API server reads them.
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor).map(Node)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        scalar::resolve(&number.to_string()).map_err(|_| E::custom("numbers must be finite"))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        scalar::float(number).map(Value::Number).ok_or_else(|| E::custom("numbers must be finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Node(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let Node(value) = access.next_value()?;
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format!("`{key}` is given twice; must be given once")));
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}
