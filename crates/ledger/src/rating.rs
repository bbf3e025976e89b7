//! Rating: converts usage to credits (Laws 1 and 2).

use ethnum::U256;

use crate::Credits;
use crate::catalog::Rate;
use crate::credits::AmountOverflow;
use crate::quantity::Quantity;

/// Returns the credits that `quantity` costs at `rate` (Law 1).
///
/// `quantity` is the sum of the lines of a report with that rate, so the result is rounded once for each report
/// and rate.
///
/// # Guarantees
/// `quantity` x credits / unit is computed exactly, and rounded once, half-even, to nine fractional digits.
///
/// # Errors
/// Returns an error if the result exceeds 10^18 credits.
///
/// ```
/// use flashgate_ledger::catalog::Rate;
/// use flashgate_ledger::rating::rate;
/// let egress = Rate {
///     node_type: "Public".to_owned(),
///     operation: "StorageEgress".to_owned(),
///     unit: "1G".parse()?,
///     credits: "10".parse()?,
/// };
/// assert_eq!(rate("12G".parse()?, &egress)?.to_string(), "120");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn rate(quantity: Quantity, rate: &Rate) -> Result<Credits, AmountOverflow> {
    // The product is at most 10^36 x 10^27, which fits into 256 bits. The unit of a catalog is above zero.
    let nanos = ratio(quantity.attos(), rate.credits.nanos().unsigned_abs(), rate.unit.attos())?;
    Credits::from_nanos(i128::try_from(nanos).map_err(|_| AmountOverflow)?)
}

/// Returns `factor` x `other` / `divisor`, computed exactly and rounded once, half-even.
///
/// # Errors
/// Returns an error if the result does not fit, or if `divisor` is zero.
pub(crate) fn ratio(factor: u128, other: u128, divisor: u128) -> Result<u128, AmountOverflow> {
    let dividend = U256::from(factor).checked_mul(U256::from(other)).ok_or(AmountOverflow)?;
    let whole = divide_half_even(dividend, U256::from(divisor)).ok_or(AmountOverflow)?;
    u128::try_from(whole).map_err(|_| AmountOverflow)
}

/// Returns the integer nearest to `dividend` / `divisor`, and the even one of two equally near integers.
fn divide_half_even(dividend: U256, divisor: U256) -> Option<U256> {
    let quotient = dividend.checked_div(divisor)?;
    let remainder = dividend.checked_rem(divisor)?;
    // Compares the remainder with the distance to the next integer, because doubling it could overflow.
    let missing = divisor.checked_sub(remainder)?;
    let is_odd = quotient & U256::ONE == U256::ONE;
    if remainder > missing || (remainder == missing && is_odd) {
        quotient.checked_add(U256::ONE)
    } else {
        Some(quotient)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    fn rated(quantity: &str, credits: &str, unit: &str) -> Result<String, AmountOverflow> {
        let rate = Rate {
            node_type: "Public".to_owned(),
            operation: "StorageEgress".to_owned(),
            unit: unit.parse().expect("unit"),
            credits: credits.parse().expect("credits"),
        };
        super::rate(quantity.parse().expect("quantity"), &rate).map(|credits| credits.to_string())
    }

    #[test]
    fn the_published_rates_give_the_published_numbers() {
        for (quantity, credits, unit, expected) in [
            ("12G", "10", "1G", "120"),
            ("1.5Gi", "10", "1G", "16.10612736"),
            ("250000", "0.001", "1", "250"),
            ("1", "0.00005", "1", "0.00005"),
            ("1M", "1", "1G", "0.001"),
            ("1", "10", "1G", "0.00000001"),
            ("500m", "0.001", "1", "0.0005"),
            ("0", "10", "1G", "0"),
            ("1P", "0", "1", "0"),
        ] {
            assert_eq!(
                rated(quantity, credits, unit).as_deref(),
                Ok(expected),
                "{quantity} x {credits} / {unit}"
            );
        }
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        for (quantity, expected) in [
            ("0.5", "0"),
            ("0.500000001", "0.000000001"),
            ("1.5", "0.000000002"),
            ("2.5", "0.000000002"),
            ("2.499999999", "0.000000002"),
            ("3.5", "0.000000004"),
        ] {
            assert_eq!(rated(quantity, "0.000000001", "1").as_deref(), Ok(expected), "{quantity}");
        }
    }

    #[test]
    fn a_third_is_rounded_once_and_only_at_the_end() {
        assert_eq!(rated("3", "1", "3").as_deref(), Ok("1"));
        assert_eq!(rated("1", "1", "3").as_deref(), Ok("0.333333333"));
        assert_eq!(rated("2", "1", "3").as_deref(), Ok("0.666666667"));
        assert_eq!(rated("3000000", "0.000000001", "3").as_deref(), Ok("0.001"));
    }

    #[test]
    fn amounts_beyond_the_limit_are_an_overflow() {
        assert_eq!(rated("1P", "1000", "1").as_deref(), Ok("1000000000000000000"));
        assert_eq!(rated("1P", "1000.000000001", "1"), Err(AmountOverflow));
        assert_eq!(rated("1P", "1000000000000000000", "0.000000001n"), Err(AmountOverflow));
    }

    /// Decimal digits, most significant first, without leading zeros.
    fn digits(number: u128) -> Vec<u32> {
        number
            .to_string()
            .chars()
            .filter_map(|digit| digit.to_digit(10))
            .skip_while(|digit| *digit == 0)
            .collect()
    }

    /// Schoolbook multiplication.
    fn product(left: &[u32], right: &[u32]) -> Vec<u32> {
        let mut columns = vec![0; left.len() + right.len()];
        for (i, a) in left.iter().rev().enumerate() {
            for (j, b) in right.iter().rev().enumerate() {
                columns[i + j] += a * b;
            }
        }
        for i in 1..columns.len() {
            columns[i] += columns[i - 1] / 10;
            columns[i - 1] %= 10;
        }
        columns.into_iter().rev().skip_while(|digit| *digit == 0).collect()
    }

    /// Long division of digits by `divisor`, rounded half-even: quotient as text.
    fn quotient(dividend: &[u32], divisor: u128) -> String {
        let (mut quotient, mut remainder) = (String::from("0"), 0_u128);
        for digit in dividend {
            remainder = remainder * 10 + u128::from(*digit);
            quotient.push_str(&(remainder / divisor).to_string());
            remainder %= divisor;
        }
        let is_odd = quotient.ends_with(['1', '3', '5', '7', '9']);
        let rounded_up = match (remainder * 2).cmp(&divisor) {
            Ordering::Greater => true,
            Ordering::Equal => is_odd,
            Ordering::Less => false,
        };
        let quotient = if rounded_up { successor(&quotient) } else { quotient };
        match quotient.trim_start_matches('0') {
            "" => "0".to_owned(),
            significant => significant.to_owned(),
        }
    }

    fn successor(number: &str) -> String {
        let nines = number.len() - number.trim_end_matches('9').len();
        let (head, tail) = number.split_at(number.len() - nines - 1);
        let next = char::from_digit(tail[..1].parse::<u32>().expect("digit") + 1, 10).expect("digit");
        format!("{head}{next}{}", "0".repeat(nines))
    }

    proptest! {
        #[test]
        fn rating_agrees_with_long_division(
            quantity in 0..=10_u64.pow(15), quantity_fraction in 0..10_u32.pow(9),
            credits in 0..=10_u64.pow(12), credits_fraction in 0..10_u32.pow(9),
            unit in prop_oneof![Just(1), Just(2), Just(1_000_000_000), 1..=10_u64.pow(15)],
        ) {
            let quantity: Quantity = format!("{quantity}.{quantity_fraction:09}").parse().unwrap_or(Quantity::LINE_LIMIT);
            let rate = Rate {
                node_type: "Public".to_owned(),
                operation: "TokensOut".to_owned(),
                unit: unit.to_string().parse().expect("unit"),
                credits: format!("{credits}.{credits_fraction:09}").parse().expect("credits"),
            };
            let dividend = product(&digits(quantity.attos()), &digits(rate.credits.nanos().unsigned_abs()));
            let expected = quotient(&dividend, rate.unit.attos());
            match super::rate(quantity, &rate) {
                Ok(rated) => prop_assert_eq!(rated.nanos().to_string(), expected),
                Err(AmountOverflow) => prop_assert!(expected.len() > 27, "{} was refused", expected),
            }
        }
    }
}
