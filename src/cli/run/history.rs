//! Options of the history store.

use std::sync::Arc;
use std::time::Duration;

use flashgate_cluster::Cluster;
use flashgate_cluster::clock::Clock;
use flashgate_history::prune::prune;
#[cfg(feature = "failpoints")]
use flashgate_history::{Batch, RecordError, Recorded};
use flashgate_history::{HistoryUrl, Recorder, Store};
#[cfg(feature = "failpoints")]
use flashgate_testing::failpoints::Failpoints;
#[cfg(feature = "failpoints")]
use futures::FutureExt as _;
#[cfg(feature = "failpoints")]
use futures::future::BoxFuture;

use crate::operator::election::leadership::Leadership;
#[cfg(feature = "failpoints")]
use crate::operator::history::History;
use crate::operator::reconcile::Operator;

/// Time between two tries to create the tables of a store that cannot be reached.
const MIGRATE_RETRY: Duration = Duration::from_secs(5);

/// Time between two deletions of old rows.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);

/// Longest time in which the connections of the store close.
const CLOSE: Duration = Duration::from_secs(5);

/// Options of the history store.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// Store of the history: none, sqlite:PATH, or the URL of a PostgreSQL database
    #[arg(
        id = "history",
        long = "history",
        env = "FLASHGATE_HISTORY",
        hide_env_values = true,
        value_name = "URL",
        default_value = "none"
    )]
    #[arg(value_parser = crate::cli::history::url::Parser)]
    url: HistoryUrl,
    /// Days after which the rows of the history are deleted; 0 keeps them
    #[arg(id = "history_keep_days", long = "history-keep-days", value_name = "DAYS", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=36_500))]
    keep_days: u32,
}

impl HistoryArgs {
    /// Makes `operator` record entries, if there is a store. The tables are created in the background, so the operator
    /// starts while the store is down.
    ///
    /// # Errors
    /// When the store's URL cannot be used.
    pub fn record<C: Cluster>(
        &self,
        operator: &mut Operator<C>,
        #[cfg(feature = "failpoints")] failpoints: Failpoints,
    ) -> anyhow::Result<Option<Store>> {
        let Some(store) = Store::open(&self.url)? else { return Ok(None) };
        tracing::info!(store = %self.url, keep_days = self.keep_days, "recording the history");
        let recorder = Recorder::start(store.clone());
        #[cfg(feature = "failpoints")]
        let recorder = FailingRecorder { inner: recorder, failpoints };
        operator.record_in(Arc::new(recorder));
        tokio::spawn(migrate(store.clone()));
        Ok(Some(store))
    }

    /// Deletes old rows at each interval while this operator leads, if rows have an age limit. Never returns then.
    pub async fn prune_while_leading(self, store: Store, clock: Clock, mut leadership: Leadership) {
        if self.keep_days == 0 {
            return;
        }
        loop {
            leadership.begins().await;
            match prune(&store, clock.now(), self.keep_days).await {
                Ok(deleted) => tracing::debug!(deleted, "deleted old rows of the history"),
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::warn!(error, "old rows of the history could not be deleted; trying again");
                }
            }
            tokio::time::sleep(PRUNE_INTERVAL).await;
        }
    }
}

/// A recorder with failpoints, whose calls are named `record`.
#[cfg(feature = "failpoints")]
struct FailingRecorder {
    inner: Recorder,
    failpoints: Failpoints,
}

#[cfg(feature = "failpoints")]
impl History for FailingRecorder {
    fn record(&self, batch: Batch) -> BoxFuture<'_, Result<Recorded, RecordError>> {
        let lost = || RecordError::Unavailable(Arc::new(std::io::Error::other("a failpoint lost the reply")));
        self.failpoints.around("record", self.inner.record(batch), lost).boxed()
    }
}

/// Closes the connections of the store. The last connection to a SQLite file writes all rows to the file itself, so a
/// copy of the file of a stopped operator is a backup.
pub async fn close(store: &Store) {
    if tokio::time::timeout(CLOSE, store.close()).await.is_err() {
        tracing::warn!(store = %store.url(), "the history store did not close in time");
    }
}

/// Creates or upgrades the tables. Tries until it succeeds.
async fn migrate(store: Store) {
    while let Err(error) = store.migrate().await {
        let error = format!("{:#}", anyhow::Error::new(error));
        tracing::warn!(error, "the tables of the history could not be created or upgraded; trying again");
        tokio::time::sleep(MIGRATE_RETRY).await;
    }
}
