//! Conditions, for `kubectl wait`, Flux, Helm and Argo CD.

use schemars::{Schema, SchemaGenerator, json_schema};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::schema::MAX_INTEGER;

/// Type of the condition that is true when everything asked for is done.
pub const READY: &str = "Ready";

/// Returns the condition of type `kind`.
#[must_use]
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Returns the schema of a list of conditions: a map by type, with the bounds of Kubernetes' own validation.
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
                    "description": "Whether the condition holds: `True`, `False` or `Unknown`.",
                    "enum": ["True", "False", "Unknown"],
                    "maxLength": 7,
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "The `metadata.generation` that the condition speaks about. Where it is \
                                    lower than the object's, the last edit has not been seen yet.",
                    "minimum": 0,
                    "maximum": MAX_INTEGER,
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When `status` of this condition last changed.",
                },
                "reason": {
                    "type": "string",
                    "description": "Why, as one word of a documented list, such as `PackLimitReached`.",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Z][A-Za-z0-9]*$",
                },
                "message": {
                    "type": "string",
                    "description": "Why, as a sentence for people, with the remedy where there is one.",
                    "maxLength": 32768,
                },
            },
        },
    })
}
