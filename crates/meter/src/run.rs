//! Runs all meters of a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flashgate_api::reason::Reason;
use flashgate_api::{AccountKey, READY, STALLED, Subscription, UsageMeter, UsageMeterStatus, condition};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::ListParams;
use tokio::task::JoinSet;

use crate::account::Account;
use crate::cluster::CallError;
use crate::cursor::before;
use crate::figures::{Figures, MeterFigures};
use crate::http::HttpServer;
use crate::kubernetes::{Kubernetes, detail};
use crate::meter::{Looked, Meter};
use crate::status::unusable;
use crate::terms::Terms;
use crate::watched::{Watched, key_of};

/// Shortest time between two writes of a status whose conditions did not change.
const STATUS_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// Time to collect further changes before the next look at a meter.
const GATHER: Duration = Duration::from_secs(2);

/// Time after which the lists of objects are tried again.
const LIST_AGAIN: Duration = Duration::from_secs(5);

/// The clock of this machine.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The common part of all meters of a process.
#[derive(Clone)]
pub struct Meters {
    cluster: Arc<Kubernetes>,
    servers: Arc<BTreeMap<String, HttpServer>>,
    accepted_for: SignedDuration,
    now: Now,
    figures: Arc<Figures>,
    is_synced: Arc<AtomicBool>,
}

/// A meter that runs.
struct Running {
    key: AccountKey,
    meter: Option<Meter<Kubernetes, HttpServer>>,
    written: Option<(UsageMeterStatus, Timestamp)>,
    /// Reason for which somebody must act, as it was logged last.
    stalled: Option<String>,
}

impl Meters {
    /// Returns the meters of the cluster of `client`, which read from `servers` by name. `namespaces` limits them unless
    /// it is empty. A report must arrive within `accepted_for` after the start of its window.
    #[must_use]
    pub fn new(
        client: Client,
        servers: BTreeMap<String, HttpServer>,
        namespaces: Vec<String>,
        accepted_for: SignedDuration,
        now: Now,
    ) -> Self {
        Self {
            cluster: Arc::new(Kubernetes::new(client, namespaces)),
            servers: Arc::new(servers),
            accepted_for,
            now,
            figures: Arc::default(),
            is_synced: Arc::default(),
        }
    }

    /// Returns the figures for metrics.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Returns why the meters are not ready: their objects are not listed yet.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        let is_synced = self.is_synced.load(Ordering::Relaxed);
        (!is_synced).then(|| "the first lists of UsageMeters and Subscriptions are under way".to_owned())
    }

    /// Closes every window that is due, once. Returns whether all could be closed.
    ///
    /// # Errors
    /// When the objects cannot be listed.
    pub async fn once(&self) -> Result<bool, CallError> {
        let (mut meters, mut accounts) = (Vec::new(), BTreeMap::new());
        for namespace in self.cluster.lists(None) {
            let failed = |error: kube::Error| CallError {
                call: "list UsageMeters and Subscriptions".to_owned(),
                detail: detail(&error),
            };
            let all = ListParams::default();
            let subscriptions =
                self.cluster.api::<Subscription>(namespace).list(&all).await.map_err(failed)?;
            accounts.extend(subscriptions.iter().map(|object| (key_of(object), Account::of(object))));
            meters.extend(self.cluster.api::<UsageMeter>(namespace).list(&all).await.map_err(failed)?);
        }
        let accounts = &accounts;
        let looks = meters.into_iter().map(|object| async move {
            let mut running = Running { key: key_of(&object), meter: None, written: None, stalled: None };
            self.look(&mut running, &object, accounts).await.is_some_and(|looked| looked.is_complete)
        });
        Ok(join_all(looks).await.into_iter().all(|is_complete| is_complete))
    }

    /// Runs until the future is dropped: follows the objects, and closes each window when it is due.
    pub async fn run(&self) {
        let watched = Arc::new(Watched::new(2 * self.cluster.lists(None).len()));
        let mut tasks = JoinSet::new();
        for namespace in self.cluster.lists(None) {
            let (accounts, meters) = (self.cluster.api(namespace), self.cluster.api(namespace));
            let namespace = namespace.map(str::to_owned);
            let (watched, other, others) = (Arc::clone(&watched), Arc::clone(&watched), namespace.clone());
            tasks.spawn(async move { watched.follow_accounts(accounts, namespace.as_deref()).await });
            tasks.spawn(async move { other.follow_meters(meters, others.as_deref()).await });
        }
        let mut changes = watched.changes();
        let mut running: BTreeMap<AccountKey, tokio::task::AbortHandle> = BTreeMap::new();
        loop {
            if let Some((meters, _)) = watched.objects() {
                self.is_synced.store(true, Ordering::Relaxed);
                running.retain(|_, task| !task.is_finished());
                for key in
                    meters.keys().filter(|key| !running.contains_key(*key)).cloned().collect::<Vec<_>>()
                {
                    let (meters, watched) = (self.clone(), Arc::clone(&watched));
                    let task = tasks.spawn({
                        let key = key.clone();
                        async move { meters.follow(key, &watched).await }
                    });
                    running.insert(key, task);
                }
            }
            tokio::select! {
                _ = changes.changed() => tokio::time::sleep(GATHER).await,
                Some(Err(error)) = tasks.join_next() => {
                    tracing::error!(%error, "a meter ended; starting it again");
                    tokio::time::sleep(LIST_AGAIN).await;
                }
            }
        }
    }

    /// Looks at a meter until it no longer exists.
    async fn follow(&self, key: AccountKey, watched: &Watched) {
        let mut changes = watched.changes();
        let mut running = Running { key, meter: None, written: None, stalled: None };
        loop {
            changes.borrow_and_update();
            let found = watched.objects();
            let Some((object, accounts)) =
                found.as_ref().and_then(|(meters, accounts)| Some((meters.get(&running.key)?, accounts)))
            else {
                self.figures.remove(&running.key);
                return;
            };
            let next = self.look(&mut running, object, accounts).await.map(|looked| looked.next);
            drop(found);
            let now = (self.now)();
            let pause = next.map_or(SignedDuration::from_mins(1), |next| next.duration_since(now));
            let pause = Duration::try_from(pause).unwrap_or_default().max(Duration::from_secs(1));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = changes.changed() => tokio::time::sleep(GATHER).await,
            }
        }
    }

    /// Looks at a meter once, and writes its status. Returns nothing if the meter cannot be used.
    async fn look(
        &self,
        running: &mut Running,
        object: &UsageMeter,
        accounts: &BTreeMap<AccountKey, Account>,
    ) -> Option<Looked> {
        let now = (self.now)();
        let mut object = object.clone();
        if let Some((written, _)) = &running.written {
            // The watch may not show it yet.
            object.status = Some(written.clone());
        }
        let object = &object;
        let (terms, server) = match self.usable(object) {
            Ok(usable) => usable,
            Err((reason, message)) => {
                running.meter = None;
                let status = unusable(object, reason, message, now);
                self.publish(running, object, &status, None, now).await;
                return None;
            }
        };
        let meter = match &mut running.meter {
            Some(meter) => {
                meter.change(object.clone(), terms, server);
                meter
            }
            none => {
                let cluster = Arc::clone(&self.cluster);
                none.insert(Meter::new(object.clone(), terms, cluster, server, self.accepted_for))
            }
        };
        let looked = meter.look(accounts, now).await;
        self.publish(running, object, &looked.status, Some(&looked), (self.now)()).await;
        Some(looked)
    }

    /// Returns the terms and the server of a meter, or why it cannot be used.
    fn usable(&self, object: &UsageMeter) -> Result<(Terms, Arc<HttpServer>), (Reason, String)> {
        let terms = Terms::of(object).map_err(|error| (Reason::Undecodable, error.to_string()))?;
        let creation = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let earliest = before(creation.unwrap_or(Timestamp::MAX), self.accepted_for);
        if object.spec.start_time.is_some_and(|start| start < earliest) {
            let message = format!(
                "Reports are accepted for {} after the start of their window, and `spec.startTime` is longer before the \
                 creation of the meter: set it to {earliest} or later",
                days(self.accepted_for)
            );
            return Err((Reason::StartTooEarly, message));
        }
        let Some(server) = self.servers.get(&terms.server) else {
            let known: Vec<&str> = self.servers.keys().map(String::as_str).collect();
            let message = format!(
                "The configuration of the meter has no server '{}'; it has {}: add it there, or correct `spec.prometheus`",
                terms.server,
                known.join(", ")
            );
            return Err((Reason::UnknownServer, message));
        };
        Ok((terms, Arc::new(server.clone())))
    }

    /// Writes the status if it changed, and sets the figures.
    async fn publish(
        &self,
        running: &mut Running,
        object: &UsageMeter,
        status: &UsageMeterStatus,
        looked: Option<&Looked>,
        now: Timestamp,
    ) {
        let figures = figures(status, looked);
        if running.stalled != figures.stalled {
            let ready =
                condition(&status.conditions, READY).map(|ready| ready.message.as_str()).unwrap_or_default();
            if let Some(reason) = &figures.stalled {
                tracing::warn!(meter = %running.key, reason, message = ready, "somebody must act");
            } else {
                tracing::info!(meter = %running.key, message = ready, "the meter goes on");
            }
            running.stalled.clone_from(&figures.stalled);
        }
        self.figures.set(running.key.clone(), figures);
        let is_due = match &running.written {
            None => object.status.as_ref() != Some(status),
            Some((written, _)) if written == status => false,
            Some((written, at)) => {
                let is_urgent = written.conditions != status.conditions
                    || written.observed_generation != status.observed_generation
                    || written.unmatched.len() != status.unmatched.len();
                is_urgent || now.duration_since(*at) >= STATUS_INTERVAL
            }
        };
        if !is_due {
            return;
        }
        match self.cluster.write_status(object, status).await {
            Ok(()) => running.written = Some((status.clone(), now)),
            Err(error) => tracing::warn!(meter = %running.key, %error, "status not written; trying again"),
        }
    }
}

/// Returns a time as people write it.
fn days(time: SignedDuration) -> String {
    let hours = time.as_hours();
    if hours % 24 == 0 { format!("{} days", hours / 24) } else { format!("{hours} hours") }
}

fn figures(status: &UsageMeterStatus, looked: Option<&Looked>) -> MeterFigures {
    let stalled = condition(&status.conditions, STALLED);
    MeterFigures {
        accounts: status.accounts.unwrap_or_default(),
        series: status.series.unwrap_or_default(),
        lag_seconds: status.lag_seconds.unwrap_or_default(),
        unmatched: i64::try_from(status.unmatched.len()).unwrap_or(i64::MAX),
        held: looked.and_then(|looked| i64::try_from(looked.held).ok()).unwrap_or_default(),
        rejected: status.rejected_reports.unwrap_or_default(),
        created: looked.map(|looked| looked.created).unwrap_or_default(),
        stalled: stalled
            .filter(|condition| condition.status == "True")
            .map(|condition| condition.reason.clone()),
    }
}
