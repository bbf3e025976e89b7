//! The part of an account that the meter needs.

use flashgate_api::{Subscription, TEST_CLOCK};
use jiff::Timestamp;
use kube::ResourceExt as _;

/// The part of an account that the meter needs, from its Subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Start of the account.
    pub start: Timestamp,
    /// Forecast time at which the credits are exhausted.
    pub exhaustion: Option<Timestamp>,
    /// End of the current period.
    pub period_end: Option<Timestamp>,
    /// Time of the account's test clock, if it has one.
    pub test_clock: Option<Timestamp>,
}

impl Account {
    /// Returns the account of a Subscription.
    #[must_use]
    pub fn of(subscription: &Subscription) -> Self {
        let creation = subscription.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let status = subscription.status.as_ref();
        let clock = subscription.annotations().get(TEST_CLOCK).and_then(|text| text.parse().ok());
        Self {
            start: subscription.spec.start_time.or(creation).unwrap_or_default(),
            exhaustion: status
                .and_then(|status| status.forecast.as_ref())
                .and_then(|forecast| forecast.exhaustion_time),
            period_end: status.and_then(|status| status.period.as_ref()).map(|period| period.end_time),
            test_clock: clock,
        }
    }
}
