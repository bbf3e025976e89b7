//! JSON schemas of the enums that the custom resources share with the laws.

use schemars::Schema;

/// Removes the description of an enum, so that each field that uses it keeps its own.
///
/// The derive macros let the description of the enum replace that of an optional field.
pub fn without_description(schema: &mut Schema) {
    schema.remove("description");
}
