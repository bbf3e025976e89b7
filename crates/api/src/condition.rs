//! Conditions, for `kubectl wait`, Flux, Helm and Argo CD.

use schemars::{Schema, SchemaGenerator, json_schema};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::schema::MAX_INTEGER;

/// Type of the condition that is true when the operator has done everything that the spec requests.
pub const READY: &str = "Ready";

/// Type of the condition that is true while work is in progress.
pub const RECONCILING: &str = "Reconciling";

/// Type of the condition that is true when somebody must act.
pub const STALLED: &str = "Stalled";

/// Returns the condition of type `kind`.
#[must_use]
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Returns the schema of a list of conditions: a map by type, with the bounds that Kubernetes itself uses.
#[must_use]
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the current state.",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "Name of the aspect, such as `Ready`.",
                    "maxLength": 316,
                    "pattern": "^[A-Z][A-Za-z0-9]*$",
                },
                "status": {
                    "type": "string",
                    "description": "`True` if the condition holds, `False` if it does not, `Unknown` if the operator \
                                    cannot tell.",
                    "enum": ["True", "False", "Unknown"],
                    "maxLength": 7,
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "The `metadata.generation` that the condition describes. If it is \
                                    lower than the object's, the operator has not seen the last edit.",
                    "minimum": 0,
                    "maximum": MAX_INTEGER,
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "Time at which `status` of this condition last changed.",
                },
                "reason": {
                    "type": "string",
                    "description": "Reason for the status in one word, such as `PackLimitReached`.",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Z][A-Za-z0-9]*$",
                },
                "message": {
                    "type": "string",
                    "description": "Explanation in a sentence, with the remedy if there is one.",
                    "maxLength": 32768,
                },
            },
        },
    })
}
