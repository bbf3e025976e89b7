//! The table of results by workload and family.

use std::collections::BTreeMap;
use std::fmt;

use crate::campaign::plans::Family;

/// The number of plans by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Plans that ended as expected.
    pub passed: usize,
    /// Plans whose fault did not occur.
    pub idle: usize,
    /// Plans with a violation.
    pub violated: usize,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.idle += other.idle;
        self.violated += other.violated;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { passed, violated: 0, .. } => write!(formatter, "{passed}"),
            Self { passed, violated, .. } => write!(formatter, "{passed}, **{violated} violated**"),
        }
    }
}

/// Counts by workload and family.
#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<String, BTreeMap<Family, Count>>,
}

impl Table {
    /// Counts a plan.
    pub fn count(&mut self, workload: &str, family: Family, count: Count) {
        self.rows.entry(workload.to_owned()).or_default().entry(family).or_default().add(count);
    }

    /// Returns the sum over all plans.
    pub fn total(&self) -> Count {
        sum(self.rows.values().flat_map(BTreeMap::values))
    }
}

fn sum<'c>(counts: impl Iterator<Item = &'c Count>) -> Count {
    counts.fold(Count::default(), |mut total, count| {
        total.add(*count);
        total
    })
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "| workload |")?;
        for family in Family::ALL {
            write!(formatter, " {family} |")?;
        }
        writeln!(formatter, " all |\n|---|{}", "---|".repeat(Family::ALL.len() + 1))?;
        for (workload, row) in &self.rows {
            write!(formatter, "| {workload} |")?;
            for family in Family::ALL {
                write!(formatter, " {} |", row.get(&family).copied().unwrap_or_default())?;
            }
            writeln!(formatter, " {} |", sum(row.values()))?;
        }
        write!(formatter, "| **all** |")?;
        for family in Family::ALL {
            let of_family = self.rows.values().filter_map(|row| row.get(&family));
            write!(formatter, " {} |", sum(of_family))?;
        }
        writeln!(formatter, " {} |", self.total())
    }
}
