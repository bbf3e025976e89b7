//! Defaulting: the changes that the server makes to an object before it validates it.

use serde_json::{Map, Value};

/// Drops nulls, sets defaults, and replaces whole floats by integers, everywhere below `value`.
///
/// The server treats `1e3` and `1000` as equal. In these kinds null and absent mean the same.
pub(super) fn apply(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => apply_to_object(schema, fields),
        Value::Array(items) => {
            if let Some(item_schema) = schema.get("items") {
                for item in items {
                    apply(item_schema, item);
                }
            }
        }
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) = whole_number(&number.to_string()) {
                *value = whole.into();
            }
        }
        _ => {}
    }
}

/// Applies [`apply`] to the fields of an object.
fn apply_to_object(schema: &Value, fields: &mut Map<String, Value>) {
    fields.retain(|_, field| !field.is_null());
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if let Some(default) = property.get("default")
            && !fields.contains_key(name)
        {
            fields.insert(name.clone(), default.clone());
        }
    }
    for (name, field) in fields {
        let below =
            properties.and_then(|known| known.get(name)).or_else(|| schema.get("additionalProperties"));
        if let Some(below) = below {
            apply(below, field);
        }
    }
}

/// Returns the integer value of a decimal such as `1000.0`.
fn whole_number(decimal: &str) -> Option<i64> {
    decimal.strip_suffix(".0")?.parse().ok()
}
