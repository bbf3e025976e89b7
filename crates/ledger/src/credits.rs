//! Exact amounts of credits and money (Law 1).

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::text::as_text;

/// Fractional digits that an amount may have.
pub const FRACTION_DIGITS: u32 = 9;

/// Largest absolute amount that is ever held, in whole credits: 10^18.
const MOST_WHOLE: u64 = 1_000_000_000_000_000_000;

/// The same as an amount.
///
/// With nine fractional digits such an amount has a mantissa of at most 10^27, so the sum of two still fits in
/// the 96 bits of [`Decimal`] and no operation here can round.
const LIMIT: Decimal = Credits::whole(MOST_WHOLE).0;

/// An exact amount of credits: at most nine fractional digits, at most 10^18 in absolute value.
///
/// Operations are checked; what would overflow is an [`AmountOverflow`], nothing wraps or rounds (Law 1).
///
/// ```
/// use flashgate_ledger::Credits;
/// let balance: Credits = "9382.50".parse()?;
/// assert_eq!(balance.to_string(), "9382.5");
/// assert_eq!(balance.checked_sub("0.5".parse()?)?.to_string(), "9382");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(Decimal);

/// Says that the result of an operation is outside what [`Credits`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount would exceed 10^18")]
pub struct AmountOverflow;

/// Says why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not an amount: it must be a decimal such as '250' or '0.5', with at most 9 fractional digits \
     and at most 10^18"
)]
pub struct ParseCreditsError(String);

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Returns an amount of whole credits, or of 10^18 where that is less.
    #[must_use]
    pub const fn whole(credits: u64) -> Self {
        let credits = if credits > MOST_WHOLE { MOST_WHOLE } else { credits };
        let [l0, l1, l2, l3, m0, m1, m2, m3] = credits.to_le_bytes();
        let (low, middle) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([m0, m1, m2, m3]));
        Self(Decimal::from_parts(low, middle, 0, false, 0))
    }

    /// Returns the amount that `decimal` states.
    ///
    /// # Errors
    /// When it has more than nine significant fractional digits or exceeds 10^18.
    pub fn from_decimal(decimal: Decimal) -> Result<Self, AmountOverflow> {
        let normal = decimal.normalize();
        if normal.scale() > FRACTION_DIGITS || normal.abs() > LIMIT {
            Err(AmountOverflow)
        } else {
            Ok(Self(normal))
        }
    }

    /// Returns the amount of `units` x 10^-9 credits.
    ///
    /// # Errors
    /// When it exceeds 10^18 credits.
    pub fn from_nanos(units: i128) -> Result<Self, AmountOverflow> {
        Decimal::try_from_i128_with_scale(units, FRACTION_DIGITS)
            .map_err(|_| AmountOverflow)
            .and_then(Self::from_decimal)
    }

    /// Returns the amount in units of 10^-9 credits.
    #[must_use]
    pub fn nanos(self) -> i128 {
        let mut scaled = self.0;
        scaled.rescale(FRACTION_DIGITS);
        scaled.mantissa()
    }

    /// Returns the amount as a decimal.
    #[must_use]
    pub const fn decimal(self) -> Decimal {
        self.0
    }

    /// Returns whether the amount is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Returns whether the amount is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self < Self::ZERO
    }

    /// Returns whether the amount is above zero.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self > Self::ZERO
    }

    /// Returns the sum.
    ///
    /// # Errors
    /// When it exceeds 10^18.
    pub fn checked_add(self, other: Self) -> Result<Self, AmountOverflow> {
        self.0.checked_add(other.0).ok_or(AmountOverflow).and_then(Self::from_decimal)
    }

    /// Returns the difference.
    ///
    /// # Errors
    /// When it exceeds 10^18.
    pub fn checked_sub(self, other: Self) -> Result<Self, AmountOverflow> {
        self.0.checked_sub(other.0).ok_or(AmountOverflow).and_then(Self::from_decimal)
    }

    /// Returns the amount with the opposite sign.
    #[must_use]
    pub fn negated(self) -> Self {
        let mut negated = self.0;
        negated.set_sign_negative(!self.is_zero() && !self.is_negative());
        Self(negated)
    }

    /// Returns the sum of `amounts`.
    ///
    /// # Errors
    /// When a partial sum exceeds 10^18.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, AmountOverflow> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for Credits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

as_text!(Credits, str::parse);

impl FromStr for Credits {
    type Err = ParseCreditsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseCreditsError(text.to_owned());
        let plain = text.strip_prefix('-').unwrap_or(text);
        let well_formed = plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && plain.starts_with(|first: char| first.is_ascii_digit())
            && plain.ends_with(|last: char| last.is_ascii_digit());
        if !well_formed {
            return Err(refused());
        }
        let decimal = Decimal::from_str_exact(text).map_err(|_| refused())?;
        Self::from_decimal(decimal).map_err(|_| refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_ten_to_the_eighteenth() {
        assert_eq!(LIMIT.to_string(), "1000000000000000000");
    }

    #[test]
    fn whole_amounts_are_what_their_digits_say_up_to_the_limit() {
        for whole in [0, 1, 4_294_967_295, 4_294_967_296, 100_000_000_000_000_000, 1_000_000_000_000_000_000]
        {
            assert_eq!(Ok(Credits::whole(whole)), whole.to_string().parse());
        }
        assert_eq!(Credits::whole(u64::MAX), Credits(LIMIT));
    }

    #[test]
    fn sums_at_the_limit_are_exact_or_refused() {
        let most: Credits = "999999999999999999.999999999".parse().expect("amount");
        let least: Credits = "0.000000001".parse().expect("amount");
        assert_eq!(most.checked_add(least).expect("sum").to_string(), "1000000000000000000");
        assert_eq!(most.checked_add(most), Err(AmountOverflow));
        assert_eq!(least.nanos(), 1);
    }

    #[test]
    fn texts_that_are_not_amounts_are_refused() {
        for text in
            ["", ".", "1.", ".5", "1e3", "NaN", "+1", "1_000", "0.0000000001", "1000000000000000001", "--1"]
        {
            assert!(text.parse::<Credits>().is_err(), "{text}");
        }
    }

    #[test]
    fn zero_has_one_form() {
        let zero: Credits = "-0.000".parse().expect("amount");
        assert_eq!(zero.to_string(), "0");
        assert_eq!(zero.negated().to_string(), "0");
    }
}
