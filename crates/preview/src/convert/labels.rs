//! The labels of a report: its usage by rate and labels, for the history.

use std::collections::BTreeMap;

use flashgate_api::UsageReport;
use flashgate_ledger::Quantity;
use flashgate_ledger::ledger::RatedUsage;

use super::ConvertError;
use super::facts::{Summed, summed};

/// Usage of one node type and operation with the same labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelGroup {
    /// Node type.
    pub node_type: String,
    /// Operation.
    pub operation: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Sum of the quantities.
    pub quantity: Quantity,
}

/// The usage of a report by node type, operation and labels, in the order of the first lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelGroups(Vec<LabelGroup>);

impl LabelGroups {
    /// Returns the groups of the rate of `line`.
    pub fn of(&self, line: &RatedUsage) -> impl Iterator<Item = &LabelGroup> {
        self.0.iter().filter(|group| group.node_type == line.node_type && group.operation == line.operation)
    }

    /// Returns an estimate of its size in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let sizes = self.0.iter().map(|group| {
            let labels = group.labels.iter().map(|(name, value)| name.len().saturating_add(value.len()));
            let texts = group.node_type.len().saturating_add(group.operation.len());
            labels.sum::<usize>().saturating_add(texts).saturating_add(GROUP_BYTES)
        });
        sizes.sum()
    }
}

/// Size of a group in memory without its texts, in bytes.
const GROUP_BYTES: usize = 200;

/// Returns the usage of `report` by rate and labels.
///
/// # Errors
/// When a quantity has no valid form, or when a sum is too large.
pub fn label_groups(report: &UsageReport) -> Result<LabelGroups, ConvertError> {
    let summed =
        summed(&report.spec.usage, usize::MAX, |line| (&line.node_type, &line.operation, &line.labels))?;
    let groups = summed.into_iter().map(|Summed { line, quantity, .. }| LabelGroup {
        node_type: line.node_type.clone(),
        operation: line.operation.clone(),
        labels: line.labels.clone(),
        quantity,
    });
    Ok(LabelGroups(groups.collect()))
}
