//! The load, and the totals that it must produce.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Subscription, UsageReport};
use flashgate_ledger::Credits;
use flashgate_preview::convert::ledger_from_wire;
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::at;
use flashgate_testing::{Action, Random};
use futures::StreamExt as _;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::cluster_account::{ClusterAccount, now, private_egress, seconds};
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
const TIMEOUT: Duration = Duration::from_mins(10);

/// An account as its users know it.
struct Account<'a> {
    cluster: ClusterAccount<'a>,
    name: String,
    /// Start of the first window.
    base: i64,
    reports: i64,
    packs: i64,
    adjustments: i64,
    is_upgraded: bool,
}

impl Account<'_> {
    /// Returns the action that creates its Subscription.
    fn subscribe(&self) -> Action {
        let plan = if self.is_upgraded { "growth" } else { "starter" };
        Action::Subscribe { request: monthly(plan), start_time: Some(at(self.base - 3_600)) }
    }

    /// Applies an action, also through an API server that goes away meanwhile. `done` is the status code of an action that
    /// was applied before.
    async fn retry(&self, done: u16, action: Action) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.cluster.attempt(action.clone(), None).await {
                Ok(()) => return,
                Err(kube::Error::Api(status)) if status.code == done => return,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns credits granted, purchased, adjusted and consumed.
    fn totals(&self) -> [i64; 4] {
        let granted = STARTER + if self.is_upgraded { GROWTH } else { 0 };
        [granted, self.packs * PACK, self.adjustments * ADJUSTMENT, self.reports]
    }
}

/// The load.
pub struct Load<'a> {
    client: Client,
    accounts: Vec<tokio::sync::Mutex<Account<'a>>>,
    random: Mutex<Random>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl<'a> Load<'a> {
    /// Opens the accounts.
    pub async fn start(world: &'a World, subscriptions: usize, seed: u64) -> Self {
        let base = now() - 5 * 3_600;
        let mut namespaces = Vec::new();
        for index in 0..NAMESPACES {
            namespaces.push(world.namespace(&format!("soak-{index}")).await);
        }
        let account = |index: usize| {
            let name = format!("acme-{index}");
            let cluster = namespaces[index % NAMESPACES].account(&name);
            Account { cluster, name, base, reports: 0, packs: 0, adjustments: 0, is_upgraded: false }
        };
        let accounts = (0..subscriptions).map(|index| tokio::sync::Mutex::new(account(index))).collect();
        let random = Mutex::new(Random::new(seed, 2));
        let load = Self { client: world.client().await, accounts, random, counts: Mutex::default() };
        let subscribe = load.accounts.iter().map(|account| async {
            let account = account.lock().await;
            account.retry(409, account.subscribe()).await;
        });
        futures::stream::iter(subscribe).buffer_unordered(8).collect::<()>().await;
        load
    }

    fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_default() += 1;
    }

    fn chance(&self, permille: u64) -> bool {
        lock(&self.random).chance(permille)
    }

    /// Lets each account report once a minute, and do other things now and then.
    pub async fn run_until(&self, end: Instant) {
        let count = u32::try_from(self.accounts.len()).expect("count");
        let interval = (Duration::from_mins(1) / count).min(Duration::from_millis(250));
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
            let name = format!("{}-{}", account.name, account.packs);
            account.retry(409, Action::Buy { name, pack: "plus-100".to_owned() }).await;
        }
        if self.chance(10) {
            self.count("adjustments");
            account.adjustments += 1;
            let name = format!("{}-{}", account.name, account.adjustments);
            let credits = credits(ADJUSTMENT);
            account.retry(409, Action::Adjust { name, credits, expiration_time: None }).await;
        }
        if self.chance(5) && !account.is_upgraded {
            self.count("upgrades");
            account.is_upgraded = true;
            account.retry(200, Action::Edit { request: monthly("growth") }).await;
        }
        if self.chance(5) {
            self.count("subscriptions deleted and created again");
            account.retry(404, Action::Unsubscribe).await;
            account.retry(409, account.subscribe()).await;
        }
    }

    /// Reports 1 GB of private egress, now and then twice under two names.
    async fn report(&self, account: &mut Account<'_>) {
        let start = account.base + 2 * account.reports;
        account.reports += 1;
        self.count("reports");
        let name = format!("{}-{}", account.name, account.reports);
        let report = |name: String| {
            let (source, usage) = ("gw".to_owned(), private_egress("1G"));
            Action::Report { name, source, window: seconds(start, 2), usage }
        };
        account.retry(409, report(name.clone())).await;
        if self.chance(30) {
            self.count("reports of a window that was reported");
            account.retry(409, report(format!("{name}-again"))).await;
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
        let ledgers = self.ledgers_that_are_shown().await;
        for account in &self.accounts {
            let account = account.lock().await;
            let key = (account.cluster.name.clone(), account.name.clone());
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
    }

    /// Waits until every Subscription shows its ledger. Returns the ledgers.
    ///
    /// A ledger can still advance, for example by the refusal of a window that was reported, so each attempt reads them
    /// again.
    async fn ledgers_that_are_shown(&self) -> BTreeMap<(String, String), CreditLedger> {
        let look = async || {
            let subscriptions: BTreeMap<_, Subscription> = self.all().await;
            let ledgers: BTreeMap<_, CreditLedger> = self.all().await;
            let shown = |key| {
                let status = subscriptions.get(key).and_then(|subscription| subscription.status.as_ref());
                status.and_then(|status| status.ledger.as_ref())
            };
            let differ = |(key, ledger): (_, &CreditLedger)| {
                let (shown, held) = (shown(key), (ledger.spec.sequence, &ledger.spec.hash));
                let is_shown = shown.is_some_and(|shown| (shown.sequence, &shown.hash) == held);
                (!is_shown).then(|| format!("{key:?} is at {held:?} and shows {shown:?}"))
            };
            let differences: Vec<_> = ledgers.iter().filter_map(differ).collect();
            let is_complete = differences.is_empty() && ledgers.len() == self.accounts.len();
            if is_complete {
                Ok(ledgers)
            } else {
                Err(format!("{} ledgers, {differences:#?}", ledgers.len()))
            }
        };
        until_found(look).await
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
        until_found(async || if holds().await { Ok(()) } else { Err(format!("waiting for {what}")) }).await;
    }
}

/// Returns what `look` finds, as soon as it does. Its error is what is still missing.
async fn until_found<T>(look: impl AsyncFn() -> Result<T, String>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(missing) => assert!(Instant::now() < deadline, "timeout after {TIMEOUT:?}: {missing}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn credits(whole: i64) -> Credits {
    whole.to_string().parse().expect("credits")
}

impl fmt::Display for Load<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} accounts", self.accounts.len())?;
        for (what, count) in lock(&self.counts).iter() {
            write!(formatter, ", {count} {what}")?;
        }
        Ok(())
    }
}
