//! Totals of all ledgers, from a watch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flashgate_api::CreditLedger;
use flashgate_ledger::Credits;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::Instant;

use crate::soak::chaos::lock;

/// The current totals of all ledgers.
#[derive(Clone, Default)]
pub struct LedgerTotals(Arc<Mutex<Accounts>>);

/// Commits and nano credits consumed, by namespace and name.
type Accounts = HashMap<(String, String), (i64, i128)>;

impl LedgerTotals {
    /// Watches the ledgers until the process ends.
    pub fn watch(client: Client) -> Self {
        let totals = Self::default();
        let watched = totals.clone();
        tokio::spawn(async move {
            let ledgers: Api<CreditLedger> = Api::all(client);
            let mut events = watcher(ledgers, watcher::Config::default()).default_backoff().boxed();
            loop {
                // The API server may be unavailable; the watch resumes.
                if let Ok(Some(Event::Apply(ledger) | Event::InitApply(ledger))) = events.try_next().await {
                    watched.update(&ledger);
                }
            }
        });
        totals
    }

    fn update(&self, ledger: &CreditLedger) {
        let consumed: Credits = ledger.spec.totals.consumed.0.parse().expect("credits");
        let key = (ledger.namespace().unwrap_or_default(), ledger.name_any());
        let mut totals = lock(&self.0);
        totals.insert(key, (ledger.spec.sequence, consumed.nanos()));
    }

    fn sum<T: std::iter::Sum>(&self, what: impl Fn(&(i64, i128)) -> T) -> T {
        lock(&self.0).values().map(what).sum()
    }

    /// Returns the number of accounts that have a ledger.
    pub fn accounts(&self) -> usize {
        self.sum(|_| 1)
    }

    /// Returns the number of commits.
    pub fn commits(&self) -> i64 {
        self.sum(|(sequence, _)| *sequence)
    }

    /// Returns the credits consumed. Each report costs one.
    pub fn consumed(&self) -> i64 {
        let nanos: i128 = self.sum(|(_, consumed)| *consumed);
        i64::try_from(nanos / 1_000_000_000).expect("credits")
    }

    /// Waits until the totals satisfy a condition.
    pub async fn until(&self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + limit;
        while !holds(self) {
            let state = (self.accounts(), self.commits(), self.consumed());
            assert!(
                Instant::now() < deadline,
                "not within {limit:?}: {what}; accounts, commits, consumed: {state:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
