//! The one place where time enters.

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
    /// Returns the machine's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place where the machine's time enters"
        )]
        Self::from_fn(Timestamp::now)
    }

    /// Returns a clock that asks `now`: a virtual one, for tests and simulations.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let begin = Instant::now();
        Self::from_fns(now, move || begin.elapsed())
    }

    /// Returns a clock that asks `now` for the present and `uptime` for the time that has passed.
    pub fn from_fns(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        uptime: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), uptime: Arc::new(uptime) }
    }

    /// Returns how much time has passed since some fixed moment, however the clock was set meanwhile.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        (self.uptime)()
    }

    /// Returns the present instant, cut to the whole second (Law 0).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = (self.now)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Returns how long it is until `time`, with all the precision the clock has; nothing when it has passed.
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
