//! Lives on the real control plane: by a test clock, step by step, each step as `simulate` says.
//!
//! The lives are those of `tests/golden/lives` and a year of the examples. After every step each object must show what
//! it shows in the simulation up to that time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use flashgate_api::{CreditAdjustment, CreditPack, Payment, Subscription, UsageReport};
use futures::future::join_all;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::script::{AT, CLOCK, DELETE, Script, annotation, comparable, text};
use crate::suite::installed::shared;
use crate::suite::payments::paid;
use crate::world::{Namespace, World, eventually, root};

/// Lives whose invoices are settled as they are issued. Deletion is not among them: what arrives while there is no
/// Subscription has no test clock to arrive by.
pub const LIVES: [&str; 10] = [
    "01-individual",
    "02-free-to-paid",
    "03-a-year-of-starter",
    "04-yearly-scale",
    "05-upgrade-twice",
    "06-downgrade-and-back",
    "07-lapse-and-return",
    "08-debt-and-repayment",
    "09-packs-to-the-limit",
    "10-late-usage",
];

/// Lives that are paid from outside.
pub const PAID_LIVES: [&str; 3] = ["11-payments-that-fail", "12-payments-late-and-twice", "13-refund"];

/// A life that is replayed in a namespace.
struct Replay<'w> {
    namespace: Namespace<'w>,
    /// Subscriptions that exist.
    subscriptions: BTreeSet<String>,
}

impl<'w> Replay<'w> {
    async fn begin(world: &'w World, namespace: &str) -> Self {
        Self::within(world.namespace(namespace).await)
    }

    fn within(namespace: Namespace<'w>) -> Self {
        Self { namespace, subscriptions: BTreeSet::new() }
    }

    async fn play(mut self, script: &Script) {
        for (time, documents) in &script.steps {
            self.move_clocks(*time).await;
            for object in documents {
                self.apply(object, *time).await;
            }
            self.agrees(*time, &script.simulated(*time)).await;
        }
    }

    /// Moves the clocks to `time`, and waits until the operator has seen that: what is created then arrives then.
    async fn move_clocks(&self, time: Timestamp) {
        for name in &self.subscriptions {
            // A change of the spec that nothing depends on is acknowledged, and the clock with it.
            let spec = json!({"billingDetails": {"name": time.to_string()}});
            let patch = json!({"metadata": {"annotations": {CLOCK: time.to_string()}}, "spec": spec});
            let api = self.namespace.api::<Subscription>();
            let patched =
                api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
            let generation = patched.metadata.generation;
            self.namespace.expect::<Subscription>(name, "/status/observedGeneration", generation).await;
        }
    }

    async fn apply(&mut self, object: &Value, time: Timestamp) {
        let (namespace, spec) = (&self.namespace, object["spec"].clone());
        let name = &text(object, "/metadata/name");
        if annotation(object, DELETE).is_some() {
            assert_eq!(object["kind"], "CreditPack", "only packs are deleted in these lives");
            namespace.api::<CreditPack>().delete(name, &DeleteParams::default()).await.expect("deleted");
            return;
        }
        match object["kind"].as_str() {
            Some("Subscription") if self.subscriptions.contains(name) => {
                let (api, patch) = (namespace.api::<Subscription>(), json!({"spec": spec}));
                api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("changed");
            }
            Some("Subscription") => {
                let metadata = json!({"name": name, "annotations": {CLOCK: time.to_string()}});
                namespace.create_with::<Subscription>(metadata, spec).await;
                self.subscriptions.insert(name.clone());
            }
            Some("CreditPack") => _ = namespace.create::<CreditPack>(name, spec).await,
            Some("UsageReport") => _ = namespace.create::<UsageReport>(name, spec).await,
            Some("CreditAdjustment") => _ = namespace.create::<CreditAdjustment>(name, spec).await,
            Some("Payment") => _ = namespace.create::<Payment>(name, self.with_own_invoice(spec).await).await,
            kind => assert_eq!(kind, None, "a kind that can be replayed"),
        }
    }

    /// Returns a Payment's spec with the number that the invoice has in this account.
    async fn with_own_invoice(&self, mut spec: Value) -> Value {
        let subscription = text(&spec, "/subscriptionRef/name");
        let number = eventually("an invoice was issued", async || {
            let object = self.namespace.get::<Subscription>(&subscription).await?;
            object.pointer("/status/invoices/0/number").and_then(Value::as_str).map(str::to_owned)
        });
        let own = number.await_some().await;
        let (account, _) = own.rsplit_once('-').expect("a number");
        let stated = text(&spec, "/invoice");
        let (_, index) = stated.rsplit_once('-').expect("a number");
        spec["invoice"] = json!(format!("{account}-{index}"));
        spec
    }

    /// Waits until every object shows what it shows in the simulation.
    async fn agrees(&self, time: Timestamp, expected: &BTreeMap<(String, String), Value>) {
        for ((kind, name), expected) in expected {
            let mut shown = Value::Null;
            let what = format!("{kind} {}/{name} at {time}", self.namespace.name);
            let deadline = tokio::time::Instant::now() + crate::world::PATIENCE;
            while shown != *expected && tokio::time::Instant::now() < deadline {
                let object = match kind.as_str() {
                    "Subscription" => self.namespace.get::<Subscription>(name).await,
                    "CreditPack" => self.namespace.get::<CreditPack>(name).await,
                    "UsageReport" => self.namespace.get::<UsageReport>(name).await,
                    "CreditAdjustment" => self.namespace.get::<CreditAdjustment>(name).await,
                    _ => self.namespace.get::<Payment>(name).await,
                };
                shown = comparable(&object.unwrap_or_default());
                tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            }
            assert!(shown == *expected, "{what}\nsimulated: {expected:#}\nshown: {shown:#}");
        }
    }
}

async fn play_lives(world: &World, names: &[&str]) {
    let namespaces = names.iter().map(async |name| world.namespace(&format!("clock-life-{name}")).await);
    play_lives_in(join_all(namespaces).await, names).await;
}

/// Plays each life in a namespace of its own.
pub async fn play_lives_in(namespaces: Vec<Namespace<'_>>, names: &[&str]) {
    join_all(namespaces.into_iter().zip(names).map(async |(namespace, name)| {
        let script = Script::of_file(root().join(format!("tests/golden/lives/{name}.yaml")));
        Replay::within(namespace).play(&script).await;
    }))
    .await;
}

#[tokio::test]
async fn every_life_reads_the_same_on_a_real_control_plane() {
    play_lives(shared().await, &LIVES).await;
}

#[tokio::test]
async fn every_life_that_is_paid_from_outside_reads_the_same_on_a_real_control_plane() {
    play_lives(&paid().await.world, &PAID_LIVES).await;
}

/// Returns the examples that are manifests, in order.
fn examples() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("examples")).expect("folder");
    let files = folder.map(|entry| entry.expect("entry").path());
    let mut files: Vec<PathBuf> = files.filter(|path| is_manifest(path)).collect();
    files.sort();
    files
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml")
}

#[tokio::test]
async fn a_year_of_every_example_reads_the_same_month_by_month() {
    let start: Timestamp = "2026-01-31T10:00:00Z".parse().expect("time");
    let folder = std::env::temp_dir().join(format!("flashgate-year-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("folder");
    let mut script = Script { files: Vec::new(), catalog: None, steps: BTreeMap::new() };
    for file in examples() {
        let text = fs::read_to_string(&file).expect("example");
        let dated = text.replacen(
            "\nmetadata:\n",
            &format!("\nmetadata:\n  annotations: {{{AT}: \"{start}\"}}\n"),
            1,
        );
        let copy = folder.join(file.file_name().expect("name"));
        fs::write(&copy, &dated).expect("copy");
        script.files.push(copy);
        script.add(&dated, Some(start));
    }
    let anchor = start.to_zoned(TimeZone::UTC);
    for month in 1..=12 {
        let boundary = anchor.checked_add(month.months()).expect("time").timestamp();
        script.steps.entry(boundary).or_default();
    }
    Replay::begin(shared().await, "clock-year").await.play(&script).await;
    fs::remove_dir_all(&folder).expect("removed");
}
