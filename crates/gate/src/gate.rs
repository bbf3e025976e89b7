//! A gate: the accounts, the watches that keep them up to date, and the answers to proxies.

use std::sync::Arc;

use axum::Router;
use futures::future::join_all;
use kube::Client;
use tokio::net::TcpListener;

use crate::accounts::Accounts;
use crate::answer::{Answer, Answers};
use crate::configuration::{Configuration, ConfigurationError, Policy};
use crate::decision::{Situation, decide};
use crate::figures::{Counters, Figures};
use crate::freshness::Freshness;
use crate::lookup::{Lookup, Named};
use crate::watch::Feed;
use crate::{grpc, http};

/// A gate. Clones share their state.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    configuration: Configuration,
    answers: Answers,
    accounts: Accounts,
    freshness: Freshness,
    counters: Counters,
}

impl Gate {
    /// Returns a gate for the accounts of the cluster of `client`. It answers, but knows no account until [`Self::run`] has
    /// listed them.
    ///
    /// # Errors
    /// When a value of the configuration is not allowed.
    pub fn new(client: Client, configuration: Configuration) -> Result<Self, ConfigurationError> {
        let configuration = configuration.checked()?;
        let inner = Inner {
            client,
            answers: Answers::new(&configuration),
            accounts: Accounts::default(),
            freshness: Freshness::new(configuration.lists().len(), configuration.stale_after),
            counters: Counters::default(),
            configuration,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Lists and watches the Subscriptions until the future is dropped.
    pub async fn run(&self) {
        let Inner { client, configuration, accounts, freshness, .. } = &*self.inner;
        let feeds = configuration.lists().into_iter().enumerate().map(|(number, namespace)| {
            Feed::new(client, accounts, (freshness, number), namespace, configuration.stale_after).run()
        });
        tokio::join!(join_all(feeds), self.report());
    }

    /// Returns the routes over HTTP.
    pub fn router(&self) -> Router {
        http::router(self.clone())
    }

    /// Serves Envoy's external authorization over gRPC until `stop` completes. Running requests then have a time limit to end.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn serve_grpc(
        &self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send,
    ) -> std::io::Result<()> {
        grpc::serve(self.clone(), listener, stop).await
    }

    /// Returns the figures for metrics.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let Inner { configuration, accounts, freshness, counters, .. } = &*self.inner;
        let (accounts, accounts_closed) = accounts.counts();
        Figures {
            decisions: counters.counted(),
            accounts,
            accounts_closed,
            is_stale: freshness.is_stale(),
            contact_age: freshness.age(),
            fails_open_when_stale: configuration.policies.stale == Policy::Allow,
            fails_open_when_unknown: configuration.policies.unknown == Policy::Allow,
        }
    }

    /// Returns whether the first list of Subscriptions is complete. It stays true.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.inner.freshness.is_listed()
    }

    /// Returns the part of a request that names its account.
    #[must_use]
    pub fn lookup(&self) -> &Lookup {
        &self.inner.configuration.lookup
    }

    /// Returns the answer to a request that names this account, and counts it.
    #[must_use]
    pub fn answer(&self, named: Option<Named<'_>>) -> Answer {
        let Inner { configuration, answers, accounts, freshness, counters, .. } = &*self.inner;
        // The freshness is read first: the state that is read after it is at least as fresh.
        let is_stale = freshness.is_stale();
        let situation = match named {
            None => Situation::Unnamed,
            Some(Named::Name(name)) => accounts.find(&name).map_or(Situation::Absent, Situation::Known),
            Some(Named::Key(hash)) => accounts.find_by_key(hash).map_or(Situation::Unnamed, Situation::Known),
        };
        let decision = decide(situation, is_stale, configuration.policies);
        counters.count(decision.result());
        answers.answer(decision)
    }

    /// Logs the first list, and each time the state becomes stale and fresh. Never ends.
    async fn report(&self) {
        let Inner { configuration, accounts, freshness, .. } = &*self.inner;
        let policy = configuration.policies.stale;
        freshness.fresh().await;
        let (all, closed) = accounts.counts();
        tracing::info!(accounts = all, closed, "the first list of Subscriptions is complete");
        loop {
            freshness.stale().await;
            let stale_after = configuration.stale_after;
            tracing::error!(
                %policy,
                "no contact with the API server for {stale_after:?}: requests about all accounts are answered by `--stale`"
            );
            freshness.fresh().await;
            tracing::info!(
                "contact with the API server again: requests are answered by the state of their accounts"
            );
        }
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> (&Accounts, &Freshness) {
        (&self.inner.accounts, &self.inner.freshness)
    }
}
