//! Money in the smallest unit of its currency.

use flashgate_ledger::Credits;

/// Units of 10^-9 in one whole.
const NANOS: i128 = 1_000_000_000;

/// Returns the number of decimal places of a currency (ISO 4217).
#[must_use]
pub fn exponent(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// Returns an amount in the smallest unit of `currency`, rounded half-even.
#[must_use]
pub fn smallest_units(amount: Credits, currency: &str) -> i64 {
    let unit = NANOS / 10_i128.pow(exponent(currency));
    let (whole, rest) = (amount.nanos().div_euclid(unit), amount.nanos().rem_euclid(unit));
    let is_odd = whole.rem_euclid(2) == 1;
    let rounded = if rest * 2 > unit || (rest * 2 == unit && is_odd) { whole + 1 } else { whole };
    // Amounts have at most 10^18 units of the currency, so only the largest reach the limit of the type.
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_half_even_at_the_exponent_of_the_currency() {
        for (amount, currency, expected) in [
            ("100", "USD", 10_000),
            ("19.99", "USD", 1_999),
            ("0.005", "USD", 0),
            ("0.015", "USD", 2),
            ("0.025", "USD", 2),
            ("0.025000001", "USD", 3),
            ("100", "JPY", 100),
            ("0.5", "JPY", 0),
            ("1.5", "JPY", 2),
            ("1.2345", "KWD", 1_234),
            ("1.2355", "KWD", 1_236),
            ("1", "CLF", 10_000),
            ("0", "EUR", 0),
        ] {
            assert_eq!(
                smallest_units(amount.parse().expect("amount"), currency),
                expected,
                "{amount} {currency}"
            );
        }
    }
}
