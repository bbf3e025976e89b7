//! `examples/payments/` does what it says, as a new user would do it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use flashgate_api::{CreditPack, Payment, Subscription};
use flashgate_billing::catalog;
use flashgate_ledger::catalog::PaymentMode;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{Paid, SECRET, paid, starter};
use crate::free_address::free_address;
use crate::world::{World, root, wait_for, wait_until};

fn example(name: &str) -> PathBuf {
    root().join("examples/payments").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(example(name)).expect("example")
}

/// Runs an example script as a user of `world` who works in `namespace`; returns what it prints.
fn run(world: &World, namespace: &str, script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("bash");
    let command = command.args(["-c", "PATH=$0:$PATH exec \"$@\""]).arg(world.plane.programs());
    let command = command.arg(example(script)).args(arguments).env("NAMESPACE", namespace);
    let command = command.env("KUBECONFIG", world.plane.kubeconfig());
    let command = command.env("KUBECACHEDIR", world.plane.kubectl_cache());
    let output = command.output().expect("script");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{script} {arguments:?}: {error}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_catalog_is_the_shipped_one_but_for_who_settles_invoices() {
    let mut external = catalog::load(&example("catalog.yaml")).expect("valid");
    assert_eq!(external.policies.payments.mode, PaymentMode::External);
    external.policies.payments.mode = PaymentMode::Internal;
    assert_eq!(external, catalog::shipped());
}

#[tokio::test]
async fn by_kubectl_alone_an_invoice_is_paid_and_refunded() {
    let Paid { world, .. } = paid().await;
    let namespace = world.namespace("by-kubectl").await;
    let apply = async |manifest: &str| {
        let applied = namespace.kubectl(&["apply", "-f", "-"], Some(manifest)).await;
        assert!(applied.success, "{}", applied.stderr);
        applied.stdout
    };
    let pay = |arguments: &[&str]| run(world, "by-kubectl", "02-payment.sh", arguments);
    let balance = async |balance: &str| {
        namespace.expect::<Subscription>("wayne", "/status/credits/balance", balance).await;
    };
    apply(&text("01-subscription.yaml")).await;
    namespace.expect::<Subscription>("wayne", "/status/invoices/0/state", "Open").await;
    let payment = pay(&["wayne", "Settled"]);
    apply(&payment).await;
    balance("1100").await;
    // By its name, a payment is the same however often it is applied.
    assert!(apply(&payment).await.contains("unchanged"));
    apply(&text("03-pack.yaml")).await;
    namespace.state_is::<CreditPack>("wayne-top-up-1", "AwaitingPayment").await;
    namespace.expect::<Subscription>("wayne", "/status/invoices/1/state", "Open").await;
    apply(&pay(&["wayne", "Settled"])).await;
    namespace.state_is::<CreditPack>("wayne-top-up-1", "Granted").await;
    balance("1600").await;
    let pack = namespace.get::<CreditPack>("wayne-top-up-1").await.expect("pack");
    let invoice = pack.pointer("/status/invoice").and_then(Value::as_str).expect("invoice");
    apply(&pay(&["wayne", "Refunded", invoice])).await;
    namespace.state_is::<CreditPack>("wayne-top-up-1", "Refunded").await;
    balance("1100").await;
}

#[tokio::test]
async fn the_script_signs_what_the_webhook_believes() {
    let Paid { world, webhook, .. } = paid().await;
    let account = starter("by-script").await;
    let invoice = account.invoice(0, "Open").await;
    let folder = world.plane.folder();
    let (secret, body) = (folder.join("script.secret"), folder.join("script.json"));
    std::fs::write(&secret, format!("{SECRET}\n")).expect("secret");
    let example = text("callback.json").replace("wayne-1f3a9c2e-0001", &invoice).replace("wayne", "acme");
    let example = example.replace("\"default\"", "\"by-script\"");
    std::fs::write(&body, example).expect("body");
    let url = format!("http://{webhook}/v1/payments/by-script");
    let arguments = [url.as_str(), &secret.display().to_string(), &body.display().to_string()];
    let answer: Value =
        serde_json::from_str(&run(world, "by-script", "04-webhook.sh", &arguments)).expect("JSON");
    assert_eq!(answer, json!({"namespace": "by-script", "payment": "evt-2026-03-01-0001"}));
    account.balance("1100").await;
}

#[test]
fn stripes_events_become_the_callbacks_they_are_documented_to_become() {
    for event in [
        "checkout.session.completed",
        "checkout.session.expired",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "charge.refunded",
    ] {
        let input = std::fs::File::open(example(&format!("stripe/{event}.json"))).expect("event");
        let mut command = Command::new(example("stripe.py"));
        let output = command.arg("map").stdin(input).output().expect("python3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let expected = text(&format!("stripe/{event}.callback.json"));
        assert_eq!(printed, serde_json::from_str::<Value>(&expected).expect("JSON"), "{event}");
    }
}

/// The secret with which Stripe signs in these tests.
const STRIPE_SECRET: &str = "whsec_of_the_tests";

/// The adapter for Stripe as a process, which ends with this value.
struct Adapter {
    process: std::process::Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Adapter {
    /// Starts one that passes on to a webhook of `world`; `name` is that of its folder.
    fn start(world: &World, webhook: SocketAddr, name: &str) -> Self {
        let folder = world.plane.folder().join(name);
        std::fs::create_dir_all(&folder).expect("folder");
        let (stripe, secret) = (folder.join("stripe.secret"), folder.join("adapter.secret"));
        std::fs::write(&stripe, format!("{STRIPE_SECRET}\n")).expect("secret");
        std::fs::write(&secret, format!("{SECRET}\n")).expect("secret");
        let address = free_address();
        let mut command = Command::new(example("stripe.py"));
        let command = command.args(["serve", &address.to_string()]).env("STRIPE_SECRET_FILE", &stripe);
        let command = command.env("FLASHGATE_SECRET_FILE", &secret).stderr(Stdio::null());
        let command = command.env("FLASHGATE_URL", format!("http://{webhook}/v1/payments"));
        Self { process: command.spawn().expect("python3"), address, folder }
    }

    /// Sends an event as Stripe does; returns the status of the answer.
    async fn deliver(&self, event: &str, secret: &str) -> String {
        let body = self.folder.join("event.json");
        std::fs::write(&body, event).expect("event");
        let script = format!(
            "time=$(date +%s); tag=$({{ printf '%s.' \"$time\"; cat '{body}'; }} | openssl dgst -sha256 -hmac \
             {secret} -r); curl -sS -o /dev/null -w '%{{http_code}}' --retry-connrefused --retry 20 --retry-delay 1 \
             http://{address}/ -H \"Stripe-Signature: t=$time,v1=${{tag%% *}},v0=x\" --data-binary @'{body}'",
            body = body.display(),
            address = self.address,
        );
        let run = move || Command::new("bash").args(["-c", &script]).output().expect("bash");
        let output = tokio::task::spawn_blocking(run).await.expect("delivered");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("end");
    }
}

/// Returns an event of the examples about an invoice of the account `acme` in `namespace`.
fn stripe_event(event: &str, namespace: &str, invoice: &str) -> String {
    let event = text(&format!("stripe/{event}.json"));
    event.replace("tenant-a", namespace).replace("acme-1f3a9c2e-0001", invoice)
}

#[tokio::test]
async fn a_failed_attempt_leaves_the_invoice_open_and_an_expired_checkout_voids_it() {
    let Paid { world, webhook, .. } = paid().await;
    let adapter = Adapter::start(world, *webhook, "stripe-attempts");
    let deliver = async |namespace: &str, event: &str, invoice: &str| {
        let status = adapter.deliver(&stripe_event(event, namespace, invoice), STRIPE_SECRET).await;
        assert_eq!(status, "201", "{namespace}: {event}");
    };
    for (namespace, gives_up) in [
        ("by-stripe-expired", "checkout.session.expired"),
        ("by-stripe-cancelled", "payment_intent.canceled"),
    ] {
        let account = starter(namespace).await;
        let invoice = account.invoice(0, "Open").await;
        deliver(namespace, "payment_intent.payment_failed", &invoice).await;
        wait_until("the attempt is applied", async || {
            let payments = account.api::<Payment>().list(&ListParams::default()).await.expect("list").items;
            let is_applied =
                |payment: &Payment| payment.status.as_ref().is_some_and(|status| status.state.is_some());
            payments.iter().all(is_applied)
        })
        .await;
        account.invoice(0, "Open").await;
        deliver(namespace, gives_up, &invoice).await;
        account.invoice(0, "Void").await;
    }
    let account = starter("by-stripe-again").await;
    let invoice = account.invoice(0, "Open").await;
    deliver("by-stripe-again", "payment_intent.payment_failed", &invoice).await;
    deliver("by-stripe-again", "checkout.session.completed", &invoice).await;
    account.balance("1100").await;
}

#[tokio::test]
async fn an_event_that_stripe_signed_comes_through_the_adapter_as_a_payment() {
    let Paid { world, webhook, .. } = paid().await;
    let account = starter("by-stripe").await;
    let invoice = account.invoice(0, "Open").await;
    let adapter = Adapter::start(world, *webhook, "stripe");
    let about = |event: &str| stripe_event(event, "by-stripe", &invoice);
    let deliver = async |event: &str, secret: &str| adapter.deliver(event, secret).await;
    assert_eq!(deliver(&about("checkout.session.completed"), "whsec_of_somebody_else").await, "401");
    assert_eq!(deliver(&about("checkout.session.completed"), STRIPE_SECRET).await, "201");
    account.balance("1100").await;
    assert_eq!(deliver(&about("checkout.session.completed"), STRIPE_SECRET).await, "200");
    let unpaid =
        about("checkout.session.completed").replace("\"paid\"", "\"unpaid\"").replace("evt_1Q", "evt_2Q");
    assert_eq!(deliver(&unpaid, STRIPE_SECRET).await, "200");
    assert_eq!(deliver(&about("charge.refunded"), STRIPE_SECRET).await, "201");
    account.balance("0").await;
    account.invoice(0, "Refunded").await;
    wait_for("both are applied", async || {
        let payments = account.api::<Payment>().list(&ListParams::default()).await.expect("list").items;
        let names: Vec<String> = payments.iter().map(kube::ResourceExt::name_any).collect();
        assert!(names.len() <= 2, "{names:?}");
        let applied = |payment: &Payment| {
            payment.status.as_ref().is_some_and(|status| status.state.is_some())
                && payment.name_any().starts_with("evt-")
        };
        (payments.len() == 2 && payments.iter().all(applied)).then_some(())
    })
    .await;
}
