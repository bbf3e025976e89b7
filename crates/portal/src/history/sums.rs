//! Sums over time: consumption by rate, and the balance at the end of each bucket.

use flashgate_ledger::{Credits, Quantity};
use jiff::Timestamp;

/// The usage of one rate over a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateSum {
    /// Node type.
    pub node_type: String,
    /// Operation.
    pub operation: String,
    /// Quantity used, in the unit of the operation.
    pub quantity: Quantity,
    /// Credits consumed.
    pub credits: Credits,
}

/// The balance at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalancePoint {
    /// The instant.
    pub time: Timestamp,
    /// Balance from then on.
    pub balance: Credits,
}
