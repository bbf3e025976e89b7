//! The clock of an account: the wall clock, or a test clock that its Subscription moves.

use flashgate_api::{Subscription, TEST_CLOCK};
use flashgate_ledger::ledger::Ledger;
use jiff::Timestamp;

/// The clock of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountClock {
    /// The current time of the account.
    pub now: Timestamp,
    /// Whether it is a test clock. A test clock moves only when its annotation changes.
    pub is_test: bool,
}

impl AccountClock {
    /// Returns the clock of an account. It is a test clock only if the account started with one.
    #[must_use]
    pub fn of(
        subscription: Option<&Subscription>,
        ledger: Option<&Ledger>,
        is_allowed: bool,
        wall_time: Timestamp,
    ) -> Self {
        let requested = subscription.and_then(|subscription| {
            let annotations = subscription.metadata.annotations.as_ref()?;
            annotations.get(TEST_CLOCK)?.parse::<Timestamp>().ok()
        });
        match ledger {
            Some(ledger) => ledger.test_clock_time.map_or(Self { now: wall_time, is_test: false }, |held| {
                Self { now: requested.map_or(held, |requested| requested.max(held)), is_test: true }
            }),
            None => match requested.filter(|_| is_allowed) {
                Some(now) => Self { now, is_test: true },
                None => Self { now: wall_time, is_test: false },
            },
        }
    }
}

/// Returns why the test clock of the Subscription's annotation is ignored, or `None` if it is not.
#[must_use]
pub fn ignored_test_clock(
    subscription: &Subscription,
    clock: AccountClock,
    is_allowed: bool,
) -> Option<String> {
    let requested = subscription.metadata.annotations.as_ref()?.get(TEST_CLOCK)?;
    let reason = match requested.parse::<Timestamp>() {
        Err(_) => "it must be a time such as '2026-01-31T10:00:00Z'".to_owned(),
        Ok(_) if !clock.is_test && !is_allowed => {
            "the operator must be started with `--allow-test-clocks` and this namespace".to_owned()
        }
        Ok(_) if !clock.is_test => {
            "the account started without one; use a Subscription with another name".to_owned()
        }
        Ok(requested) if requested < clock.now => {
            format!("it must not go back, and the account's clock is at {}", clock.now)
        }
        Ok(_) => return None,
    };
    Some(format!("test clock '{requested}' is ignored: {reason}"))
}
