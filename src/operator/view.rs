//! First step: the known objects of an account, and how fresh each part is.

use std::sync::Arc;

use flashgate_api::{CreditAdjustment, CreditPack, LedgerReference, Payment, Subscription, UsageReport};
use flashgate_cluster::AccountKey;
use flashgate_ledger::decide::Decision;
use jiff::Timestamp;

use crate::operator::cache::rows::Rows;
use crate::operator::cache::{Cache, Pending};
use crate::operator::stored_ledger::StoredLedger;

/// The known objects of an account.
#[derive(Clone)]
pub struct View {
    /// The account.
    pub key: AccountKey,
    /// When the view was taken from the cache. The decision is made for this time, even if a part is read again
    /// later, because objects that arrived since are not in the view.
    pub time: Timestamp,
    /// Its Subscription, if there is one.
    pub subscription: Option<Arc<Subscription>>,
    /// The freshness of the Subscription.
    pub subscription_freshness: Freshness,
    /// Its ledger, if there is one.
    pub ledger: Option<Arc<StoredLedger>>,
    /// The freshness of the ledger.
    pub ledger_freshness: Freshness,
    /// Reports without a verdict.
    pub reports: Rows<Pending<UsageReport>>,
    /// Packs without a final state.
    pub packs: Rows<Pending<CreditPack>>,
    /// Payments without a verdict.
    pub payments: Rows<Pending<Payment>>,
    /// Adjustments without a verdict.
    pub adjustments: Rows<Pending<CreditAdjustment>>,
}

/// The order in which the parts of a view were read from the API server. A later read is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Freshness(u32);

impl Freshness {
    /// The part comes from the cache.
    pub const CACHED: Self = Self(0);
}

impl View {
    /// Returns the cached objects of `key` at `time`, which must be the current time.
    #[must_use]
    pub fn of(cache: &Cache, key: &AccountKey, time: Timestamp) -> Self {
        Self {
            key: key.clone(),
            time,
            subscription: cache.subscriptions.of(key),
            subscription_freshness: Freshness::CACHED,
            ledger: cache.ledgers.of(key),
            ledger_freshness: Freshness::CACHED,
            reports: cache.reports.rows(key),
            packs: cache.packs.rows(key),
            payments: cache.payments.rows(key),
            adjustments: cache.adjustments.rows(key),
        }
    }

    /// Returns whether the account has no objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscription.is_none()
            && self.ledger.is_none()
            && self.reports.is_empty()
            && self.packs.is_empty()
            && self.payments.is_empty()
            && self.adjustments.is_empty()
    }

    /// Sets the ledger to the one that the API server just returned, or to none.
    pub fn take_ledger(&mut self, ledger: Option<Arc<StoredLedger>>) {
        self.ledger = ledger;
        self.ledger_freshness = self.next_freshness();
    }

    /// Sets the Subscription to the one that the API server just returned, or to none.
    pub fn take_subscription(&mut self, subscription: Option<Arc<Subscription>>) {
        self.subscription = subscription;
        self.subscription_freshness = self.next_freshness();
    }

    fn next_freshness(&self) -> Freshness {
        let Freshness(latest) = self.ledger_freshness.max(self.subscription_freshness);
        Freshness(latest.saturating_add(1))
    }

    /// Returns whether the ledger was read from the API server in this reconcile.
    #[must_use]
    pub fn ledger_is_read(&self) -> bool {
        self.ledger_freshness > Freshness::CACHED
    }

    /// Returns whether the ledger was read or written after the Subscription was read.
    #[must_use]
    pub fn ledger_is_newer(&self) -> bool {
        self.ledger_freshness > self.subscription_freshness
    }

    /// Returns whether the Subscription was read after the ledger was.
    #[must_use]
    pub fn subscription_is_newer(&self) -> bool {
        self.subscription_freshness > self.ledger_freshness
    }

    /// Returns whether the Subscription was read from the API server in this reconcile.
    #[must_use]
    pub fn subscription_is_read(&self) -> bool {
        self.subscription_freshness > Freshness::CACHED
    }

    /// Drops the reports without a verdict in `decision`, because they get no receipt. This also drops the
    /// shared reference to the cache, so that the cache need not copy its rows when they change.
    pub fn keep_judged_reports(&mut self, decision: &Decision) {
        self.reports.keep_only(decision.reports.iter().map(|verdict| verdict.name.as_str()));
    }

    /// Returns the ledger that the Subscription names in its status.
    #[must_use]
    pub fn shown_ledger(&self) -> Option<&LedgerReference> {
        self.subscription.as_ref().and_then(|subscription| subscription.status.as_ref()?.ledger.as_ref())
    }

    /// Returns whether the status of the Subscription names exactly this ledger.
    #[must_use]
    pub fn subscription_names_ledger(&self) -> bool {
        let named = self.shown_ledger().map(|ledger| ledger.uid.as_str());
        named.is_some() && named == self.ledger.as_ref().and_then(|ledger| ledger.metadata.uid.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_was_read_last_is_newer_than_the_other_and_none_is_before_a_read() {
        let key = AccountKey { namespace: "sim".to_owned(), name: "acme".to_owned() };
        let mut view = View::of(&Cache::default(), &key, Timestamp::UNIX_EPOCH);
        let order = |view: &View| {
            let read = (view.ledger_is_read(), view.subscription_is_read());
            (read, view.ledger_is_newer(), view.subscription_is_newer())
        };
        assert_eq!(order(&view), ((false, false), false, false), "a watch brought them");
        view.take_subscription(None);
        assert_eq!(order(&view), ((false, true), false, true));
        view.take_ledger(None);
        assert_eq!(
            order(&view),
            ((true, true), true, false),
            "the Subscription may be older than the ledger"
        );
        view.take_subscription(None);
        assert_eq!(order(&view), ((true, true), false, true));
    }
}
