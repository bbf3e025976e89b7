//! The workloads: the scripts of `tests/campaign/workloads`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use flashgate_billing::catalog;
use flashgate_ledger::catalog::Catalog;
use jiff::Timestamp;
use serde_json::Value;

use crate::script::Script;

/// The users' actions, in steps.
pub struct Workload {
    /// The name.
    pub name: String,
    /// The catalog.
    pub catalog: Catalog,
    /// The file of the catalog, unless it is the shipped one.
    pub catalog_file: Option<String>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// The actions at one time.
pub struct Step {
    /// The time on the test clock.
    pub time: Timestamp,
    /// The manifests to apply.
    pub documents: Vec<Value>,
    /// The expected objects by kind and name, from `simulate`.
    pub expected: BTreeMap<(String, String), Value>,
}

impl Workload {
    /// Returns the workloads, by name.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/campaign/workloads");
        let mut workloads = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let file = entry?.path();
            let name = file.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
            if let Some(name) = name.strip_suffix(".yaml").filter(|name| !name.contains('.')) {
                workloads.push(Self::of_script(name, &Script::of_file(file.clone()))?);
            }
        }
        workloads.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(workloads)
    }

    fn of_script(name: &str, script: &Script) -> anyhow::Result<Self> {
        let catalog = match &script.catalog {
            Some(file) => catalog::load(file)?,
            None => catalog::shipped(),
        };
        let steps = script.steps.iter().map(|(time, documents)| Step {
            time: *time,
            documents: documents.clone(),
            expected: script.simulated(*time),
        });
        Ok(Self {
            name: name.to_owned(),
            catalog,
            catalog_file: script.catalog.as_ref().map(|file| file.display().to_string()),
            steps: steps.collect(),
        })
    }
}
