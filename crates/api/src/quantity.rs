//! Metered quantities as users write them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::schema::rule;

/// The grammar of quantities. The parser of the ledger crate accepts exactly the same texts.
pub const QUANTITY_PATTERN: &str = "^[+]?([0-9]{1,16}([.][0-9]{0,9})?|[.][0-9]{1,9})(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE]([+]?[0-9]{1,2}|-[0-9]))?$";

/// A quantity in the Kubernetes grammar, as it was written, such as `12G`. A YAML number becomes its digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

impl Quantity {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

/// Accepts a text or an integer. A fraction must be a text, so that no client rounds it.
struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a quantity such as \"12G\" or 2500000")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        Ok(Quantity(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Quantity, E> {
        Ok(Quantity(text))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
        Ok(Quantity(number.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
        Ok(Quantity(number.to_string()))
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    // `maxLength` also keeps the rule within the API server's cost budget: Kubernetes 1.34 and later count it
    // for values that are an integer or a string.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
            "x-kubernetes-validations": [rule(
                &format!(
                    "type(self) == int ? self >= 0 && self <= 1000000000000000 : self.matches('{QUANTITY_PATTERN}') \
                     && isQuantity(self) && quantity(self).compareTo(quantity('1P')) <= 0"
                ),
                "must be a quantity from 0 to 10^15 such as '12G', '1.5Gi', '2500000' or '500m', with at most \
                 16 digits before and 9 after the point",
            )],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_integers_are_accepted_and_fractions_only_as_text() {
        let lines: Vec<Quantity> =
            serde_json::from_str(r#"["12G", 2500000, "1.5Gi", -1]"#).expect("quantities");
        assert_eq!(lines.iter().map(Quantity::as_str).collect::<Vec<_>>(), ["12G", "2500000", "1.5Gi", "-1"]);
        assert!(serde_json::from_str::<Quantity>("1.5").is_err());
    }
}
