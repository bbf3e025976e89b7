//! Exact amounts of credits and money (Law 1).

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::schema::inline_schema;
use crate::text::as_text;

/// Fractional digits that an amount may have.
pub const FRACTION_DIGITS: u32 = 9;

/// Largest absolute amount in whole credits: 10^18.
const MOST_WHOLE: u64 = 1_000_000_000_000_000_000;

/// One whole credit in units of 10^-9.
const WHOLE: i128 = 1_000_000_000;

/// The largest absolute amount in units of 10^-9: 10^27, so the sum of two amounts never overflows.
const LIMIT: i128 = Credits::MAX.0;

/// An exact amount of credits: at most nine fractional digits, at most 10^18 in absolute value.
///
/// It is stored as a whole number of 10^-9 credits. Operations are checked: an overflow is an
/// [`AmountOverflow`], and no operation wraps or rounds (Law 1).
///
/// ```
/// use flashgate_ledger::Credits;
/// let balance: Credits = "9382.50".parse()?;
/// assert_eq!(balance.to_string(), "9382.5");
/// assert_eq!(balance.checked_sub("0.5".parse()?)?.to_string(), "9382");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i128);

inline_schema!(Credits: { "type": "string", "maxLength": 32, "pattern": r"^-?[0-9]{1,19}(\.[0-9]{1,9})?$" });

/// The error for a result that [`Credits`] cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount would exceed 10^18")]
pub struct AmountOverflow;

/// The error for a text that is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not an amount: it must be a decimal such as '250' or '0.5', with at most 9 fractional digits \
     and at most 10^18"
)]
pub struct ParseCreditsError(String);

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(0);

    /// The largest amount: 10^18 credits.
    pub const MAX: Self = Self::whole(MOST_WHOLE);

    /// Returns an amount of whole credits, at most 10^18.
    #[must_use]
    pub const fn whole(credits: u64) -> Self {
        let credits = if credits > MOST_WHOLE { MOST_WHOLE } else { credits };
        let [b0, b1, b2, b3, b4, b5, b6, b7] = credits.to_le_bytes();
        let wide = i128::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7, 0, 0, 0, 0, 0, 0, 0, 0]);
        Self(wide.saturating_mul(WHOLE))
    }

    /// Returns the amount that `decimal` states.
    ///
    /// # Errors
    /// Returns an error if it has more than nine significant fractional digits or exceeds 10^18.
    pub fn from_decimal(decimal: Decimal) -> Result<Self, AmountOverflow> {
        let mut scaled = decimal.normalize();
        if scaled.scale() > FRACTION_DIGITS || scaled.trunc().abs() > Decimal::from(MOST_WHOLE) {
            return Err(AmountOverflow);
        }
        // A decimal holds 10^18 with nine fractional digits.
        scaled.rescale(FRACTION_DIGITS);
        Self::from_nanos(scaled.mantissa())
    }

    /// Returns the amount of `units` x 10^-9 credits.
    ///
    /// # Errors
    /// Returns an error if it exceeds 10^18 credits.
    pub const fn from_nanos(units: i128) -> Result<Self, AmountOverflow> {
        if units.unsigned_abs() > LIMIT.unsigned_abs() { Err(AmountOverflow) } else { Ok(Self(units)) }
    }

    /// Returns the amount in units of 10^-9 credits.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// Returns the amount as a decimal.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        // A decimal holds the limit, so the fallback is never used.
        Decimal::try_from_i128_with_scale(self.0, FRACTION_DIGITS).unwrap_or_default().normalize()
    }

    /// Returns true if the amount is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns true if the amount is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Returns true if the amount is above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Returns the sum.
    ///
    /// # Errors
    /// Returns an error if it exceeds 10^18.
    pub const fn checked_add(self, other: Self) -> Result<Self, AmountOverflow> {
        Self::from_nanos(self.0.saturating_add(other.0))
    }

    /// Returns the difference.
    ///
    /// # Errors
    /// Returns an error if it exceeds 10^18.
    pub const fn checked_sub(self, other: Self) -> Result<Self, AmountOverflow> {
        Self::from_nanos(self.0.saturating_sub(other.0))
    }

    /// Returns the amount with the opposite sign.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// Returns the sum of `amounts`.
    ///
    /// # Errors
    /// Returns an error if a partial sum exceeds 10^18.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, AmountOverflow> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

/// Returns true if a stored record can omit an amount because it is zero.
pub(crate) const fn is_zero(amount: &Credits) -> bool {
    amount.is_zero()
}

impl fmt::Display for Credits {
    /// Writes a plain decimal without trailing zeros.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nanos, whole) = (self.0.unsigned_abs(), WHOLE.unsigned_abs());
        // WHOLE is not zero, so the fallbacks are never used.
        let (credits, rest) =
            (nanos.checked_div(whole).unwrap_or_default(), nanos.checked_rem(whole).unwrap_or_default());
        if rest == 0 {
            return formatter.pad_integral(!self.is_negative(), "", &credits.to_string());
        }
        let fraction = format!("{rest:09}");
        let digits = format!("{credits}.{}", fraction.trim_end_matches('0'));
        formatter.pad_integral(!self.is_negative(), "", &digits)
    }
}

impl fmt::Debug for Credits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_limit_is_ten_to_the_eighteenth() {
        assert_eq!(Credits(LIMIT).to_string(), "1000000000000000000");
    }

    #[test]
    fn whole_amounts_equal_their_digits_up_to_the_limit() {
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

    proptest! {
        #[test]
        fn every_amount_is_displayed_as_its_decimal_and_read_back(nanos in -LIMIT..=LIMIT, cut in 0..28_u32) {
            // Amounts of all lengths: a uniform range of this size has almost no short ones.
            let amount = Credits(nanos / 10_i128.pow(cut));
            let text = amount.to_string();
            prop_assert_eq!(&text, &amount.decimal().to_string());
            prop_assert_eq!(Credits::from_decimal(amount.decimal()), Ok(amount));
            prop_assert_eq!(text.parse(), Ok(amount));
        }
    }
}
