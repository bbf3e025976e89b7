//! The API calls of the operator, as a narrow trait.
//!
//! An implementation makes no decisions. One implementation calls a real cluster. Others, for tests, lose
//! replies, answer late or crash between two calls.

pub mod clock;
pub mod kubernetes;
pub mod server_clock;
pub mod trimmed;

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use flashgate_api::AccountKey;
use flashgate_api::event::Event;
use flashgate_api::usage_meter::MeterReport;
use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind that the operator reads and writes.
pub trait Kind:
    Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
    + Clone
    + fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// True if the operator writes whole objects of this kind with their metadata, and not only their status.
    const IS_WRITTEN_WHOLE: bool = false;
}

impl Kind for Subscription {}
impl Kind for CreditPack {}
impl Kind for UsageReport {}
impl Kind for Payment {}
impl Kind for CreditAdjustment {}

impl Kind for CreditLedger {
    const IS_WRITTEN_WHOLE: bool = true;
}

/// A version of an object. A write that is bound to it fails if the object has another UID or resourceVersion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// The resourceVersion that was read.
    pub resource_version: String,
}

impl Version {
    /// Returns the version of `object`.
    pub fn of<K: Kind>(object: &K) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
        }
    }
}

/// A report with a verdict, as the sweep sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledReport {
    /// The object.
    pub version: Version,
    /// Time of the last write of its status.
    pub verdict_time: Timestamp,
    /// The metadata of a meter, if a meter created it.
    pub meter: Option<MeterReport>,
}

/// The position in a list of reports with a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Index of the current list. There is one list for each watched namespace, or one for all namespaces.
    pub list: usize,
    /// Continue token of the next page. Absent at the beginning.
    pub continue_token: Option<String>,
    /// Number of objects to request for the next page. 0 leaves the choice to the cluster.
    pub limit: u32,
}

/// A page of reports with a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettledReports {
    /// The reports.
    pub reports: Vec<SettledReport>,
    /// Position of the next page. Absent on the last page.
    pub next: Option<Cursor>,
}

/// An object that an Event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventObject {
    /// API version of its kind.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// The object. Its resourceVersion is not used.
    pub version: Version,
}

impl EventObject {
    /// Returns the object of kind `K` at `version`.
    #[must_use]
    pub fn new<K: Resource<DynamicType = ()>>(version: Version) -> Self {
        Self { api_version: K::api_version(&()).into_owned(), kind: K::kind(&()).into_owned(), version }
    }
}

/// The reason why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The object does not exist.
    #[error("{call}: not found")]
    NotFound {
        /// The call.
        call: String,
    },
    /// Another write was first, or the object exists already. A write that is sent twice can also get this
    /// error although the first one was committed.
    #[error("{call}: conflict: {message}")]
    Conflict {
        /// The call.
        call: String,
        /// Message of the server.
        message: String,
    },
    /// The server rejected the content of the call. The same call will fail again.
    #[error("{call}: refused with status {code}: {message}")]
    Refused {
        /// The call.
        call: String,
        /// HTTP status.
        code: u16,
        /// Message of the server.
        message: String,
    },
    /// The server is overloaded or failing. The call may have taken effect.
    #[error("{call}: unavailable with status {code}: {message}")]
    Unavailable {
        /// The call.
        call: String,
        /// HTTP status.
        code: u16,
        /// Message of the server.
        message: String,
        /// Time to wait, as the server requests.
        retry_after: Option<Duration>,
    },
    /// No reply came in time. The call may have taken effect.
    #[error("{call}: no reply within {} seconds", .limit.as_secs())]
    TimedOut {
        /// The call.
        call: String,
        /// The limit.
        limit: Duration,
    },
    /// The connection failed. The call may have taken effect.
    #[error("{call}: connection failed")]
    Transport {
        /// The call.
        call: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The reply cannot be decoded.
    #[error("{call}: reply cannot be read")]
    Decode {
        /// The call.
        call: String,
        /// The error.
        #[source]
        source: serde_json::Error,
    },
}

impl CallError {
    /// Returns true if the object does not exist.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Returns true if another write was first.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Returns the time to wait, as the server requests.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Converts the error "not found" to `None`.
///
/// # Errors
/// Returns any other error.
pub fn found<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The calls. Each has a time limit. None is retried, because the outcome of a write can be unknown.
pub trait Cluster: Send + Sync + 'static {
    /// Reads an object from the API server itself, not from a cache.
    fn fetch<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<K, CallError>> + Send;

    /// Creates the first version of a ledger.
    fn create_ledger(
        &self,
        ledger: &CreditLedger,
    ) -> impl Future<Output = Result<CreditLedger, CallError>> + Send;

    /// Replaces a ledger, if it still has the resourceVersion of `ledger`.
    fn replace_ledger(
        &self,
        ledger: &CreditLedger,
    ) -> impl Future<Output = Result<CreditLedger, CallError>> + Send;

    /// Replaces an object's status, if the object still has that version.
    fn replace_status<K: Kind, S: Serialize + Sync>(
        &self,
        version: &Version,
        status: &S,
    ) -> impl Future<Output = Result<K, CallError>> + Send;

    /// Deletes a report, if it still has that version.
    fn delete_report(&self, version: &Version) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Lists the metadata of the reports in `state`, one page from `cursor`. Pages are bounded in bytes. Each
    /// page shows the reports of about the time at which it is read.
    fn list_settled_reports(
        &self,
        state: &str,
        cursor: &Cursor,
    ) -> impl Future<Output = Result<SettledReports, CallError>> + Send;

    /// Returns the seconds by which the local clock is ahead of the clock of the cluster, computed from the
    /// last reply. Returns `None` before the first reply.
    fn clock_skew_seconds(&self) -> Option<i64>;

    /// Publishes an Event. It can be lost.
    fn publish(&self, event: &Event<EventObject>) -> impl Future<Output = Result<(), CallError>> + Send;
}
