//! The balance of an account, as compact as it is exact.

use std::fmt;
use std::str::FromStr;

/// Decimals of a credit.
const DECIMALS: usize = 9;

/// Billionths in one credit.
const ONE: i128 = 1_000_000_000;

/// Billionths in one credit, without a sign.
const ONE_UNSIGNED: u64 = 1_000_000_000;

/// Most digits before the decimal point. The product with [`ONE`] then fits.
const WHOLE_DIGITS: usize = 24;

/// Credits, in billionths of a credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance(pub i128);

/// A text that is no decimal number with at most 9 decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a decimal number with at most 9 decimals, such as '-3.5'")]
pub struct NotADecimal;

impl FromStr for Balance {
    type Err = NotADecimal;

    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole, WHOLE_DIGITS) || !is_number(decimals, DECIMALS) {
            return Err(NotADecimal);
        }
        let number = |text: &str| text.parse::<i128>().map_err(|_| NotADecimal);
        let amount = number(whole)? * ONE + number(&format!("{decimals:0<DECIMALS$}"))?;
        Ok(Self(if is_negative { -amount } else { amount }))
    }
}

impl Balance {
    /// Returns the balance as a decimal number without zeros at its end. A balance is part of each answer, so this avoids
    /// divisions of 128 bits and the general formatting of numbers.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = String::with_capacity(24);
        if self.0 < 0 {
            text.push('-');
        }
        let amount = self.0.unsigned_abs();
        let (whole, mut decimals) = if let Ok(amount) = u64::try_from(amount) {
            (u128::from(amount / ONE_UNSIGNED), amount % ONE_UNSIGNED)
        } else {
            let one = u128::from(ONE_UNSIGNED);
            (amount / one, u64::try_from(amount % one).unwrap_or_default())
        };
        match u64::try_from(whole) {
            Ok(whole) => push_digits(&mut text, whole),
            Err(_) => text.push_str(&whole.to_string()),
        }
        if decimals != 0 {
            text.push('.');
        }
        let mut unit = ONE_UNSIGNED;
        while decimals != 0 {
            unit /= 10;
            text.push(digit(decimals / unit));
            decimals %= unit;
        }
        text
    }
}

fn push_digits(text: &mut String, number: u64) {
    let mut unit = 1;
    while number / unit >= 10 {
        unit *= 10;
    }
    while unit > 0 {
        text.push(digit(number / unit % 10));
        unit /= 10;
    }
}

fn digit(digit: u64) -> char {
    u8::try_from(digit).map_or('0', |digit| char::from(b'0' + digit))
}

impl fmt::Display for Balance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_is_read_and_written_exactly() {
        for text in [
            "0",
            "12.5",
            "-3.5",
            "-0.000000001",
            "9",
            "10",
            "100000000.00000001",
            "18446744073709551615",
            "18446744073.709551616",
            "1000000000000.123456789",
            "-999999999999999999999999",
        ] {
            assert_eq!(text.parse::<Balance>().expect(text).to_string(), text);
        }
        for (text, canonical) in [("-0", "0"), ("5.0", "5"), ("007.250", "7.25"), ("0.10", "0.1")] {
            assert_eq!(text.parse::<Balance>().expect(text).to_string(), canonical);
        }
    }

    #[test]
    fn other_texts_are_no_balance() {
        for text in
            ["", "-", ".5", "5.", "1e3", "+1", "1,5", "--1", "0.1234567890", "NaN", " 1", "1 ", "1.-5"]
        {
            assert_eq!(text.parse::<Balance>(), Err(NotADecimal), "{text:?}");
        }
        assert_eq!("9".repeat(25).parse::<Balance>(), Err(NotADecimal));
    }
}
