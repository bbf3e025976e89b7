//! Split: the credits of a report and rate by groups of labels (Law 27).

use ethnum::U256;

use crate::credits::{AmountOverflow, Credits};
use crate::quantity::Quantity;

/// Splits `credits` in proportion to `quantities`, by largest remainder at 9 fractional digits. The parts are in the
/// order of the quantities and add up to `credits`. Of equal remainders, the first gets a unit more.
///
/// `credits` must not be negative. If all quantities are zero, the first part gets everything.
///
/// ```
/// use flashgate_ledger::{Credits, Quantity, split::split};
/// let quantities: Vec<Quantity> = vec!["1".parse()?, "1".parse()?, "1".parse()?];
/// let parts = split("0.00000001".parse::<Credits>()?, &quantities)?;
/// let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
/// assert_eq!(parts, ["0.000000004", "0.000000003", "0.000000003"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Returns an error if the sum of the quantities overflows.
pub fn split(credits: Credits, quantities: &[Quantity]) -> Result<Vec<Credits>, AmountOverflow> {
    let nanos = credits.nanos().unsigned_abs();
    let sum = U256::from(Quantity::sum(quantities.iter().copied())?.attos());
    let shares = quantities.iter().enumerate().map(|(index, quantity)| {
        // The product is at most 10^27 x 10^36, which fits into 256 bits.
        let product = U256::from(nanos).checked_mul(U256::from(quantity.attos())).ok_or(AmountOverflow)?;
        let whole = product.checked_div(sum).unwrap_or_default();
        let remainder = product.checked_rem(sum).unwrap_or_default();
        Ok((index, u128::try_from(whole).map_err(|_| AmountOverflow)?, remainder))
    });
    let mut shares = shares.collect::<Result<Vec<_>, AmountOverflow>>()?;
    let given = shares.iter().fold(0_u128, |given, (_, whole, _)| given.saturating_add(*whole));
    let mut left = nanos.saturating_sub(given);
    if sum == U256::ZERO {
        if let Some((_, first, _)) = shares.first_mut() {
            *first = left;
        }
        left = 0;
    }
    // The sort is stable, so equal remainders keep their order. Fewer units are left than there are parts.
    shares.sort_by(|(_, _, one), (_, _, other)| other.cmp(one));
    for (_, share, _) in &mut shares {
        if left == 0 {
            break;
        }
        *share = share.saturating_add(1);
        left = left.saturating_sub(1);
    }
    shares.sort_unstable_by_key(|(index, ..)| *index);
    let part = |(_, share, _): (usize, u128, U256)| {
        Credits::from_nanos(i128::try_from(share).map_err(|_| AmountOverflow)?)
    };
    shares.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(credits: &str, quantities: &[&str]) -> Vec<String> {
        let quantities: Vec<Quantity> =
            quantities.iter().map(|quantity| quantity.parse().expect("quantity")).collect();
        let parts = split(credits.parse().expect("credits"), &quantities).expect("parts");
        parts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_largest_remainder_gets_the_next_unit_and_the_first_of_equal_ones() {
        assert_eq!(parts("120", &["1", "3"]), ["30", "90"]);
        assert_eq!(parts("1", &["1", "1", "1"]), ["0.333333334", "0.333333333", "0.333333333"]);
        assert_eq!(parts("0.000000002", &["1", "1", "1"]), ["0.000000001", "0.000000001", "0"]);
        // The shares are 0.1, 0.6 and 0.3 units.
        assert_eq!(parts("0.000000001", &["1", "6", "3"]), ["0", "0.000000001", "0"]);
        assert_eq!(parts("0", &["5", "0"]), ["0", "0"]);
        assert_eq!(parts("7", &["0", "0"]), ["7", "0"]);
        assert!(parts("7", &[]).is_empty());
    }

    #[test]
    fn the_largest_amounts_do_not_overflow() {
        let quantities = vec![Quantity::LINE_LIMIT; 1000];
        let credits: Credits = "999999999999999999.999999999".parse().expect("credits");
        let sum = Credits::sum(split(credits, &quantities).expect("parts"));
        assert_eq!(sum, Ok(credits));
    }

    proptest! {
        #[test]
        fn parts_add_up_and_differ_from_their_share_by_less_than_a_unit(
            nanos in 0..1_000_000_000_000_i128,
            quantities in proptest::collection::vec(0..1_000_000_u64, 1..20),
        ) {
            let credits = Credits::from_nanos(nanos).expect("credits");
            let sum: u64 = quantities.iter().sum();
            let given: Vec<Quantity> =
                quantities.iter().map(|units| units.to_string().parse().expect("quantity")).collect();
            let parts = split(credits, &given).expect("parts");
            prop_assert_eq!(Credits::sum(parts.iter().copied()), Ok(credits));
            for (part, units) in parts.iter().zip(&quantities).filter(|_| sum > 0) {
                let distance = part.nanos() * i128::from(sum) - nanos * i128::from(*units);
                prop_assert!(distance.unsigned_abs() < u128::from(sum), "{part} for {units} of {sum}");
            }
        }
    }
}
