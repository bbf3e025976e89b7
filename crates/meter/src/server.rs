//! A server that answers queries as Prometheus does.

use std::future::Future;

use jiff::{SignedDuration, Timestamp};

use crate::answer::{AnswerError, Labels, Series};
use crate::selector::Selector;

/// A server that answers queries as Prometheus does. Tests have one in memory.
pub trait Server: Send + Sync {
    /// Returns all samples later than `after` and not later than `until`. It may also return those of `after` itself.
    ///
    /// # Errors
    /// When the server does not answer, or refuses the query.
    fn samples(
        &self,
        selector: &Selector,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<Vec<Series>, AnswerError>> + Send;

    /// Returns the last sample of each series in the time `range` before `at`. The time of the sample is not known: it has
    /// the time `at`.
    ///
    /// # Errors
    /// When the server does not answer, or refuses the query.
    fn last(
        &self,
        selector: &Selector,
        range: SignedDuration,
        at: Timestamp,
    ) -> impl Future<Output = Result<Vec<Series>, AnswerError>> + Send;

    /// Returns the labels of the series that match one of the selectors and may have a sample in this time.
    ///
    /// # Errors
    /// When the server does not answer, or refuses the request.
    fn series(
        &self,
        selectors: &[Selector],
        from: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<Vec<Labels>, AnswerError>> + Send;

    /// Returns the time of the server at its last answer less the time of this machine then, in seconds.
    fn seconds_ahead(&self) -> Option<i64>;
}
