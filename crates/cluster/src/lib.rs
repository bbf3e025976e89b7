//! The few API calls that the operator makes, as a narrow trait.
//!
//! What decides is elsewhere; what implements this chooses nothing. The real cluster is one implementation;
//! another can lose replies, answer late or crash between any two calls.

pub mod clock;
pub mod kubernetes;
pub mod server_clock;
pub mod trimmed;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use flashgate_api::event::Event;
use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The identity of an account: the namespace and name of its Subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// Namespace.
    pub namespace: String,
    /// Name of the Subscription.
    pub name: String,
}

impl fmt::Display for AccountKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// A kind of this product, as the operator reads and writes it.
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
    /// Whether the operator writes whole objects of this kind, metadata included, and not only their status.
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

/// An object at one version, to which a write is bound: another UID or a later version refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Namespace of the object.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version that was read.
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

/// A report that has its verdict, as the sweep sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledReport {
    /// The object.
    pub version: Version,
    /// When its status was written last.
    pub verdict_time: Timestamp,
}

/// Where a list of reports that have their verdict goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Which of the lists that make it up: one for each namespace that is watched, or one for all.
    pub list: usize,
    /// Continue token of the next page; nothing at the beginning.
    pub continue_token: Option<String>,
    /// How many objects the next page is asked to have; the cluster's own choice when 0.
    pub limit: u32,
}

/// A page of reports that have their verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettledReports {
    /// The reports.
    pub reports: Vec<SettledReport>,
    /// Where the next page begins; nothing on the last one.
    pub next: Option<Cursor>,
}

/// An object that an Event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventObject {
    /// API version of its kind.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// The object; its resource version is not used.
    pub version: Version,
}

impl EventObject {
    /// Returns the object of kind `K` at `version`.
    #[must_use]
    pub fn new<K: Resource<DynamicType = ()>>(version: Version) -> Self {
        Self { api_version: K::api_version(&()).into_owned(), kind: K::kind(&()).into_owned(), version }
    }
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The object is not there.
    #[error("{call}: not found")]
    NotFound {
        /// The call.
        call: String,
    },
    /// Something else was written first, or the object exists already; also what a re-sent write that had already
    /// been committed gets.
    #[error("{call}: conflict: {message}")]
    Conflict {
        /// The call.
        call: String,
        /// What the server said.
        message: String,
    },
    /// The server refused the call for what it says; the same again will be refused again.
    #[error("{call}: refused with status {code}: {message}")]
    Refused {
        /// The call.
        call: String,
        /// HTTP status.
        code: u16,
        /// What the server said.
        message: String,
    },
    /// The server is overloaded or unwell; the call may or may not have taken effect.
    #[error("{call}: unavailable with status {code}: {message}")]
    Unavailable {
        /// The call.
        call: String,
        /// HTTP status.
        code: u16,
        /// What the server said.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// No reply came in time; the call may or may not have taken effect.
    #[error("{call}: no reply within {} seconds", .limit.as_secs())]
    TimedOut {
        /// The call.
        call: String,
        /// The limit.
        limit: Duration,
    },
    /// The connection failed; the call may or may not have taken effect.
    #[error("{call}: connection failed")]
    Transport {
        /// The call.
        call: String,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The reply is not what was asked for.
    #[error("{call}: reply cannot be read")]
    Decode {
        /// The call.
        call: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl CallError {
    /// Returns whether the object was not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Returns whether something else was written first.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Returns how long the server asks to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Turns "not found" into nothing.
///
/// # Errors
/// When the call failed otherwise.
pub fn found<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The calls. Each has a time limit; none is repeated by itself, since a write's outcome may be unknown.
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

    /// Replaces a ledger, if it still has the resource version that `ledger` carries.
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

    /// Lists the metadata of the reports in `state`, one page from `cursor` on. Pages are bounded in bytes, and show the
    /// reports of about the time at which each is read.
    fn list_settled_reports(
        &self,
        state: &str,
        cursor: &Cursor,
    ) -> impl Future<Output = Result<SettledReports, CallError>> + Send;

    /// Returns by how many seconds the local clock is ahead of the cluster's, calculated from the last reply; nothing
    /// before the first.
    fn clock_skew_seconds(&self) -> Option<i64>;

    /// Publishes an Event, which may be lost.
    fn publish(&self, event: &Event<EventObject>) -> impl Future<Output = Result<(), CallError>> + Send;
}
