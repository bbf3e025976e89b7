//! Leader election by a Lease: one of several operators reconciles, the others are on standby with a warm
//! cache.
//!
//! # Guarantees
//! Correct billing does not depend on the election: the resource version of a ledger keeps two leaders from
//! billing anything twice. The election avoids duplicate work and makes the handover quick.
//!
//! A candidate measures the age of a lease by its own clock, from the last change that it observed. It never
//! compares clocks of two machines. Every write has the resource version that the decision was made on.

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

/// Settings of the election, and the identity of this candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease. Operators with the same name and namespace share one election.
    pub name: String,
    /// Identity of this process. No other process may have the same one.
    pub identity: String,
    /// The durations of the election.
    pub times: Times,
}

/// The durations of the election. Each is longer than the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Time without renewal after which a standby takes over.
    pub lease: Duration,
    /// Time that a leader keeps leading without a renewal.
    pub renew: Duration,
    /// Time between two renewals, and between two reads of a standby.
    pub retry: Duration,
}

impl Times {
    /// Returns the time limit of a call: a leader must have time for a second one before it stops leading.
    fn call_limit(self) -> Duration {
        self.renew / 2
    }
}

/// Why a lease could not be read or written. The candidate tries again.
#[derive(Debug, thiserror::Error)]
enum ElectionError {
    /// The call failed.
    #[error("lease {lease} cannot be read or written")]
    Call {
        /// Namespace and name.
        lease: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// There was no reply in time. A write may or may not have taken effect.
    #[error("lease {lease}: no reply within {limit:?}")]
    TimedOut {
        /// Namespace and name.
        lease: String,
        /// The limit.
        limit: Duration,
    },
}

impl ElectionError {
    /// Returns whether another candidate wrote first, or the Lease is gone. Both are normal and need no
    /// warning.
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
    /// Returns a candidate, and the handle that reports whether it leads.
    #[must_use]
    pub fn new(client: Client, clock: Clock, settings: Settings) -> (Self, Leadership) {
        let (until, leadership) = Leadership::with_election();
        let leases = Api::namespaced(client, &settings.namespace);
        let candidate = Candidate::new(settings.identity.clone(), settings.times.lease);
        (Self { leases, clock, settings, candidate, until }, leadership)
    }

    /// Takes part in the election until `resign` fires. Then releases the lease if this candidate holds it.
    pub async fn run(mut self, resign: oneshot::Receiver<()>) {
        let (sender, mut holders) = watch::channel(None);
        let changes = watch_object(self.leases.clone(), &self.settings.name).default_backoff();
        let mut watching = pin!(publish_holders(changes, sender));
        let mut resign = pin!(resign);
        loop {
            if let Err(error) = self.try_to_lead().await {
                self.candidate.note_failure();
                let is_race = error.is_race();
                let error: &dyn std::error::Error = &error;
                if is_race {
                    tracing::debug!(error, "another candidate wrote the lease first");
                } else {
                    tracing::warn!(error, "lease could not be read or written; trying again");
                }
            }
            let pause = self.candidate.time_to_expiry(Instant::now()).min(self.settings.times.retry);
            tokio::select! {
                _ = &mut resign => break,
                () = &mut watching => {}
                () = tokio::time::sleep(pause) => {}
                () = another_holder(&mut holders, self.candidate.holder()) => {}
            }
        }
        self.resign().await;
    }

    /// Reads the lease if necessary, and acquires or renews it if possible.
    async fn try_to_lead(&mut self) -> Result<(), ElectionError> {
        if self.candidate.must_read() {
            let found = self.call(self.leases.get_opt(&self.settings.name)).await?;
            self.candidate.observe(found, Instant::now());
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
        self.candidate.observe(Some(written), sent);
        // The duration counts from the request, not the reply, because the others may have seen the renewal
        // that early.
        self.until.send_replace(sent + self.settings.times.renew);
        Ok(())
    }

    async fn resign(mut self) {
        self.until.send_replace(Instant::now());
        let released = async {
            if self.candidate.must_read() {
                let found = self.call(self.leases.get_opt(&self.settings.name)).await?;
                self.candidate.observe(found, Instant::now());
            }
            let Some(lease) = self.candidate.released(self.clock.now()) else { return Ok(false) };
            let params = PostParams::default();
            self.call(self.leases.replace(&self.settings.name, &params, &lease)).await.map(|_| true)
        };
        match released.await {
            Ok(true) => tracing::info!("lease released"),
            Ok(false) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "lease could not be released; it expires by itself");
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

/// Publishes each new holder of the lease. Never returns. This only saves time: a candidate also polls the
/// lease.
async fn publish_holders(
    changes: impl Stream<Item = Result<Option<Lease>, kube::runtime::watcher::Error>>,
    holders: watch::Sender<Option<String>>,
) {
    let mut changes = pin!(changes);
    loop {
        match changes.try_next().await {
            Ok(Some(lease)) => {
                holders.send_replace(lease.as_ref().and_then(holder).map(str::to_owned));
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

/// Logs each start and end of leadership, and updates its metric. Never returns.
pub async fn report_leadership(mut leadership: Leadership, metrics: Metrics) {
    loop {
        metrics.show_leading(leadership.is_leading());
        leadership.begins().await;
        metrics.show_leading(true);
        tracing::info!("leading");
        leadership.ends().await;
        metrics.show_leading(false);
        tracing::warn!("no longer leading");
    }
}
