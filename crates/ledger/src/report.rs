//! A report of usage, as the decision sees it (Laws 0 and 2).

use jiff::Timestamp;

use crate::period::{Window, seconds_between};
use crate::quantity::Quantity;

/// A UsageReport with its lines summed for each rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Creation of the object.
    pub arrival: Timestamp,
    /// Source of the usage.
    pub source: String,
    /// Time window of the usage.
    pub window: Window,
    /// Quantities, one for each (node type, operation) pair, in the order of their first lines.
    pub usage: Vec<UsageTotal>,
}

impl Report {
    /// Returns name and UID, which identify the object.
    #[must_use]
    pub fn identity(&self) -> (&str, &str) {
        (&self.name, &self.uid)
    }

    /// Returns when it takes effect, if it is not refused before: at the end of its window, or at its arrival
    /// if that is later (Law 0).
    #[must_use]
    pub fn effect_time(&self) -> Timestamp {
        self.window.end_time.max(self.arrival)
    }

    /// Returns the seconds from its arrival to the end of its window. The number is negative if the window
    /// ended before.
    #[must_use]
    pub fn lead_seconds(&self) -> i64 {
        seconds_between(self.arrival, self.window.end_time)
    }
}

/// The sum of a report's lines of one (node type, operation) pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageTotal {
    /// Node type.
    pub node_type: String,
    /// Operation.
    pub operation: String,
    /// Sum of the quantities.
    pub quantity: Quantity,
    /// Index of the first line of the pair.
    pub first_line: usize,
}
