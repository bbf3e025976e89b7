//! Payments from outside: invoices that gate what they are for, the webhook, and death at any moment of it.
//!
//! Everything here runs by the catalog of `examples/payments/`. Where time matters, accounts live by a test clock.

mod deaths;
mod examples;
mod lives;
mod moments;
pub mod webhook;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use flashgate_api::{CreditLedger, CreditPack, Payment, Subscription};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::suite::chart;
use crate::world::{Namespace, Operator, World, eventually, root};

const CLOCK: &str = "billing.flashgate.dev/test-clock";

/// Namespaces whose Subscriptions may live by a test clock.
const TEST_CLOCK_NAMESPACES: [&str; 12] = [
    "clock-first",
    "clock-tried-again",
    "clock-places",
    "clock-refund",
    "clock-case-17",
    "clock-late",
    "clock-renewal",
    "clock-second-attempt",
    "clock-meanwhile",
    "clock-life-11-payments-that-fail",
    "clock-life-12-payments-late-and-twice",
    "clock-life-13-refund",
];

/// A world where payments come from outside, with an operator that runs all the time as the chart installs it: without the
/// webhook, so that every life here is lived with the fewest rights. Another one holds, and serves the webhook.
pub struct Paid {
    /// The world.
    pub world: World,
    /// Where its webhook listens.
    pub webhook: SocketAddr,
    _operators: [Operator; 2],
}

/// Namespace of the operator that serves the webhook.
const WEBHOOK_NAMESPACE: &str = "webhook";

/// What the senders of this world sign with, in every namespace.
pub const SECRET: &str = "what the senders of the tests sign with";

/// Namespaces of this world that have a secret of their own.
const NAMESPACES_WITH_SECRETS: [&str; 3] = ["secret-one", "secret-two", "secret-standard"];

fn catalog() -> String {
    root().join("examples/payments/catalog.yaml").display().to_string()
}

/// Returns an address without a listener.
pub fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    listener.local_addr().expect("address")
}

/// Returns the world where payments come from outside.
pub async fn paid() -> &'static Paid {
    static PAID: OnceCell<Paid> = OnceCell::const_new();
    let start = || async {
        let world = World::start().await;
        let values = json!({"catalog": chart::values_of(Path::new(&catalog()))});
        let (_, operator) = chart::install(&world, &TEST_CLOCK_NAMESPACES, values).await;
        let values = json!({
            "fullnameOverride": WEBHOOK_NAMESPACE,
            "userRoles": {"create": false},
            "hold": true,
            "payments": {
                "enabled": true,
                "existingSecret": "payment-webhook",
                "secrets": NAMESPACES_WITH_SECRETS.map(|namespace| {
                    json!({"namespace": namespace, "provider": "bank", "existingSecret": namespace})
                }),
            },
        });
        let (container, serving) = chart::install_in(&world, WEBHOOK_NAMESPACE, values).await;
        let webhook = container.webhook.expect("the webhook is served");
        Paid { world, webhook, _operators: [operator, serving] }
    };
    PAID.get_or_init(start).await
}

/// Writes the file with the secret that is being replaced, and the one that takes its place.
pub fn secrets_file(world: &World) -> PathBuf {
    let file = world.plane.folder().join("payments.secrets");
    std::fs::write(&file, format!("the secret that is being replaced by it\n{SECRET}\n")).expect("file");
    file
}

/// An account called `acme`, and what is paid for it.
struct Account<'a> {
    namespace: Namespace<'a>,
}

impl<'a> Account<'a> {
    async fn begin(world: &'a World, namespace: &str, spec: Value) -> Self {
        Self::begin_with(world, namespace, json!({"name": "acme"}), spec).await
    }

    /// Begins an account that lives by a test clock.
    async fn begin_at(namespace: &str, now: &str, spec: Value) -> Account<'static> {
        let metadata = json!({"name": "acme", "annotations": {CLOCK: now}});
        Account::begin_with(&paid().await.world, namespace, metadata, spec).await
    }

    async fn begin_with(world: &'a World, namespace: &str, metadata: Value, spec: Value) -> Self {
        let account = Self { namespace: world.namespace(namespace).await };
        account.namespace.create_with::<Subscription>(metadata, spec).await;
        account
    }

    async fn clock(&self, now: &str) {
        self.patch(json!({"metadata": {"annotations": {CLOCK: now}}})).await;
    }

    async fn patch(&self, patch: Value) {
        let api = self.namespace.api::<Subscription>();
        api.patch("acme", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    async fn buy(&self, name: &str, pack: &str) {
        let spec = json!({"subscriptionRef": {"name": "acme"}, "pack": pack});
        self.namespace.create::<CreditPack>(name, spec).await;
    }

    /// Returns the number of the `index`th invoice, once it is there and `state`.
    async fn invoice(&self, index: usize, state: &str) -> String {
        self.status(&format!("/status/invoices/{index}/state"), state).await;
        let account = self.namespace.get::<Subscription>("acme").await.expect("Subscription");
        let number = account.pointer(&format!("/status/invoices/{index}/number"));
        number.and_then(Value::as_str).expect("number").to_owned()
    }

    /// States what happened to an invoice.
    async fn state(&self, payment: &str, invoice: &str, state: &str, amount: &str) {
        let spec = payment_spec(invoice, state, amount);
        self.namespace.create::<Payment>(payment, spec).await;
    }

    /// States it, and waits until it is applied.
    async fn apply(&self, payment: &str, invoice: &str, state: &str, amount: &str) {
        self.state(payment, invoice, state, amount).await;
        self.namespace.expect::<Payment>(payment, "/status/state", "Applied").await;
    }

    /// States it, waits until it is refused, and returns reason and message.
    async fn refused(&self, payment: &str, invoice: &str, state: &str, amount: &str) -> (String, String) {
        self.state(payment, invoice, state, amount).await;
        self.namespace.expect::<Payment>(payment, "/status/state", "Refused").await;
        ready(&self.namespace.get::<Payment>(payment).await.expect("Payment"))
    }

    async fn pack_is(&self, name: &str, state: &str) {
        self.namespace.expect::<CreditPack>(name, "/status/state", state).await;
    }

    /// Waits until a Payment is ready, or not, for `reason`.
    async fn payment_reason(&self, name: &str, reason: &str) {
        eventually("the payment's reason", async || {
            let payment = self.namespace.get::<Payment>(name).await?;
            (ready(&payment).0 == reason).then_some(())
        })
        .await_some()
        .await;
    }

    async fn pack_reason(&self, name: &str) -> String {
        ready(&self.namespace.get::<CreditPack>(name).await.expect("pack")).0
    }

    async fn status(&self, pointer: &str, expected: impl Into<Value>) {
        self.namespace.expect::<Subscription>("acme", pointer, expected).await;
    }

    async fn balance(&self, balance: &str) {
        self.status("/status/credits/balance", balance).await;
    }

    /// Checks what plans gave in all.
    async fn granted(&self, credits: &str) {
        let ledger = self.namespace.get::<CreditLedger>("acme").await.expect("ledger");
        assert_eq!(ledger.pointer("/spec/totals/granted"), Some(&json!(credits)), "{ledger:#}");
    }

    /// Waits until a pack was seen and waits for the account's first period.
    async fn pack_waits(&self, name: &str) {
        eventually("the pack waits", async || {
            let pack = self.namespace.get::<CreditPack>(name).await?;
            pack.pointer("/status/conditions")?;
            (ready(&pack).0 == "FirstPeriodAwaited").then_some(())
        })
        .await_some()
        .await;
    }
}

fn payment_spec(invoice: &str, state: &str, amount: &str) -> Value {
    json!({
        "subscriptionRef": {"name": "acme"}, "invoice": invoice, "state": state, "amount": amount,
        "currency": "USD", "reference": "pi_123",
    })
}

/// Returns reason and message of the condition Ready.
fn ready(object: &Value) -> (String, String) {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).expect("conditions");
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").expect("Ready");
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}
