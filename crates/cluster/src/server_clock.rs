//! The clock of the server, computed from its replies and the monotonic time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;

/// Compares the local clock with the server's.
///
/// The local clock can be set at any moment, and not every reconcile calls the server before it commits. So the
/// server's time is computed from its last reply and the monotonic time since then.
#[derive(Debug)]
pub struct ServerClock {
    clock: Clock,
    /// The server's time and the monotonic time at its last reply.
    last_reply: Mutex<Option<(Timestamp, Duration)>>,
}

impl ServerClock {
    /// Returns a comparison of `clock` with a server that has not replied yet.
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { clock, last_reply: Mutex::new(None) }
    }

    /// Stores the time of a reply.
    pub fn note_reply(&self, server_time: Timestamp) {
        let reply = (server_time, self.clock.uptime());
        *self.last_reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
    }

    /// Returns the seconds by which the local clock is ahead of the server's, or `None` before the first reply.
    #[must_use]
    pub fn skew_seconds(&self) -> Option<i64> {
        let last_reply = *self.last_reply.lock().unwrap_or_else(PoisonError::into_inner);
        last_reply.map(|(server_time, uptime)| {
            let passed = self.clock.uptime().saturating_sub(uptime).as_secs();
            self.clock
                .now()
                .as_second()
                .saturating_sub(server_time.as_second())
                .saturating_sub_unsigned(passed)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_clock_that_is_set_after_the_last_reply_is_noticed_at_once() {
        let (seconds, uptime) = (Arc::new(AtomicI64::new(1_000)), Arc::new(AtomicU64::new(5)));
        let (now, passed) = (Arc::clone(&seconds), Arc::clone(&uptime));
        let clock = Clock::from_fns(
            move || Timestamp::from_second(now.load(Ordering::Relaxed)).expect("time"),
            move || Duration::from_secs(passed.load(Ordering::Relaxed)),
        );
        let server = ServerClock::new(clock);
        assert_eq!(server.skew_seconds(), None);
        server.note_reply(Timestamp::from_second(998).expect("time"));
        assert_eq!(server.skew_seconds(), Some(2));
        seconds.fetch_add(100, Ordering::Relaxed);
        uptime.fetch_add(100, Ordering::Relaxed);
        assert_eq!(server.skew_seconds(), Some(2));
        seconds.fetch_sub(3_600, Ordering::Relaxed);
        assert_eq!(server.skew_seconds(), Some(-3_598));
    }
}
