//! The life of an account behind a proxy: open, spent, thawed by a pack, and without a gate.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::proxies::{Backend, Proxy, Setting};
use super::{Gate, account, give_key, spend};
use crate::cluster_account::{ClusterAccount, egress};
use crate::world::{Namespace, World};

/// Longest time from the grant of a pack to the first request that passes.
const THAW: Duration = Duration::from_secs(1);

/// Number of packs to try: other tests use the same machine, and an account may buy three packs a month.
const PACKS: usize = 3;

/// Namespaces, accounts, a gate and a server behind a proxy.
pub struct Scene<'a> {
    /// The namespace of the accounts.
    pub namespace: Namespace<'a>,
    /// An account with credits.
    pub acme: ClusterAccount<'a>,
    /// Another account with credits.
    pub globex: ClusterAccount<'a>,
    /// The gate.
    pub gate: Gate,
    /// The server.
    pub backend: Backend,
}

/// The header lines by which a proxy knows its clients.
pub struct Clients {
    /// Those of `acme`.
    pub acme: Vec<String>,
    /// Those of `globex`.
    pub globex: Vec<String>,
    /// Those of a client without an account.
    pub unknown: Vec<String>,
    /// The status for a client without an account.
    pub unknown_status: u16,
}

/// Returns the API keys of the examples as header lines.
pub fn keys() -> Clients {
    let of = |key: &str| vec![super::bearer(key)];
    Clients {
        acme: of("key-of-acme"),
        globex: of("key-of-globex"),
        unknown: of("key-of-nowhere"),
        unknown_status: 403,
    }
}

impl<'a> Scene<'a> {
    /// Opens two accounts in a namespace, and starts a gate with these arguments.
    pub async fn open(world: &'a World, namespace: &str, arguments: &[&str]) -> Self {
        let namespace = world.namespace(namespace).await;
        let (acme, globex) = (account(&namespace, "acme").await, account(&namespace, "globex").await);
        for name in ["acme", "globex"] {
            give_key(&namespace, name, &format!("{}:key-of-{name}", namespace.name)).await;
        }
        let gate = Gate::start(&world.plane.kubeconfig(), arguments).await;
        Self { namespace, acme, globex, gate, backend: Backend::start().await }
    }

    /// Returns the addresses and the namespace of the scene.
    pub fn setting(&self) -> Setting {
        Setting {
            gate: self.gate.address,
            backend: self.backend.address,
            namespace: self.namespace.name.clone(),
        }
    }

    /// Returns the clients by the API keys of this namespace.
    pub fn keys(&self) -> Clients {
        let of = |name: &str| vec![super::bearer(&format!("{}:key-of-{name}", self.namespace.name))];
        Clients { acme: of("acme"), globex: of("globex"), unknown: of("nowhere"), unknown_status: 403 }
    }

    fn name_of(&self, account: &str) -> String {
        format!("{}/{account}", self.namespace.name)
    }

    /// Returns header lines of a client that claims to be `globex`, with credits.
    fn forged(&self, client: &[String]) -> Vec<String> {
        let claims =
            [format!("X-Flashgate-Account: {}", self.name_of("globex")), "X-Flashgate-Low: true".to_owned()];
        [client, &claims].concat()
    }

    /// Follows the account `acme` behind a proxy, until a pack has thawed it. `globex` keeps its credits.
    pub async fn walk(&self, proxy: &Proxy, clients: &Clients) {
        let (acme, globex) = (self.name_of("acme"), self.name_of("globex"));
        let answer = proxy.answers(200, &self.forged(&clients.acme)).await;
        let seen = answer.json();
        assert_eq!(seen["x-flashgate-account"], json!(acme), "the server sees the account: {answer:?}");
        assert_eq!(seen["x-flashgate-balance"], json!("1100"), "{answer:?}");
        assert!(seen["x-flashgate-low"].is_null(), "the forged header is removed: {answer:?}");

        let answer = proxy.request(&self.forged(&clients.unknown)).await;
        assert_eq!(answer.status, clients.unknown_status, "{answer:?}");
        if clients.unknown_status == 403 {
            assert_eq!(answer.json()["reason"], "UnknownAccount", "{answer:?}");
        }

        spend(&self.acme, "all").await;
        proxy.answers(402, &clients.acme).await;
        let before = self.backend.requests();
        let answer = proxy.request(&self.forged(&clients.acme)).await;
        assert_eq!(answer.status, 402, "a forged header does not help: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        assert_eq!(answer.header("x-flashgate-account"), Some(acme.as_str()), "{answer:?}");
        assert_eq!(answer.header("x-flashgate-reason"), Some("CreditsExhausted"), "{answer:?}");
        let body = answer.json();
        for (field, value) in
            [("account", acme.as_str()), ("reason", "CreditsExhausted"), ("plan", "starter")]
        {
            assert_eq!(body[field], value, "{answer:?}");
        }
        assert_eq!(body["balance"], "0", "{answer:?}");
        assert!(body["remedy"].is_string() && body["renewalTime"].is_string(), "{answer:?}");
        assert_eq!(self.backend.requests(), before, "no denied request reaches the server");
        let answer = proxy.request(&clients.globex).await;
        assert_eq!(
            (answer.status, &answer.json()["x-flashgate-account"]),
            (200, &json!(globex)),
            "{answer:?}"
        );

        self.thaw(proxy, clients).await;
    }

    /// Buys packs until a request passes within a second of a grant.
    async fn thaw(&self, proxy: &Proxy, clients: &Clients) {
        let mut times = Vec::new();
        for number in 1..=PACKS {
            let pack = format!("top-up-{number}");
            self.acme.buy(&pack, "plus-500").await;
            self.acme.pack_is(&pack, "Granted").await;
            let granted = Instant::now();
            proxy.answers(200, &clients.acme).await;
            times.push(granted.elapsed());
            if times.last().is_some_and(|time| *time < THAW) {
                return;
            }
            self.acme
                .report_hour(
                    &format!("again-{number}"),
                    1 + i64::try_from(number).expect("number"),
                    egress("50G"),
                )
                .await;
            self.acme.status("/status/gate/open", false).await;
            proxy.answers(402, &clients.acme).await;
        }
        unreachable!("no request passed within {THAW:?} of a grant: {times:?}");
    }

    /// Kills the gate. Checks that the first proxy denies, that the second one lets everyone through, and that both ask
    /// again when the gate is back.
    pub async fn kill(self, closed: (&Proxy, u16), open: &Proxy, clients: &Clients, arguments: &[&str]) {
        let Self { globex, gate, backend, namespace, .. } = self;
        spend(&globex, "all-of-globex").await;
        let (denying, status) = closed;
        for proxy in [denying, open] {
            proxy.answers(402, &clients.globex).await;
            proxy.answers(200, &clients.acme).await;
        }
        let address = gate.address;
        gate.kill();
        let before = backend.requests();
        let answer = denying.request(&clients.acme).await;
        assert_eq!((answer.status, backend.requests()), (status, before), "{answer:?}");
        for client in [&clients.acme, &clients.globex] {
            let answer = open.request(client).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(backend.requests(), before + 2);
        let _gate = Gate::start_at(address, &namespace.world.plane.kubeconfig(), arguments).await;
        for proxy in [denying, open] {
            proxy.answers(402, &clients.globex).await;
            proxy.answers(200, &clients.acme).await;
        }
    }
}
