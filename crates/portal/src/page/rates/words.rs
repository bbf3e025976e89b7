//! Rates and quantities in words.

use flashgate_ledger::Quantity;

use crate::offers::{STORAGE_EGRESS, TOKENS_OUT, spaced};

/// Steps of 10^-18 units in one whole.
const WHOLE: u128 = 10_u128.pow(18);

/// Decimal units of bytes, the largest first, each with its number of bytes.
const BYTES: [(&str, u128); 5] = [
    ("PB", 10_u128.pow(15)),
    ("TB", 10_u128.pow(12)),
    ("GB", 10_u128.pow(9)),
    ("MB", 10_u128.pow(6)),
    ("kB", 10_u128.pow(3)),
];

/// Returns the name of a rate, such as `Storage egress on public nodes`.
pub(crate) fn rate_name(node_type: &str, operation: &str) -> String {
    format!("{} on {}", operation_name(operation), nodes_name(node_type))
}

/// Returns the name of an operation, such as `Storage egress`.
pub(crate) fn operation_name(operation: &str) -> String {
    let words = spaced(operation);
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + &lower_case(letters.as_str())
}

/// Returns the nodes of a type, such as `public nodes`.
pub(crate) fn nodes_name(node_type: &str) -> String {
    format!("{} nodes", lower_case(&spaced(node_type)))
}

/// Returns words in lower case, except abbreviations such as `GPU`.
fn lower_case(words: &str) -> String {
    let is_abbreviation =
        |word: &str| word.len() > 1 && word.chars().all(|letter| letter.is_ascii_uppercase());
    let lower = |word: &str| if is_abbreviation(word) { word.to_owned() } else { word.to_lowercase() };
    words.split(' ').map(lower).collect::<Vec<_>>().join(" ")
}

/// Returns a quantity with the unit of its operation, with at most three decimals: `1.2 GB`, `250,000 tokens`.
pub(crate) fn quantity_text(operation: &str, quantity: Quantity) -> String {
    match operation {
        STORAGE_EGRESS => {
            let unit = BYTES.into_iter().find(|(_, bytes)| quantity.attos() >= bytes.saturating_mul(WHOLE));
            let (name, bytes) = unit.unwrap_or(("B", 1));
            format!("{} {name}", in_units(quantity, bytes))
        }
        TOKENS_OUT => format!("{} tokens", in_units(quantity, 1)),
        _ => in_units(quantity, 1),
    }
}

/// Returns a quantity in units of `size` with thousands separators. Digits after the third decimal are cut off.
fn in_units(quantity: Quantity, size: u128) -> String {
    let thousandth = WHOLE / 1_000 * size;
    let thousandths = quantity.attos() / thousandth;
    let (whole, decimals) = (thousandths / 1_000, thousandths % 1_000);
    let plain = format!("{whole}.{decimals:03}");
    let plain = plain.trim_end_matches('0').trim_end_matches('.');
    let is_cut = !quantity.attos().is_multiple_of(thousandth);
    let text = crate::page::format::grouped(plain);
    if is_cut { format!("about {text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_named_by_what_happens_where() {
        for (node_type, operation, expected) in [
            ("Public", STORAGE_EGRESS, "Storage egress on public nodes"),
            ("Private", TOKENS_OUT, "Tokens out on private nodes"),
            ("EdgeGPU", "GpuSeconds", "Gpu seconds on edge GPU nodes"),
            ("", "", " on  nodes"),
        ] {
            assert_eq!(rate_name(node_type, operation), expected);
        }
    }

    #[test]
    fn quantities_have_a_readable_unit() {
        for (operation, quantity, expected) in [
            (STORAGE_EGRESS, "1200M", "1.2 GB"),
            (STORAGE_EGRESS, "1G", "1 GB"),
            (STORAGE_EGRESS, "999", "999 B"),
            (STORAGE_EGRESS, "0", "0 B"),
            (STORAGE_EGRESS, "1P", "1 PB"),
            (STORAGE_EGRESS, "1Gi", "about 1.073 GB"),
            (TOKENS_OUT, "250k", "250,000 tokens"),
            (TOKENS_OUT, "500m", "0.5 tokens"),
            ("GpuSeconds", "90", "90"),
            ("GpuSeconds", "1n", "about 0"),
        ] {
            assert_eq!(quantity_text(operation, quantity.parse().expect("quantity")), expected);
        }
        let largest = quantity_text("GpuSeconds", Quantity::TOTAL_LIMIT);
        assert_eq!(largest, "1,000,000,000,000,000,000");
    }
}
