//! The only module that reads the clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A clock with two readings: the present, in whole seconds, and a monotonic time.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    uptime: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    /// Returns the clock of the machine.
    #[must_use]
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the only place that reads the clock of the machine"
        )]
        Self::from_fn(Timestamp::now)
    }

    /// Returns a virtual clock for tests and simulations. It calls `now`.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let begin = Instant::now();
        Self::from_fns(now, move || begin.elapsed())
    }

    /// Returns a clock that calls `now` for the present and `uptime` for the monotonic time.
    pub fn from_fns(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        uptime: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), uptime: Arc::new(uptime) }
    }

    /// Returns the monotonic time since a fixed moment. Setting the clock does not change it.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        (self.uptime)()
    }

    /// Returns the present instant, truncated to the whole second (Law 0).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = (self.now)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Returns the duration until `time` in full precision, or zero if it has passed.
    #[must_use]
    pub fn until(&self, time: Timestamp) -> Duration {
        time.duration_since((self.now)()).try_into().unwrap_or_default()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}
