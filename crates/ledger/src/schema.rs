//! The JSON Schema of entries and of the enums that the custom resources share with the laws, where deriving does not give it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::Credits;
use crate::entry::{LapseCause, ObjectName, PlanPeriod};
use crate::invoice::VoidCause;
use crate::refusal::RefusalReason;

/// Gives types a schema that is written where they are used.
macro_rules! inline_schemas {
    ($($type:ident: $schema:tt),* $(,)?) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

inline_schemas! {
    Credits: { "type": "string", "maxLength": 32, "pattern": r"^-?[0-9]{1,19}(\.[0-9]{1,9})?$" },
    LapseCause: { "type": "string" },
    ObjectName: { "type": "string" },
    RefusalReason: { "type": "string" },
    VoidCause: { "type": "string" },
}

/// Leaves the description of a type to the fields that use it.
///
/// The derive macros let it replace the field's own where the field is optional.
pub fn without_description(schema: &mut Schema) {
    schema.remove("description");
}

/// Returns the schema of the plan that gave credits, with its billing period.
pub(crate) fn giving_plan(generator: &mut SchemaGenerator) -> Schema {
    plan_period(generator, "Plan that gave them.")
}

/// Returns the schema of the plan of a period that begins, with its billing period.
pub(crate) fn beginning_plan(generator: &mut SchemaGenerator) -> Schema {
    plan_period(generator, "Plan of the period that begins.")
}

/// Returns the schema of a plan and a billing period among other fields.
fn plan_period(generator: &mut SchemaGenerator, plan: &str) -> Schema {
    let mut schema = PlanPeriod::json_schema(generator);
    without_description(&mut schema);
    for (field, description) in [("plan", plan), ("billingPeriod", "Billing period of the plan.")] {
        let field = schema.pointer_mut(&format!("/properties/{field}"));
        if let Some(field) = field.and_then(|field| field.as_object_mut()) {
            field.insert("description".to_owned(), description.into());
        }
    }
    schema
}
