//! The state that all calls share.

use std::ops::Deref;
use std::sync::Arc;

use flashgate_cluster::clock::Clock;
use flashgate_ledger::catalog::Catalog;

use crate::history::History;
use crate::kubernetes::Kubernetes;
use crate::lists::PublicLists;
use crate::throttle::Rates;

/// Requests that a token may make in a second, if no option says otherwise.
pub const REQUESTS_PER_SECOND: u32 = 100;

/// The way in which changes are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writes {
    /// Objects are created and patched with the caller's token.
    #[default]
    Api,
    /// Nothing is written. The answer has the object to apply.
    Manifests,
}

/// The settings of a portal.
pub struct Settings {
    /// The catalog of the operator.
    pub catalog: Catalog,
    /// URL under which clients reach the portal, without a slash at its end.
    pub public_url: String,
    /// Whether `public_url` was given. If it was not, a page of the address in the request's `Host` is not foreign.
    pub public_url_is_known: bool,
    /// Namespaces in which the list of accounts looks for callers that may not list all.
    pub namespaces: Vec<String>,
    /// The way in which changes are made.
    pub writes: Writes,
    /// Requests that a token may make in a second. 0 is no limit.
    pub requests_per_second: u32,
}

/// The state that all calls share.
#[derive(Clone)]
pub struct Portal(Arc<Shared>);

/// The content of a [`Portal`].
pub struct Shared {
    /// The settings.
    pub settings: Settings,
    /// The API server.
    pub kubernetes: Kubernetes,
    /// The history, if there is one.
    pub history: Option<Arc<dyn History>>,
    /// The clock.
    pub clock: Clock,
    /// The lists that need no token.
    pub lists: PublicLists,
    /// The requests of each token.
    pub rates: Rates,
}

impl Portal {
    /// Returns a portal.
    #[must_use]
    pub fn new(
        settings: Settings,
        kubernetes: Kubernetes,
        history: Option<Arc<dyn History>>,
        clock: Clock,
    ) -> Self {
        let lists = PublicLists::of(&settings.catalog);
        let rates = Rates::new(settings.requests_per_second, clock.clone());
        Self(Arc::new(Shared { settings, kubernetes, history, clock, lists, rates }))
    }

    /// Returns the catalog.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.0.settings.catalog
    }
}

impl Deref for Portal {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
