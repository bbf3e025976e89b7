//! Converts Rust types to custom resource definitions that the API server accepts without a warning.
//!
//! The output of the derive macros needs some corrections, which [`crds`] makes. The result is committed in
//! `crds/`, printed by `flashgate-billing crds`, installed by the chart, and documented in
//! `docs/reference/api.md`.

use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageMeter, UsageReport};

/// Longest text of a time in characters: RFC 3339 with nanoseconds and an offset has 35.
const TIME_LENGTH: u32 = 64;

/// The reason why a custom resource definition cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// A definition cannot be turned into JSON or YAML.
    #[error("the definition of {kind} cannot be written as YAML")]
    Serialize {
        /// Kind that is defined.
        kind: String,
        /// Cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A finished custom resource definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Crd {
    /// Kind that it defines, such as `CreditPack`.
    pub kind: String,
    /// Plural of the kind in lower case, such as `creditpacks`: the name of its file in `crds/`.
    pub plural: String,
    /// The definition as the API server accepts it.
    pub definition: Value,
}

impl Crd {
    /// Returns the `OpenAPI` v3 schema of the objects.
    #[must_use]
    pub fn schema(&self) -> &Value {
        &self.definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    }

    /// Returns the definition as YAML, equal on every run.
    ///
    /// # Errors
    /// Returns an error if a value has no form in YAML. No definition here has such a value.
    pub fn yaml(&self) -> Result<String, CrdError> {
        serde_yaml::to_string(&self.definition)
            .map_err(|source| CrdError::Serialize { kind: self.kind.clone(), source: source.into() })
    }
}

/// Returns the definitions of all kinds, in the order in which a user needs them.
///
/// # Errors
/// Returns an error if a definition has no form in JSON. No definition here has such a value.
pub fn crds() -> Result<Vec<Crd>, CrdError> {
    Ok(vec![
        crd::<Subscription>()?,
        crd::<CreditPack>()?,
        crd::<UsageReport>()?,
        crd::<Payment>()?,
        crd::<CreditAdjustment>()?,
        crd::<CreditLedger>()?,
        crd::<UsageMeter>()?,
    ])
}

/// Returns the definitions of all kinds as one YAML stream, for `kubectl apply -f -`.
///
/// # Errors
/// Returns the errors of [`crds`] and [`Crd::yaml`].
pub fn all_yaml() -> Result<String, CrdError> {
    let documents = crds()?.iter().map(Crd::yaml).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

/// Returns the finished definition of one kind.
fn crd<K: CustomResourceExt>() -> Result<Crd, CrdError> {
    let names = K::crd().spec.names;
    let mut definition = serde_json::to_value(K::crd())
        .map_err(|source| CrdError::Serialize { kind: names.kind.clone(), source: source.into() })?;
    label(&mut definition);
    definition["spec"]["names"]["listKind"] = format!("{}List", names.kind).into();
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    clean(schema);
    describe_envelope(schema, &names.kind);
    Ok(Crd { kind: names.kind, plural: names.plural, definition })
}

/// Adds metadata that identifies the product.
fn label(definition: &mut Value) {
    definition["metadata"]["labels"] = json!({ "app.kubernetes.io/part-of": "flashgate-billing" });
    definition["metadata"]["annotations"] = json!({
        "billing.flashgate.dev/generator": concat!("flashgate-billing/", env!("CARGO_PKG_VERSION")),
    });
}

/// Normalizes a node of a schema and all nodes below it. Removes nullability, titles and unsigned formats;
/// writes whole numbers as integers; bounds each time and each enum; unwraps paragraphs.
fn clean(node: &mut Value) {
    match node {
        Value::Object(fields) => {
            // Under `properties` the keys are names of fields, not keywords.
            for (key, child) in fields.iter_mut() {
                match child.as_object_mut() {
                    Some(properties) if key == "properties" => properties.values_mut().for_each(clean),
                    _ => clean(child),
                }
            }
            clean_keywords(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        _ => {}
    }
}

/// Applies [`clean`] to the keywords of one node.
fn clean_keywords(fields: &mut Map<String, Value>) {
    fields.remove("nullable");
    if fields.get("type").is_some_and(Value::is_string) {
        fields.remove("title");
    }
    match fields.get("format").and_then(Value::as_str) {
        Some(unsigned) if unsigned.starts_with("uint") => {
            fields.remove("format");
        }
        Some("date-time") => {
            fields.insert("maxLength".to_owned(), TIME_LENGTH.into());
        }
        _ => {}
    }
    for bound in ["minimum", "maximum"] {
        if let Some(whole) = fields.get(bound).and_then(whole_number) {
            fields.insert(bound.to_owned(), whole);
        }
    }
    if let Some(description) = fields.get("description").and_then(Value::as_str) {
        fields.insert("description".to_owned(), unwrap_paragraphs(description).into());
    }
    let longest = fields
        .get("enum")
        .and_then(Value::as_array)
        .and_then(|names| names.iter().filter_map(Value::as_str).map(str::len).max());
    if let Some(longest) = longest {
        fields.insert("maxLength".to_owned(), longest.into());
    }
}

/// Returns a number as an integer if it is whole: the derive macros emit only floats.
fn whole_number(bound: &Value) -> Option<Value> {
    format!("{:.0}", bound.as_f64()?).parse::<i64>().ok().map(Value::from)
}

/// Returns a description with one line per paragraph, because clients wrap lines to their own width.
fn unwrap_paragraphs(description: &str) -> String {
    description.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n")
}

/// Describes the fields beside `spec`, and gives `status` the default that shows tools that the operator has
/// not seen the object.
fn describe_envelope(schema: &mut Value, kind: &str) {
    schema["type"] = "object".into();
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({
        "type": "string",
        "description": "Version of this kind: `billing.flashgate.dev/v1alpha1`.",
        "maxLength": 253,
    });
    properties["kind"] =
        json!({ "type": "string", "description": format!("Always `{kind}`."), "maxLength": 63 });
    properties["metadata"] = json!({ "type": "object" });
    if let Some(status) = properties.get_mut("status") {
        status["default"] = json!({ "observedGeneration": -1 });
    }
}

#[cfg(test)]
mod tests;
