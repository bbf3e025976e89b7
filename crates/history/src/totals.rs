//! Lifetime sums of an account, computed from its entries.

use flashgate_ledger::Credits;
use flashgate_ledger::credits::AmountOverflow;
use flashgate_ledger::ledger::Totals;
use serde_json::{Value, json};

use crate::error::StoreError;
use crate::record::EntryRecord;

/// Returns the sums after `entry`, from the sums before it.
///
/// # Errors
/// Returns an error if a sum exceeds the exact range.
pub fn after(mut totals: Totals, entry: &EntryRecord) -> Result<Totals, AmountOverflow> {
    totals.add(&entry.kind, amount(entry), entry.credits)?;
    Ok(totals)
}

/// Returns `detail.amount` of an entry, or zero if it has none.
#[must_use]
pub(crate) fn amount(entry: &EntryRecord) -> Credits {
    entry.detail.get("amount").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Returns sums as JSON, with amounts as decimals in text.
#[must_use]
pub fn to_json(totals: &Totals) -> Value {
    let Totals { granted, purchased, adjusted, consumed, expired, refunded } = totals;
    json!({
        "granted": granted, "purchased": purchased, "adjusted": adjusted,
        "consumed": consumed, "expired": expired, "refunded": refunded,
    })
}

/// Returns the sums that [`to_json`] wrote.
pub(crate) fn from_json(text: &str) -> Result<Totals, StoreError> {
    let corrupt = |problem: String| StoreError::Corrupt { column: "totals", problem };
    let value: Value = serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
    let sum = |key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.and_then(|text| text.parse().ok()).ok_or_else(|| corrupt(format!("{key} is missing in {value}")))
    };
    Ok(Totals {
        granted: sum("granted")?,
        purchased: sum("purchased")?,
        adjusted: sum("adjusted")?,
        consumed: sum("consumed")?,
        expired: sum("expired")?,
        refunded: sum("refunded")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, amount: &str, credits: &str) -> EntryRecord {
        EntryRecord {
            number: 1,
            sequence: 1,
            index: 0,
            time: jiff::Timestamp::UNIX_EPOCH,
            kind: kind.to_owned(),
            credits: credits.parse().expect("amount"),
            balance: Credits::ZERO,
            detail: json!({ "amount": amount }),
            hash: String::new(),
        }
    }

    #[test]
    fn late_usage_of_expired_credits_lowers_the_expired_sum() {
        let entries = [
            entry("Granted", "100", "100"),
            entry("Purchased", "50", "50"),
            entry("Adjusted", "5", "5"),
            entry("Charged", "30", "-30"),
            entry("Expired", "70", "-70"),
            entry("Charged", "10", "0"),
            entry("Refunded", "20", "-20"),
            entry("SettlementClosed", "60", "0"),
            entry("Invoiced", "12", "0"),
        ];
        let totals = entries.iter().try_fold(Totals::default(), after).expect("totals");
        let expected = json!({
            "granted": "100", "purchased": "50", "adjusted": "5", "consumed": "40", "expired": "60", "refunded": "20",
        });
        assert_eq!(to_json(&totals), expected);
        assert_eq!(from_json(&expected.to_string()).expect("totals"), totals);
    }
}
