//! A rate limit by key that counts the items it holds back. It limits log lines and Events that clients can
//! cause.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Minimum time between two searches for keys to drop.
const CLEAR_PERIOD: Duration = Duration::from_secs(1);

/// Lets a burst of items of each key pass, then one each period. It keeps the latest item that it held back.
///
/// Times are durations since a fixed moment, so a virtual clock can be used.
#[derive(Debug)]
pub struct Throttle<K, T> {
    burst: u32,
    period: Duration,
    most_keys: usize,
    /// When full buckets were last dropped.
    cleared_at: Duration,
    buckets: HashMap<K, Bucket<T>>,
}

/// The state of one key.
#[derive(Debug)]
struct Bucket<T> {
    /// When the full burst is available again.
    full_at: Duration,
    held: u64,
    latest: Option<T>,
}

/// An item that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed<T> {
    /// The item.
    pub item: T,
    /// Number of further items of its key that were held back since the last one passed.
    pub more: u64,
}

impl<K: Hash + Eq + Clone, T> Throttle<K, T> {
    /// Returns a throttle that lets `burst` items of each key pass without delay, and then one each `period`.
    /// It keeps at most `most_keys` keys. Items of further keys are dropped.
    #[must_use]
    pub fn new(burst: u32, period: Duration, most_keys: usize) -> Self {
        Self { burst, period, most_keys, cleared_at: Duration::ZERO, buckets: HashMap::new() }
    }

    /// Returns the item if it may pass now.
    pub fn offer(&mut self, key: K, item: T, now: Duration) -> Option<Passed<T>> {
        if self.buckets.len() >= self.most_keys && !self.buckets.contains_key(&key) {
            // At most once a second, so that many new keys do not each cause a search through all keys.
            if now.saturating_sub(self.cleared_at) >= CLEAR_PERIOD {
                self.clear(now);
            }
            if self.buckets.len() >= self.most_keys {
                return None;
            }
        }
        let (burst, period) = (self.burst, self.period);
        let bucket =
            self.buckets.entry(key).or_insert(Bucket { full_at: Duration::ZERO, held: 0, latest: None });
        if bucket.takes(burst, period, now) {
            bucket.latest = None;
            Some(Passed { item, more: std::mem::take(&mut bucket.held) })
        } else {
            bucket.held = bucket.held.saturating_add(1);
            bucket.latest = Some(item);
            None
        }
    }

    /// Returns the latest held back item of each key that may pass now. `more` counts the others.
    pub fn due(&mut self, now: Duration) -> Vec<Passed<T>> {
        let (burst, period) = (self.burst, self.period);
        let mut due = Vec::new();
        for bucket in self.buckets.values_mut().filter(|bucket| bucket.latest.is_some()) {
            if bucket.takes(burst, period, now) {
                let more = std::mem::take(&mut bucket.held).saturating_sub(1);
                due.extend(bucket.latest.take().map(|item| Passed { item, more }));
            }
        }
        self.clear(now);
        due
    }

    /// Drops the buckets that are full and hold no item.
    fn clear(&mut self, now: Duration) {
        self.cleared_at = now;
        self.buckets.retain(|_, bucket| bucket.held > 0 || bucket.full_at > now);
    }
}

impl<T> Bucket<T> {
    /// Takes one from the burst. Returns whether one was available.
    fn takes(&mut self, burst: u32, period: Duration, now: Duration) -> bool {
        let full_at = self.full_at.max(now).saturating_add(period);
        let has_room = full_at.saturating_sub(now) <= period.saturating_mul(burst);
        if has_room {
            self.full_at = full_at;
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_passes_and_the_rest_is_summed() {
        let mut throttle = Throttle::new(3, MINUTE, 8);
        let passed: Vec<Passed<u32>> = (0..40).filter_map(|item| throttle.offer("a", item, at(5))).collect();
        assert_eq!(passed, [0, 1, 2].map(|item| Passed { item, more: 0 }));
        assert_eq!(throttle.due(at(64)), []);
        assert_eq!(throttle.due(at(65)), [Passed { item: 39, more: 36 }]);
        assert_eq!(throttle.due(at(1_000)), [], "each is counted once");
    }

    #[test]
    fn the_next_that_passes_has_the_number_of_those_held_back() {
        let mut throttle = Throttle::new(1, MINUTE, 8);
        assert_eq!(throttle.offer("a", 1, at(0)), Some(Passed { item: 1, more: 0 }));
        assert_eq!(throttle.offer("a", 2, at(1)), None);
        assert_eq!(throttle.offer("a", 3, at(60)), Some(Passed { item: 3, more: 1 }));
        assert_eq!(throttle.due(at(1_000)), []);
    }

    #[test]
    fn keys_do_not_share_their_burst() {
        let mut throttle = Throttle::new(1, MINUTE, 8);
        assert!(throttle.offer("a", 1, at(0)).is_some());
        assert!(throttle.offer("b", 1, at(0)).is_some());
        assert!(throttle.offer("a", 2, at(0)).is_none());
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_memory() {
        let mut throttle = Throttle::new(1, MINUTE, 100);
        let passed = (0..10_000).filter(|key| throttle.offer(*key, (), at(0)).is_some()).count();
        assert_eq!((passed, throttle.buckets.len()), (100, 100));
        assert!(throttle.offer(10_000, (), at(60)).is_some(), "keys that are at rest make room");
        assert_eq!(throttle.buckets.len(), 1);
    }
}
