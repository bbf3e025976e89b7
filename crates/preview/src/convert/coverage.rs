//! Charged windows and old order names, each encoded as one text.

use std::fmt::Write as _;

use flashgate_ledger::coverage::SourceCoverage;
use flashgate_ledger::period::Window;
use flashgate_ledger::purchase::OrderName;
use jiff::Timestamp;

/// Digits of an order's name.
const NAME_DIGITS: usize = 16;
/// Digits of one order.
const ORDER_DIGITS: usize = 20;

/// Returns the charged windows of one source as text: the last charge, then the stretches, in seconds since
/// 1970. If there are closed gaps, they follow, with the second before which closed gaps are no longer
/// recorded.
pub(super) fn write_source(coverage: &SourceCoverage) -> String {
    let SourceCoverage { last_charge_time, stretches, closed_gaps, blurred_before_time } = coverage;
    let mut text = format!("{last_charge_time}|");
    write_windows(&mut text, stretches);
    if !closed_gaps.is_empty() || blurred_before_time.is_some() {
        text.push('|');
        write_windows(&mut text, closed_gaps);
    }
    if let Some(blurred) = blurred_before_time {
        // Writing to a String cannot fail.
        let _ = write!(text, "|{}", blurred.as_second());
    }
    text
}

fn write_windows(text: &mut String, windows: &[Window]) {
    for (index, Window { start_time, end_time }) in windows.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{}-{}", start_time.as_second(), end_time.as_second());
    }
}

/// Parses a text of [`write_source`]. Returns `None` for any other text.
pub(super) fn read_source(text: &str) -> Option<SourceCoverage> {
    let mut parts = text.split('|');
    let (last_charge_time, stretches) = (parts.next()?, parts.next()?);
    let closed_gaps = parts.next().filter(|gaps| !gaps.is_empty());
    let blurred = parts.next();
    if parts.next().is_some() {
        return None;
    }
    Some(SourceCoverage {
        last_charge_time: last_charge_time.parse().ok()?,
        stretches: read_windows(stretches)?,
        closed_gaps: closed_gaps.map_or(Some(Vec::new()), read_windows)?,
        blurred_before_time: blurred.map_or(Some(None), |second| read_second(second).map(Some))?,
    })
}

fn read_windows(text: &str) -> Option<Vec<Window>> {
    let windows = text.split(',').map(|window| {
        let (start, end) = window.split_once('-')?;
        Some(Window { start_time: read_second(start)?, end_time: read_second(end)? })
    });
    windows.collect()
}

fn read_second(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.parse().ok()?).ok()
}

/// Returns the names of old orders as one text, each with a fixed number of digits.
pub(super) fn write_order_names(names: &[OrderName]) -> String {
    let mut text = String::with_capacity(names.len().saturating_mul(ORDER_DIGITS));
    for OrderName { name, pack } in names {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name:016x}{pack:04x}");
    }
    text
}

/// Parses a text of [`write_order_names`]. Returns `None` for any other text.
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
