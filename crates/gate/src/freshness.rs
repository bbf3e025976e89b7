//! Knows when the gate last had contact with the API server, and whether its state is stale.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// The contacts of all watches. The state is as fresh as the oldest of them.
#[derive(Debug)]
pub struct Freshness {
    begin: Instant,
    stale_after: Duration,
    feeds: Box<[Contact]>,
    contacted: Notify,
}

/// The last contact of one watch.
#[derive(Debug, Default)]
struct Contact {
    /// Milliseconds since the begin.
    millis: AtomicU64,
    is_listed: AtomicBool,
}

impl Freshness {
    /// Returns the freshness of a number of watches, which begin now without contact.
    #[must_use]
    pub fn new(feeds: usize, stale_after: Duration) -> Self {
        Self {
            begin: Instant::now(),
            stale_after,
            feeds: (0..feeds).map(|_| Contact::default()).collect(),
            contacted: Notify::new(),
        }
    }

    /// Notes that a watch has contact.
    pub fn contact(&self, feed: usize) {
        let millis = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.feeds[feed].millis.store(millis, Ordering::Relaxed);
        self.contacted.notify_one();
    }

    /// Notes that the list of a watch is complete, which is a contact too.
    pub fn listed(&self, feed: usize) {
        self.feeds[feed].is_listed.store(true, Ordering::Release);
        self.contact(feed);
    }

    /// Returns whether the first list of each watch is complete.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.feeds.iter().all(|feed| feed.is_listed.load(Ordering::Acquire))
    }

    /// Returns the time since the last contact of the watch that had none for the longest time.
    #[must_use]
    pub fn age(&self) -> Duration {
        let oldest = self.feeds.iter().map(|feed| feed.millis.load(Ordering::Relaxed)).min().unwrap_or(0);
        self.begin.elapsed().saturating_sub(Duration::from_millis(oldest))
    }

    /// Returns whether the state is stale: a watch had no contact for too long, or a first list is not complete.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        !self.is_listed() || self.age() >= self.stale_after
    }

    /// Waits until the state is stale.
    pub async fn stale(&self) {
        while !self.is_stale() {
            // One more millisecond, because contacts are noted in whole ones.
            sleep(self.stale_after.saturating_sub(self.age()) + Duration::from_millis(1)).await;
        }
    }

    /// Waits until the state is not stale. Only one task may wait.
    pub async fn fresh(&self) {
        while self.is_stale() {
            self.contacted.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const STALE_AFTER: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn the_state_is_stale_until_each_first_list_is_complete() {
        let freshness = Freshness::new(2, STALE_AFTER);
        assert!(freshness.is_stale());
        freshness.contact(0);
        freshness.contact(1);
        assert!(freshness.is_stale());
        freshness.listed(0);
        assert!(freshness.is_stale() && !freshness.is_listed());
        freshness.listed(1);
        assert!(!freshness.is_stale() && freshness.is_listed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_state_is_stale_while_one_watch_has_no_contact() {
        let freshness = Freshness::new(2, STALE_AFTER);
        freshness.listed(0);
        freshness.listed(1);
        advance(Duration::from_secs(59)).await;
        assert!(!freshness.is_stale());
        freshness.contact(0);
        advance(Duration::from_secs(1)).await;
        assert!(freshness.is_stale() && freshness.is_listed());
        assert_eq!(freshness.age(), STALE_AFTER);
        freshness.contact(1);
        assert!(!freshness.is_stale());
        assert_eq!(freshness.age(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn both_changes_can_be_waited_on() {
        let freshness = Freshness::new(1, STALE_AFTER);
        tokio::join!(freshness.fresh(), async { freshness.listed(0) });
        let begin = Instant::now();
        tokio::join!(freshness.stale(), async {
            sleep(Duration::from_secs(45)).await;
            freshness.contact(0);
        });
        let waited = begin.elapsed();
        assert!(
            (STALE_AFTER + Duration::from_secs(45)..STALE_AFTER + Duration::from_secs(46)).contains(&waited)
        );
        tokio::join!(freshness.fresh(), async {
            sleep(Duration::from_secs(5)).await;
            freshness.contact(0);
        });
        assert!(!freshness.is_stale());
    }
}
