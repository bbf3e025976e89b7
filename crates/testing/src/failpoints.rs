//! Failpoints: they stop or kill the process before or after a chosen call of the API server or of the history store.
//! They test crashes and unknown outcomes.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flashgate_api::CreditLedger;
use flashgate_api::event::Event;
use flashgate_cluster::{CallError, Cluster, Cursor, EventObject, Kind, SettledReports, Version};
use serde::Serialize;

/// Interval at which a paused call checks if it may continue.
const LOOK: Duration = Duration::from_millis(20);

/// An action at a moment of a call: `CALL#NTH@MOMENT=ACTION`, such as
/// `replace-status/UsageReport#1@before=pause:/tmp/go` or `replace-ledger#3@after=kill`.
#[derive(Clone, Debug)]
pub struct Failpoint {
    call: String,
    nth: u64,
    moment: Moment,
    action: Action,
    seen: Arc<AtomicU64>,
}

/// A moment of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

/// The action of a failpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// The process ends immediately, as by SIGKILL.
    Kill,
    /// The reply is lost: the caller gets the error for a missing reply.
    Lose,
    /// The call waits until this file exists. A file with the same name and `.reached` shows that it waits.
    Pause(PathBuf),
}

/// The error for a text that is not a failpoint.
#[derive(Debug, thiserror::Error)]
#[error(
    "'{0}' is not a failpoint: must be CALL#NTH@MOMENT=ACTION, with MOMENT 'before' or 'after' and ACTION 'kill', \
     'lose' (only after) or 'pause:FILE'"
)]
pub struct ParseFailpointError(String);

impl FromStr for Failpoint {
    type Err = ParseFailpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseFailpointError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Failpoint> {
    let (place, action) = text.split_once('=')?;
    let (call, moment) = place.split_once('@')?;
    let (call, nth) = call.split_once('#')?;
    let moment = match moment {
        "before" => Moment::Before,
        "after" => Moment::After,
        _ => return None,
    };
    let action = match (action, action.strip_prefix("pause:")) {
        ("kill", _) => Action::Kill,
        ("lose", _) if moment == Moment::After => Action::Lose,
        (_, Some(file)) => Action::Pause(file.into()),
        _ => return None,
    };
    Some(Failpoint { call: call.to_owned(), nth: nth.parse().ok()?, moment, action, seen: Arc::default() })
}

/// The failpoints of a process.
#[derive(Clone, Debug, Default)]
pub struct Failpoints(Vec<Failpoint>);

impl From<Vec<Failpoint>> for Failpoints {
    fn from(failpoints: Vec<Failpoint>) -> Self {
        Self(failpoints)
    }
}

impl Failpoints {
    /// Runs the call named `call`, with the failpoints that are due. `lost` returns the error for a reply that is lost.
    ///
    /// # Errors
    /// As the call, or the error for a reply that is lost.
    pub async fn around<T, E>(
        &self,
        call: &str,
        exchange: impl Future<Output = Result<T, E>> + Send,
        lost: impl FnOnce() -> E + Send,
    ) -> Result<T, E> {
        let due: Vec<&Failpoint> = self
            .0
            .iter()
            .filter(|failpoint| failpoint.call == call)
            .filter(|failpoint| failpoint.seen.fetch_add(1, Ordering::Relaxed) + 1 == failpoint.nth)
            .collect();
        for failpoint in due.iter().filter(|failpoint| failpoint.moment == Moment::Before) {
            reach(&failpoint.action).await;
        }
        let result = exchange.await;
        let after = || due.iter().filter(|failpoint| failpoint.moment == Moment::After);
        for failpoint in after() {
            reach(&failpoint.action).await;
        }
        if after().any(|failpoint| failpoint.action == Action::Lose) { Err(lost()) } else { result }
    }
}

/// A cluster with failpoints.
pub struct Failing<C> {
    inner: C,
    failpoints: Failpoints,
}

impl<C: Cluster> Failing<C> {
    /// Returns `inner` with `failpoints`.
    pub const fn new(inner: C, failpoints: Failpoints) -> Self {
        Self { inner, failpoints }
    }

    async fn with<T: Send>(
        &self,
        call: String,
        exchange: impl Future<Output = Result<T, CallError>> + Send,
    ) -> Result<T, CallError> {
        let lost = || CallError::TimedOut { call: call.clone(), limit: Duration::ZERO };
        self.failpoints.around(&call, exchange, lost).await
    }
}

async fn reach(action: &Action) {
    match action {
        Action::Lose => {}
        Action::Kill => std::process::abort(),
        Action::Pause(file) => {
            let mut reached = file.clone().into_os_string();
            reached.push(".reached");
            if let Err(error) = std::fs::write(&reached, "") {
                tracing::error!(%error, "cannot say that the failpoint was reached");
            }
            while !file.exists() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

impl<C: Cluster> Cluster for Failing<C> {
    async fn fetch<K: Kind>(&self, namespace: &str, name: &str) -> Result<K, CallError> {
        self.with(format!("fetch/{}", K::kind(&())), self.inner.fetch(namespace, name)).await
    }

    async fn create_ledger(&self, ledger: &CreditLedger) -> Result<CreditLedger, CallError> {
        self.with("create-ledger".to_owned(), self.inner.create_ledger(ledger)).await
    }

    async fn replace_ledger(&self, ledger: &CreditLedger) -> Result<CreditLedger, CallError> {
        self.with("replace-ledger".to_owned(), self.inner.replace_ledger(ledger)).await
    }

    async fn replace_status<K: Kind, S: Serialize + Sync>(
        &self,
        version: &Version,
        status: &S,
    ) -> Result<K, CallError> {
        self.with(format!("replace-status/{}", K::kind(&())), self.inner.replace_status(version, status))
            .await
    }

    async fn delete_report(&self, version: &Version) -> Result<(), CallError> {
        self.with("delete-report".to_owned(), self.inner.delete_report(version)).await
    }

    async fn list_settled_reports(&self, state: &str, cursor: &Cursor) -> Result<SettledReports, CallError> {
        self.inner.list_settled_reports(state, cursor).await
    }

    fn clock_skew_seconds(&self) -> Option<i64> {
        self.inner.clock_skew_seconds()
    }

    async fn publish(&self, event: &Event<EventObject>) -> Result<(), CallError> {
        self.with("publish".to_owned(), self.inner.publish(event)).await
    }
}
