//! Lives on the real control plane: by a test clock, step by step, each step as `simulate` says.
//!
//! The lives are those of `tests/golden/lives` and a year of the examples. After every step each object must show what
//! it shows in the simulation up to that time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flashgate_billing::api::{CreditAdjustment, CreditPack, Payment, Subscription, UsageReport};
use flashgate_billing::simulate::manifest::manifests;
use futures::future::join_all;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::payments::paid;
use crate::world::{Namespace, World, eventually, root, shared};

const AT: &str = "billing.flashgate.dev/at";
const DELETE: &str = "billing.flashgate.dev/delete";
const CLOCK: &str = "billing.flashgate.dev/test-clock";

/// Lives whose invoices are settled as they are issued. Deletion is not among them: what arrives while there is no
/// Subscription has no test clock to arrive by.
const LIVES: [&str; 10] = [
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
const PAID_LIVES: [&str; 3] = ["11-payments-that-fail", "12-payments-late-and-twice", "13-refund"];

/// Manifests and when they are applied.
struct Script {
    files: Vec<PathBuf>,
    catalog: Option<PathBuf>,
    /// What is applied when.
    steps: BTreeMap<Timestamp, Vec<Value>>,
}

impl Script {
    /// Returns a life of `tests/golden/lives`; it goes on to `until`.
    fn of_life(name: &str) -> Self {
        let folder = root().join("tests/golden/lives");
        let file = folder.join(format!("{name}.yaml"));
        let text = fs::read_to_string(&file).expect("life");
        let argument = |option: &str| {
            let mut words = text.lines().find(|line| line.starts_with("# $ "))?.split_whitespace();
            words.find(|word| *word == option)?;
            words.next()
        };
        let until = argument("--until").and_then(|time| time.parse().ok()).expect("the end of the life");
        let catalog = argument("--catalog").map(|path| root().join(path));
        let mut script = Self { files: vec![file], catalog, steps: BTreeMap::new() };
        script.add(&text, None);
        script.steps.entry(until).or_default();
        script
    }

    /// Adds the documents of `text`; the first is applied at `start`, where it does not say when.
    fn add(&mut self, text: &str, start: Option<Timestamp>) {
        let mut time = start;
        for document in manifests("life", text) {
            let object = document.expect("document").object;
            let at = annotation(&object, AT).and_then(|at| at.parse().ok());
            time = at.or(time);
            // A test clock stands still: what waits for the end of its window is charged by a step at that end.
            let end = object.pointer("/spec/window/endTime").and_then(Value::as_str);
            let waits_until = end.and_then(|end| end.parse().ok()).filter(|end| Some(*end) > time);
            self.steps.extend(waits_until.map(|end| (end, Vec::new())));
            self.steps.entry(time.expect("a time")).or_default().push(object);
        }
    }

    /// Returns the objects that exist at `time` in the simulation, by kind and name.
    fn simulated(&self, time: Timestamp) -> BTreeMap<(String, String), Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"));
        command.arg("simulate").args(&self.files).args(["--until", &time.to_string(), "-o", "json"]);
        if let Some(catalog) = &self.catalog {
            command.arg("--catalog").arg(catalog);
        }
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let outcome: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let objects = outcome["objects"].as_array().expect("objects").iter();
        let objects = objects.filter(|object| object["kind"] != "CreditLedger");
        objects
            .map(|object| ((text(object, "/kind"), text(object, "/metadata/name")), comparable(object)))
            .collect()
    }
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn annotation<'o>(object: &'o Value, name: &str) -> Option<&'o str> {
    object["metadata"]["annotations"].get(name)?.as_str()
}

/// Returns what an object shows, without what names this one account or this one run.
fn comparable(object: &Value) -> Value {
    let mut status = object["status"].clone();
    let Some(fields) = status.as_object_mut() else { return Value::Null };
    for name in ["ledger", "observedGeneration", "invoice"] {
        fields.remove(name);
    }
    let invoices = fields.get_mut("invoices").and_then(Value::as_array_mut);
    for invoice in invoices.into_iter().flatten().filter_map(Value::as_object_mut) {
        invoice.remove("number");
    }
    let conditions = fields.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        condition.retain(|name, _| ["type", "status", "reason"].contains(&name.as_str()));
    }
    status
}

/// A life that is replayed in a namespace.
struct Replay<'w> {
    namespace: Namespace<'w>,
    /// Subscriptions that exist.
    subscriptions: BTreeSet<String>,
}

impl<'w> Replay<'w> {
    async fn begin(world: &'w World, namespace: &str) -> Self {
        Self { namespace: world.namespace(namespace).await, subscriptions: BTreeSet::new() }
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
    join_all(names.iter().map(async |name| {
        let script = Script::of_life(name);
        Replay::begin(world, &format!("clock-life-{name}")).await.play(&script).await;
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
