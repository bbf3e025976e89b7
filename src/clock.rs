//! The one place where time enters.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// A source of the present, in whole seconds.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns the machine's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place where the machine's time enters"
        )]
        Self(Arc::new(Timestamp::now))
    }

    /// Returns a clock that asks `now`: a virtual one, for tests and simulations.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the present instant, cut to the whole second (Law 0).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = (self.0)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Returns how long it is until `time`, with all the precision the clock has; nothing when it has passed.
    #[must_use]
    pub fn until(&self, time: Timestamp) -> std::time::Duration {
        time.duration_since((self.0)()).try_into().unwrap_or_default()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}
