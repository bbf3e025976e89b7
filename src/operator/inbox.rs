//! What the watches brought, by account: no reconcile scans a store.
//!
//! The server selects what is pending, so these tables hold Subscriptions, ledgers, and facts without a verdict.
//! A fact that gets its verdict leaves the watch as deleted and costs nothing from then on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flashgate_ledger::facts;
use kube::ResourceExt;

use crate::api::{
    CreditAdjustment, CreditAdjustmentStatus, CreditLedger, CreditPack, CreditPackStatus, Payment,
    PaymentStatus, Subscription, UsageReport, UsageReportStatus,
};
use crate::operator::cluster::{AccountKey, Kind, Version};
use crate::operator::convert::{self, ConvertError};

/// A fact without a verdict, and the object that states it.
#[derive(Clone, Debug)]
pub struct Pending<F, S> {
    /// What it states.
    pub fact: F,
    /// The object at the version that was read.
    pub version: Version,
    /// Generation of its spec.
    pub generation: i64,
    /// Its status, once somebody wrote one.
    pub status: Option<S>,
}

/// A row of a table: what is kept of an object of kind `K`.
pub trait Row: Sized + Send + Sync + 'static {
    /// Kind of the object.
    type Object: Kind;

    /// Returns the account that the object belongs to.
    fn account(object: &Self::Object) -> AccountKey;

    /// Keeps what the operator needs of the object.
    ///
    /// # Errors
    /// When the object says something that cannot be understood.
    fn keep(object: Self::Object) -> Result<Self, ConvertError>;

    /// Returns the version that was read.
    fn version(&self) -> Version;

    /// Returns whether `self`, just read, tells nothing that `held` does not.
    fn is_old_news(&self, held: &Self) -> bool {
        let (version, held) = (self.version(), held.version());
        version == held || came_before(&version.resource_version, &held.resource_version)
    }
}

/// Rows by account and name.
pub struct Table<R> {
    rows: Mutex<Rows<R>>,
}

struct Rows<R> {
    accounts: HashMap<AccountKey, BTreeMap<String, Held<R>>>,
}

struct Held<R> {
    row: Arc<R>,
    /// Whether it came since the last relist of its namespace began: what a relist does not bring again is gone.
    is_listed: bool,
}

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        Self { rows: Mutex::new(Rows { accounts: HashMap::new() }) }
    }
}

impl<R: Row> Table<R> {
    fn lock(&self) -> MutexGuard<'_, Rows<R>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the relist of `namespace`, or of all.
    pub fn begin_relist(&self, namespace: Option<&str>) {
        let rows = &mut *self.lock();
        let scope = rows.accounts.iter_mut().filter(|(key, _)| is_in(namespace, key));
        scope.flat_map(|(_, names)| names.values_mut()).for_each(|held| held.is_listed = false);
    }

    /// Ends the relist of `namespace`, or of all: drops what it did not bring. Returns the accounts that lost a row.
    pub fn end_relist(&self, namespace: Option<&str>) -> Vec<AccountKey> {
        let rows = &mut *self.lock();
        let mut lost = Vec::new();
        rows.accounts.retain(|key, names| {
            if is_in(namespace, key) {
                let before = names.len();
                names.retain(|_, held| held.is_listed);
                if names.len() < before {
                    lost.push(key.clone());
                }
            }
            !names.is_empty()
        });
        lost
    }

    /// Keeps `object`. Returns its account when that is news.
    ///
    /// # Errors
    /// When the object says something that cannot be understood; it is then set aside.
    pub fn put(&self, object: R::Object) -> Result<Option<AccountKey>, ConvertError> {
        let (key, name) = (R::account(&object), object.name_any());
        let kept = R::keep(object);
        let rows = &mut *self.lock();
        let row = match kept {
            Ok(row) => row,
            Err(error) => {
                rows.remove(&key, &name);
                return Err(error);
            }
        };
        let names = rows.accounts.entry(key.clone()).or_default();
        if let Some(held) = names.get_mut(&name) {
            held.is_listed = true;
            if row.is_old_news(&held.row) {
                return Ok(None);
            }
        }
        names.insert(name, Held { row: Arc::new(row), is_listed: true });
        Ok(Some(key))
    }

    /// Keeps `object`, which was just read or written, in the place of an older version; keeps nothing where there is
    /// none. The watch may have brought its end already, and would not bring it again.
    ///
    /// # Errors
    /// When the object says something that cannot be understood; it is then set aside.
    pub fn renew(&self, object: R::Object) -> Result<(), ConvertError> {
        let (key, name) = (R::account(&object), object.name_any());
        let is_held = self.lock().accounts.get(&key).is_some_and(|names| names.contains_key(&name));
        if is_held { self.put(object).map(|_| ()) } else { Ok(()) }
    }

    /// Drops an object. Returns its account.
    pub fn remove(&self, object: &R::Object) -> AccountKey {
        let key = R::account(object);
        self.lock().remove(&key, &object.name_any());
        key
    }

    /// Drops the row called `name` if `is_gone` says so of it.
    pub fn remove_if(&self, key: &AccountKey, name: &str, is_gone: impl FnOnce(&R) -> bool) {
        let rows = &mut *self.lock();
        let held = rows.accounts.get(key).and_then(|names| names.get(name));
        if held.is_some_and(|held| is_gone(&held.row)) {
            rows.remove(key, name);
        }
    }

    /// Returns the rows of an account, by name.
    pub fn rows(&self, key: &AccountKey) -> Vec<Arc<R>> {
        let rows = self.lock();
        let names = rows.accounts.get(key).into_iter().flat_map(BTreeMap::values);
        names.map(|held| Arc::clone(&held.row)).collect()
    }

    /// Returns the row of an account that is called like it.
    pub fn of(&self, key: &AccountKey) -> Option<Arc<R>> {
        let rows = self.lock();
        rows.accounts.get(key).and_then(|names| names.get(&key.name)).map(|held| Arc::clone(&held.row))
    }

    /// Returns all rows, in no order.
    pub fn all(&self) -> Vec<Arc<R>> {
        let rows = self.lock();
        rows.accounts.values().flat_map(BTreeMap::values).map(|held| Arc::clone(&held.row)).collect()
    }

    /// Shows each row with its account to `look`.
    pub fn for_each(&self, mut look: impl FnMut(&AccountKey, &R)) {
        for (key, names) in &self.lock().accounts {
            for held in names.values() {
                look(key, &held.row);
            }
        }
    }

    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        self.lock().accounts.values().map(BTreeMap::len).sum()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.lock().accounts.is_empty()
    }
}

/// Returns whether an account is in `namespace`; every one is, where that is all.
fn is_in(namespace: Option<&str>, key: &AccountKey) -> bool {
    namespace.is_none_or(|namespace| key.namespace == namespace)
}

impl<R> Rows<R> {
    fn remove(&mut self, key: &AccountKey, name: &str) {
        if let Some(names) = self.accounts.get_mut(key) {
            names.remove(name);
            if names.is_empty() {
                self.accounts.remove(key);
            }
        }
    }
}

/// Everything that the watches brought.
#[derive(Default)]
pub struct Inbox {
    /// Subscriptions.
    pub subscriptions: Table<Subscription>,
    /// Ledgers.
    pub ledgers: Table<CreditLedger>,
    /// Reports without a verdict.
    pub reports: Table<Pending<facts::Report, UsageReportStatus>>,
    /// Packs without a final state.
    pub packs: Table<Pending<facts::PackOrder, CreditPackStatus>>,
    /// Payments without a verdict.
    pub payments: Table<Pending<facts::Payment, PaymentStatus>>,
    /// Adjustments without a verdict.
    pub adjustments: Table<Pending<facts::Adjustment, CreditAdjustmentStatus>>,
}

/// Returns whether resource version `version` was given before `other`.
///
/// Kubernetes defines resource versions as numbers that can be compared; what is not a number is taken for new.
#[must_use]
pub fn came_before(version: &str, other: &str) -> bool {
    version
        .parse::<u128>()
        .ok()
        .zip(other.parse::<u128>().ok())
        .is_some_and(|(version, other)| version < other)
}

fn own_account<K: Kind>(object: &K) -> AccountKey {
    AccountKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

impl Row for Subscription {
    type Object = Self;

    fn account(object: &Self) -> AccountKey {
        own_account(object)
    }

    fn keep(mut object: Self) -> Result<Self, ConvertError> {
        object.metadata.managed_fields = None;
        Ok(object)
    }

    fn version(&self) -> Version {
        Version::of(self)
    }
}

impl Row for CreditLedger {
    type Object = Self;

    fn account(object: &Self) -> AccountKey {
        own_account(object)
    }

    fn keep(mut object: Self) -> Result<Self, ConvertError> {
        object.metadata.managed_fields = None;
        Ok(object)
    }

    fn version(&self) -> Version {
        Version::of(self)
    }
}

macro_rules! fact_row {
    ($object:ty, $status:ty, $fact:ty, $convert:path) => {
        impl Row for Pending<$fact, $status> {
            type Object = $object;

            fn account(object: &$object) -> AccountKey {
                AccountKey {
                    namespace: object.namespace().unwrap_or_default(),
                    name: object.spec.subscription_ref.name.clone(),
                }
            }

            fn keep(object: $object) -> Result<Self, ConvertError> {
                let fact = $convert(&object)?;
                let version = Version::of(&object);
                let generation = object.metadata.generation.unwrap_or_default();
                let status = object.status.filter(|status| status.observed_generation != Some(-1));
                Ok(Self { fact, version, generation, status })
            }

            fn version(&self) -> Version {
                self.version.clone()
            }
        }
    };
}

fact_row!(UsageReport, UsageReportStatus, facts::Report, convert::report_fact);
fact_row!(CreditPack, CreditPackStatus, facts::PackOrder, convert::pack_fact);
fact_row!(Payment, PaymentStatus, facts::Payment, convert::payment_fact);
fact_row!(CreditAdjustment, CreditAdjustmentStatus, facts::Adjustment, convert::adjustment_fact);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SubscriptionSpec;

    fn subscription(namespace: &str) -> Subscription {
        let mut subscription = Subscription::new("acme", SubscriptionSpec::default());
        subscription.metadata.namespace = Some(namespace.to_owned());
        subscription
    }

    #[test]
    fn a_relist_that_begins_in_one_namespace_drops_nothing_of_another() {
        let inbox = Inbox::default();
        inbox.subscriptions.begin_relist(Some("b"));
        assert!(inbox.subscriptions.put(subscription("b")).expect("kept").is_some());
        inbox.subscriptions.begin_relist(Some("a"));
        assert_eq!(inbox.subscriptions.end_relist(Some("b")), []);
        assert_eq!(inbox.subscriptions.len(), 1);
        inbox.subscriptions.begin_relist(Some("b"));
        let lost = inbox.subscriptions.end_relist(Some("b"));
        assert_eq!(lost.iter().map(AccountKey::to_string).collect::<Vec<_>>(), ["b/acme"]);
    }
}
