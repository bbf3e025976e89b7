//! Bounds and rules that several kinds share.

pub use flashgate_ledger::schema::without_description;
use schemars::{Schema, json_schema};
use serde_json::{Value, json};

/// Longest name of a Kubernetes object.
pub const OBJECT_NAME_LENGTH: u32 = 253;
/// Names of Kubernetes objects (RFC 1123 subdomains).
pub const OBJECT_NAME_PATTERN: &str = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$";
/// Longest name in a catalog, and longest label: what a Kubernetes label value allows.
pub const NAME_LENGTH: u32 = 63;
/// Names of plans and packs (RFC 1123 labels).
pub const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Names of usage sources: Kubernetes label values, so that they can be used as such.
pub const SOURCE_PATTERN: &str = "^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$";
/// Node types and operations, such as `Public` and `StorageEgress`.
pub const RATE_NAME_PATTERN: &str = "^[A-Z][A-Za-z0-9]*$";
/// ISO 4217 codes.
pub const CURRENCY_PATTERN: &str = "^[A-Z]{3}$";
/// Amounts that people state: not negative, below 10^15.
pub const STATED_AMOUNT_PATTERN: &str = "^[0-9]{1,15}([.][0-9]{1,9})?$";
/// Largest integer that every JSON reader holds exactly (2^53 - 1).
pub const MAX_INTEGER: i64 = 9_007_199_254_740_991;
/// Longest invoice number: a Subscription's name, 8 characters of its account, a number.
pub const INVOICE_NUMBER_LENGTH: u32 = 300;

/// Returns a CEL rule with the message that a user reads when it does not hold.
#[must_use]
pub fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// Returns the rule that a text has the form of `pattern`, which the message says in words: `must be {words}`.
///
/// A `pattern` of the schema would be quoted to the user as a bare regular expression.
#[must_use]
pub fn form(pattern: &str, words: &str) -> Value {
    rule(&format!("self.matches('{pattern}')"), &format!("must be {words}"))
}

/// Returns the schema of an amount that people state, with `rules` about it.
#[must_use]
pub fn stated_amount(rules: Value) -> Schema {
    let mut schema = json_schema!({ "type": "string", "maxLength": 32 });
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

/// Returns a CEL rule that is reported at a field below the object it is written on.
#[must_use]
pub fn rule_at(field_path: &str, rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message, "fieldPath": field_path })
}

/// Returns the rule for times that users state.
///
/// Whole seconds, because every law counts in them; a bounded range, because calendars and arithmetic end
/// somewhere and typing errors should end earlier.
#[must_use]
pub fn stated_time() -> Value {
    rule(
        "timestamp(int(self)) == self && self >= timestamp('2000-01-01T00:00:00Z') \
         && self < timestamp('2101-01-01T00:00:00Z')",
        &format!("must be {}", super::stated_time::FORM),
    )
}

/// Returns the rule that a specification never changes, with the remedy.
#[must_use]
pub fn immutable(remedy: &str) -> Value {
    rule("self == oldSelf", &format!("must not change after creation; {remedy}"))
}
