//! One operator: its caches, its work queue, and its running jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use flashgate_billing::operator::cache::revisions::Comparison;
use flashgate_billing::operator::cache::{Cache, Row, Table};
use flashgate_billing::operator::reconcile::{Next, Operator, ReconcileError};
use flashgate_cluster::AccountKey;
use flashgate_cluster::clock::Clock;
use flashgate_ledger::catalog::Catalog;
use flashgate_preview::convert::ConvertError;
use flashgate_testing::simulated::{Change, Object, ObjectKind, SharedWire, Simulated, Store};
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;

use crate::simulator::history::HistoryClient;

/// Time before a failed reconcile is retried.
const RETRY: Duration = Duration::from_millis(100);

/// A running job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Reconciles an account.
    Account(AccountKey),
    /// Sweeps.
    Sweep,
}

/// The result of a job.
enum Done {
    Reconciled(Result<Next, ReconcileError>),
    Swept,
}

/// An operator.
pub struct Runner {
    /// The number of its client.
    pub client: usize,
    /// Whether it is paused.
    pub is_paused: bool,
    /// The seconds by which its clock is ahead of the server's.
    pub skew_seconds: Arc<AtomicI64>,
    /// Number of changes of each kind that its watches delivered.
    pub views: [usize; 6],
    operator: Arc<Operator<Simulated>>,
    uptime_millis: Arc<AtomicU64>,
    ready: BTreeSet<AccountKey>,
    delayed: BTreeMap<AccountKey, Duration>,
    timed: BTreeMap<AccountKey, Timestamp>,
    running: BTreeMap<Job, BoxFuture<'static, Done>>,
}

impl Runner {
    /// Returns an operator with empty caches. `server_seconds` is the server's time.
    pub fn new(
        client: usize,
        wire: &SharedWire,
        catalog: &Catalog,
        server_seconds: &Arc<AtomicI64>,
        history: Option<HistoryClient>,
    ) -> Self {
        let (skew_seconds, uptime_millis) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicU64::new(0)));
        let (skew, uptime, server) =
            (Arc::clone(&skew_seconds), Arc::clone(&uptime_millis), Arc::clone(server_seconds));
        let clock = Clock::from_fns(
            move || {
                let seconds = server.load(Ordering::Relaxed) + skew.load(Ordering::Relaxed);
                Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
            },
            move || Duration::from_millis(uptime.load(Ordering::Relaxed)),
        );
        let end = Simulated::new(Arc::clone(wire), client, clock.clone());
        let mut operator = Operator::new(end, catalog.clone(), clock, format!("simulated-{client}"));
        if let Some(history) = history {
            operator.record_in(Arc::new(history));
        }
        Self {
            client,
            is_paused: false,
            skew_seconds,
            views: [0; 6],
            operator: Arc::new(operator),
            uptime_millis,
            ready: BTreeSet::new(),
            delayed: BTreeMap::new(),
            timed: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// Delivers one change to the cache of `kind`.
    pub fn deliver(&mut self, kind: ObjectKind, change: &Change) -> Result<(), ConvertError> {
        self.views[kind as usize] += 1;
        self.operator.cache.revisions.note_latest(&change.revision.to_string());
        let was_selected = change.before.as_ref().is_some_and(Object::is_selected);
        let asked = match (&change.after, &change.before) {
            (Some(after), _) if after.is_selected() => put(&self.operator.cache, after)?,
            (Some(gone), _) | (None, Some(gone)) if was_selected => Some(remove(&self.operator.cache, gone)),
            _ => None,
        };
        self.ready.extend(asked);
        Ok(())
    }

    /// Lists the objects of `kind` at `revision`, and continues from there.
    pub fn relist(&mut self, kind: ObjectKind, store: &Store, revision: u64) -> Result<(), ConvertError> {
        let cache = Arc::clone(&self.operator.cache);
        cache.revisions.note_latest(&revision.to_string());
        begin_relist(&cache, kind);
        for object in store.list_at(kind, revision).iter().filter(|object| object.is_selected()) {
            self.ready.extend(put(&cache, object)?);
        }
        self.ready.extend(end_relist(&cache, kind));
        Ok(())
    }

    /// Compares the server's latest revision with the operator's, as the operator does before it resumes a
    /// watch. Returns whether it must list everything again.
    pub fn must_relist_after_restore(&mut self, revision: u64) -> bool {
        let cache = &self.operator.cache;
        cache.compare(cache.revisions.seen(), &revision.to_string()) == Comparison::WentBack
    }

    /// Returns the accounts that can be reconciled now.
    pub fn startable(&self) -> impl Iterator<Item = &AccountKey> {
        self.ready.iter().filter(|key| !self.running.contains_key(&Job::Account((*key).clone())))
    }

    /// Starts to reconcile an account.
    pub fn start(&mut self, key: &AccountKey) {
        self.ready.remove(key);
        self.delayed.remove(key);
        let (operator, account) = (Arc::clone(&self.operator), key.clone());
        let reconcile = async move { Done::Reconciled(operator.reconcile(&account).await) };
        self.running.insert(Job::Account(key.clone()), reconcile.boxed());
    }

    /// Starts a sweep, unless one is running.
    pub fn sweep(&mut self) {
        let operator = Arc::clone(&self.operator);
        let sweep = async move {
            // A sweep that fails leaves everything for the next one.
            let _ = operator.sweep().await;
            Done::Swept
        };
        self.running.entry(Job::Sweep).or_insert_with(|| sweep.boxed());
    }

    /// Continues all running jobs as far as possible.
    ///
    /// # Errors
    /// When a reconcile cannot decode an object.
    pub fn poll(&mut self) -> Result<(), Box<ReconcileError>> {
        let mut context = Context::from_waker(futures::task::noop_waker_ref());
        let jobs: Vec<Job> = self.running.keys().cloned().collect();
        for job in jobs {
            let Some(future) = self.running.get_mut(&job) else { continue };
            let Poll::Ready(done) = future.as_mut().poll(&mut context) else { continue };
            self.running.remove(&job);
            match (job, done) {
                (Job::Account(key), Done::Reconciled(result)) => self.plan_next(key, result)?,
                (_, Done::Swept | Done::Reconciled(_)) => {}
            }
        }
        Ok(())
    }

    fn plan_next(
        &mut self,
        key: AccountKey,
        result: Result<Next, ReconcileError>,
    ) -> Result<(), Box<ReconcileError>> {
        match result {
            Ok(Next { wake_time, after }) => {
                match wake_time {
                    Some(time) => self.timed.insert(key.clone(), time),
                    None => self.timed.remove(&key),
                };
                match after {
                    Some(Duration::ZERO) => {
                        self.ready.insert(key);
                    }
                    Some(after) => {
                        self.delayed.insert(key, self.uptime() + after);
                    }
                    None => {}
                }
            }
            Err(error @ ReconcileError::Convert { .. }) => return Err(Box::new(error)),
            Err(_) => {
                self.delayed.insert(key, self.uptime() + RETRY);
            }
        }
        Ok(())
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime_millis.load(Ordering::Relaxed))
    }

    /// Advances the clock, and makes due accounts ready.
    pub fn pass_time(&mut self, millis: u64) {
        self.uptime_millis.fetch_add(millis, Ordering::Relaxed);
        let (uptime, now) = (self.uptime(), self.operator.clock.now());
        let ready = &mut self.ready;
        self.delayed.retain(|key, until| *until > uptime || !make_ready(ready, key));
        self.timed.retain(|key, time| *time > now || !make_ready(ready, key));
    }

    /// Returns whether an account waits for a delay.
    pub fn is_delayed(&self) -> bool {
        !self.delayed.is_empty()
    }
}

/// Makes an account ready. Always returns true.
fn make_ready(ready: &mut BTreeSet<AccountKey>, key: &AccountKey) -> bool {
    ready.insert(key.clone());
    true
}

/// Calls the function with the table of `kind`, for any row type.
macro_rules! with_table {
    ($cache:expr, $kind:expr, $table:ident => $body:expr) => {
        match $kind {
            ObjectKind::Subscription => {
                let $table = &$cache.subscriptions;
                $body
            }
            ObjectKind::CreditLedger => {
                let $table = &$cache.ledgers;
                $body
            }
            ObjectKind::UsageReport => {
                let $table = &$cache.reports;
                $body
            }
            ObjectKind::CreditPack => {
                let $table = &$cache.packs;
                $body
            }
            ObjectKind::Payment => {
                let $table = &$cache.payments;
                $body
            }
            ObjectKind::CreditAdjustment => {
                let $table = &$cache.adjustments;
                $body
            }
        }
    };
}

fn begin_relist(cache: &Cache, kind: ObjectKind) {
    with_table!(cache, kind, table => table.begin_relist(None));
}

fn end_relist(cache: &Cache, kind: ObjectKind) -> Vec<AccountKey> {
    with_table!(cache, kind, table => table.end_relist(None))
}

fn put(cache: &Cache, object: &Object) -> Result<Option<AccountKey>, ConvertError> {
    with_table!(cache, object.kind(), table => put_into(table, object))
}

fn put_into<R: Row>(table: &Table<R>, object: &Object) -> Result<Option<AccountKey>, ConvertError> {
    object.typed::<R::Object>().map_or(Ok(None), |object| table.put(object))
}

fn remove(cache: &Cache, object: &Object) -> AccountKey {
    let key = object.key();
    let none = AccountKey { namespace: key.namespace, name: key.name };
    with_table!(cache, object.kind(), table => remove_from(table, object).unwrap_or(none))
}

fn remove_from<R: Row>(table: &Table<R>, object: &Object) -> Option<AccountKey> {
    object.typed::<R::Object>().map(|object| table.remove(&object))
}
