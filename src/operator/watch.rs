//! The watches that fill the cache. A field selector limits them to pending objects.

mod feed;
pub mod synced;

use std::sync::Arc;

use flashgate_api::event::Event;
use flashgate_api::reason::Reason;
use flashgate_api::{CreditAdjustment, CreditPack, Payment, UsageReport};
use flashgate_cluster::kubernetes::pages::Lister;
use flashgate_cluster::trimmed::Trimmed;
use flashgate_cluster::{AccountKey, EventObject, Version};
use kube::{Client, Resource};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::operator::cache::{Cache, CachedKind, Pending, Row, Table};
use crate::operator::watch::feed::Feed;
use crate::operator::watch::synced::Synced;

/// Keeps the cache up to date, and queues each account that changes.
pub struct Watches {
    /// The client of the API server.
    pub client: Client,
    /// Namespaces to watch. If empty, all are watched.
    pub namespaces: Vec<String>,
    /// The cache to fill.
    pub cache: Arc<Cache>,
    /// Receives the accounts to reconcile.
    pub ask: UnboundedSender<AccountKey>,
    /// Receives an Event for each object that cannot be decoded.
    pub events: UnboundedSender<Event<EventObject>>,
    /// The metrics.
    pub metrics: Metrics,
    /// The state of each watch.
    pub synced: Synced,
    /// Reads the lists.
    pub lister: Lister,
    /// Changes when a watch succeeds after it failed.
    pub recovered: watch::Sender<u64>,
}

impl Watches {
    /// Runs all watches. Never ends.
    pub async fn run(self) {
        let scopes: Vec<Option<&str>> = if self.namespaces.is_empty() {
            vec![None]
        } else {
            self.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect()
        };
        let cache = &self.cache;
        let watches = scopes.into_iter().map(|namespace| {
            let subscriptions = self.feed(&cache.subscriptions, namespace, None).run();
            let ledgers = self.feed(&cache.ledgers, namespace, None).run();
            let reports = self.pending::<UsageReport>(namespace).run();
            let packs = self.pending::<CreditPack>(namespace).run();
            let payments = self.pending::<Payment>(namespace).run();
            let adjustments = self.pending::<CreditAdjustment>(namespace).run();
            async move { tokio::join!(subscriptions, ledgers, reports, packs, payments, adjustments) }
        });
        futures::future::join_all(watches).await;
    }

    /// Returns the watch of the objects of one kind that have no verdict.
    fn pending<'a, K: CachedKind>(&'a self, namespace: Option<&'a str>) -> Feed<'a, Pending<K>> {
        self.feed(K::table(&self.cache), namespace, Some(K::pending_selector()))
    }

    fn feed<'a, R: Row>(
        &'a self,
        table: &'a Table<R>,
        namespace: Option<&'a str>,
        selector: Option<String>,
    ) -> Feed<'a, R> {
        let kinds = format!("{}s", R::Object::kind(&()));
        let what = match namespace {
            Some(namespace) => format!("{kinds} of namespace {namespace}"),
            None => kinds,
        };
        Feed { watches: self, table, namespace, selector, progress: self.synced.add(what) }
    }

    fn put<R: Row>(&self, table: &Table<R>, object: Trimmed<R::Object>) {
        let object = match object.0 {
            Ok(object) => object,
            Err(undecoded) => return self.set_aside::<R>(undecoded.version.clone(), &undecoded),
        };
        let version = Version::of(&object);
        match table.put(object) {
            Ok(Some(key)) => self.ask_for(key),
            Ok(None) => {}
            Err(error) => self.set_aside::<R>(version, &error),
        }
    }

    fn remove<R: Row>(&self, table: &Table<R>, object: Trimmed<R::Object>) {
        if let Ok(object) = object.0 {
            self.ask_for(table.remove(&object));
        }
    }

    /// Ignores an object that cannot be decoded, and reports it by an Event. Other objects are not affected.
    fn set_aside<R: Row>(&self, version: Version, error: &(dyn std::error::Error + 'static)) {
        let kind = R::Object::kind(&());
        self.metrics.count_set_aside(&kind);
        let Version { namespace, name, .. } = &version;
        tracing::error!(%kind, namespace, name, error, "object set aside: it cannot be understood");
        let message =
            format!("the object is ignored: {error}; delete it and create it again as its CRD requires");
        let event = Event::warning(EventObject::new::<R::Object>(version), Reason::Undecodable, message);
        if self.events.send(event).is_err() {
            tracing::debug!("the publisher has stopped");
        }
    }

    fn ask_for(&self, key: AccountKey) {
        if self.ask.send(key).is_err() {
            tracing::debug!("the work queue has stopped");
        }
    }
}
