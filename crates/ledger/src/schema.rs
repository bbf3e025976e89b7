//! JSON Schemas where deriving does not give them: of entries, and of the enums that the custom resources share with the
//! laws.

/// Gives a type a schema that is written where the type is used.
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

/// Leaves the description of a type to the fields that use it.
///
/// The derive macros let it replace the field's own where the field is optional.
#[cfg(feature = "schema")]
pub fn without_description(schema: &mut schemars::Schema) {
    schema.remove("description");
}
