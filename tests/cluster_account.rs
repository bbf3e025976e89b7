//! An account on a real API server: applies the actions of users, and waits until the server shows their results.

use std::ops::Deref;
use std::time::Duration;

use flashgate_api::{
    CreditLedger, CreditLedgerSpec, CreditPack, Payment, Subscription, TEST_CLOCK, UsageReport,
};
use flashgate_cluster::clock::Clock;
use flashgate_ledger::Credits;
use flashgate_ledger::facts::Request;
use flashgate_ledger::period::Window;
use flashgate_preview::convert::ledger_from_wire;
use flashgate_testing::Action;
use flashgate_testing::action::{InvoiceChoice, UsageLine};
use flashgate_testing::objects::created;
use flashgate_testing::values::{HOUR, at, credits, time};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::world::{Namespace, World, eventually, wait_while};

/// The start of an account whose current period began before every report of the last day.
pub const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// The account of a Subscription, `acme` unless another is named. It is on a test clock if the test sets one.
pub struct ClusterAccount<'a> {
    namespace: Namespace<'a>,
    subscription: String,
}

impl<'a> Deref for ClusterAccount<'a> {
    type Target = Namespace<'a>;

    fn deref(&self) -> &Self::Target {
        &self.namespace
    }
}

impl<'a> Namespace<'a> {
    /// Returns the account of a Subscription of this namespace, which need not exist yet.
    pub fn account(&self, name: &str) -> ClusterAccount<'a> {
        ClusterAccount { namespace: self.clone(), subscription: name.to_owned() }
    }
}

impl<'a> ClusterAccount<'a> {
    /// Makes a namespace for an account that has no Subscription yet.
    pub async fn without_subscription(world: &'a World, namespace: &str) -> Self {
        world.namespace(namespace).await.account("acme")
    }

    /// Makes a namespace, and subscribes there.
    pub async fn subscribed(world: &'a World, namespace: &str, request: Request) -> Self {
        let account = Self::without_subscription(world, namespace).await;
        account.subscribe(request, None).await;
        account
    }

    /// Makes a namespace, and subscribes there with a start [`LONG_AGO`].
    pub async fn subscribed_long_ago(world: &'a World, namespace: &str, request: Request) -> Self {
        let account = Self::without_subscription(world, namespace).await;
        account.subscribe(request, Some(LONG_AGO)).await;
        account
    }

    /// Makes a namespace, and subscribes there on a test clock that shows `now`.
    pub async fn at(world: &'a World, namespace: &str, now: &str, request: Request) -> Self {
        let account = Self::without_subscription(world, namespace).await;
        account.subscribe_at(now, request, None).await;
        account
    }

    /// Applies an action to the API server. A deletion ends when the object is gone.
    pub async fn apply(&self, action: Action) {
        match self.deleted(&action) {
            Some((kind, name)) => self.delete(kind, name).await,
            None => self.attempt(action, None).await.expect("applied"),
        }
    }

    /// Deletes an object in the namespace of the account, and waits until it is gone.
    pub async fn delete(&self, kind: &str, name: &str) {
        let objects = self.objects(kind);
        objects.delete(name, &DeleteParams::default()).await.expect("deleted");
        let look = async || objects.get_opt(name).await.expect("read");
        wait_while(&format!("{kind} {name} exists"), look).await;
    }

    /// Returns kind and name of the object that an action deletes.
    fn deleted<'b>(&'b self, action: &'b Action) -> Option<(&'static str, &'b str)> {
        match action {
            Action::Unsubscribe => Some(("Subscription", &self.subscription)),
            Action::Delete { kind, name } => Some((kind.as_str(), name)),
            _ => None,
        }
    }

    /// Applies an action, again while the API server fails. It may have been applied although its answer was lost.
    pub async fn apply_within(&self, patience: Duration, action: Action) {
        let is_deletion = self.deleted(&action).is_some();
        let attempt = async || match self.attempt(action.clone(), None).await {
            Ok(()) => Some(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Some(()),
            Err(kube::Error::Api(status)) if is_deletion && status.is_not_found() => Some(()),
            Err(_) => None,
        };
        eventually(&format!("{action:?} is applied"), attempt).within(patience).await_some().await;
    }

    /// Applies an action once; a new Subscription is on a test clock if one is set.
    pub async fn attempt(&self, action: Action, clock: Option<&str>) -> kube::Result<()> {
        if let Some((kind, name)) = self.deleted(&action) {
            return self.objects(kind).delete(name, &DeleteParams::default()).await.map(drop);
        }
        match action {
            Action::Edit { request: Request { plan, billing_period, renewal } } => {
                let spec = json!({"plan": plan, "billingPeriod": billing_period, "renewal": renewal});
                self.attempt_patch(json!({"spec": spec})).await
            }
            action => self.create_object(action, clock).await,
        }
    }

    /// Creates the object of an action, on a test clock if one is set.
    async fn create_object(&self, action: Action, clock: Option<&str>) -> kube::Result<()> {
        let stored = match &action {
            Action::Pay { .. } => self.api::<CreditLedger>().get_opt(&self.subscription).await?,
            _ => None,
        };
        let ledger = stored.map(|stored| ledger_from_wire(&self.subscription, &stored.spec).expect("ledger"));
        let find = |invoice: &InvoiceChoice| {
            let unknown = || match invoice {
                InvoiceChoice::Name(name) => Some((name.clone(), Credits::ZERO)),
                _ => None,
            };
            let found = ledger.and_then(|ledger| invoice.find(&ledger));
            found.or_else(unknown).expect("an invoice of the ledger")
        };
        let Some(mut object) = created(action, &self.subscription, find) else { return Ok(()) };
        if let Some(now) = clock {
            object.metadata_mut().annotations = Some([(TEST_CLOCK.to_owned(), now.to_owned())].into());
        }
        let objects = self.objects(object.kind().as_str());
        let object = serde_json::from_value(object.to_json()).expect("object");
        objects.create(&PostParams::default(), &object).await.map(drop)
    }

    async fn attempt_patch(&self, patch: Value) -> kube::Result<()> {
        let api = self.api::<Subscription>();
        api.patch(&self.subscription, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    /// Changes the Subscription by a merge patch.
    pub async fn patch(&self, patch: Value) {
        self.attempt_patch(patch).await.expect("patched");
    }

    /// Sets the test clock.
    pub async fn clock(&self, now: &str) {
        self.patch(json!({"metadata": {"annotations": {TEST_CLOCK: now}}})).await;
    }

    /// Creates the Subscription.
    pub async fn subscribe(&self, request: Request, start_time: Option<&str>) {
        self.apply(Action::Subscribe { request, start_time: start_time.map(time) }).await;
    }

    /// Creates the Subscription on a test clock that shows `now`.
    pub async fn subscribe_at(&self, now: &str, request: Request, start_time: Option<&str>) {
        let action = Action::Subscribe { request, start_time: start_time.map(time) };
        self.attempt(action, Some(now)).await.expect("created");
    }

    /// Changes the request of the Subscription.
    pub async fn edit(&self, request: Request) {
        self.apply(Action::Edit { request }).await;
    }

    /// Buys a pack.
    pub async fn buy(&self, name: &str, pack: &str) {
        self.apply(Action::Buy { name: name.to_owned(), pack: pack.to_owned() }).await;
    }

    /// Reports usage of a window from the source `gw`.
    pub async fn report(&self, name: &str, window: Window, usage: Vec<UsageLine>) {
        self.report_from("gw", name, window, usage).await;
    }

    /// Reports usage of a window from a source.
    pub async fn report_from(&self, source: &str, name: &str, window: Window, usage: Vec<UsageLine>) {
        let (name, source) = (name.to_owned(), source.to_owned());
        self.apply(Action::Report { name, source, window, usage }).await;
    }

    /// Reports usage of an hour that ended so many hours ago.
    pub async fn report_hour(&self, name: &str, hours_ago: i64, usage: Vec<UsageLine>) {
        let this_hour = now() / HOUR * HOUR;
        self.report(name, seconds(this_hour - (hours_ago + 1) * HOUR, HOUR), usage).await;
    }

    /// Gives credits that do not expire.
    pub async fn adjust(&self, name: &str, amount: &str) {
        let (name, credits) = (name.to_owned(), credits(amount));
        self.apply(Action::Adjust { name, credits, expiration_time: None }).await;
    }

    /// Creates a Payment for the invoice called `invoice`.
    pub async fn pay(&self, name: &str, invoice: &str, state: &str, amount: &str) {
        let (name, invoice) = (name.to_owned(), InvoiceChoice::Name(invoice.to_owned()));
        let state = serde_json::from_value(state.into()).expect("state of a payment");
        self.apply(Action::Pay { name, invoice, state, amount: Some(credits(amount)) }).await;
    }

    /// Creates a Payment, and waits until it is applied.
    pub async fn apply_payment(&self, name: &str, invoice: &str, state: &str, amount: &str) {
        self.pay(name, invoice, state, amount).await;
        self.state_is::<Payment>(name, "Applied").await;
    }

    /// Creates a Payment, waits until it is refused, and returns reason and message.
    pub async fn refused_payment(
        &self,
        name: &str,
        invoice: &str,
        state: &str,
        amount: &str,
    ) -> (String, String) {
        self.pay(name, invoice, state, amount).await;
        self.state_is::<Payment>(name, "Refused").await;
        self.ready::<Payment>(name).await
    }

    /// Waits until `pointer` of the Subscription is `expected`.
    pub async fn status(&self, pointer: &str, expected: impl Into<Value>) {
        self.expect::<Subscription>(&self.subscription, pointer, expected).await;
    }

    /// Waits until the Subscription shows this balance.
    pub async fn balance(&self, balance: &str) {
        self.status("/status/credits/balance", balance).await;
    }

    /// Waits until a pack is in this state.
    pub async fn pack_is(&self, name: &str, state: &str) {
        self.state_is::<CreditPack>(name, state).await;
    }

    /// Waits until a report is in this state.
    pub async fn report_is(&self, name: &str, state: &str) {
        self.state_is::<UsageReport>(name, state).await;
    }

    /// Returns the number of the invoice at `index`, once it is in this state.
    pub async fn invoice(&self, index: usize, state: &str) -> String {
        self.status(&format!("/status/invoices/{index}/state"), state).await;
        let account = self.get::<Subscription>(&self.subscription).await.expect("Subscription");
        let number = account.pointer(&format!("/status/invoices/{index}/number"));
        number.and_then(Value::as_str).expect("number").to_owned()
    }

    /// Returns the spec of the ledger.
    pub async fn ledger(&self) -> Value {
        self.get::<CreditLedger>(&self.subscription).await.expect("ledger")["spec"].take()
    }

    /// Overwrites the ledger with the next sequence and what `edit` changes, as only the operator should.
    pub async fn edit_ledger(&self, edit: impl FnOnce(&mut CreditLedgerSpec)) -> CreditLedger {
        let ledgers = self.api::<CreditLedger>();
        let mut ledger = ledgers.get(&self.subscription).await.expect("ledger");
        ledger.spec.sequence += 1;
        edit(&mut ledger.spec);
        ledgers.replace(&self.subscription, &PostParams::default(), &ledger).await.expect("written")
    }

    /// Overwrites the ledger with one whose hash is wrong.
    pub async fn tamper(&self) {
        self.edit_ledger(|spec| spec.hash = "0".repeat(64)).await;
    }

    /// Checks totals of the ledger as it is now.
    pub async fn has_totals(&self, expected: &[(&str, &str)]) {
        let ledger = self.ledger().await;
        for (total, credits) in expected {
            assert_eq!(ledger["totals"][total], **credits, "{total}: {ledger:#}");
        }
    }

    /// Waits until the ledger has these totals.
    pub async fn totals(&self, expected: &[(&str, &str)]) {
        for (total, credits) in expected {
            self.expect::<CreditLedger>(&self.subscription, &format!("/spec/totals/{total}"), *credits).await;
        }
    }

    /// Returns the notes of the Events with this reason.
    pub async fn events(&self, reason: &str) -> Vec<String> {
        let listed = self.kubectl(&["get", "events.events.k8s.io", "-o", "json"], None).await;
        let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
        let events = listed["items"].as_array().expect("items").iter();
        let events = events.filter(|event| event["reason"] == reason);
        events.filter_map(|event| event["note"].as_str().map(str::to_owned)).collect()
    }
}

/// Returns one line of egress of public nodes.
pub fn egress(quantity: &str) -> Vec<UsageLine> {
    vec![UsageLine::new("Public", "StorageEgress", quantity)]
}

/// Returns one line of egress of private nodes, where 1 GB costs one credit.
pub fn private_egress(quantity: &str) -> Vec<UsageLine> {
    vec![UsageLine::new("Private", "StorageEgress", quantity)]
}

/// Returns the second of this machine's clock, which the control plane shares.
pub fn now() -> i64 {
    Clock::system().now().as_second()
}

/// Returns the window of `length` seconds from `start`.
pub fn seconds(start: i64, length: i64) -> Window {
    Window { start_time: at(start), end_time: at(start + length) }
}
