//! Offline admission: refuses the manifests that the API server would refuse, with the same messages.
//!
//! `simulate` validates manifests with it. It uses the CRDs in `crds/`: unknown fields (strict, as `kubectl`
//! requests), defaults, bounds and CEL rules, including transition rules. Tests apply every manifest in
//! `tests/must-fail` to this module and to a real server.

mod bounds;
mod defaults;
mod rules;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use bounds::Bounds;
use flashgate_api::API_VERSION;
use flashgate_api::definitions::{Crd, CrdError, crds};
use rules::{Evaluator, RuleError, RuleTree};

/// Validates objects of all kinds. Build it once, because compiling its rules takes milliseconds.
///
/// ```
/// use flashgate_billing::admission::Admission;
/// use serde_json::json;
///
/// let admission = Admission::new()?;
/// let mut subscription = json!({
///     "apiVersion": "billing.flashgate.dev/v1alpha1",
///     "kind": "Subscription",
///     "metadata": { "name": "acme" },
///     "spec": { "plan": "starter" },
/// });
/// let admitted = admission.admit(&subscription, None).expect("is fine");
/// assert_eq!(admitted["spec"]["billingPeriod"], "Monthly");
///
/// subscription["spec"]["billingPeriod"] = json!("Weekly");
/// let errors = admission.admit(&subscription, None).expect_err("is not offered");
/// assert_eq!(errors[0].field, "spec.billingPeriod");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Admission {
    kinds: BTreeMap<String, KindAdmission>,
    metadata: Bounds,
    evaluator: Evaluator,
}

/// The rules for objects of one kind.
struct KindAdmission {
    schema: Value,
    bounds: Bounds,
    rules: Option<RuleTree>,
}

/// The error of a field, with the API server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionError {
    /// Path of the field, such as `spec.usage[0].quantity`; empty for the object itself.
    pub field: String,
    /// The error, the allowed values, and the remedy if there is one.
    pub message: String,
    /// Whether the CEL rules are skipped because of it: they rely on valid types and bounds.
    blocks_rules: bool,
}

/// Why the admission cannot be built. The CRDs of this program rule this out.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionBuildError {
    /// A definition cannot be generated.
    #[error("generate the custom resource definitions")]
    Generate(#[from] CrdError),
    /// A schema is not a JSON Schema.
    #[error("compile the schema of {kind}")]
    CompileSchema {
        /// Kind whose schema it is.
        kind: String,
        /// Cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A rule is not CEL.
    #[error("compile a rule of {kind}")]
    CompileRule {
        /// Kind whose rule it is.
        kind: String,
        /// Cause.
        source: RuleError,
    },
}

impl AdmissionError {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), blocks_rules: false }
    }
}

impl fmt::Display for AdmissionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.field, self.message)
        }
    }
}

impl std::error::Error for AdmissionError {}

impl fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Admission").field("kinds", &self.kinds.keys()).finish_non_exhaustive()
    }
}

impl Admission {
    /// Compiles the schemas and rules of all kinds.
    ///
    /// # Errors
    /// When a CRD of this program is not valid, which its tests rule out.
    pub fn new() -> Result<Self, AdmissionBuildError> {
        let kinds = crds()?.into_iter().map(|crd| Ok((crd.kind.clone(), KindAdmission::new(crd)?)));
        let metadata = Bounds::new(&bounds::metadata_schema())
            .map_err(|source| AdmissionBuildError::CompileSchema { kind: "metadata".to_owned(), source })?;
        Ok(Self {
            kinds: kinds.collect::<Result<_, AdmissionBuildError>>()?,
            metadata,
            evaluator: Evaluator::default(),
        })
    }

    /// Returns `object` with its defaults, as the API server would store it. If there is an `old` object,
    /// validates an update of it.
    ///
    /// `status` is validated like `spec`. For a write of a user the caller must drop it first, as the server
    /// does. Null means that a field is absent.
    ///
    /// # Errors
    /// When the API server would refuse the object: all errors, by field.
    pub fn admit(&self, object: &Value, old: Option<&Value>) -> Result<Value, Vec<AdmissionError>> {
        let kind = self.kind_of(object).map_err(|error| vec![error])?;
        let mut admitted = object.clone();
        defaults::apply(&kind.schema, &mut admitted);
        let mut errors = kind.bounds.errors(&admitted, "");
        if let Some(metadata) = admitted.get("metadata") {
            errors.extend(self.metadata.errors(metadata, "metadata"));
        }
        if !errors.iter().any(|error| error.blocks_rules)
            && let Some(rules) = &kind.rules
        {
            rules.evaluate(&self.evaluator, &admitted, old, &mut errors);
        }
        if errors.is_empty() { Ok(admitted) } else { Err(errors) }
    }

    /// Returns the rules for the kind of `object`.
    fn kind_of(&self, object: &Value) -> Result<&KindAdmission, AdmissionError> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let known = self.kinds.get(text("kind")).filter(|_| text("apiVersion") == API_VERSION);
        known.ok_or_else(|| {
            let names: Vec<&str> = self.kinds.keys().map(String::as_str).collect();
            AdmissionError::new(
                "",
                format!(
                    "`apiVersion` '{}' with `kind` '{}' is not known: must be '{API_VERSION}' with one of {}",
                    text("apiVersion"),
                    text("kind"),
                    names.join(", ")
                ),
            )
        })
    }
}

impl KindAdmission {
    fn new(crd: Crd) -> Result<Self, AdmissionBuildError> {
        let schema = crd.schema().clone();
        let bounds = Bounds::new(&schema)
            .map_err(|source| AdmissionBuildError::CompileSchema { kind: crd.kind.clone(), source })?;
        let rules = RuleTree::new(&schema)
            .map_err(|source| AdmissionBuildError::CompileRule { kind: crd.kind, source })?;
        Ok(Self { schema, bounds, rules })
    }
}

#[cfg(test)]
mod tests;
