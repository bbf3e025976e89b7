//! Records every version of every object of this product, from watches of the API server.

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

/// A version of an object, or its deletion.
#[derive(Clone, Debug)]
pub struct Change {
    /// The resource version. It increases across all kinds.
    pub version: u64,
    /// The object; if it is deleted, its last version.
    pub object: Object,
    /// Whether the object was deleted.
    pub is_deleted: bool,
}

/// Objects by kind and name.
pub type Objects = BTreeMap<(ObjectKind, String), Object>;

/// The changes in one namespace.
#[derive(Debug, Default)]
pub struct History {
    changes: Mutex<Vec<Change>>,
    count: watch::Sender<usize>,
}

impl History {
    /// Returns the changes, in order.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = self.lock().clone();
        changes.sort_by_key(|change| change.version);
        changes
    }

    /// Returns the objects that exist now, by kind and name.
    pub fn objects(&self) -> Objects {
        let mut objects = Objects::new();
        for Change { object, is_deleted, .. } in self.changes() {
            let key = object.key();
            let place = (key.kind, key.name);
            if is_deleted {
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

    /// Returns a receiver that is notified of each change.
    pub fn updates(&self) -> watch::Receiver<usize> {
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

/// Time before a failed watch is started again.
const PAUSE: Duration = Duration::from_millis(100);

/// Maximum number of times in a row that a watch may fail to start.
const FAILURES: u32 = 100;

/// The changes in all namespaces.
#[derive(Clone, Default)]
pub struct Recorder {
    namespaces: Arc<Mutex<HashMap<String, Arc<History>>>>,
}

impl Recorder {
    /// Starts to record changes.
    pub fn begin(client: &Client) -> Self {
        let recorder = Self::default();
        recorder.follow::<Subscription>(client);
        recorder.follow::<CreditLedger>(client);
        recorder.follow::<UsageReport>(client);
        recorder.follow::<CreditPack>(client);
        recorder.follow::<Payment>(client);
        recorder.follow::<CreditAdjustment>(client);
        recorder
    }

    /// Returns the changes of a namespace.
    pub fn of(&self, namespace: &str) -> Arc<History> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(namespaces.entry(namespace.to_owned()).or_default())
    }

    /// Removes the record of a namespace.
    pub fn forget(&self, namespace: &str) {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
    }

    fn follow<K: Kind>(&self, client: &Client)
    where
        Object: From<K>,
    {
        let (recorder, api) = (self.clone(), Api::<K>::all(client.clone()));
        tokio::spawn(async move {
            let (mut version, mut failures) = ("0".to_owned(), 0);
            loop {
                match api.watch(&WatchParams::default(), &version).await {
                    Ok(events) => {
                        failures = 0;
                        recorder.write_down(events.boxed(), &mut version).await;
                    }
                    // A server that has just started does not serve a new kind at once.
                    Err(error) if failures < FAILURES => {
                        tracing::debug!(%error, "a watch cannot start");
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

    /// Records `events` until the stream ends, and sets `version` to the last version seen.
    async fn write_down<K: Kind>(
        &self,
        mut events: impl Stream<Item = kube::Result<WatchEvent<K>>> + Unpin,
        version: &mut String,
    ) where
        Object: From<K>,
    {
        while let Some(event) = events.next().await {
            let (object, is_deleted) = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => (object, false),
                Ok(WatchEvent::Deleted(object)) => (object, true),
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    version.clone_from(&bookmark.metadata.resource_version);
                    continue;
                }
                Ok(WatchEvent::Error(error)) => {
                    eprintln!("{}: the watch returned an error: {error}", K::kind(&()));
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
            self.of(&namespace).add(Change { version: number, object, is_deleted });
        }
    }
}
