//! Bounds and rules that several kinds share.

pub use flashgate_ledger::schema::without_description;
use schemars::{Schema, json_schema};
use serde_json::{Value, json};

/// Longest name of a Kubernetes object.
pub const OBJECT_NAME_LENGTH: u32 = 253;
/// Names of Kubernetes objects (RFC 1123 subdomains).
pub const OBJECT_NAME_PATTERN: &str = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$";
/// Longest name in a catalog, and longest label: the limit of a Kubernetes label value.
pub const NAME_LENGTH: u32 = 63;
/// Names of plans and packs (RFC 1123 labels).
pub const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Names of usage sources. They are valid Kubernetes label values.
pub const SOURCE_PATTERN: &str = "^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$";
/// Node types and operations, such as `Public` and `StorageEgress`.
pub const RATE_NAME_PATTERN: &str = "^[A-Z][A-Za-z0-9]*$";
/// ISO 4217 codes.
pub const CURRENCY_PATTERN: &str = "^[A-Z]{3}$";
/// Amounts that users state: not negative, below 10^15.
pub const STATED_AMOUNT_PATTERN: &str = "^[0-9]{1,15}([.][0-9]{1,9})?$";
/// Largest integer that every JSON parser represents exactly (2^53 - 1).
pub const MAX_INTEGER: i64 = 9_007_199_254_740_991;
/// Longest invoice number: the name of a Subscription, 8 characters that identify its account, and a number.
pub const INVOICE_NUMBER_LENGTH: u32 = 300;

/// Returns a CEL rule with the message that users get when it fails.
#[must_use]
pub fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// Returns the rule that a text matches `pattern`. Its message describes the pattern: `must be {words}`.
///
/// It replaces the schema keyword `pattern`, whose message quotes the regular expression.
#[must_use]
pub fn form(pattern: &str, words: &str) -> Value {
    rule(&format!("self.matches('{pattern}')"), &format!("must be {words}"))
}

/// Returns the schema of an amount that users state, with `rules` about it.
#[must_use]
pub fn stated_amount(rules: Value) -> Schema {
    let mut schema = json_schema!({ "type": "string", "maxLength": 32 });
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

/// Returns a CEL rule whose failure is reported at a field of the object that has the rule.
#[must_use]
pub fn rule_at(field_path: &str, rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message, "fieldPath": field_path })
}

/// Returns the rule for times that users state.
///
/// It requires whole seconds, because every law counts in seconds. It requires a range of years, so that
/// calendar arithmetic cannot overflow and most typing errors are found.
#[must_use]
pub fn stated_time() -> Value {
    rule(
        "timestamp(int(self)) == self && self >= timestamp('2000-01-01T00:00:00Z') \
         && self < timestamp('2101-01-01T00:00:00Z')",
        &format!("must be {}", super::stated_time::FORM),
    )
}

/// Returns the rule that a spec never changes, with the remedy.
#[must_use]
pub fn immutable(remedy: &str) -> Value {
    rule("self == oldSelf", &format!("must not change after creation; {remedy}"))
}
