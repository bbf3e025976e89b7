//! The rate limit of requests by token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flashgate_cluster::clock::Clock;

use crate::token::Token;

/// Tokens that are remembered. Above this number, those that made no request for the longest time are forgotten.
const TOKENS: usize = 10_000;

/// Time in which an unused rate is saved up. A page makes several calls at once.
const BURST: Duration = Duration::from_secs(2);

/// The requests of each token: a bucket that holds the requests of two seconds and fills at the rate.
pub struct Rates {
    per_second: u32,
    clock: Clock,
    buckets: Mutex<HashMap<[u8; 32], Bucket>>,
}

struct Bucket {
    /// Time at which the bucket is full again.
    full: Duration,
}

impl Rates {
    /// Returns a limit of `per_second` requests a token. 0 is no limit.
    #[must_use]
    pub fn new(per_second: u32, clock: Clock) -> Self {
        Self { per_second, clock, buckets: Mutex::default() }
    }

    /// Counts a request of a token. Returns false if it is too many.
    pub fn admit(&self, token: &Token) -> bool {
        let Some(cost) = Duration::from_secs(1).checked_div(self.per_second) else { return true };
        let now = self.clock.uptime();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= TOKENS {
            buckets.retain(|_, bucket| bucket.full > now);
        }
        if buckets.len() >= TOKENS
            && let Some(oldest) = buckets.iter().min_by_key(|(_, bucket)| bucket.full).map(|(key, _)| *key)
        {
            buckets.remove(&oldest);
        }
        let bucket = buckets.entry(token.digest()).or_insert(Bucket { full: now });
        let full = bucket.full.max(now).saturating_add(cost);
        let is_admitted = full <= now.saturating_add(BURST);
        if is_admitted {
            bucket.full = full;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use jiff::Timestamp;

    use super::*;

    fn token(text: &str) -> Token {
        Token::new(text).expect("token")
    }

    /// Returns a limit and its monotonic time in milliseconds.
    fn rates(per_second: u32) -> (Rates, Arc<AtomicU64>) {
        let millis = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&millis);
        let uptime = move || Duration::from_millis(read.load(Ordering::Relaxed));
        (Rates::new(per_second, Clock::from_fns(|| Timestamp::UNIX_EPOCH, uptime)), millis)
    }

    #[test]
    fn a_token_may_use_its_rate_at_once_and_then_waits() {
        let (rates, millis) = rates(4);
        let admitted = |count: usize| (0..count).filter(|_| rates.admit(&token("one"))).count();
        assert_eq!(admitted(10), 8);
        assert!(rates.admit(&token("other")), "each token has its own rate");
        millis.store(249, Ordering::Relaxed);
        assert_eq!(admitted(10), 0);
        millis.store(500, Ordering::Relaxed);
        assert_eq!(admitted(10), 2);
        millis.store(60_000, Ordering::Relaxed);
        assert_eq!(admitted(10), 8);
    }

    #[test]
    fn the_number_of_remembered_tokens_is_bounded() {
        let (rates, _) = rates(1);
        for number in 0..TOKENS + 10 {
            assert!(rates.admit(&token(&number.to_string())));
        }
        assert!(rates.buckets.lock().expect("buckets").len() <= TOKENS);
    }

    #[test]
    fn zero_is_no_limit() {
        let (rates, _) = rates(0);
        assert!((0..1_000).all(|_| rates.admit(&token("one"))));
    }
}
