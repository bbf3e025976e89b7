//! Leader election by a Lease: of several operators one reconciles, the others stand by with caches that are warm.
//!
//! # Guarantees
//! None that money rests on: a ledger's resource version keeps two leaders from doing anything twice. An election
//! only spares the work of the second, and makes the handover quick.
//!
//! Whether a lease has run out is judged by the time that has passed here since it was last seen to change. Clocks
//! of machines are never compared. Every write is bound to the version that it was decided on.

pub mod candidate;
pub mod leadership;

use std::pin::pin;
use std::time::Duration;

use flashgate_cluster::clock::Clock;
use futures::{Stream, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::operator::election::candidate::{Candidate, Move, holder};
use crate::operator::election::leadership::Leadership;

/// What operators that take turns agree on, and who one of them is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease: operators of the same name take turns.
    pub name: String,
    /// Who this is; no other process may ever be called the same.
    pub identity: String,
    /// The times that it keeps.
    pub times: Times,
}

/// The times that a candidate keeps. Each is longer than the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long the others wait for a leader that says nothing before one of them takes over.
    pub lease: Duration,
    /// How long a leader that cannot renew its lease goes on: less than the others wait.
    pub renew: Duration,
    /// Time between two renewals, and between two looks of a standby.
    pub retry: Duration,
}

impl Times {
    /// Returns how long a call may take: a second one must fit before a leader gives up.
    fn call_limit(self) -> Duration {
        self.renew / 2
    }
}

/// Why a lease could not be read or written; it is tried again.
#[derive(Debug, thiserror::Error)]
enum ElectionError {
    /// The call failed.
    #[error("lease {lease} cannot be read or written")]
    Call {
        /// Namespace and name.
        lease: String,
        /// What failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// No reply came in time; a write may or may not have taken effect.
    #[error("lease {lease}: no reply within {limit:?}")]
    TimedOut {
        /// Namespace and name.
        lease: String,
        /// The limit.
        limit: Duration,
    },
}

impl ElectionError {
    /// Returns whether somebody else was faster, or the Lease is gone: nothing that anybody needs to hear of.
    fn is_race(&self) -> bool {
        matches!(self, Self::Call { source, .. }
            if matches!(&**source, kube::Error::Api(status) if [404, 409].contains(&status.code)))
    }
}

/// A candidate with its connection to the cluster.
pub struct Election {
    leases: Api<Lease>,
    clock: Clock,
    settings: Settings,
    candidate: Candidate,
    until: watch::Sender<Instant>,
}

impl Election {
    /// Returns a candidate, and what tells whether it leads.
    #[must_use]
    pub fn new(client: Client, clock: Clock, settings: Settings) -> (Self, Leadership) {
        let (until, leadership) = Leadership::contested();
        let leases = Api::namespaced(client, &settings.namespace);
        let candidate = Candidate::new(settings.identity.clone(), settings.times.lease);
        (Self { leases, clock, settings, candidate, until }, leadership)
    }

    /// Stands for election until told to resign; then gives the lease back, if it holds it.
    pub async fn run(mut self, resign: oneshot::Receiver<()>) {
        let (tell, mut holders) = watch::channel(None);
        let changes = watch_object(self.leases.clone(), &self.settings.name).default_backoff();
        let mut watching = pin!(tell_holders(changes, tell));
        let mut resign = pin!(resign);
        loop {
            if let Err(error) = self.take_turn().await {
                self.candidate.doubt();
                let is_race = error.is_race();
                let error: &dyn std::error::Error = &error;
                if is_race {
                    tracing::debug!(error, "somebody else wrote the lease first");
                } else {
                    tracing::warn!(error, "lease neither read nor written; trying again");
                }
            }
            let pause = self.candidate.patience(Instant::now()).min(self.settings.times.retry);
            tokio::select! {
                _ = &mut resign => break,
                () = &mut watching => {}
                () = tokio::time::sleep(pause) => {}
                () = another_holder(&mut holders, self.candidate.holder()) => {}
            }
        }
        self.resign().await;
    }

    /// Looks at the lease where it must, and takes or renews it where it may.
    async fn take_turn(&mut self) -> Result<(), ElectionError> {
        if self.candidate.must_look() {
            let found = self.call(self.leases.get_opt(&self.settings.name)).await?;
            self.candidate.see(found, Instant::now());
        }
        let sent = Instant::now();
        let params = PostParams::default();
        let written = match self.candidate.decide(&self.settings.name, self.clock.now(), sent) {
            Move::Wait => return Ok(()),
            Move::Create(lease) => self.call(self.leases.create(&params, &lease)).await?,
            Move::Replace(lease) => {
                self.call(self.leases.replace(&self.settings.name, &params, &lease)).await?
            }
        };
        self.candidate.see(Some(written), sent);
        // From when the renewal was asked for, not answered: others may have seen it as early as that.
        self.until.send_replace(sent + self.settings.times.renew);
        Ok(())
    }

    async fn resign(mut self) {
        self.until.send_replace(Instant::now());
        let given_back = async {
            if self.candidate.must_look() {
                let found = self.call(self.leases.get_opt(&self.settings.name)).await?;
                self.candidate.see(found, Instant::now());
            }
            let Some(lease) = self.candidate.given_back(self.clock.now()) else { return Ok(false) };
            let params = PostParams::default();
            self.call(self.leases.replace(&self.settings.name, &params, &lease)).await.map(|_| true)
        };
        match given_back.await {
            Ok(true) => tracing::info!("lease given back"),
            Ok(false) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "lease not given back; it runs out by itself");
            }
        }
    }

    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, ElectionError> {
        let limit = self.settings.times.call_limit();
        let lease = || format!("{}/{}", self.settings.namespace, self.settings.name);
        match tokio::time::timeout(limit, call).await {
            Ok(reply) => {
                reply.map_err(|source| ElectionError::Call { lease: lease(), source: Box::new(source) })
            }
            Err(_) => Err(ElectionError::TimedOut { lease: lease(), limit }),
        }
    }
}

/// Publishes each new holder of the lease; never returns. This only saves time: a candidate also polls the lease.
async fn tell_holders(
    changes: impl Stream<Item = Result<Option<Lease>, kube::runtime::watcher::Error>>,
    tell: watch::Sender<Option<String>>,
) {
    let mut changes = pin!(changes);
    loop {
        match changes.try_next().await {
            Ok(Some(lease)) => {
                tell.send_replace(lease.as_ref().and_then(holder).map(str::to_owned));
            }
            Ok(None) => std::future::pending().await,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "watch of the lease interrupted; trying again");
            }
        }
    }
}

/// Waits until the watch reports another holder of the lease than `known`.
async fn another_holder(holders: &mut watch::Receiver<Option<String>>, known: Option<&str>) {
    loop {
        if holders.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if holders.borrow_and_update().as_deref() != known {
            return;
        }
    }
}

/// Logs the begin and end of leadership, and updates its metric; never returns.
pub async fn tell_leadership(mut leadership: Leadership, metrics: Metrics) {
    loop {
        metrics.show_leading(leadership.is_leading());
        leadership.begins().await;
        metrics.show_leading(true);
        tracing::info!("leading");
        leadership.ends().await;
        metrics.show_leading(false);
        tracing::warn!("not leading any more");
    }
}
