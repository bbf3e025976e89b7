//! Times, windows and amounts, read from short texts.

use flashgate_ledger::Credits;
use flashgate_ledger::period::Window;
use jiff::Timestamp;

/// Seconds of an hour.
pub const HOUR: i64 = 3_600;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// Reads `2026-01-31`, `2026-01-31T10:00` or `2026-01-31T10:00:05`, with or without the `Z`, in UTC.
pub fn time(text: &str) -> Timestamp {
    let text = text.trim_end_matches('Z');
    let rest = match text.len() {
        10 => "T00:00:00Z",
        16 => ":00Z",
        _ => "Z",
    };
    format!("{text}{rest}").parse().expect("time")
}

/// Returns the time that is `second` seconds after 1970.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("time")
}

/// Reads an amount of credits or money.
pub fn credits(text: &str) -> Credits {
    text.parse().expect("amount")
}

/// Returns the window between two times.
pub fn window(start: &str, end: &str) -> Window {
    Window { start_time: time(start), end_time: time(end) }
}
