//! The watches that fill the inbox. The server selects what is pending; nothing is scanned.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, TryStreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::mpsc::UnboundedSender;

use crate::metrics::Metrics;
use crate::operator::cluster::{AccountKey, Announcement, Version};
use crate::operator::inbox::{Inbox, Row, Table};
use crate::operator::reason::Reason;

/// Facts of each kind that have no verdict yet, as the server selects them.
const PENDING_REPORTS: &str = "status.state!=Charged,status.state!=Rejected";
const PENDING_PACKS: &str = "status.state!=Granted,status.state!=Refused,status.state!=Refunded";
const PENDING_PAYMENTS: &str = "status.state!=Applied,status.state!=Refused";
const PENDING_ADJUSTMENTS: &str = "status.state!=Granted,status.state!=Refused";

/// How many of the watches have brought their first list.
#[derive(Clone, Default)]
pub struct Synced {
    watches: Arc<AtomicUsize>,
    synced: Arc<AtomicUsize>,
}

impl Synced {
    /// Returns whether every watch has brought its first list.
    #[must_use]
    pub fn all(&self) -> bool {
        let watches = self.watches.load(Ordering::Acquire);
        watches > 0 && self.synced.load(Ordering::Acquire) >= watches
    }
}

/// Keeps the inbox as the server has it, for ever; asks for a reconcile of each account that changes.
#[derive(Clone)]
pub struct Watches {
    /// The server.
    pub client: Client,
    /// Namespaces to watch; all, when none.
    pub namespaces: Vec<String>,
    /// Where objects go.
    pub inbox: Arc<Inbox>,
    /// Where accounts to be reconciled go.
    pub ask: UnboundedSender<AccountKey>,
    /// Where it is said that an object cannot be understood.
    pub say: UnboundedSender<Announcement>,
    /// What is counted.
    pub metrics: Metrics,
    /// How far the first lists are.
    pub synced: Synced,
}

impl Watches {
    /// Runs all watches. Ends only with an error that no retry can mend.
    pub async fn run(self) {
        let scopes: Vec<Option<String>> = if self.namespaces.is_empty() {
            vec![None]
        } else {
            self.namespaces.iter().cloned().map(Some).collect()
        };
        self.synced.watches.store(scopes.len() * 6, Ordering::Release);
        let watches = scopes.into_iter().map(|scope| {
            let namespace = scope.as_deref().map(str::to_owned);
            let this = &self;
            async move {
                let namespace = namespace.as_deref();
                let inbox = &this.inbox;
                tokio::join!(
                    this.watch(&inbox.subscriptions, namespace, None),
                    this.watch(&inbox.ledgers, namespace, None),
                    this.watch(&inbox.reports, namespace, Some(PENDING_REPORTS)),
                    this.watch(&inbox.packs, namespace, Some(PENDING_PACKS)),
                    this.watch(&inbox.payments, namespace, Some(PENDING_PAYMENTS)),
                    this.watch(&inbox.adjustments, namespace, Some(PENDING_ADJUSTMENTS)),
                );
            }
        });
        futures::future::join_all(watches).await;
    }

    async fn watch<R: Row>(&self, table: &Table<R>, namespace: Option<&str>, selector: Option<&str>) {
        let api: Api<DeserializeGuard<R::Object>> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let config = selector
            .map_or_else(watcher::Config::default, |selector| watcher::Config::default().fields(selector));
        let kind = R::Object::kind(&());
        let mut events = watcher(api, config).default_backoff().into_stream().boxed();
        let mut is_synced = false;
        loop {
            match events.try_next().await {
                Ok(None) => break,
                Ok(Some(Event::Init)) => table.begin_relist(namespace),
                Ok(Some(Event::InitApply(object) | Event::Apply(object))) => self.put(table, object),
                Ok(Some(Event::Delete(object))) => self.remove(table, object),
                Ok(Some(Event::InitDone)) => {
                    for key in table.end_relist(namespace) {
                        self.ask_for(key);
                    }
                    tracing::debug!(%kind, rows = table.len(), "listed");
                    if !is_synced {
                        is_synced = true;
                        self.synced.synced.fetch_add(1, Ordering::Release);
                    }
                }
                Err(error) => {
                    self.metrics.count_watch_error(&kind);
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(%kind, error, "watch interrupted; trying again");
                }
            }
        }
    }

    fn put<R: Row>(&self, table: &Table<R>, object: DeserializeGuard<R::Object>) {
        let version = Version {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
        };
        match object.0 {
            Err(error) => self.set_aside::<R>(version, &error),
            Ok(object) => match table.put(object) {
                Ok(Some(key)) => self.ask_for(key),
                Ok(None) => {}
                Err(error) => self.set_aside::<R>(version, &error),
            },
        }
    }

    fn remove<R: Row>(&self, table: &Table<R>, object: DeserializeGuard<R::Object>) {
        if let Ok(object) = object.0 {
            self.ask_for(table.remove(&object));
        }
    }

    /// One object that cannot be understood takes nothing else with it; whoever looks at it is told.
    fn set_aside<R: Row>(&self, version: Version, error: &(dyn std::error::Error + 'static)) {
        let (api_version, kind) = (R::Object::api_version(&()), R::Object::kind(&()));
        self.metrics.count_set_aside(&kind);
        let Version { namespace, name, .. } = &version;
        tracing::error!(%kind, namespace, name, error, "object set aside: it cannot be understood");
        let announcement = Announcement {
            object: (api_version.into_owned(), kind.into_owned()),
            version,
            is_warning: true,
            reason: Reason::Undecodable,
            message: format!("not taken: {error}; delete the object and create it as its definition says"),
        };
        if self.say.send(announcement).is_err() {
            tracing::debug!("nobody publishes any more");
        }
    }

    fn ask_for(&self, key: AccountKey) {
        if self.ask.send(key).is_err() {
            tracing::debug!("nobody reconciles any more");
        }
    }
}
