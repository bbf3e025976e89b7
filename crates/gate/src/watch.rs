//! Keeps the accounts up to date: lists the Subscriptions once, then watches them.
//!
//! The watch of kube hides bookmarks and restarts, and the gate must know when it last had contact. The server ends each
//! watch after a third of the time after which the state is stale, so the start of the next one proves contact, even if
//! nothing changes.
//!
//! A list is made again when events were or may have been missed: the server no longer has the version, an event cannot be
//! decoded, the watch failed in the server, or the versions went back as after a restore of etcd. After an interruption, one
//! list with a single object shows whether they went back. Apart from that the gate only watches.

use std::time::Duration;

use flashgate_api::Subscription;
use futures::TryStreamExt as _;
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::core::{Request, Resource as _, Status, WatchEvent};
use tokio::time::{Instant, sleep, timeout};

use crate::account::{Account, name_of};
use crate::accounts::Accounts;
use crate::decode::{Page, Seen};
use crate::freshness::Freshness;

#[cfg(test)]
mod tests;

/// Most objects of a page.
const PAGE_LIMIT: u32 = 500;

/// Time limit for one page of a list.
const PAGE_TIME: Duration = Duration::from_secs(30);

/// First and longest pause after an interruption.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A watch that ends sooner without an event does not work, even though it is accepted.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// Status code for a version that the server no longer has.
const GONE: u16 = 410;

/// The times of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    /// Time after which the server ends a watch, in whole seconds.
    server: u32,
    /// Time after which the gate ends it.
    client: Duration,
    /// Whether the gate ends each watch before the server does, because the server knows only whole seconds.
    is_client_first: bool,
    /// Time limit for the start of a watch.
    start: Duration,
    longest_pause: Duration,
}

impl Times {
    fn of(stale_after: Duration) -> Self {
        let third = stale_after / 3;
        let server = u32::try_from(third.as_secs()).unwrap_or(u32::MAX).clamp(1, 290);
        let is_client_first = third < Duration::from_secs(1);
        let margin = (stale_after / 6).min(Duration::from_secs(10));
        Self {
            server,
            client: if is_client_first { third } else { Duration::from_secs(server.into()) + margin },
            is_client_first,
            start: third.min(PAGE_TIME),
            longest_pause: PAUSES.1.min(third),
        }
    }

    /// Returns whether a watch that lasted for `elapsed` ended as planned. The server's clock may be a little faster.
    fn is_full(self, elapsed: Duration) -> bool {
        elapsed >= Duration::from_secs(self.server.into()).mul_f64(0.9)
    }
}

/// The pauses between tries.
#[derive(Debug)]
struct Pauses {
    longest: Duration,
    count: u32,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = PAUSES.0.saturating_mul(2_u32.saturating_pow(self.count.min(16))).min(self.longest);
        self.count = self.count.saturating_add(1);
        pause
    }

    fn reset(&mut self) {
        self.count = 0;
    }
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Lists all objects.
    List,
    /// Compares the server's latest version with this one.
    Compare(u64),
    /// Watches from this version.
    Watch(u64),
}

/// Why a list or a watch was interrupted.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("the API server refused the call or cannot be reached")]
    Call(#[from] kube::Error),
    #[error("the API server did not answer within {0:?}")]
    NoAnswer(Duration),
    #[error("the watch was silent for {0:?}, longer than the API server keeps one open")]
    Silent(Duration),
    #[error("the watch ended after {0:?}")]
    Early(Duration),
    #[error("the watch ended after {0:?} without an event")]
    Fruitless(Duration),
    #[error("the API server ended the watch: {}", .0.message)]
    Ended(Box<Status>),
    #[error("an event cannot be decoded")]
    Undecodable,
    #[error("a list or an event has no version that is a number")]
    NoVersion,
    #[error("the versions went back from {from} to {to}, as after a restore of etcd")]
    WentBack { from: u64, to: u64 },
}

impl Interruption {
    /// Returns whether events may have been missed, so that only a list can show the state.
    fn needs_list(&self) -> bool {
        match self {
            Self::Call(kube::Error::Api(status)) => status.code == GONE,
            Self::Fruitless(_)
            | Self::Ended(_)
            | Self::Undecodable
            | Self::NoVersion
            | Self::WentBack { .. } => true,
            Self::Call(_) | Self::NoAnswer(_) | Self::Silent(_) | Self::Early(_) => false,
        }
    }
}

/// The watch of the Subscriptions of one namespace, or of all.
pub struct Feed<'a> {
    client: &'a Client,
    accounts: &'a Accounts,
    freshness: &'a Freshness,
    number: usize,
    namespace: Option<&'a str>,
    times: Times,
}

impl<'a> Feed<'a> {
    /// Returns the watch with a number of `freshness`. The state is stale after `stale_after` without contact.
    #[must_use]
    pub fn new(
        client: &'a Client,
        accounts: &'a Accounts,
        (freshness, number): (&'a Freshness, usize),
        namespace: Option<&'a str>,
        stale_after: Duration,
    ) -> Self {
        Self { client, accounts, freshness, number, namespace, times: Times::of(stale_after) }
    }

    /// Keeps the accounts up to date. Never ends.
    pub async fn run(self) {
        let mut pauses = Pauses { longest: self.times.longest_pause, count: 0 };
        let mut step = Step::List;
        loop {
            let (next, interruption) = self.execute(step, &mut pauses).await;
            step = next;
            if let Some(interruption) = interruption {
                let pause = pauses.next();
                self.log(&interruption, pause);
                sleep(pause).await;
            }
        }
    }

    fn log(&self, error: &Interruption, pause: Duration) {
        let error: &dyn std::error::Error = error;
        let namespace = self.namespace.unwrap_or("all");
        tracing::warn!(namespace, error, ?pause, "the watch of Subscriptions was interrupted; trying again");
    }

    /// Executes a step. Returns the next one, and why it must wait if it must.
    async fn execute(&self, step: Step, pauses: &mut Pauses) -> (Step, Option<Interruption>) {
        match step {
            Step::List => match self.list().await {
                Ok(version) => (Step::Watch(version), None),
                Err(error) => (Step::List, Some(error)),
            },
            Step::Compare(version) => match self.latest_version().await {
                Ok(latest) if latest < version => {
                    (Step::List, Some(Interruption::WentBack { from: version, to: latest }))
                }
                Ok(_) => (Step::Watch(version), None),
                Err(error) => (Step::Compare(version), Some(error)),
            },
            Step::Watch(mut version) => match self.follow(&mut version, pauses).await {
                Ok(()) => (Step::Watch(version), None),
                Err(error) if error.needs_list() => (Step::List, Some(error)),
                Err(error) => (Step::Compare(version), Some(error)),
            },
        }
    }

    fn request(&self) -> Request {
        Request::new(Subscription::url_path(&(), self.namespace))
    }

    /// Lists all objects, page by page. Returns the version from which to watch.
    async fn list(&self) -> Result<u64, Interruption> {
        self.accounts.begin_list(self.namespace);
        let mut params = ListParams::default().limit(PAGE_LIMIT);
        let mut first_version = None;
        loop {
            let page = self.page(&params).await?;
            // Later pages show the state of the first one. If they show a later one, events repeat it.
            let version = *first_version.get_or_insert(version_of(&page.metadata.resource_version)?);
            page.items.into_iter().for_each(|object| self.put(object));
            if page.metadata.continue_token.is_empty() {
                let removed = self.accounts.end_list(self.namespace);
                let (accounts, _) = self.accounts.counts();
                tracing::debug!(namespace = self.namespace, accounts, removed, "listed Subscriptions");
                self.freshness.listed(self.number);
                return Ok(version);
            }
            params.continue_token = Some(page.metadata.continue_token);
        }
    }

    /// Returns the version of the server's state now. Only a list from etcd has it; watches may be served from a cache.
    async fn latest_version(&self) -> Result<u64, Interruption> {
        let page = self.page(&ListParams::default().limit(1)).await?;
        version_of(&page.metadata.resource_version)
    }

    async fn page(&self, params: &ListParams) -> Result<Page, Interruption> {
        let request = self.request().list(params).map_err(kube::Error::BuildRequest)?;
        let answered = timeout(PAGE_TIME, self.client.request_text(request)).await;
        let text = answered.map_err(|_| Interruption::NoAnswer(PAGE_TIME))??;
        // `Client::request` would log the whole text if it cannot be decoded.
        Ok(serde_json::from_str(&text).map_err(kube::Error::SerdeError)?)
    }

    /// Follows the changes since `version`, and advances it, until the watch ends as planned.
    async fn follow(&self, version: &mut u64, pauses: &mut Pauses) -> Result<(), Interruption> {
        let begin = Instant::now();
        let params = WatchParams { timeout: Some(self.times.server), ..WatchParams::default() };
        let request =
            self.request().watch(&params, &version.to_string()).map_err(kube::Error::BuildRequest)?;
        let started = timeout(self.times.start, self.client.request_events::<Seen>(request)).await;
        let mut events = std::pin::pin!(started.map_err(|_| Interruption::NoAnswer(self.times.start))??);
        self.freshness.contact(self.number);
        let mut has_event = false;
        loop {
            let left = self.times.client.saturating_sub(begin.elapsed());
            match timeout(left, events.try_next()).await {
                Ok(Ok(Some(event))) => {
                    self.take(event, version)?;
                    self.freshness.contact(self.number);
                    pauses.reset();
                    has_event = true;
                }
                Ok(Ok(None)) if self.times.is_full(begin.elapsed()) => break,
                Ok(Ok(None)) if has_event || begin.elapsed() >= SHORTEST_WATCH => {
                    return Err(Interruption::Early(begin.elapsed()));
                }
                Ok(Ok(None)) => return Err(Interruption::Fruitless(begin.elapsed())),
                Ok(Err(error)) => return Err(in_stream(error)),
                Err(_) if self.times.is_client_first => break,
                Err(_) => return Err(Interruption::Silent(self.times.client)),
            }
        }
        pauses.reset();
        Ok(())
    }

    fn take(&self, event: WatchEvent<Seen>, version: &mut u64) -> Result<(), Interruption> {
        let (text, change) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                (object.metadata.resource_version.0.0.clone(), Some((object, true)))
            }
            WatchEvent::Deleted(object) => {
                (object.metadata.resource_version.0.0.clone(), Some((object, false)))
            }
            WatchEvent::Bookmark(bookmark) => (Some(bookmark.metadata.resource_version), None),
            WatchEvent::Error(status) => return Err(Interruption::Ended(status)),
        };
        let next = version_of(&text.unwrap_or_default())?;
        if next < *version {
            return Err(Interruption::WentBack { from: *version, to: next });
        }
        match change {
            Some((object, true)) => self.put(object),
            Some((object, false)) => {
                if let Some(name) = name_of(&object) {
                    self.accounts.remove(&name);
                }
            }
            None => {}
        }
        *version = next;
        Ok(())
    }

    fn put(&self, object: Seen) {
        let Some(account) = Account::of(object) else {
            tracing::warn!("a Subscription without a readable name or namespace is left out");
            return;
        };
        self.accounts.put(&account);
    }
}

/// Returns the interruption that an error of a stream of events means.
fn in_stream(error: kube::Error) -> Interruption {
    match error {
        // The client reads an object of any form as a status, without a code.
        kube::Error::Api(status) if status.code == 0 => Interruption::Undecodable,
        kube::Error::SerdeError(_) => Interruption::Undecodable,
        kube::Error::Api(status) => Interruption::Ended(status),
        error => Interruption::Call(error),
    }
}

fn version_of(text: &str) -> Result<u64, Interruption> {
    text.parse().map_err(|_| Interruption::NoVersion)
}
