//! Queries of a history.

use jiff::Timestamp;
use utoipa::ToSchema;

/// The direction of transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Direction {
    /// Credits that arrived.
    In,
    /// Credits that were consumed.
    Out,
    /// Both.
    #[default]
    All,
}

/// The transactions to return.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionQuery {
    /// Their direction.
    pub direction: Direction,
    /// First instant.
    pub from: Option<Timestamp>,
    /// Last instant.
    pub to: Option<Timestamp>,
    /// Value of the label `repo`, which only consumption has.
    pub repo: Option<String>,
    /// Transactions to skip.
    pub offset: u64,
    /// Most transactions to return.
    pub limit: u32,
}

impl TransactionQuery {
    /// Returns whether transactions of these credits are requested.
    #[must_use]
    pub fn has_direction(&self, is_consumption: bool) -> bool {
        match self.direction {
            Direction::In => !is_consumption && self.repo.is_none(),
            Direction::Out => is_consumption,
            Direction::All => is_consumption || self.repo.is_none(),
        }
    }

    /// Returns whether an instant is in the requested time.
    #[must_use]
    pub fn has_time(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time <= to)
    }
}

/// A property of usage by which it is grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// The value of a label. Usage without the label is left out.
    Label(String),
    /// The rate. Its group is the node type, `/` and the operation, such as `Public/StorageEgress`.
    Rate,
}

/// The consumption to add up, in buckets of equal length from `start`. A bucket includes its end and excludes its
/// start, like the statement of a period (Law 22).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// Start of the first bucket.
    pub start: Timestamp,
    /// Length of a bucket in seconds; above zero.
    pub bucket_seconds: i64,
    /// Number of buckets.
    pub buckets: usize,
    /// Labels with the values that usage must have.
    pub labels: Vec<(String, String)>,
    /// The groups of usage, if it is grouped.
    pub group_by: Option<Grouping>,
}

impl UsageQuery {
    /// Returns the end of the last bucket, in seconds since 1970.
    #[must_use]
    pub fn end_second(&self) -> i64 {
        let buckets = i64::try_from(self.buckets).unwrap_or(i64::MAX);
        self.start.as_second().saturating_add(self.bucket_seconds.saturating_mul(buckets))
    }

    /// Returns the index of the bucket that contains a second, if there is one.
    #[must_use]
    pub fn bucket(&self, second: i64) -> Option<usize> {
        let after = second.checked_sub(self.start.as_second())?;
        let index = after.checked_sub(1)?.checked_div_euclid(self.bucket_seconds)?;
        usize::try_from(index).ok().filter(|index| *index < self.buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_includes_its_end_and_excludes_its_start() {
        let query = UsageQuery {
            start: Timestamp::from_second(100).expect("time"),
            bucket_seconds: 10,
            buckets: 3,
            labels: Vec::new(),
            group_by: None,
        };
        assert_eq!(query.end_second(), 130);
        let found = [99, 100, 101, 110, 111, 130, 131].map(|second| query.bucket(second));
        assert_eq!(found, [None, None, Some(0), Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn only_consumption_has_labels() {
        let query = |direction, repo: Option<&str>| TransactionQuery {
            direction,
            repo: repo.map(str::to_owned),
            ..TransactionQuery::default()
        };
        let both = |query: &TransactionQuery| (query.has_direction(true), query.has_direction(false));
        assert_eq!(both(&query(Direction::All, None)), (true, true));
        assert_eq!(both(&query(Direction::In, None)), (false, true));
        assert_eq!(both(&query(Direction::Out, None)), (true, false));
        assert_eq!(both(&query(Direction::All, Some("media"))), (true, false));
        assert_eq!(both(&query(Direction::In, Some("media"))), (false, false));
    }
}
