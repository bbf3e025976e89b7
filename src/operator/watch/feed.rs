//! One watch: lists all objects, then follows the changes while the operator runs.
//!
//! It replaces the watcher of the client library for three reasons. Pages are bounded in bytes, not only in
//! objects. Before a watch resumes, its version is compared with the server's latest, because after a restore
//! of etcd it would deliver nothing. The pause after a failure is short, so billing continues within seconds
//! when the API server is back.

use std::pin::pin;
use std::time::Duration;

use flashgate_cluster::kubernetes::CALL_LIMIT;
use flashgate_cluster::kubernetes::pages::Listing;
use flashgate_cluster::trimmed::Trimmed;
use flashgate_cluster::{CallError, Kind};
use futures::TryStreamExt as _;
use kube::api::{Request, WatchParams};
use kube::core::{PartialObjectMeta, Status, WatchEvent};
use kube::{Resource as _, ResourceExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::operator::cache::revisions::Comparison;
use crate::operator::cache::{Row, Table};
use crate::operator::watch::Watches;
use crate::operator::watch::synced::Progress;

/// Shortest and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(5));

/// Time that a watch must run without failure until its next failure counts as the first.
const STABLE_TIME: Duration = Duration::from_secs(5);

/// Interval at which a running watch is compared with the server.
const COMPARE_INTERVAL: Duration = Duration::from_secs(30);

/// Status code for a resource version that the server no longer has.
const GONE: u16 = 410;

/// The position from which a watch continues.
#[derive(Debug)]
struct Position {
    epoch: u64,
    resource_version: String,
}

/// Why a list or a watch was interrupted. The feed tries again.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    List(#[from] CallError),
    #[error("watch failed")]
    Watch(#[from] kube::Error),
    #[error("watch ended by the API server: {}", .0.message)]
    Ended(Box<Status>),
    #[error("the list has no resource version")]
    NoVersion,
}

impl Interruption {
    fn is_gone(&self) -> bool {
        match self {
            Self::Ended(status) | Self::Watch(kube::Error::Api(status)) => status.code == GONE,
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::List(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// The pauses between tries.
#[derive(Debug, Default)]
struct Pauses {
    count: u32,
}

impl Pauses {
    fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let doubled = PAUSE.0.saturating_mul(2_u32.saturating_pow(self.count.min(16))).min(PAUSE.1);
        self.count = self.count.saturating_add(1);
        doubled.max(retry_after.unwrap_or_default().min(Duration::from_mins(1)))
    }
}

/// The watch of one kind in one namespace or in all.
pub(super) struct Feed<'a, R: Row> {
    pub watches: &'a Watches,
    pub table: &'a Table<R>,
    pub namespace: Option<&'a str>,
    pub selector: Option<String>,
    pub progress: Progress,
}

impl<R: Row> Feed<'_, R> {
    /// Keeps the table up to date. Never ends.
    pub async fn run(self) {
        let mut pauses = Pauses::default();
        let mut position: Option<Position> = None;
        loop {
            let Some(from) = position.as_mut() else {
                match self.list().await {
                    Ok(listed) => position = listed,
                    Err(error) => sleep(self.interrupted(&error, &mut pauses)).await,
                }
                continue;
            };
            let begun = Instant::now();
            let followed = self.follow(from).await;
            if begun.elapsed() >= STABLE_TIME {
                pauses = Pauses::default();
            }
            match followed {
                Ok(true) if begun.elapsed() >= STABLE_TIME => {}
                // The pause limits the load if the server ends each watch immediately.
                Ok(true) => sleep(pauses.next(None)).await,
                Ok(false) => position = None,
                Err(error) => {
                    if error.is_gone() {
                        position = None;
                    }
                    sleep(self.interrupted(&error, &mut pauses)).await;
                }
            }
        }
    }

    /// Logs that a list or watch was interrupted. Returns the pause before the next try.
    fn interrupted(&self, error: &Interruption, pauses: &mut Pauses) -> Duration {
        let kind = R::Object::kind(&());
        let pause = pauses.next(error.retry_after());
        self.watches.metrics.count_watch_error(&kind);
        self.progress.failed(in_full(error));
        let error: &dyn std::error::Error = error;
        tracing::warn!(%kind, error, ?pause, "watch interrupted; trying again");
        pause
    }

    fn url(&self) -> String {
        R::Object::url_path(&(), self.namespace)
    }

    /// Lists all objects, page by page. Returns the position to follow the changes from, or `None` if the list
    /// is outdated.
    async fn list(&self) -> Result<Option<Position>, Interruption> {
        let Watches { cache, lister, .. } = self.watches;
        let epoch = cache.revisions.seen().epoch;
        self.table.begin_relist(self.namespace);
        let mut listing = Listing::of(self.url(), self.selector.as_deref());
        let resource_version = loop {
            let mut take = |object: Trimmed<R::Object>| self.watches.put(self.table, object);
            let page = lister.next_page(&mut listing, &mut take).await?;
            self.succeeded();
            if listing.continue_token.is_none() {
                break page.resource_version;
            }
        };
        if resource_version.is_empty() {
            return Err(Interruption::NoVersion);
        }
        cache.revisions.note(epoch, &resource_version);
        if cache.revisions.seen().epoch != epoch {
            return Ok(None);
        }
        for key in self.table.end_relist(self.namespace) {
            self.watches.ask_for(key);
        }
        tracing::debug!(kind = %R::Object::kind(&()), rows = self.table.len(), "listed");
        self.progress.listed();
        Ok(Some(Position { epoch, resource_version }))
    }

    /// Follows the changes since `position`, and advances it, until the watch ends. Returns whether the watch
    /// can resume from there. Otherwise all objects must be listed again.
    async fn follow(&self, position: &mut Position) -> Result<bool, Interruption> {
        let revisions = &self.watches.cache.revisions;
        let mut epochs = revisions.epochs();
        if self.went_back(position).await? {
            return Ok(false);
        }
        let request = Request::new(self.url());
        let params = WatchParams { field_selector: self.selector.clone(), ..WatchParams::default() };
        let request =
            request.watch(&params, &position.resource_version).map_err(kube::Error::BuildRequest)?;
        let mut events = pin!(self.watches.client.request_events::<Trimmed<R::Object>>(request).await?);
        self.succeeded();
        let mut comparisons = interval_at(Instant::now() + COMPARE_INTERVAL, COMPARE_INTERVAL);
        comparisons.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if revisions.seen().epoch != position.epoch {
                self.progress.outdated();
                return Ok(false);
            }
            tokio::select! {
                biased;
                _ = epochs.changed() => {}
                event = events.try_next() => match event? {
                    Some(event) => self.take(event, position)?,
                    None => return Ok(true),
                },
                _ = comparisons.tick() => match self.went_back(position).await {
                    Ok(true) => return Ok(false),
                    Ok(false) => self.succeeded(),
                    // The watch itself may still work.
                    Err(error) => self.progress.failed(in_full(&error)),
                },
            }
        }
    }

    fn take(
        &self,
        event: WatchEvent<Trimmed<R::Object>>,
        position: &mut Position,
    ) -> Result<(), Interruption> {
        let resource_version = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let resource_version = version(&object);
                self.watches.put(self.table, object);
                resource_version
            }
            WatchEvent::Deleted(object) => {
                let resource_version = version(&object);
                self.watches.remove(self.table, object);
                resource_version
            }
            WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version,
            WatchEvent::Error(status) => return Err(Interruption::Ended(status.boxed())),
        };
        if resource_version.is_empty() {
            return Err(Interruption::NoVersion);
        }
        self.watches.cache.revisions.note(position.epoch, &resource_version);
        position.resource_version = resource_version;
        Ok(())
    }

    /// Returns whether the server's data went back since `position`: its latest version is lower than one that
    /// was seen before the request. Only quorum reads can show this, because the cache of another API server
    /// may lag behind.
    async fn went_back(&self, position: &Position) -> Result<bool, CallError> {
        let cache = &self.watches.cache;
        let before = cache.revisions.seen();
        if before.epoch != position.epoch {
            self.progress.outdated();
            return Ok(true);
        }
        let call = format!("list {}", self.url());
        let compared = async {
            // Any object is enough. A selector would make the server search for a match.
            let mut listing = Listing::of(self.url(), None).of_metadata().with_limit(1);
            let mut ignore = |_: PartialObjectMeta<R::Object>| {};
            let latest = self.watches.lister.next_page(&mut listing, &mut ignore).await?;
            Ok(cache.compare(before, &latest.resource_version))
        };
        let compared = timeout(CALL_LIMIT, compared).await;
        let found = compared.unwrap_or(Err(CallError::TimedOut { call, limit: CALL_LIMIT }))?;
        if found == Comparison::WentBack {
            self.watches.metrics.count_restore();
            tracing::error!(
                kind = %R::Object::kind(&()),
                ?before,
                "the API server's data went back to an earlier state, as after a restore of etcd: listing everything again"
            );
        }
        if found != Comparison::WentOn {
            self.progress.outdated();
        }
        Ok(found != Comparison::WentOn)
    }

    fn succeeded(&self) {
        if self.progress.succeeded() {
            self.watches.recovered.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

fn version<K: Kind>(object: &Trimmed<K>) -> String {
    match &object.0 {
        Ok(object) => object.resource_version().unwrap_or_default(),
        Err(undecoded) => undecoded.version.resource_version.clone(),
    }
}

/// Returns the message of an error with those of all its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
