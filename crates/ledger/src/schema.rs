//! JSON Schemas that the derive macro does not generate: of entries, and of the enums that the custom resources
//! share with the laws.

/// Implements an inline schema for a type.
macro_rules! inline_schema {
    ($type:ident: $schema:tt) => {
        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

pub(crate) use inline_schema;

/// Removes the description of a type, so that the fields that use it keep their own.
///
/// The derive macros would replace the description of an optional field by that of its type.
#[cfg(feature = "schema")]
pub fn without_description(schema: &mut schemars::Schema) {
    schema.remove("description");
}
