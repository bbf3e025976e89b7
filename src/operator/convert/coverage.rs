//! Charged windows and old order names, each as one text.

use std::fmt::Write as _;

use flashgate_ledger::coverage::SourceCoverage;
use flashgate_ledger::period::Window;
use flashgate_ledger::purchase::OrderName;
use jiff::Timestamp;

/// Digits of an order's name and of what it bought.
const NAME_DIGITS: usize = 16;
/// Digits of one order.
const ORDER_DIGITS: usize = 20;

/// Returns the charged windows of one source: the last charge, then the stretches in seconds since 1970.
pub(super) fn write_source(coverage: &SourceCoverage) -> String {
    let SourceCoverage { last_charge_time, stretches } = coverage;
    let mut text = format!("{last_charge_time}|");
    for (index, Window { start_time, end_time }) in stretches.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{}-{}", start_time.as_second(), end_time.as_second());
    }
    text
}

/// Reads what [`write_source`] wrote, or nothing where it did not write it.
pub(super) fn read_source(text: &str) -> Option<SourceCoverage> {
    let (last_charge_time, stretches) = text.split_once('|')?;
    let stretches = stretches.split(',').map(|stretch| {
        let (start, end) = stretch.split_once('-')?;
        let time = |second: &str| Timestamp::from_second(second.parse().ok()?).ok();
        Some(Window { start_time: time(start)?, end_time: time(end)? })
    });
    Some(SourceCoverage {
        last_charge_time: last_charge_time.parse().ok()?,
        stretches: stretches.collect::<Option<_>>()?,
    })
}

/// Returns the names of old orders, of fixed width, one after the other.
pub(super) fn write_order_names(names: &[OrderName]) -> String {
    let mut text = String::with_capacity(names.len().saturating_mul(ORDER_DIGITS));
    for OrderName { name, pack } in names {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name:016x}{pack:04x}");
    }
    text
}

/// Reads what [`write_order_names`] wrote, or nothing where it did not write it.
pub(super) fn read_order_names(text: &str) -> Option<Vec<OrderName>> {
    if !text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let orders = text.as_bytes().chunks(ORDER_DIGITS).map(|order| {
        let (name, pack) = str::from_utf8(order).ok()?.split_at_checked(NAME_DIGITS)?;
        let is_whole = order.len() == ORDER_DIGITS;
        let (name, pack) = (u64::from_str_radix(name, 16).ok()?, u16::from_str_radix(pack, 16).ok()?);
        is_whole.then_some(OrderName { name, pack })
    });
    orders.collect()
}
