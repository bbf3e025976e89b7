//! Checks types, bounds, patterns and unknown fields, with the API server's messages.

use std::error::Error;

use flashgate_api::schema::{NAME_PATTERN, OBJECT_NAME_LENGTH, OBJECT_NAME_PATTERN};
use flashgate_api::stated_time;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Value, json};

use super::AdmissionError;

/// The server's messages about invalid names, by the pattern of the rule.
const NAME_RULES: [(&str, &str); 2] = [
    (
        OBJECT_NAME_PATTERN,
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
         and end with an alphanumeric character, such as 'example.com'",
    ),
    (
        NAME_PATTERN,
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
         with an alphanumeric character, such as 'my-name'",
    ),
];

/// A compiled schema that refuses unknown fields.
pub(super) struct Bounds(Validator);

impl Bounds {
    /// Compiles `schema`.
    pub(super) fn new(schema: &Value) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut strict = schema.clone();
        close(&mut strict);
        let options = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .with_format("date-time", |text: &str| stated_time::parse(text).is_some())
            .with_pattern_options(PatternOptions::regex());
        Ok(Self(options.build(&strict)?))
    }

    /// Returns all errors of `value`, whose path is `at`.
    pub(super) fn errors(&self, value: &Value, at: &str) -> Vec<AdmissionError> {
        if self.0.is_valid(value) {
            return Vec::new();
        }
        self.0.iter_errors(value).flat_map(|error| describe(&error, at)).collect()
    }
}

/// Returns the schema of the part of `metadata` that manifests use.
pub(super) fn metadata_schema() -> Value {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "maxLength": OBJECT_NAME_LENGTH, "pattern": OBJECT_NAME_PATTERN },
            "namespace": { "type": "string", "maxLength": 63, "pattern": NAME_PATTERN },
            "labels": texts,
            "annotations": texts,
            "finalizers": { "type": "array", "items": { "type": "string" } },
            "ownerReferences": { "type": "array" },
            "managedFields": { "type": "array" },
            "uid": { "type": "string" },
            "resourceVersion": { "type": "string" },
            "generation": { "type": "integer" },
            "generateName": { "type": "string" },
            "selfLink": { "type": "string" },
            "creationTimestamp": { "type": "string", "format": "date-time" },
            "deletionTimestamp": { "type": "string", "format": "date-time" },
            "deletionGracePeriodSeconds": { "type": "integer" },
        },
    })
}

/// Adds the constraints that structural schemas imply: no unknown fields, integers or strings, and no
/// duplicates in sets.
fn close(node: &mut Value) {
    let Some(keywords) = node.as_object_mut() else { return };
    if let Some(properties) = keywords.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
        keywords.insert("additionalProperties".to_owned(), false.into());
    }
    if keywords.get("x-kubernetes-int-or-string").is_some_and(|is| is == true) {
        keywords.insert("type".to_owned(), json!(["integer", "string"]));
        keywords.insert("maximum".to_owned(), i64::MAX.into());
    }
    if keywords.get("x-kubernetes-list-type").is_some_and(|kind| kind == "set") {
        keywords.insert("uniqueItems".to_owned(), true.into());
    }
    for below in ["items", "additionalProperties"] {
        keywords.get_mut(below).into_iter().for_each(close);
    }
}

/// Returns `error` with the server's message. Several unknown fields become one error each.
fn describe(error: &ValidationError<'_>, at: &str) -> Vec<AdmissionError> {
    let path = field_path(at, error.instance_path().as_str());
    let value = error.instance();
    let invalid = |text: String| {
        AdmissionError::new(&path, format!("Invalid value: {}: {path} in body {text}", shown(value)))
    };
    let one = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let unknown = unexpected.iter().map(|name| join(&path, name));
            return unknown.map(|field| blocking(&field, format!("unknown field \"{field}\""))).collect();
        }
        ValidationErrorKind::Required { property } => {
            blocking(&join(&path, property.as_str().unwrap_or_default()), "Required value".to_owned())
        }
        ValidationErrorKind::Type { kind: TypeKind::Single(expected) } => {
            wrong_type(&path, &expected.to_string(), value)
        }
        ValidationErrorKind::Type { kind: TypeKind::Multiple(_) } => no_quantity(&path, value),
        ValidationErrorKind::Format { .. } => {
            let (shown, form) = (shown(value), stated_time::FORM);
            let message = format!("must be of type date-time: {shown}; must be {form}");
            blocking(&path, format!("Invalid value: {shown}: {path} in body {message}"))
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<String> =
                options.as_array().into_iter().flatten().map(Value::to_string).collect();
            blocking(
                &path,
                format!("Unsupported value: {}: supported values: {}", shown(value), options.join(", ")),
            )
        }
        ValidationErrorKind::MaxLength { limit } => {
            blocking(&path, format!("Too long: may not be more than {limit} bytes"))
        }
        ValidationErrorKind::MaxItems { limit } | ValidationErrorKind::MaxProperties { limit } => {
            blocking(&path, format!("Too many: {}: must have at most {limit} items", size(value)))
        }
        ValidationErrorKind::MinItems { limit } => AdmissionError::new(
            &path,
            format!("Invalid value: {}: {path} in body should have at least {limit} items", size(value)),
        ),
        ValidationErrorKind::MinLength { limit } => invalid(format!("should be at least {limit} chars long")),
        ValidationErrorKind::Pattern { pattern } => {
            AdmissionError::new(&path, format!("Invalid value: {}: {}", shown(value), name_rule(pattern)))
        }
        ValidationErrorKind::Minimum { .. } | ValidationErrorKind::Maximum { .. }
            if value.is_number() && value.as_i64().is_none() =>
        {
            no_quantity(&path, value)
        }
        ValidationErrorKind::Minimum { limit } => {
            invalid(format!("should be greater than or equal to {limit}"))
        }
        ValidationErrorKind::Maximum { limit } => invalid(format!("should be less than or equal to {limit}")),
        ValidationErrorKind::UniqueItems => {
            AdmissionError::new(&path, format!("Duplicate value: {}", repeated(value)))
        }
        _ => invalid(error.to_string()),
    };
    vec![one]
}

/// Returns an error because of which the CEL rules are skipped.
fn blocking(field: &str, message: String) -> AdmissionError {
    AdmissionError { blocks_rules: true, ..AdmissionError::new(field, message) }
}

fn wrong_type(path: &str, expected: &str, value: &Value) -> AdmissionError {
    let found = type_name(value);
    let message = format!("{path} in body must be of type {expected}: \"{found}\"");
    blocking(path, format!("Invalid value: \"{found}\": {message}"))
}

/// Returns the error of a value that is neither an integer nor a text. For a number the message suggests
/// quotes.
fn no_quantity(path: &str, value: &Value) -> AdmissionError {
    let error = wrong_type(path, "integer,string", value);
    let remedy = match value.as_f64() {
        Some(number) if number.fract() != 0.0 => format!("must be quoted: \"{value}\""),
        Some(_) => "must be quoted, as it is no integer of 64 bits".to_owned(),
        None => return error,
    };
    let message = format!("{}; {remedy}", error.message);
    AdmissionError { message, ..error }
}

/// Returns the server's message about a name that does not match `pattern`.
fn name_rule(pattern: &str) -> String {
    let rule = NAME_RULES.iter().find(|(known, _)| *known == pattern);
    rule.map_or_else(|| format!("should match '{pattern}'"), |(_, rule)| (*rule).to_owned())
}

/// Returns the number of items of a collection.
fn size(value: &Value) -> usize {
    value.as_array().map(Vec::len).or_else(|| value.as_object().map(serde_json::Map::len)).unwrap_or(0)
}

/// Returns the name of the type of a value, as the server calls it.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns the first duplicate item of a list.
fn repeated(list: &Value) -> String {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let second = items.iter().enumerate().find(|(index, item)| items[..*index].contains(item));
    second.map(|(_, item)| item.to_string()).unwrap_or_default()
}

/// Returns a value for messages. Collections are shown by their type, because they may be long.
pub(super) fn shown(value: &Value) -> String {
    if value.is_object() || value.is_array() {
        format!("\"{}\"", type_name(value))
    } else {
        value.to_string()
    }
}

/// Returns the path of a field of `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns a JSON pointer below `at` in the notation of the server: `spec.usage[0].quantity`.
fn field_path(at: &str, pointer: &str) -> String {
    pointer.split('/').skip(1).fold(at.to_owned(), |path, step| {
        if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("{path}[{step}]")
        } else {
            join(&path, &step.replace("~1", "/").replace("~0", "~"))
        }
    })
}
