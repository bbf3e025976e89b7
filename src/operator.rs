//! The operator: one file for each step of a reconcile, and the tasks that run beside the reconciles.

pub mod account_metrics;
pub mod cache;
pub mod commit;
pub mod election;
pub mod facts;
pub mod health;
pub mod history;
pub mod judged_kind;
pub mod memory;
pub mod plan;
pub mod project;
pub mod publish;
pub mod receipts;
pub mod reconcile;
pub mod stored_ledger;
pub mod sweep;
pub mod view;
pub mod watch;
pub mod work_queue;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flashgate_api::event::Event;
use flashgate_cluster::kubernetes::pages::Lister;
use flashgate_cluster::{AccountKey, Cluster, EventObject};
use futures::FutureExt;
use kube::Client;
use tokio::sync::{mpsc, watch as signal};
use tokio::time::Instant;

use crate::operator::election::leadership::Leadership;
use crate::operator::reconcile::{Next, Operator, ReconcileError};
use crate::operator::watch::Watches;
use crate::operator::watch::synced::Synced;

/// Interval between two checks of whether the first lists are complete.
const SYNC_INTERVAL: Duration = Duration::from_millis(20);

/// Interval at which Events that the rate limit held back are published.
const EVENT_INTERVAL: Duration = Duration::from_secs(10);

/// Most objects whose last Event is remembered. After more, an Event may be published twice.
const MOST_PUBLISHED: usize = 10_000;

/// Time between two tries of a sweep that failed.
const SWEEP_RETRY: Duration = Duration::from_mins(1);

/// Runs the operator until `stop` turns true. Running reconciles are completed first.
///
/// A standby runs its watches too, so its cache is warm when it becomes the leader. Only the leader writes.
pub async fn run<C: Cluster>(
    operator: Arc<Operator<C>>,
    client: Client,
    namespaces: Vec<String>,
    concurrency: usize,
    synced: Synced,
    leadership: Leadership,
    stop: signal::Receiver<bool>,
) {
    let (ask, asked) = mpsc::unbounded_channel::<AccountKey>();
    let (events, undecoded) = mpsc::unbounded_channel();
    let (recovered, recovers) = signal::channel(0);
    let watches = Watches {
        lister: Lister::new(client.clone()),
        recovered,
        client,
        namespaces,
        cache: Arc::clone(&operator.cache),
        ask,
        events,
        metrics: operator.metrics.clone(),
        synced: synced.clone(),
    };
    let watching = tokio::spawn(watches.run());
    let publishing =
        tokio::spawn(publish_while_leading(Arc::clone(&operator), undecoded, leadership.clone()));
    let summing = tokio::spawn(publish_summaries_while_leading(Arc::clone(&operator), leadership.clone()));
    let mut ended = stop.clone();
    tokio::select! {
        () = wait_for_sync(&synced) => tracing::info!("caches are synced; reconciling"),
        _ = ended.changed() => {}
    }
    let sweeping = tokio::spawn(sweep_while_leading(Arc::clone(&operator), leadership.clone()));
    let shared = Arc::clone(&operator);
    let reconcile = move |key| {
        let operator = Arc::clone(&shared);
        async move { reconcile(&operator, key).await }.boxed()
    };
    work_queue::run(asked, recovers, leadership, stop, &operator.clock, concurrency, reconcile).await;
    sweeping.abort();
    watching.abort();
    publishing.abort();
    summing.abort();
}

async fn wait_for_sync(synced: &Synced) {
    while !synced.all() {
        tokio::time::sleep(SYNC_INTERVAL).await;
    }
}

async fn reconcile<C: Cluster>(operator: &Operator<C>, key: AccountKey) -> Result<Next, ReconcileError> {
    let started = Instant::now();
    let result = operator.reconcile(&key).await;
    let name = result.as_ref().map_or_else(ReconcileError::name, |_| "ok");
    operator.metrics.count_reconcile(name, started.elapsed());
    operator.metrics.show_clock_skew(operator.cluster.clock_skew_seconds().unwrap_or_default());
    result
}

/// Publishes one Event for each object that cannot be decoded, and another when the error changes. Events that
/// arrive on a standby are kept until it leads.
async fn publish_while_leading<C: Cluster>(
    operator: Arc<Operator<C>>,
    mut events: mpsc::UnboundedReceiver<Event<EventObject>>,
    mut leadership: Leadership,
) {
    let mut published: HashMap<String, String> = HashMap::new();
    while let Some(event) = events.recv().await {
        let (uid, message) = (event.object.version.uid.clone(), event.message.clone());
        if operator.hold || published.get(&uid) == Some(&message) {
            continue;
        }
        leadership.begins().await;
        // An object that cannot be decoded belongs to no account.
        if operator.publisher().publish("", event).await {
            if published.len() >= MOST_PUBLISHED {
                published.clear();
            }
            published.insert(uid, message);
        }
    }
}

/// Publishes summary Events with the number of Events that the rate limit held back.
async fn publish_summaries_while_leading<C: Cluster>(operator: Arc<Operator<C>>, mut leadership: Leadership) {
    loop {
        tokio::time::sleep(EVENT_INTERVAL).await;
        leadership.begins().await;
        operator.publisher().publish_due().await;
    }
}

async fn sweep_while_leading<C: Cluster>(operator: Arc<Operator<C>>, mut leadership: Leadership) {
    loop {
        leadership.begins().await;
        tokio::select! {
            () = leadership.ends() => {}
            () = sweep(&operator) => {}
        }
    }
}

/// Corrects refusals that another operator may have left on charged reports, then sweeps at each interval.
/// Never returns.
async fn sweep<C: Cluster>(operator: &Operator<C>) {
    let interval = sweep::interval(operator.catalog.policies.reports.keep_for_seconds);
    if let Err(error) = operator.correct_refusals().await {
        tracing::warn!(%error, "refused reports could not be listed");
    }
    let mut pause = interval;
    loop {
        tokio::time::sleep(pause).await;
        pause = match operator.sweep().await {
            Ok(deleted) => {
                tracing::debug!(deleted, "swept");
                interval
            }
            Err(error) => {
                tracing::warn!(%error, "sweep failed; trying again");
                SWEEP_RETRY.min(interval)
            }
        };
    }
}
