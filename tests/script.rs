//! Scripts: manifests with the times at which they are applied, and their results in `simulate`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flashgate_billing::simulate::manifest::manifests;
use jiff::Timestamp;
use serde_json::Value;

/// Annotation with the time at which a manifest is applied.
pub const AT: &str = "billing.flashgate.dev/at";

/// Annotation of a manifest that deletes.
pub const DELETE: &str = "billing.flashgate.dev/delete";

/// Annotation with the time that an account lives at.
pub const CLOCK: &str = "billing.flashgate.dev/test-clock";

/// Manifests and when they are applied.
pub struct Script {
    /// The files with the manifests.
    pub files: Vec<PathBuf>,
    /// The file of the catalog; the shipped catalog when absent.
    pub catalog: Option<PathBuf>,
    /// The manifests by the time at which they are applied.
    pub steps: BTreeMap<Timestamp, Vec<Value>>,
}

impl Script {
    /// Returns the script of a file that says in its second line how it is simulated; it goes on to `--until`.
    pub fn of_file(file: PathBuf) -> Self {
        let text = fs::read_to_string(&file).expect("script");
        let argument = |option: &str| {
            let mut words = text.lines().find(|line| line.starts_with("# $ "))?.split_whitespace();
            words.find(|word| *word == option)?;
            words.next()
        };
        let until = argument("--until").and_then(|time| time.parse().ok()).expect("the end of the script");
        let catalog = argument("--catalog").map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
        let mut script = Self { files: vec![file], catalog, steps: BTreeMap::new() };
        script.add(&text, None);
        script.steps.entry(until).or_default();
        script
    }

    /// Adds the documents of `text`; the first is applied at `start`, where it does not say when.
    pub fn add(&mut self, text: &str, start: Option<Timestamp>) {
        let mut time = start;
        for document in manifests("script", text) {
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
    pub fn simulated(&self, time: Timestamp) -> BTreeMap<(String, String), Value> {
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

/// Returns the text at `pointer`, or nothing.
pub fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns an annotation.
pub fn annotation<'o>(object: &'o Value, name: &str) -> Option<&'o str> {
    object["metadata"]["annotations"].get(name)?.as_str()
}

/// Returns what an object shows, without what names this one account or this one run.
pub fn comparable(object: &Value) -> Value {
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
