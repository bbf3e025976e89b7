//! Metered quantities in the Kubernetes grammar, exact (Law 2).

use std::fmt;
use std::str::FromStr;

use crate::credits::AmountOverflow;
use crate::text::as_text;

/// Fractional digits of the smallest step: nine written digits, and nine more by the suffix `n` or `e-9`.
const STEP_DIGITS: u8 = 18;

/// One whole unit (a byte, a token), in steps.
const WHOLE: u128 = 10_u128.pow(18);

/// Most digits before and after the point of a written quantity.
const WRITTEN_DIGITS: (usize, usize) = (16, 9);

/// Most digits before and after the point of a total: those of [`Quantity::TOTAL_LIMIT`], and all steps.
const TOTAL_DIGITS: (usize, usize) = (19, 18);

/// An exact, non-negative quantity in steps of 10^-18 units.
///
/// Parsing accepts at most [`Quantity::LINE_LIMIT`], the limit of one line. Sums can be larger.
///
/// ```
/// use flashgate_ledger::quantity::Quantity;
/// let egress: Quantity = "1.5Gi".parse()?;
/// assert_eq!(egress.to_string(), "1610612736");
/// assert_eq!("500m".parse::<Quantity>()?.to_string(), "0.5");
/// # Ok::<(), flashgate_ledger::quantity::ParseQuantityError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u128);

/// The reason why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// It does not follow the grammar.
    #[error(
        "'{0}' is not a quantity: it must be a decimal with at most 16 digits before and 9 after the point, and \
         optionally one of n u m k M G T P E Ki Mi Gi Ti Pi Ei or an exponent from e-9 to e99, such as '12G', \
         '1.5Gi' or '2500000'"
    )]
    Malformed(String),
    /// It is below zero.
    #[error("'{0}' is negative: a quantity must not be negative")]
    Negative(String),
    /// It is above [`Quantity::LINE_LIMIT`].
    #[error("'{0}' is too large: a quantity must be at most 10^15 (1P)")]
    TooLarge(String),
}

/// The error for a text that is not a total as [`Quantity`] displays it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a total: it must be a plain decimal of at most 10^18 with at most 18 fractional digits and no \
     needless zeros"
)]
pub struct ParseTotalError(String);

/// The factor of a suffix or an exponent.
#[derive(Clone, Copy)]
enum Scale {
    /// A power of ten.
    Decimal(i8),
    /// A power of 1024.
    Binary(u32),
}

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Largest quantity of one line: 10^15 units.
    pub const LINE_LIMIT: Self = Self(WHOLE.saturating_mul(10_u128.pow(15)));

    /// Largest sum: 10^18 units, which are a thousand lines of the largest quantity.
    pub const TOTAL_LIMIT: Self = Self(WHOLE.saturating_mul(10_u128.pow(18)));

    /// Returns the quantity in steps of 10^-18 units.
    #[must_use]
    pub const fn attos(self) -> u128 {
        self.0
    }

    /// Returns true if the quantity is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns the sum.
    ///
    /// # Errors
    /// Returns an error if it exceeds [`Quantity::TOTAL_LIMIT`].
    pub fn checked_add(self, other: Self) -> Result<Self, AmountOverflow> {
        self.0.checked_add(other.0).map(Self).filter(|sum| *sum <= Self::TOTAL_LIMIT).ok_or(AmountOverflow)
    }

    /// Returns the sum of `quantities`.
    ///
    /// # Errors
    /// Returns an error if it exceeds [`Quantity::TOTAL_LIMIT`].
    pub fn sum(quantities: impl IntoIterator<Item = Self>) -> Result<Self, AmountOverflow> {
        quantities.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// Parses a total: returns the quantity that displays as `text`.
    ///
    /// # Errors
    /// Returns an error if no quantity displays as `text`. A total can be larger and have more fractional
    /// digits than a line, so it has its own parser.
    pub fn from_total(text: &str) -> Result<Self, ParseTotalError> {
        digits(text, TOTAL_DIGITS)
            .filter(|(_, _, rest)| rest.is_empty())
            .and_then(|(mantissa, fraction, _)| scaled(mantissa, fraction, Scale::Decimal(0)))
            .map(Self)
            .filter(|total| *total <= Self::TOTAL_LIMIT && total.to_string() == text)
            .ok_or_else(|| ParseTotalError(text.to_owned()))
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    /// Reads `^\+?([0-9]{1,16}(\.[0-9]{0,9})?|\.[0-9]{1,9})(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE](\+?[0-9]{1,2}|-[0-9]))?$`,
    /// the grammar that admission enforces.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |unsigned| {
            let (mantissa, fraction, suffix) = digits(unsigned, WRITTEN_DIGITS)?;
            Some((mantissa, fraction, scale(suffix)?))
        };
        if text.strip_prefix('-').and_then(read).is_some() {
            return Err(ParseQuantityError::Negative(text.to_owned()));
        }
        let (mantissa, fraction, scale) = read(text.strip_prefix('+').unwrap_or(text))
            .ok_or_else(|| ParseQuantityError::Malformed(text.to_owned()))?;
        scaled(mantissa, fraction, scale)
            .map(Self)
            .filter(|quantity| *quantity <= Self::LINE_LIMIT)
            .ok_or_else(|| ParseQuantityError::TooLarge(text.to_owned()))
    }
}

impl fmt::Display for Quantity {
    /// Writes a plain decimal without exponent, suffix or trailing zeros.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // WHOLE is not zero, so the fallbacks are never used.
        let whole = self.0.checked_div(WHOLE).unwrap_or_default();
        let steps = self.0.checked_rem(WHOLE).unwrap_or_default();
        if steps == 0 {
            return formatter.pad_integral(true, "", &whole.to_string());
        }
        let fraction = format!("{steps:018}");
        formatter.pad_integral(true, "", &format!("{whole}.{}", fraction.trim_end_matches('0')))
    }
}

as_text!(Quantity, Quantity::from_total);

/// Splits `text` into the number of its leading digits without the point, the count of digits after the point,
/// and the rest. Returns `None` if there is no leading digit, or if there are more digits than `(before,
/// after)`.
fn digits(text: &str, (before, after): (usize, usize)) -> Option<(u128, u8, &str)> {
    let leading = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at_checked(leading(text))?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at_checked(leading(rest))?,
        None => ("", rest),
    };
    if whole.len() > before || fraction.len() > after || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mantissa = format!("{whole}{fraction}").parse().ok()?;
    Some((mantissa, u8::try_from(fraction.len()).ok()?, rest))
}

/// Returns the factor of `suffix`, or `None` if it is not a suffix.
fn scale(suffix: &str) -> Option<Scale> {
    let scale = match suffix {
        "n" => Scale::Decimal(-9),
        "u" => Scale::Decimal(-6),
        "m" => Scale::Decimal(-3),
        "" => Scale::Decimal(0),
        "k" => Scale::Decimal(3),
        "M" => Scale::Decimal(6),
        "G" => Scale::Decimal(9),
        "T" => Scale::Decimal(12),
        "P" => Scale::Decimal(15),
        "E" => Scale::Decimal(18),
        "Ki" => Scale::Binary(1),
        "Mi" => Scale::Binary(2),
        "Gi" => Scale::Binary(3),
        "Ti" => Scale::Binary(4),
        "Pi" => Scale::Binary(5),
        "Ei" => Scale::Binary(6),
        _ => Scale::Decimal(exponent(suffix.strip_prefix(['e', 'E'])?)?),
    };
    Some(scale)
}

/// Parses an exponent, such as `3`, `+03` or `-9`.
fn exponent(text: &str) -> Option<i8> {
    let (digits, most) = match text.strip_prefix('-') {
        Some(digits) => (digits, 1),
        None => (text.strip_prefix('+').unwrap_or(text), 2),
    };
    let well_formed = (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    // i8 parses both signs, and 99 fits.
    if well_formed { text.parse().ok() } else { None }
}

/// Returns `mantissa` x 10^-`fraction` x `scale` in steps, or `None` if that exceeds every limit.
fn scaled(mantissa: u128, fraction: u8, scale: Scale) -> Option<u128> {
    if mantissa == 0 {
        return Some(0); // 0e99 is zero, though 10^99 is not held
    }
    let (power_of_ten, kibi) = match scale {
        Scale::Decimal(power) => (power, 0),
        Scale::Binary(kibi) => (0, kibi),
    };
    // The grammar allows nine digits and e-9 together at most, so the steps are whole numbers: never below zero.
    let tens =
        i16::from(STEP_DIGITS).checked_sub(i16::from(fraction))?.checked_add(i16::from(power_of_ten))?;
    mantissa
        .checked_mul(10_u128.checked_pow(u32::try_from(tens).ok()?)?)?
        .checked_mul(1024_u128.checked_pow(kibi)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().expect("quantity")
    }

    #[test]
    fn every_form_of_the_grammar_is_exact() {
        for (text, shown) in [
            ("0", "0"),
            ("0e99", "0"),
            ("+12G", "12000000000"),
            ("12G", "12000000000"),
            ("1.5Gi", "1610612736"),
            ("2500000", "2500000"),
            ("2.5M", "2500000"),
            ("1e3", "1000"),
            ("1E3", "1000"),
            ("1E+03", "1000"),
            ("1e-9", "0.000000001"),
            ("500m", "0.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("5.k", "5000"),
            ("0.1Ki", "102.4"),
            ("0.000000001Ki", "0.000001024"),
            ("0.000000001n", "0.000000000000000001"),
            ("0.001E", "1000000000000000"),
            ("0.0001Ei", "115292150460684.6976"),
            ("1P", "1000000000000000"),
            ("0.5Pi", "562949953421312"),
            ("1000000000000000", "1000000000000000"),
            ("0.000000001e24", "1000000000000000"),
        ] {
            assert_eq!(quantity(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn texts_outside_the_grammar_are_malformed() {
        for text in [
            "",
            "+",
            ".",
            "+.",
            ".k",
            "e3",
            "1e",
            "1e+",
            "1e-",
            "1e-10",
            "1e100",
            "1E-12",
            "1ee3",
            "1e3k",
            "1.2.3",
            "1 k",
            " 1",
            "1 ",
            "1K",
            "1g",
            "1ki",
            "1Kib",
            "NaN",
            "inf",
            "0x10",
            "1_000",
            "1,5",
            "++1",
            "+-1",
            "--1",
            "12345678901234567",
            "0.1234567890",
            ".1234567890",
            "١",
            "1µ",
            "½",
            "-",
            "-k",
            "1e٣",
        ] {
            assert_eq!(
                text.parse::<Quantity>(),
                Err(ParseQuantityError::Malformed(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn negative_quantities_say_so() {
        for text in ["-1", "-0.5Gi", "-1e3"] {
            let refused = text.parse::<Quantity>().expect_err("negative");
            assert_eq!(refused.to_string(), format!("'{text}' is negative: a quantity must not be negative"));
        }
    }

    #[test]
    fn quantities_above_the_limit_of_a_line_are_too_large() {
        for text in [
            "1000000000000000.000000001",
            "1.000000001P",
            "1Pi",
            "1E",
            "1Ei",
            "1e16",
            "1e99",
            "9999999999999999.9Ei",
        ] {
            assert_eq!(
                text.parse::<Quantity>(),
                Err(ParseQuantityError::TooLarge(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_thousand_full_lines_can_be_summed_and_nothing_more() {
        let total = Quantity::sum([Quantity::LINE_LIMIT; 1000]).expect("sum");
        assert_eq!(total, Quantity::TOTAL_LIMIT);
        assert_eq!(total.to_string(), "1000000000000000000");
        assert_eq!(total.checked_add(quantity("0.000000001n")), Err(AmountOverflow));
    }

    #[test]
    fn totals_that_no_quantity_displays_as_are_refused() {
        for text in
            ["", "1.0", "01", "+1", ".5", "1.", "1k", "-1", "1000000000000000000.1", "99999999999999999999"]
        {
            assert_eq!(Quantity::from_total(text), Err(ParseTotalError(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn display_honours_width() {
        assert_eq!(format!("{:>6}|{:<6}|", quantity("0.5"), quantity("12")), "   0.5|12    |");
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(nanos in 0..=10_u128.pow(24)) {
            let stated = Quantity(nanos.saturating_mul(10_u128.pow(9)));
            prop_assert_eq!(stated.to_string().parse::<Quantity>(), Ok(stated));
        }

        #[test]
        fn every_total_is_read_back(attos in 0..=Quantity::TOTAL_LIMIT.0) {
            prop_assert_eq!(Quantity::from_total(&Quantity(attos).to_string()), Ok(Quantity(attos)));
        }

        #[test]
        fn suffixes_equal_their_powers(whole in 0..900_u32, fraction in 0..1_000_000_000_u32) {
            let number = format!("{whole}.{fraction:09}");
            for (suffix, power) in [
                ("n", "e-9"), ("u", "e-6"), ("m", "e-3"), ("", "e0"), ("k", "e3"), ("M", "e6"), ("G", "e9"),
                ("T", "e12"),
            ] {
                let suffixed = quantity(&format!("{number}{suffix}"));
                prop_assert_eq!(suffixed, quantity(&format!("{number}{power}")));
                prop_assert_eq!(suffixed, quantity(&format!("+{number}{}", power.to_uppercase())));
            }
            let unit = quantity(&number).attos();
            for (suffix, factor) in [("Ki", 1_u128 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40)] {
                let suffixed = quantity(&format!("{number}{suffix}")).attos();
                prop_assert_eq!(Some(suffixed), unit.checked_mul(factor));
            }
        }

        #[test]
        fn every_text_of_the_grammar_is_read_or_too_large(
            text in r"\+?([0-9]{1,16}(\.[0-9]{0,9})?|\.[0-9]{1,9})(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE](\+?[0-9]{1,2}|-[0-9]))?"
        ) {
            match text.parse::<Quantity>() {
                Ok(read) => prop_assert!(read <= Quantity::LINE_LIMIT),
                Err(refused) => prop_assert_eq!(refused, ParseQuantityError::TooLarge(text)),
            }
        }

        #[test]
        fn no_text_panics(text in r"\PC*", near in r"[-+0-9.eEKMGTPinumk]{0,12}") {
            for text in [text, near] {
                if let Ok(read) = text.parse::<Quantity>() {
                    prop_assert!(read <= Quantity::LINE_LIMIT);
                }
                let _ = Quantity::from_total(&text);
            }
        }
    }
}
