//! The lines of a report: the usage of its series by rate and labels.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

/// Most lines of a report.
pub const MOST_LINES: usize = 1_000;

/// Fractional digits of a quantity. The rest stays in the reading of its series.
const DIGITS: u32 = 9;

/// Largest quantity of a line. A larger one becomes several lines.
const LARGEST: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);

/// Usage that lines have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Node type, such as `Public`.
    pub node_type: String,
    /// Operation, such as `TokensOut`.
    pub operation: String,
    /// Labels of the line.
    pub labels: BTreeMap<String, String>,
}

/// A line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Rate and labels.
    pub group: Group,
    /// Quantity, with at most 9 fractional digits.
    pub quantity: Decimal,
}

/// The part of a report that a series adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Quantity of the report, with at most 9 fractional digits.
    pub quantity: Decimal,
    /// The rest, below 10^-9, which stays in the reading.
    pub remainder: Decimal,
}

/// A quantity exceeds 28 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the usage of a series exceeds 28 digits: check the unit of the counter and the `multiplier` of the meter"
)]
pub struct QuantityOverflow;

/// Returns what a series adds to a report: its increment in units of the rate, and the remainder of its last reading.
///
/// # Errors
/// When the product has more than 28 digits.
pub fn share(increment: Decimal, multiplier: Decimal, remainder: Decimal) -> Result<Share, QuantityOverflow> {
    let exact = product(increment, multiplier)?.checked_add(remainder).ok_or(QuantityOverflow)?;
    let quantity = exact.trunc_with_scale(DIGITS);
    let remainder = exact.checked_sub(quantity).ok_or(QuantityOverflow)?;
    Ok(Share { quantity: quantity.normalize(), remainder: remainder.normalize() })
}

/// Multiplies exactly. `Decimal` rounds a product of more than 28 digits, which would lose usage silently.
fn product(increment: Decimal, multiplier: Decimal) -> Result<Decimal, QuantityOverflow> {
    let (increment, multiplier) = (increment.normalize(), multiplier.normalize());
    let scale = increment.scale().checked_add(multiplier.scale()).ok_or(QuantityOverflow)?;
    let mantissa = increment.mantissa().checked_mul(multiplier.mantissa()).ok_or(QuantityOverflow)?;
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| QuantityOverflow)
}

/// Returns the lines of a report: one for each group, without those of quantity 0. If there are more than [`MOST_LINES`],
/// the smallest are folded into a line without labels for each rate.
///
/// # Errors
/// When a sum has more than 28 digits.
pub fn lines(usage: impl IntoIterator<Item = (Group, Decimal)>) -> Result<Vec<Line>, QuantityOverflow> {
    let mut groups: BTreeMap<Group, Decimal> = BTreeMap::new();
    for (group, quantity) in usage {
        add(&mut groups, group, quantity)?;
    }
    groups.retain(|_, quantity| !quantity.is_zero());
    while count(&groups) > MOST_LINES {
        let Some(smallest) = smallest_labelled(&groups) else { break };
        let quantity = groups.remove(&smallest).unwrap_or_default();
        add(&mut groups, Group { labels: BTreeMap::new(), ..smallest }, quantity)?;
    }
    Ok(groups.into_iter().flat_map(|(group, quantity)| divided(group, quantity)).collect())
}

fn add(
    groups: &mut BTreeMap<Group, Decimal>,
    group: Group,
    quantity: Decimal,
) -> Result<(), QuantityOverflow> {
    let sum = groups.entry(group).or_default();
    *sum = sum.checked_add(quantity).ok_or(QuantityOverflow)?;
    Ok(())
}

/// Returns the number of lines that the groups become.
fn count(groups: &BTreeMap<Group, Decimal>) -> usize {
    groups.values().map(|quantity| parts(*quantity)).fold(0, usize::saturating_add)
}

/// Returns the number of lines that a quantity needs.
fn parts(quantity: Decimal) -> usize {
    let parts = quantity.checked_div(LARGEST).map(|parts| parts.ceil());
    parts.and_then(|parts| usize::try_from(parts).ok()).unwrap_or(usize::MAX).max(1)
}

fn smallest_labelled(groups: &BTreeMap<Group, Decimal>) -> Option<Group> {
    let labelled = groups.iter().filter(|(group, _)| !group.labels.is_empty());
    labelled.min_by_key(|(_, quantity)| **quantity).map(|(group, _)| group.clone())
}

/// Returns the lines of a group. Each has at most the largest quantity of a line.
fn divided(group: Group, quantity: Decimal) -> impl Iterator<Item = Line> {
    let mut left = quantity;
    std::iter::from_fn(move || {
        if left.is_zero() {
            return None;
        }
        let quantity = left.min(LARGEST);
        left = left.checked_sub(quantity)?;
        Some(Line { group: group.clone(), quantity: quantity.normalize() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).expect("decimal")
    }

    fn group(operation: &str, labels: &[(&str, &str)]) -> Group {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Group { node_type: "Public".to_owned(), operation: operation.to_owned(), labels }
    }

    #[test]
    fn the_rest_of_a_quantity_is_reported_with_a_later_window() {
        let first = share(decimal("1"), decimal("0.0000000004"), Decimal::ZERO).expect("a share");
        assert_eq!((first.quantity, first.remainder), (Decimal::ZERO, decimal("0.0000000004")));
        let second = share(decimal("2"), decimal("0.0000000004"), first.remainder).expect("a share");
        assert_eq!((second.quantity, second.remainder), (decimal("0.000000001"), decimal("0.0000000002")));
        let whole = share(decimal("1250"), decimal("1"), Decimal::ZERO).expect("a share");
        assert_eq!((whole.quantity, whole.remainder), (decimal("1250"), Decimal::ZERO));
    }

    #[test]
    fn a_product_that_would_be_rounded_is_an_error() {
        let exact = share(decimal("9007199254740993"), decimal("0.001"), Decimal::ZERO).expect("a share");
        assert_eq!(exact.quantity, decimal("9007199254740.993"));
        let digits = decimal("1.000000000000001");
        assert_eq!(share(digits, digits, Decimal::ZERO), Err(QuantityOverflow));
    }

    #[test]
    fn usage_of_one_group_is_one_line_and_nothing_is_no_line() {
        let small = group("TokensOut", &[("model", "small")]);
        let usage = [
            (small.clone(), decimal("10")),
            (group("TokensOut", &[]), decimal("0")),
            (small.clone(), decimal("0.5")),
        ];
        assert_eq!(lines(usage), Ok(vec![Line { group: small, quantity: decimal("10.5") }]));
    }

    #[test]
    fn a_quantity_above_the_largest_of_a_line_is_divided() {
        assert_eq!(LARGEST, Decimal::from(10_u64.pow(15)));
        let usage = [(group("TokensOut", &[]), decimal("2000000000000000.5"))];
        let quantities: Vec<Decimal> =
            lines(usage).expect("lines").into_iter().map(|line| line.quantity).collect();
        assert_eq!(quantities, [LARGEST, LARGEST, decimal("0.5")]);
    }

    #[test]
    fn beyond_1000_lines_the_smallest_become_a_line_without_labels_for_each_rate() {
        let usage = (0..1_200_u32).map(|number| {
            let operation = if number % 2 == 0 { "TokensOut" } else { "StorageEgress" };
            (group(operation, &[("model", &number.to_string())]), Decimal::from(number + 1))
        });
        let lines = lines(usage).expect("lines");
        assert_eq!(lines.len(), MOST_LINES);
        let sum: Decimal = lines.iter().map(|line| line.quantity).sum();
        assert_eq!(sum, Decimal::from(1_200 * 1_201 / 2));
        let unlabelled: Vec<&str> = lines
            .iter()
            .filter(|line| line.group.labels.is_empty())
            .map(|line| line.group.operation.as_str())
            .collect();
        assert_eq!(unlabelled, ["StorageEgress", "TokensOut"]);
        let kept = lines.iter().filter(|line| !line.group.labels.is_empty());
        assert_eq!(kept.map(|line| line.quantity).min(), Some(Decimal::from(203)));
    }
}
