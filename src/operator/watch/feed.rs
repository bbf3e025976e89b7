//! One watch: lists, then follows the changes, for as long as the operator runs.
//!
//! Written out, where the client library has a watcher, for three reasons: pages are bounded in bytes and not only in
//! objects; a watch is compared with the server's latest version before it resumes, since after a restore of etcd it
//! would bring nothing; and the pause after a failure is short enough that billing goes on within seconds when the API
//! server is back.

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

/// How long a watch must hold until its next failure counts as a first one.
const STEADY: Duration = Duration::from_secs(5);

/// How often a watch that holds is compared with the server.
const COMPARE_INTERVAL: Duration = Duration::from_secs(30);

/// Status code of a version that the server no longer has.
const GONE: u16 = 410;

/// Where a watch goes on.
#[derive(Debug)]
struct Position {
    epoch: u64,
    resource_version: String,
}

/// Why a list or a watch was interrupted. It is tried again.
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
    fn next(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = PAUSE.0.saturating_mul(2_u32.saturating_pow(self.count.min(16))).min(PAUSE.1);
        self.count = self.count.saturating_add(1);
        doubled.max(asked.unwrap_or_default().min(Duration::from_secs(60)))
    }
}

/// The watch of one kind in one namespace, or in all.
pub(super) struct Feed<'a, R: Row> {
    pub watches: &'a Watches,
    pub table: &'a Table<R>,
    pub namespace: Option<&'a str>,
    pub selector: Option<String>,
    pub progress: Progress,
}

impl<R: Row> Feed<'_, R> {
    /// Keeps the table as the server has it. Never ends.
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
            if begun.elapsed() >= STEADY {
                pauses = Pauses::default();
            }
            match followed {
                Ok(true) if begun.elapsed() >= STEADY => {}
                // A server that ends each watch at once is not asked again without a pause either.
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

    /// Says that a list or watch was interrupted. Returns how long to wait before the next try.
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

    /// Lists everything, page by page. Returns where to follow the changes from, or nothing when the list is outdated.
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

    /// Follows the changes since `position`, and moves it on, until the watch ends. Returns whether it can be resumed from
    /// there; otherwise everything must be listed again.
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
                    // The watch itself may hold all the same.
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

    /// Returns whether the server's data went back since `position`: whether its latest version is below one that was seen
    /// before it was asked. Only quorum reads tell: another API server's cache may lag behind.
    async fn went_back(&self, position: &Position) -> Result<bool, CallError> {
        let cache = &self.watches.cache;
        let before = cache.revisions.seen();
        if before.epoch != position.epoch {
            self.progress.outdated();
            return Ok(true);
        }
        let call = format!("list {}", self.url());
        let compared = async {
            // Any object will do, so it is not selected: the server would look for one.
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

/// Returns what an error says with everything that led to it.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
