//! Unquoted YAML values as `kubectl` reads them. It follows YAML 1.1, where `yes` is true and `0777` is octal.

use serde_json::{Number, Value};

/// Words that mean true, false and null in YAML 1.1.
const TRUE: [&str; 11] = ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"];
const FALSE: [&str; 11] = ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"];
const NULL: [&str; 5] = ["", "~", "null", "Null", "NULL"];
/// Words for YAML numbers that JSON cannot represent.
const NOT_FINITE: [&str; 12] =
    [".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"];

/// The error that an unquoted value is a number that JSON cannot represent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotFinite;

/// Returns the value of the unquoted `text`.
pub(super) fn resolve(text: &str) -> Result<Value, NotFinite> {
    if TRUE.contains(&text) {
        return Ok(Value::Bool(true));
    }
    if FALSE.contains(&text) {
        return Ok(Value::Bool(false));
    }
    if NULL.contains(&text) {
        return Ok(Value::Null);
    }
    if NOT_FINITE.contains(&text) {
        return Err(NotFinite);
    }
    let may_be_number =
        text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'));
    let number = may_be_number.then(|| number(text)).flatten();
    Ok(number.unwrap_or_else(|| text.into()))
}

/// Returns the value of an octal number whose digits would be another number in decimal.
pub(super) fn surprising_octal(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.strip_prefix('0').filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (octal, decimal) = (integer(text)?, digits.parse().unwrap_or(0));
    (octal.unsigned_abs() != decimal).then(|| i64::try_from(octal).ok()).flatten()
}

/// Returns a float as the API server stores it. A whole number becomes an integer.
pub(super) fn float(number: f64) -> Option<Number> {
    if number.fract() == 0.0
        && let Ok(whole) = format!("{number:.0}").parse::<i64>()
    {
        return Some(whole.into());
    }
    Number::from_f64(number)
}

fn number(text: &str) -> Option<Value> {
    if text.starts_with('.') {
        return decimal(text).map(Value::Number);
    }
    let plain = text.replace('_', "");
    match integer(&plain) {
        // The API server has no integers beyond 64 bits. kubectl sends them as floats.
        Some(whole) => match i64::try_from(whole) {
            Ok(whole) => Some(whole.into()),
            Err(_) => decimal(&whole.to_string()).map(Value::Number),
        },
        None => decimal(&plain).map(Value::Number),
    }
}

/// Returns an integer from -2^63 to 2^64 - 1, with the prefixes of YAML 1.1.
fn integer(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = unsigned.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)];
    let (digits, radix) = prefixed
        .iter()
        .find_map(|(prefix, radix)| lower.strip_prefix(prefix).map(|digits| (digits, *radix)))
        .or_else(|| lower.strip_prefix('0').filter(|rest| !rest.is_empty()).map(|digits| (digits, 8)))
        .unwrap_or((&lower, 10));
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let whole = magnitude * sign;
    (whole >= i128::from(i64::MIN)).then_some(whole)
}

/// Returns a decimal number with a point or an exponent. Returns `None` for any other text.
fn decimal(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_decimal = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && unsigned.bytes().any(|byte| byte.is_ascii_digit())
        && unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let number = is_decimal.then(|| text.parse::<f64>().ok()).flatten()?;
    float(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unquoted_values_are_what_kubectl_sends() {
        let expected = [
            ("0777", json!(511)),
            ("-010", json!(-8)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("+5", json!(5)),
            ("0888", json!(888)),
            ("00", json!(0)),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("5.", json!(5)),
            ("1e400", json!("1e400")),
            ("12G", json!("12G")),
            ("1e", json!("1e")),
            ("-", json!("-")),
            (".", json!(".")),
            ("0x", json!("0x")),
            ("9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
            ("9223372036854775808", json!(9_223_372_036_854_775_808_f64)),
            (
                "340282366920938463463374607431768211456",
                json!(340_282_366_920_938_463_463_374_607_431_768_211_456_f64),
            ),
            ("2026-01-31", json!("2026-01-31")),
            ("yes", json!(true)),
            ("off", json!(false)),
            ("~", json!(null)),
            ("none", json!("none")),
        ];
        for (text, value) in expected {
            assert_eq!(resolve(text), Ok(value), "{text}");
        }
        assert_eq!(resolve(".inf"), Err(NotFinite));
    }

    #[test]
    fn only_octal_numbers_that_read_differently_are_surprising() {
        assert_eq!(surprising_octal("0777"), Some(511));
        for text in ["07", "0", "00", "0888", "777", "0x1F", "text"] {
            assert_eq!(surprising_octal(text), None, "{text}");
        }
    }
}
