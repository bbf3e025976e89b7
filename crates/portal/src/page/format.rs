//! Amounts and times as people read them.

use flashgate_ledger::Credits;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::money::exponent;

/// Returns credits with thousands separators and without trailing zeros, such as `9,382.5` or `-30`.
pub(crate) fn credits(amount: Credits) -> String {
    grouped(&amount.to_string())
}

/// Returns a change of credits with its sign, such as `+1,100` or `-30`.
pub(crate) fn signed(amount: Credits) -> String {
    let sign = if amount.is_positive() { "+" } else { "" };
    format!("{sign}{}", credits(amount))
}

/// Returns money with the decimals of its currency, such as `1,000.00 USD`. More decimals are kept.
pub(crate) fn money(amount: Credits, currency: &str) -> String {
    let least = usize::try_from(exponent(currency)).unwrap_or_default();
    let text = grouped(&amount.to_string());
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    if decimals.is_empty() && least == 0 {
        return format!("{whole} {currency}");
    }
    format!("{whole}.{decimals:0<least$} {currency}")
}

/// Returns a price: `Free`, or the money.
pub(crate) fn price(amount: Credits, currency: &str) -> String {
    if amount.is_zero() { "Free".to_owned() } else { money(amount, currency) }
}

/// Returns a plain decimal with a comma after each three digits of its whole part.
pub(crate) fn grouped(plain: &str) -> String {
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain), |digits| ("-", digits));
    let (whole, decimals) =
        digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let mut text = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(decimals) = decimals {
        text.push('.');
        text.push_str(decimals);
    }
    text
}

/// Returns a time to the minute, such as `31 Jan 2026, 10:00 UTC`.
pub(crate) fn time_text(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M UTC").to_string()
}

/// Returns the day of a time, such as `31 Jan 2026`.
pub(crate) fn day_text(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%-d %b %Y").to_string()
}

/// Returns a time to the minute, with the exact time for programs.
pub(crate) fn time(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (time_text(time)) } }
}

/// Returns the day of a time, with the exact time for programs.
pub(crate) fn day(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (day_text(time)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Credits {
        text.parse().expect("amount")
    }

    #[test]
    fn credits_have_separators_and_all_their_digits() {
        for (plain, shown) in [
            ("0", "0"),
            ("40", "40"),
            ("999", "999"),
            ("1100", "1,100"),
            ("9382.5", "9,382.5"),
            ("-30", "-30"),
            ("-130000", "-130,000"),
            ("1125000.000000001", "1,125,000.000000001"),
        ] {
            assert_eq!(credits(amount(plain)), shown);
        }
        assert_eq!(
            (signed(amount("1100")), signed(amount("-30")), signed(amount("0"))),
            ("+1,100".to_owned(), "-30".to_owned(), "0".to_owned())
        );
    }

    #[test]
    fn money_has_the_decimals_of_its_currency() {
        for (plain, currency, shown) in [
            ("1000", "USD", "1,000.00 USD"),
            ("19.9", "USD", "19.90 USD"),
            ("19.999", "USD", "19.999 USD"),
            ("1000", "JPY", "1,000 JPY"),
            ("0.5", "JPY", "0.5 JPY"),
            ("1.2", "KWD", "1.200 KWD"),
            ("-5", "EUR", "-5.00 EUR"),
        ] {
            assert_eq!(money(amount(plain), currency), shown);
        }
        assert_eq!(price(amount("0"), "USD"), "Free");
    }

    #[test]
    fn a_time_is_in_utc_and_has_its_exact_form() {
        let instant: Timestamp = "2026-01-31T12:00:30+02:00".parse().expect("time");
        let expected = "<time datetime=\"2026-01-31T10:00:30Z\">31 Jan 2026, 10:00 UTC</time>";
        assert_eq!(time(instant).into_string(), expected);
        assert_eq!(day_text(instant), "31 Jan 2026");
    }
}
