//! Schemas of plans in entries: each field has the description of its use.

use schemars::{JsonSchema as _, Schema, SchemaGenerator};

use super::PlanPeriod;
use crate::schema::without_description;

/// Returns the schema of the plan that gave credits, with its billing period.
pub(super) fn giving_plan(generator: &mut SchemaGenerator) -> Schema {
    plan_period(generator, "Plan that gave them.")
}

/// Returns the schema of the plan of a period that begins, with its billing period.
pub(super) fn beginning_plan(generator: &mut SchemaGenerator) -> Schema {
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
