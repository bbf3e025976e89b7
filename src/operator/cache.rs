//! The objects that the watches delivered, indexed by account, so that no reconcile scans all objects.
//!
//! A field selector limits the watches to pending objects. The tables hold Subscriptions, ledgers, and facts
//! without a verdict. When a fact gets its verdict, the watch reports it as deleted and the cache drops it.

pub mod report_index;
pub mod revisions;
pub mod rows;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use flashgate_cluster::{AccountKey, Kind, Version};
use flashgate_ledger::decide::Verdict;
use flashgate_preview::convert::{ConvertError, LabelGroups};
use flashgate_preview::stated_kind::StatedKind;
use kube::ResourceExt;

use crate::operator::judged_kind::JudgedKind;
use crate::operator::stored_ledger::StoredLedger;

use self::report_index::ReportIndex;
use self::revisions::{Comparison, Revisions, Seen};
use self::rows::{CachedRow, Index, Rows};

/// Most bytes of labels of one report that are kept. Those of a larger report are read when it is recorded.
const LABEL_BYTES: usize = 4 * 1_024;

/// A fact without a verdict, and the object that states it.
#[derive(Clone, Debug)]
pub struct Pending<K: StatedKind> {
    /// The fact.
    pub fact: K::Fact,
    /// The object at the version that was read.
    pub version: Version,
    /// Generation of its spec.
    pub generation: i64,
    /// Its status, if the operator has written one.
    pub status: Option<K::Status>,
    /// The usage by labels of a report, if it is needed and small. It can be read again.
    pub labels: Option<Arc<LabelGroups>>,
}

/// A kind whose objects are kept while they have no verdict.
pub trait CachedKind: JudgedKind + Kind {
    /// The index over all objects of an account.
    type Index: Index<Pending<Self>>;

    /// Returns the table of this kind.
    fn table(cache: &Cache) -> &Table<Pending<Self>>;
}

/// A row of a table: the parts of an object that the operator needs.
pub trait Row: Sized + Send + Sync + 'static {
    /// Kind of the object.
    type Object: Kind;
    /// The index over all rows of an account.
    type Index: Index<Self>;

    /// Returns the account that the object belongs to.
    fn account(object: &Self::Object) -> AccountKey;

    /// Returns the row of `object`: the parts that the operator needs. With a history it needs labels too.
    ///
    /// # Errors
    /// When a field of the object is invalid.
    fn keep(object: Self::Object, with_labels: bool) -> Result<Self, ConvertError>;

    /// Returns the version that was read.
    fn version(&self) -> Version;

    /// Returns its resource version.
    fn resource_version(&self) -> &str;

    /// Returns whether `self`, which was just read, adds nothing to `held`.
    fn adds_nothing_to(&self, held: &Self) -> bool {
        let (version, held) = (self.version(), held.version());
        version == held || came_before(&version.resource_version, &held.resource_version)
    }
}

/// Rows by account and name.
pub struct Table<R: Row> {
    accounts: Mutex<HashMap<AccountKey, Rows<R>>>,
    keeps_labels: AtomicBool,
}

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        Self { accounts: Mutex::default(), keeps_labels: AtomicBool::default() }
    }
}

impl<R: Row> Table<R> {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountKey, Rows<R>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks every row as outdated, because the API server's data was restored to an earlier state and its
    /// resource versions start again from there.
    fn outdate(&self) {
        self.lock().values_mut().flat_map(Rows::mark_all).for_each(|held| held.is_outdated = true);
    }

    /// Returns the version of the newest row of `namespace`, or of all, that is not outdated.
    pub fn newest(&self, namespace: Option<&str>) -> Option<Version> {
        let accounts = self.lock();
        let scope = accounts.iter().filter(|(key, _)| is_in(namespace, key));
        let held = scope.flat_map(|(_, rows)| rows.held()).filter(|held| !held.is_outdated);
        let newest = held.max_by_key(|held| revisions::parse(held.row.resource_version()));
        newest.map(|held| held.row.version())
    }

    /// Begins the relist of `namespace`, or of all.
    pub fn begin_relist(&self, namespace: Option<&str>) {
        let accounts = &mut *self.lock();
        let scope = accounts.iter_mut().filter(|(key, _)| is_in(namespace, key));
        scope.flat_map(|(_, rows)| rows.mark_all()).for_each(|held| held.is_listed = false);
    }

    /// Ends the relist of `namespace`, or of all. Drops the rows that the relist did not include. Returns the
    /// accounts that lost a row.
    pub fn end_relist(&self, namespace: Option<&str>) -> Vec<AccountKey> {
        let mut lost = Vec::new();
        self.lock().retain(|key, rows| {
            if is_in(namespace, key) {
                let before = rows.len();
                rows.drop_unlisted();
                if rows.len() < before {
                    lost.push(key.clone());
                }
            }
            !rows.is_empty()
        });
        lost
    }

    /// Stores `object`. Returns its account if the object is new or has changed.
    ///
    /// # Errors
    /// When a field of the object is invalid. The object is then not stored.
    pub fn put(&self, object: R::Object) -> Result<Option<AccountKey>, ConvertError> {
        let (key, name) = (R::account(&object), object.name_any());
        match R::keep(object, self.keeps_labels.load(Ordering::Relaxed)) {
            Ok(row) => {
                let mut accounts = self.lock();
                let is_changed = put(accounts.entry(key.clone()).or_default(), &name, Arc::new(row));
                Ok(is_changed.then_some(key))
            }
            Err(error) => {
                remove(&mut self.lock(), &key, &name);
                Err(error)
            }
        }
    }

    /// Replaces the row of an object that was just read or written with `row`, as [`renew`](Self::renew) does.
    pub fn renew_row(&self, key: &AccountKey, row: &Arc<R>) {
        if let Some(rows) = self.lock().get_mut(key).filter(|rows| rows.get(&row.version().name).is_some()) {
            put(rows, &row.version().name, Arc::clone(row));
        }
    }

    /// Replaces the row of `object`, which was just read or written. Does nothing if there is no row: the watch
    /// may have reported the deletion already, and would not report it again.
    ///
    /// # Errors
    /// When a field of the object is invalid. The object is then not stored.
    pub fn renew(&self, object: R::Object) -> Result<(), ConvertError> {
        let (key, name) = (R::account(&object), object.name_any());
        let is_held = self.lock().get(&key).is_some_and(|rows| rows.get(&name).is_some());
        if is_held { self.put(object).map(|_| ()) } else { Ok(()) }
    }

    /// Drops an object. Returns its account.
    pub fn remove(&self, object: &R::Object) -> AccountKey {
        let key = R::account(object);
        remove(&mut self.lock(), &key, &object.name_any());
        key
    }

    /// Drops the row called `name` if `is_gone` returns true for it.
    pub fn remove_if(&self, key: &AccountKey, name: &str, is_gone: impl FnOnce(&R) -> bool) {
        let accounts = &mut *self.lock();
        let row = accounts.get(key).and_then(|rows| rows.get(name));
        if row.is_some_and(|row| is_gone(row)) {
            remove(accounts, key, name);
        }
    }

    /// Returns the rows of an account.
    pub fn rows(&self, key: &AccountKey) -> Rows<R> {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    /// Returns the row that has the name of the account.
    pub fn of(&self, key: &AccountKey) -> Option<Arc<R>> {
        self.lock().get(key).and_then(|rows| rows.get(&key.name)).cloned()
    }

    /// Returns all rows, in no order.
    pub fn all(&self) -> Vec<Arc<R>> {
        self.lock().values().flat_map(Rows::iter).cloned().collect()
    }

    /// Calls `look` with each row and its account.
    pub fn for_each(&self, mut look: impl FnMut(&AccountKey, &R)) {
        for (key, rows) in &*self.lock() {
            rows.iter().for_each(|row| look(key, row));
        }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.lock().values().map(Rows::len).sum()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// Returns whether an account is in `namespace`. Without a namespace, every account is.
fn is_in(namespace: Option<&str>, key: &AccountKey) -> bool {
    namespace.is_none_or(|namespace| key.namespace == namespace)
}

/// Stores a row. Returns whether it is new or has changed.
fn put<R: Row>(rows: &mut Rows<R>, name: &str, row: Arc<R>) -> bool {
    if let Some(held) = rows.mark(name) {
        held.is_listed = true;
        if !held.is_outdated && row.adds_nothing_to(&held.row) {
            return false;
        }
    }
    rows.insert(name, CachedRow { row, is_listed: true, is_outdated: false });
    true
}

/// Drops a row. Drops its account too if it was the last row.
fn remove<R: Row>(accounts: &mut HashMap<AccountKey, Rows<R>>, key: &AccountKey, name: &str) {
    if let Some(rows) = accounts.get_mut(key) {
        rows.remove(name);
        if rows.is_empty() {
            accounts.remove(key);
        }
    }
}

/// All objects that the watches delivered.
#[derive(Default)]
pub struct Cache {
    /// The highest resource version that was seen.
    pub revisions: Revisions,
    /// Subscriptions.
    pub subscriptions: Table<Subscription>,
    /// Ledgers.
    pub ledgers: Table<StoredLedger>,
    /// Reports without a verdict.
    pub reports: Table<Pending<UsageReport>>,
    /// Packs without a final state.
    pub packs: Table<Pending<CreditPack>>,
    /// Payments without a verdict.
    pub payments: Table<Pending<Payment>>,
    /// Adjustments without a verdict.
    pub adjustments: Table<Pending<CreditAdjustment>>,
}

/// Returns whether resource version `version` is older than `other`.
///
/// Kubernetes defines resource versions as numbers that can be compared. A version that is not a number counts
/// as new.
#[must_use]
pub fn came_before(version: &str, other: &str) -> bool {
    revisions::parse(version).zip(revisions::parse(other)).is_some_and(|(version, other)| version < other)
}

impl Cache {
    /// Keeps the labels of pending reports from now on, because a history needs them.
    pub fn keep_labels(&self) {
        self.reports.keeps_labels.store(true, Ordering::Relaxed);
    }

    /// Compares `resource_version`, the latest version of the server, with the versions that were seen at
    /// `before`. If the server's data went back, for example because etcd was restored from a snapshot, all
    /// rows become outdated and every watch must list again.
    pub fn compare(&self, before: Seen, resource_version: &str) -> Comparison {
        let comparison = self.revisions.compare(before, resource_version);
        if comparison == Comparison::WentBack {
            self.outdate();
        }
        comparison
    }

    fn outdate(&self) {
        self.subscriptions.outdate();
        self.ledgers.outdate();
        self.reports.outdate();
        self.packs.outdate();
        self.payments.outdate();
        self.adjustments.outdate();
    }
}

fn own_account<K: Kind>(object: &K) -> AccountKey {
    AccountKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

impl Row for Subscription {
    type Index = ();
    type Object = Self;

    fn account(object: &Self) -> AccountKey {
        own_account(object)
    }

    fn keep(mut object: Self, _: bool) -> Result<Self, ConvertError> {
        object.metadata.managed_fields = None;
        Ok(object)
    }

    fn version(&self) -> Version {
        Version::of(self)
    }

    fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }
}

impl Row for StoredLedger {
    type Index = ();
    type Object = CreditLedger;

    fn account(object: &CreditLedger) -> AccountKey {
        own_account(object)
    }

    fn keep(object: CreditLedger, _: bool) -> Result<Self, ConvertError> {
        Ok(Self::new(object))
    }

    fn version(&self) -> Version {
        Version::of(&**self)
    }

    fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }
}

impl<K: CachedKind> Row for Pending<K> {
    type Index = K::Index;
    type Object = K;

    fn account(object: &K) -> AccountKey {
        AccountKey {
            namespace: object.namespace().unwrap_or_default(),
            name: object.subscription_name().to_owned(),
        }
    }

    fn keep(mut object: K, with_labels: bool) -> Result<Self, ConvertError> {
        let fact = object.fact()?;
        let version = Version::of(&object);
        let generation = object.meta().generation.unwrap_or_default();
        let labels = if with_labels { object.labels() } else { None };
        let labels = labels.filter(|labels| labels.bytes() <= LABEL_BYTES).map(Arc::new);
        Ok(Self { fact, version, generation, status: object.take_written_status(), labels })
    }

    fn version(&self) -> Version {
        self.version.clone()
    }

    fn resource_version(&self) -> &str {
        &self.version.resource_version
    }
}

impl<K: CachedKind> Rows<Pending<K>> {
    /// Returns the object that `verdict` is about. An object with its name and another UID is a later one.
    #[must_use]
    pub fn judged<V>(&self, verdict: &Verdict<V>) -> Option<&Arc<Pending<K>>> {
        self.get(&verdict.name).filter(|pending| pending.version.uid == verdict.uid)
    }
}

impl CachedKind for UsageReport {
    type Index = ReportIndex;

    fn table(cache: &Cache) -> &Table<Pending<Self>> {
        &cache.reports
    }
}

impl CachedKind for CreditPack {
    type Index = ();

    fn table(cache: &Cache) -> &Table<Pending<Self>> {
        &cache.packs
    }
}

impl CachedKind for Payment {
    type Index = ();

    fn table(cache: &Cache) -> &Table<Pending<Self>> {
        &cache.payments
    }
}

impl CachedKind for CreditAdjustment {
    type Index = ();

    fn table(cache: &Cache) -> &Table<Pending<Self>> {
        &cache.adjustments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flashgate_api::SubscriptionSpec;

    fn subscription(namespace: &str) -> Subscription {
        let mut subscription = Subscription::new("acme", SubscriptionSpec::default());
        subscription.metadata.namespace = Some(namespace.to_owned());
        subscription
    }

    #[test]
    fn a_list_after_the_servers_data_went_back_replaces_later_versions_and_drops_the_rest() {
        let cache = Cache::default();
        for (namespace, version) in [("a", "40"), ("b", "30")] {
            let mut object = subscription(namespace);
            object.metadata.resource_version = Some(version.to_owned());
            cache.subscriptions.put(object).expect("kept");
            cache.revisions.note(cache.revisions.seen().epoch, version);
        }
        assert_eq!(cache.subscriptions.newest(None).map(|version| version.namespace), Some("a".to_owned()));
        let seen = cache.revisions.seen();
        assert_eq!(cache.compare(seen, "40"), Comparison::WentOn);
        assert_eq!(cache.compare(seen, "35"), Comparison::WentBack);
        assert_eq!(cache.subscriptions.newest(None), None);
        cache.subscriptions.begin_relist(None);
        let mut old = subscription("a");
        old.metadata.resource_version = Some("20".to_owned());
        assert!(cache.subscriptions.put(old.clone()).expect("kept").is_some(), "the row is replaced");
        assert!(cache.subscriptions.put(old).expect("kept").is_none(), "once");
        let lost = cache.subscriptions.end_relist(None);
        assert_eq!(lost.iter().map(AccountKey::to_string).collect::<Vec<_>>(), ["b/acme"]);
    }

    #[test]
    fn a_relist_that_begins_in_one_namespace_drops_nothing_of_another() {
        let cache = Cache::default();
        cache.subscriptions.begin_relist(Some("b"));
        assert!(cache.subscriptions.put(subscription("b")).expect("kept").is_some());
        cache.subscriptions.begin_relist(Some("a"));
        assert_eq!(cache.subscriptions.end_relist(Some("b")), []);
        assert_eq!(cache.subscriptions.len(), 1);
        cache.subscriptions.begin_relist(Some("b"));
        let lost = cache.subscriptions.end_relist(Some("b"));
        assert_eq!(lost.iter().map(AccountKey::to_string).collect::<Vec<_>>(), ["b/acme"]);
    }
}
