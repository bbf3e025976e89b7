//! The load, and the totals that it must produce.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Subscription, UsageReport};
use flashgate_billing::operator::convert::ledger_from_wire;
use flashgate_ledger::Credits;
use flashgate_testing::Random;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::soak::chaos::lock;
use crate::world::World;

/// Number of namespaces.
const NAMESPACES: usize = 10;

/// Credits of the first plan. A report costs 1.
const STARTER: i64 = 1_100;

/// Credits of the plan after an upgrade.
const GROWTH: i64 = 9_500;

/// Credits of a pack.
const PACK: i64 = 100;

/// Credits of an adjustment.
const ADJUSTMENT: i64 = 10;

/// Maximum number of actions in parallel.
const AT_ONCE: usize = 64;

/// Objects on each page of a list.
const PAGE: u32 = 200;

/// Maximum time until every status matches its ledger and all reports are swept.
const TIMEOUT: Duration = Duration::from_secs(600);

/// An account, with the expected counts.
struct Account {
    namespace: String,
    name: String,
    /// Start of the first window.
    base: i64,
    reports: i64,
    packs: i64,
    adjustments: i64,
    is_upgraded: bool,
}

impl Account {
    /// Returns the spec of the Subscription.
    fn subscription(&self) -> Value {
        let plan = if self.is_upgraded { "growth" } else { "starter" };
        json!({"plan": plan, "startTime": time(self.base - 3_600)})
    }

    /// Returns credits granted, purchased, adjusted and consumed.
    fn totals(&self) -> [i64; 4] {
        let granted = STARTER + if self.is_upgraded { GROWTH } else { 0 };
        [granted, self.packs * PACK, self.adjustments * ADJUSTMENT, self.reports]
    }
}

/// The load.
pub struct Load {
    client: Client,
    accounts: Vec<tokio::sync::Mutex<Account>>,
    random: Mutex<Random>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

fn now() -> i64 {
    flashgate_cluster::clock::Clock::system().now().as_second()
}

fn time(second: i64) -> String {
    jiff::Timestamp::from_second(second).expect("time").to_string()
}

impl Load {
    /// Creates the accounts.
    pub async fn start(world: &World, subscriptions: usize, seed: u64) -> Self {
        let base = now() - 5 * 3_600;
        let account = |index: usize| Account {
            namespace: format!("soak-{}", index % NAMESPACES),
            name: format!("acme-{index}"),
            base,
            reports: 0,
            packs: 0,
            adjustments: 0,
            is_upgraded: false,
        };
        let accounts = (0..subscriptions).map(|index| tokio::sync::Mutex::new(account(index))).collect();
        let random = Mutex::new(Random::new(seed, 2));
        let load = Self { client: world.client().await, accounts, random, counts: Mutex::default() };
        for index in 0..NAMESPACES {
            let namespace = NamespaceObject {
                metadata: kube::core::ObjectMeta {
                    name: Some(format!("soak-{index}")),
                    ..Default::default()
                },
                ..Default::default()
            };
            let namespaces: Api<NamespaceObject> = Api::all(load.client.clone());
            namespaces.create(&PostParams::default(), &namespace).await.expect("namespace");
        }
        let subscribe = load.accounts.iter().map(|account| async {
            let account = account.lock().await;
            load.create::<Subscription>(&account, &account.name, account.subscription()).await;
        });
        futures::stream::iter(subscribe).buffer_unordered(8).collect::<()>().await;
        load
    }

    fn api<K>(&self, account: &Account) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &account.namespace)
    }

    fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_default() += 1;
    }

    fn chance(&self, permille: u64) -> bool {
        lock(&self.random).chance(permille)
    }

    /// Creates an object. Retries while the API server is unavailable.
    async fn create<K>(&self, account: &Account, name: &str, spec: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let object = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec,
        });
        let object: K = serde_json::from_value(object).expect("object");
        let api = self.api::<K>(account);
        retry(409, async || api.create(&PostParams::default(), &object).await.map(|_| ())).await;
    }

    /// Makes each account report once a minute, and sometimes perform another action.
    pub async fn run_until(&self, end: Instant) {
        let count = u32::try_from(self.accounts.len()).expect("count");
        let interval = (Duration::from_secs(60) / count).min(Duration::from_millis(250));
        let ticks = futures::stream::unfold(tokio::time::interval(interval), |mut ticks| async {
            ticks.tick().await;
            Some(((), ticks))
        });
        let ticks = ticks.take_until(tokio::time::sleep_until(end)).enumerate();
        ticks.map(|(tick, ())| self.act(tick)).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn act(&self, tick: usize) {
        let mut account = self.accounts[tick % self.accounts.len()].lock().await;
        self.report(&mut account).await;
        if self.chance(10) && account.packs < 3 {
            self.count("packs");
            account.packs += 1;
            let spec = json!({"subscriptionRef": {"name": account.name}, "pack": "plus-100"});
            self.create::<CreditPack>(&account, &format!("{}-{}", account.name, account.packs), spec).await;
        }
        if self.chance(10) {
            self.count("adjustments");
            account.adjustments += 1;
            let spec = json!({
                "subscriptionRef": {"name": account.name}, "credits": ADJUSTMENT.to_string(), "reason": "a soak",
            });
            let name = format!("{}-{}", account.name, account.adjustments);
            self.create::<CreditAdjustment>(&account, &name, spec).await;
        }
        if self.chance(5) && !account.is_upgraded {
            self.count("upgrades");
            account.is_upgraded = true;
            let patch = Patch::Merge(json!({"spec": {"plan": "growth"}}));
            let api = self.api::<Subscription>(&account);
            retry(200, async || api.patch(&account.name, &PatchParams::default(), &patch).await.map(|_| ()))
                .await;
        }
        if self.chance(5) {
            self.count("subscriptions deleted and created again");
            let api = self.api::<Subscription>(&account);
            retry(404, async || api.delete(&account.name, &DeleteParams::default()).await.map(|_| ())).await;
            self.create::<Subscription>(&account, &account.name, account.subscription()).await;
        }
    }

    /// Reports 1 GB of private egress. Sometimes reports the same window again under another name.
    async fn report(&self, account: &mut Account) {
        let start = account.base + 2 * account.reports;
        account.reports += 1;
        self.count("reports");
        let spec = json!({
            "subscriptionRef": {"name": account.name}, "source": "gw",
            "window": {"startTime": time(start), "endTime": time(start + 2)},
            "usage": [{"nodeType": "Private", "operation": "StorageEgress", "quantity": "1G"}],
        });
        let name = format!("{}-{}", account.name, account.reports);
        self.create::<UsageReport>(account, &name, spec.clone()).await;
        if self.chance(30) {
            self.count("reports of a window that was reported");
            self.create::<UsageReport>(account, &format!("{name}-again"), spec).await;
        }
    }

    /// Returns the expected number of consumed credits: one for each report.
    pub fn consumed(&mut self) -> i64 {
        self.accounts.iter_mut().map(|account| account.get_mut().reports).sum()
    }

    /// Returns whether no object of a kind matches the field selector `pending`.
    async fn has_none<K>(&self, pending: &str) -> bool
    where
        K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
    {
        let objects: Api<K> = Api::all(self.client.clone());
        let first = objects.list_metadata(&ListParams::default().fields(pending).limit(1)).await;
        first.is_ok_and(|first| first.items.is_empty())
    }

    /// Waits until every order has its verdict. Asserts that ledgers and statuses match the expected totals.
    pub async fn assert_exact_totals(&self, world: &World) {
        self.until("a verdict for every pack and adjustment", async || {
            let undecided = "status.state!=Granted,status.state!=Refused";
            self.has_none::<CreditPack>(undecided).await && self.has_none::<CreditAdjustment>(undecided).await
        })
        .await;
        let ledgers: BTreeMap<(String, String), CreditLedger> = self.all().await;
        for account in &self.accounts {
            let account = account.lock().await;
            let key = (account.namespace.clone(), account.name.clone());
            assert!(ledgers.contains_key(&key), "{key:?} has no ledger");
            let stored = &ledgers[&key];
            let ledger = ledger_from_wire(&account.name, &stored.spec).expect("ledger");
            ledger.check().expect("a consistent ledger");
            let totals = ledger.totals;
            let found = [totals.granted, totals.purchased, totals.adjusted, totals.consumed];
            let expected = account.totals().map(credits);
            assert_eq!(
                found,
                expected,
                "granted, purchased, adjusted, consumed of {key:?}; {}",
                world.plane.folder().display()
            );
            let [granted, purchased, adjusted, consumed] = account.totals();
            let balance = credits(granted + purchased + adjusted - consumed);
            assert_eq!(ledger.balance().expect("balance"), balance, "of {key:?}");
        }
        self.until("the current ledger in every Subscription", async || {
            let subscriptions: BTreeMap<_, Subscription> = self.all().await;
            let shown = subscriptions.iter().filter(|(key, subscription)| {
                let shown = subscription.status.as_ref().and_then(|status| status.ledger.as_ref());
                let held = ledgers.get(key).map(|ledger| (ledger.spec.sequence, &ledger.spec.hash));
                shown.map(|shown| (shown.sequence, &shown.hash)) == held
            });
            shown.count() == self.accounts.len()
        })
        .await;
    }

    /// Waits until nothing is pending. Asserts that the operators then write nothing.
    pub async fn assert_no_writes_at_rest(&self, rest: Duration) {
        let swept = async || self.has_none::<UsageReport>("").await;
        self.until("every report is swept", swept).await;
        let before = self.versions().await;
        // The absence of writes can only be observed over time.
        tokio::time::sleep(rest).await;
        let after = self.versions().await;
        let changed: Vec<_> =
            after.iter().filter(|(key, version)| before.get(*key) != Some(*version)).collect();
        assert!(changed.is_empty(), "written with nothing pending: {changed:?}");
    }

    /// Returns the resource version of every object that is left.
    async fn versions(&self) -> BTreeMap<String, Option<String>> {
        let mut versions = self.versions_of::<Subscription>().await;
        versions.append(&mut self.versions_of::<CreditLedger>().await);
        versions.append(&mut self.versions_of::<CreditPack>().await);
        versions.append(&mut self.versions_of::<CreditAdjustment>().await);
        versions
    }

    async fn versions_of<K>(&self) -> BTreeMap<String, Option<String>>
    where
        K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
    {
        let objects = self.all::<K>().await.into_iter();
        let version = |((namespace, name), object): ((String, String), K)| {
            (format!("{} {namespace}/{name}", K::kind(&())), object.meta().resource_version.clone())
        };
        objects.map(version).collect()
    }

    /// Returns all objects of a kind, by namespace and name.
    async fn all<K>(&self) -> BTreeMap<(String, String), K>
    where
        K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let (mut all, mut next) = (BTreeMap::new(), None::<String>);
        loop {
            let params = ListParams { continue_token: next, ..ListParams::default().limit(PAGE) };
            let page = api.list(&params).await.expect("page");
            next = page.metadata.continue_.filter(|token| !token.is_empty());
            all.extend(page.items.into_iter().map(|object| {
                ((object.meta().namespace.clone().unwrap_or_default(), object.name_any()), object)
            }));
            if next.is_none() {
                return all;
            }
        }
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !holds().await {
            assert!(Instant::now() < deadline, "timeout after {TIMEOUT:?}: waiting for {what}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

fn credits(whole: i64) -> Credits {
    whole.to_string().parse().expect("credits")
}

/// Retries until the call succeeds. The status code `done` means that an earlier try succeeded.
async fn retry(done: u16, call: impl AsyncFn() -> Result<(), kube::Error>) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match call().await {
            Ok(()) => return,
            Err(kube::Error::Api(status)) if status.code == done => return,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} accounts", self.accounts.len())?;
        for (what, count) in lock(&self.counts).iter() {
            write!(formatter, ", {count} {what}")?;
        }
        Ok(())
    }
}
