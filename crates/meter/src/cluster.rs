//! The API calls of the meter.

use std::future::Future;

use flashgate_api::usage_meter::MeterReport;
use flashgate_api::{AccountKey, UsageReport};
use jiff::Timestamp;

/// A call that failed. A later one may succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {call}: {detail}")]
pub struct CallError {
    /// The call.
    pub call: String,
    /// The cause.
    pub detail: String,
}

/// The outcome of a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The object exists now.
    Created,
    /// An object with this name existed before.
    Existed,
}

/// The API calls of the meter. It has no other rights. Tests have a cluster in memory.
pub trait Cluster: Send + Sync {
    /// Lists the reports of the meters called `meter`, in a namespace or in all.
    ///
    /// # Errors
    /// When a call fails.
    fn reports(
        &self,
        meter: &str,
        namespace: Option<&str>,
    ) -> impl Future<Output = Result<Vec<MeterReport>, CallError>> + Send;

    /// Lists the rejected reports of the meters called `meter`, in a namespace or in all.
    ///
    /// # Errors
    /// When a call fails.
    fn rejected(
        &self,
        meter: &str,
        namespace: Option<&str>,
    ) -> impl Future<Output = Result<Vec<UsageReport>, CallError>> + Send;

    /// Reads a report, if it exists.
    ///
    /// # Errors
    /// When the call fails.
    fn report(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<UsageReport>, CallError>> + Send;

    /// Creates a report.
    ///
    /// # Errors
    /// When the call fails. The report may exist nevertheless.
    fn create(&self, report: &UsageReport) -> impl Future<Output = Result<Creation, CallError>> + Send;

    /// Returns the end of the last charged window of a source, from the ledger of an account.
    ///
    /// # Errors
    /// When the call fails.
    fn covered_until(
        &self,
        account: &AccountKey,
        source: &str,
    ) -> impl Future<Output = Result<Option<Timestamp>, CallError>> + Send;
}
