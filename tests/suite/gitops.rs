//! Tests of GitOps tools with our objects, by the tools' own code: kstatus (Helm, Flux), Flux's health
//! expressions, Argo CD's Lua interpreter, and the CRDs of both. The objects are recorded from a real control
//! plane.

mod actions;
mod examples;
mod health;
mod recording;
mod states;
mod steady;
mod waiting;
mod walked;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::world::{made_by, root};

/// Folder with `verdicts`, and the CRDs of Argo CD, Flux, the Prometheus operator and the Gateway API.
pub static TOOLS: LazyLock<PathBuf> = LazyLock::new(|| made_by("gitops/build.sh"));

/// Returns the folder of a kind in Argo CD's layout.
fn customizations(kind: &str) -> PathBuf {
    root().join("resource_customizations/billing.flashgate.dev").join(kind)
}

/// Returns the content of a YAML file.
fn yaml(file: &Path) -> Value {
    let text =
        std::fs::read_to_string(file).unwrap_or_else(|error| unreachable!("{}: {error}", file.display()));
    serde_yaml::from_str(&text).expect("YAML")
}

/// Returns the output of `verdicts` for each file, in order.
fn verdicts(judge: &[&str], files: &[PathBuf]) -> Vec<Value> {
    let output = Command::new(TOOLS.join("verdicts"))
        .args(judge)
        .args(files)
        .current_dir(root())
        .output()
        .expect("verdicts");
    assert!(output.status.success(), "{judge:?}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    let verdicts: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(verdicts.len(), files.len(), "{judge:?} says one thing of each file");
    verdicts
}
