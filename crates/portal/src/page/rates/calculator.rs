//! The calculator: the credits that a quantity costs, by the operator's own rating.

use flashgate_ledger::catalog::{Catalog, Pack, Rate};
use flashgate_ledger::{Credits, Quantity, rating};
use serde::Deserialize;

use crate::offers::{RateWords, STORAGE_EGRESS, TOKENS_OUT};
use crate::parameters::given;
use crate::refused::{ErrorCode, Refused};

/// A unit of the form: its word in the URL, its name, and the suffix of a quantity.
type Unit = (&'static str, &'static str, &'static str);

/// Units of bytes.
const BYTES: [Unit; 8] = [
    ("gb", "GB (10^9 bytes)", "G"),
    ("mb", "MB (10^6 bytes)", "M"),
    ("tb", "TB (10^12 bytes)", "T"),
    ("kb", "kB (10^3 bytes)", "k"),
    ("gib", "GiB (2^30 bytes)", "Gi"),
    ("mib", "MiB (2^20 bytes)", "Mi"),
    ("tib", "TiB (2^40 bytes)", "Ti"),
    ("bytes", "bytes", ""),
];

/// Units of tokens.
const TOKENS: [Unit; 3] =
    [("million", "million tokens", "M"), ("thousand", "thousand tokens", "k"), ("tokens", "tokens", "")];

/// Units of other operations.
const OTHERS: [Unit; 3] =
    [("units", "units", ""), ("thousand", "thousand units", "k"), ("million", "million units", "M")];

/// Parameters of the page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RateParameters {
    /// Identifier of the rate, such as `public-storage-egress`.
    pub rate: Option<String>,
    /// Quantity in the unit.
    pub quantity: Option<String>,
    /// Word of the unit.
    pub unit: Option<String>,
}

/// A calculated price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calculated {
    /// Node type of the rate.
    pub node_type: String,
    /// Operation of the rate.
    pub operation: String,
    /// The quantity in base units.
    pub quantity: Quantity,
    /// Credits that it costs in one report.
    pub credits: Credits,
}

/// Returns the identifier of a rate.
pub(super) fn id_of(rate: &Rate) -> String {
    RateWords::of(&rate.node_type, &rate.operation).id
}

/// Returns the units in which quantities of an operation are stated, the usual one first.
pub(super) fn units(operation: &str) -> &'static [Unit] {
    match operation {
        STORAGE_EGRESS => &BYTES,
        TOKENS_OUT => &TOKENS,
        _ => &OTHERS,
    }
}

/// Returns the rate that the form shows: the requested one, or the first.
///
/// # Errors
/// When the catalog has no such rate.
pub(super) fn chosen<'a>(
    catalog: &'a Catalog,
    parameters: &RateParameters,
) -> Result<Option<&'a Rate>, Refused> {
    let Some(id) = given(parameters.rate.as_ref()) else { return Ok(catalog.rates.first()) };
    let found = catalog.rates.iter().find(|rate| id_of(rate) == id);
    found.map(Some).ok_or_else(|| {
        let known: Vec<String> = catalog.rates.iter().map(id_of).collect();
        Refused::parameter("rate", &format!("one of {}", known.join(", ")))
    })
}

/// Returns the price of the requested quantity, if one is requested.
///
/// # Errors
/// When the quantity or the unit is none, or the price exceeds the exact range.
pub(super) fn calculate(rate: &Rate, parameters: &RateParameters) -> Result<Option<Calculated>, Refused> {
    let Some(text) = given(parameters.quantity.as_ref()) else { return Ok(None) };
    let units = units(&rate.operation);
    let (.., suffix) = match given(parameters.unit.as_ref()) {
        None => units.first(),
        Some(word) => units.iter().find(|(known, ..)| *known == word),
    }
    .ok_or_else(|| {
        let words: Vec<&str> = units.iter().map(|(word, ..)| *word).collect();
        Refused::parameter("unit", &format!("one of {}", words.join(", ")))
    })?;
    let plain = text.trim().replace([',', ' '], "");
    let is_plain = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let quantity = if is_plain { format!("{plain}{suffix}").parse::<Quantity>().ok() } else { None };
    let Some(quantity) = quantity else {
        let required = "a number such as 12 or 1.5, with at most 9 decimals, and at most 10^15 in base units";
        return Err(Refused::parameter("quantity", required));
    };
    let credits = rating::rate(quantity, rate).map_err(|_| {
        Refused::new(ErrorCode::InvalidParameter, "the price exceeds 10^18 credits: choose less")
    })?;
    let (node_type, operation) = (rate.node_type.clone(), rate.operation.clone());
    Ok(Some(Calculated { node_type, operation, quantity, credits }))
}

/// Returns the number of packs that cover `credits`, and their price. It is absent if it exceeds the exact range.
pub(super) fn packs_for(pack: &Pack, credits: Credits) -> Option<(i128, Credits)> {
    if !credits.is_positive() || !pack.credits.is_positive() {
        return None;
    }
    let size = pack.credits.nanos();
    let count = credits.nanos().checked_add(size - 1)?.checked_div(size)?;
    let price = pack.price.nanos().checked_mul(count)?;
    Some((count, Credits::from_nanos(price).ok()?))
}

#[cfg(test)]
mod tests {
    use flashgate_testing::catalog::shipped;

    use super::*;

    fn result(rate: &str, quantity: &str, unit: &str) -> Result<Option<String>, String> {
        let text = |text: &str| Some(text.to_owned());
        let parameters = RateParameters { rate: text(rate), quantity: text(quantity), unit: text(unit) };
        let catalog = shipped();
        let calculated = chosen(&catalog, &parameters)
            .and_then(|rate| calculate(rate.expect("a rate"), &parameters))
            .map_err(|refused| refused.message)?;
        Ok(calculated.map(|calculated| calculated.credits.to_string()))
    }

    #[test]
    fn a_price_is_that_of_the_laws() {
        for (rate, quantity, unit, expected) in [
            ("public-storage-egress", "12", "gb", "120"),
            ("public-storage-egress", "1.5", "gib", "16.10612736"),
            ("public-storage-egress", "1", "bytes", "0.00000001"),
            ("private-storage-egress", "1,000", "mb", "1"),
            ("private-tokens-out", "1", "tokens", "0.00005"),
            ("public-tokens-out", "0.5", "", "500"),
            ("", " 2 ", "", "20"),
        ] {
            assert_eq!(
                result(rate, quantity, unit),
                Ok(Some(expected.to_owned())),
                "{rate} {quantity} {unit}"
            );
        }
        assert_eq!(result("public-storage-egress", "", "gb"), Ok(None));
    }

    #[test]
    fn other_values_are_refused_with_what_is_allowed() {
        let quantity = "`quantity` must be a number such as 12 or 1.5, with at most 9 decimals, and at most 10^15 in \
                        base units";
        for (rate, amount, unit, expected) in [
            ("none", "1", "gb", "`rate` must be one of "),
            ("public-storage-egress", "1", "tokens", "`unit` must be one of gb, mb, "),
            ("public-storage-egress", "-1", "gb", quantity),
            ("public-storage-egress", "12G", "gb", quantity),
            ("public-storage-egress", "1e9", "gb", quantity),
            ("public-storage-egress", "1.2.3", "gb", quantity),
            ("public-storage-egress", "9999999", "gb", quantity),
        ] {
            let message = result(rate, amount, unit).expect_err(amount);
            assert!(message.starts_with(expected), "{rate} {amount} {unit}: {message}");
        }
    }

    #[test]
    fn packs_are_whole() {
        let catalog = shipped();
        let pack = catalog.packs.first().expect("a pack");
        let found = |credits: &str| {
            packs_for(pack, credits.parse().expect("amount")).map(|(count, price)| (count, price.to_string()))
        };
        let price = |count: i128| Credits::from_nanos(pack.price.nanos() * count).expect("price").to_string();
        assert_eq!(pack.credits.to_string(), "100");
        assert_eq!(found("0.000000001"), Some((1, price(1))));
        assert_eq!(found("100"), Some((1, price(1))));
        assert_eq!(found("100.5"), Some((2, price(2))));
        assert_eq!(found("0"), None);
    }
}
