//! The Subscriptions and UsageMeters of a cluster, as its watches show them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use flashgate_api::{AccountKey, Subscription, UsageMeter};
use futures::{Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use crate::account::Account;

/// The objects of one kind, by namespace and name. A look at a meter shares them while they change.
pub type Objects<T> = Arc<BTreeMap<AccountKey, T>>;

/// The objects that meters read.
#[derive(Debug)]
pub struct Watched {
    content: Mutex<Content>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Content {
    accounts: Objects<Account>,
    meters: Objects<UsageMeter>,
    /// Lists that are not complete yet.
    open_lists: usize,
}

/// A change of the objects of one namespace, or of all if it is none.
enum Change<T> {
    Set(AccountKey, T),
    Removed(AccountKey),
    /// The complete list.
    Listed(BTreeMap<AccountKey, T>),
}

impl Watched {
    /// Returns a view without objects, which waits for this number of lists.
    #[must_use]
    pub fn new(lists: usize) -> Self {
        let content = Content { open_lists: lists, ..Content::default() };
        Self { content: Mutex::new(content), version: watch::Sender::new(0) }
    }

    /// Returns the objects, or nothing until all lists are complete.
    #[must_use]
    pub fn objects(&self) -> Option<(Objects<UsageMeter>, Objects<Account>)> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        (content.open_lists == 0).then(|| (Arc::clone(&content.meters), Arc::clone(&content.accounts)))
    }

    /// Returns a receiver that is notified of each change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Follows the Subscriptions of a namespace, or of all.
    pub async fn follow_accounts(&self, api: Api<Subscription>, namespace: Option<&str>) {
        let changes = changes(api, |subscription| Account::of(&subscription));
        self.follow(changes, namespace, |content| &mut content.accounts).await;
    }

    /// Follows the UsageMeters of a namespace, or of all.
    pub async fn follow_meters(&self, api: Api<UsageMeter>, namespace: Option<&str>) {
        let changes = changes(api, |meter| meter);
        self.follow(changes, namespace, |content| &mut content.meters).await;
    }

    async fn follow<T: Clone>(
        &self,
        changes: impl Stream<Item = Change<T>>,
        namespace: Option<&str>,
        objects: impl Fn(&mut Content) -> &mut Objects<T>,
    ) {
        let mut changes = std::pin::pin!(changes);
        let mut is_listed = false;
        while let Some(change) = changes.next().await {
            let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(change, Change::Listed(_)) && !is_listed {
                is_listed = true;
                content.open_lists = content.open_lists.saturating_sub(1);
            }
            let objects = Arc::make_mut(objects(&mut content));
            match change {
                Change::Set(key, object) => drop(objects.insert(key, object)),
                Change::Removed(key) => drop(objects.remove(&key)),
                Change::Listed(listed) => {
                    objects.retain(|key, _| namespace.is_some_and(|namespace| namespace != key.namespace));
                    objects.extend(listed);
                }
            }
            drop(content);
            self.version.send_modify(|version| *version = version.wrapping_add(1));
        }
    }
}

/// Returns the changes of the objects of a kind. The watch begins again after an error.
fn changes<K, T>(api: Api<K>, convert: impl Fn(K) -> T) -> impl Stream<Item = Change<T>>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let mut listing = BTreeMap::new();
    watcher(api, watcher::Config::default()).default_backoff().filter_map(move |event| {
        let change = match event {
            Ok(Event::Apply(object)) => Some(Change::Set(key_of(&object), convert(object))),
            Ok(Event::Delete(object)) => Some(Change::Removed(key_of(&object))),
            Ok(Event::Init) => {
                listing = BTreeMap::new();
                None
            }
            Ok(Event::InitApply(object)) => {
                listing.insert(key_of(&object), convert(object));
                None
            }
            Ok(Event::InitDone) => Some(Change::Listed(std::mem::take(&mut listing))),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted; trying again");
                None
            }
        };
        std::future::ready(change)
    })
}

/// Returns the namespace and the name of an object.
pub fn key_of(object: &impl ResourceExt) -> AccountKey {
    AccountKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}
