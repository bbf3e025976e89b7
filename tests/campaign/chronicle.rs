//! What happened on the server: every version of every object of this product, as the server's own watches tell it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use flashgate_cluster::Kind;
use flashgate_testing::simulated::{Object, ObjectKind};
use futures::{Stream, StreamExt as _};
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::sync::watch;

/// One version of an object, or its end.
#[derive(Clone, Debug)]
pub struct Change {
    /// The server's version; it rises over all kinds.
    pub version: u64,
    /// The object, or what it was last.
    pub object: Object,
    /// Whether it is gone.
    pub is_gone: bool,
}

/// Objects by kind and name.
pub type Objects = BTreeMap<(ObjectKind, String), Object>;

/// What happened in one namespace.
#[derive(Debug, Default)]
pub struct Annals {
    changes: Mutex<Vec<Change>>,
    count: watch::Sender<usize>,
}

impl Annals {
    /// Returns what happened, in the order in which it did.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = self.lock().clone();
        changes.sort_by_key(|change| change.version);
        changes
    }

    /// Returns the objects that are there, by kind and name.
    pub fn objects(&self) -> Objects {
        let mut objects = Objects::new();
        for Change { object, is_gone, .. } in self.changes() {
            let key = object.key();
            let place = (key.kind, key.name);
            if is_gone {
                objects.remove(&place)
            } else {
                objects.insert(place, object)
            };
        }
        objects
    }

    /// Returns the last version.
    pub fn version(&self) -> u64 {
        self.lock().iter().map(|change| change.version).max().unwrap_or_default()
    }

    /// Returns what tells of each change.
    pub fn news(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn add(&self, change: Change) {
        self.lock().push(change);
        self.count.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time before a watch that failed is begun again.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a watch may fail to begin in a row.
const FAILURES: u32 = 100;

/// What happened everywhere.
#[derive(Clone, Default)]
pub struct Chronicle {
    namespaces: Arc<Mutex<HashMap<String, Arc<Annals>>>>,
}

impl Chronicle {
    /// Begins to write down what happens.
    pub fn begin(client: &Client) -> Self {
        let chronicle = Self::default();
        chronicle.follow::<Subscription>(client);
        chronicle.follow::<CreditLedger>(client);
        chronicle.follow::<UsageReport>(client);
        chronicle.follow::<CreditPack>(client);
        chronicle.follow::<Payment>(client);
        chronicle.follow::<CreditAdjustment>(client);
        chronicle
    }

    /// Returns what happens in a namespace.
    pub fn of(&self, namespace: &str) -> Arc<Annals> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(namespaces.entry(namespace.to_owned()).or_default())
    }

    /// Forgets a namespace.
    pub fn forget(&self, namespace: &str) {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
    }

    fn follow<K: Kind>(&self, client: &Client)
    where
        Object: From<K>,
    {
        let (chronicle, api) = (self.clone(), Api::<K>::all(client.clone()));
        tokio::spawn(async move {
            let (mut version, mut failures) = ("0".to_owned(), 0);
            loop {
                match api.watch(&WatchParams::default(), &version).await {
                    Ok(events) => {
                        failures = 0;
                        chronicle.write_down(events.boxed(), &mut version).await;
                    }
                    // A server that has just started knows a new kind after a while.
                    Err(error) if failures < FAILURES => {
                        tracing::debug!(%error, "a watch cannot begin");
                        failures += 1;
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(error) => {
                        eprintln!("{} cannot be watched: {error}", K::kind(&()));
                        break;
                    }
                }
            }
        });
    }

    /// Writes down what `events` tell until they end; `version` is then the last one seen.
    async fn write_down<K: Kind>(
        &self,
        mut events: impl Stream<Item = kube::Result<WatchEvent<K>>> + Unpin,
        version: &mut String,
    ) where
        Object: From<K>,
    {
        while let Some(event) = events.next().await {
            let (object, is_gone) = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => (object, false),
                Ok(WatchEvent::Deleted(object)) => (object, true),
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    version.clone_from(&bookmark.metadata.resource_version);
                    continue;
                }
                Ok(WatchEvent::Error(error)) => {
                    eprintln!("{} was watched with an error: {error}", K::kind(&()));
                    continue;
                }
                Err(error) => {
                    eprintln!("{} cannot be read: {error}", K::kind(&()));
                    continue;
                }
            };
            let object = Object::from(object);
            let metadata = object.metadata();
            *version = metadata.resource_version.clone().unwrap_or_default();
            let (number, namespace) = (version.parse().unwrap_or_default(), object.key().namespace);
            self.of(&namespace).add(Change { version: number, object, is_gone });
        }
    }
}
