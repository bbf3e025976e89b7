//! The arrows between modules: who may know whom. ARCHITECTURE.md draws them; this holds them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source_tree::{files, has_extension, root};

/// Every module by its path below `src`, with the modules of this crate that it may name. The longest path counts.
const ARROWS: &[(&str, &[&str])] = &[
    ("api", &["api"]),
    ("crdgen", &["api", "crdgen", "operator::convert", "operator::reason"]),
    ("admission", &["api", "crdgen"]),
    ("catalog", &["catalog", "text_file"]),
    ("clock", &[]),
    ("text_file", &[]),
    // `catalog` only in its tests.
    ("metrics", &["catalog"]),
    ("telemetry", &[]),
    ("throttle", &[]),
    ("server", &["metrics", "server", "throttle"]),
    ("operator/reason", &[]),
    ("operator/convert", &["api", "operator::convert", "operator::reason"]),
    // `catalog` and `crdgen` only in its tests.
    ("operator/project", &["api", "catalog", "crdgen", "operator::convert", "operator::reason"]),
    (
        "operator/plan",
        &["operator::convert", "operator::facts", "operator::memory", "operator::project", "operator::view"],
    ),
    // Its table makes each situation of what the API server would hold.
    ("operator/plan/tests", &["api", "catalog", "operator"]),
    ("operator/memory", &[]),
    ("operator/facts", &["api", "operator::convert", "operator::view"]),
    ("operator/cluster", &["api", "clock", "operator::cluster", "operator::reason"]),
    ("operator/inbox", &["api", "operator::cluster", "operator::convert", "operator::stored_ledger"]),
    ("operator/stored_ledger", &["api", "operator::convert"]),
    ("operator/view", &["api", "operator::cluster", "operator::inbox", "operator::stored_ledger"]),
    (
        "operator/commit",
        &["api", "operator::cluster", "operator::convert", "operator::stored_ledger", "operator::view"],
    ),
    (
        "operator/receipts",
        &["api", "operator::cluster", "operator::inbox", "operator::view", "operator::project"],
    ),
    (
        "operator/publish",
        &[
            "api",
            "metrics",
            "operator::cluster",
            "operator::inbox",
            "operator::view",
            "operator::project",
            "operator::publish",
            "operator::reason",
            "throttle",
        ],
    ),
    (
        "operator/watch",
        &["metrics", "operator::cluster", "operator::inbox", "operator::reason", "operator::watch"],
    ),
    // An election knows nothing of accounts: money never rests on who leads.
    ("operator/election", &["clock", "metrics", "operator::election"]),
    ("operator/wake", &["clock", "operator::cluster", "operator::election", "operator::reconcile"]),
    ("operator/health", &["server"]),
    // What is shown of accounts is what their statuses say, and what waits.
    (
        "operator/gauges",
        &[
            "api",
            "clock",
            "metrics",
            "operator::cluster",
            "operator::election",
            "operator::facts",
            "operator::gauges",
            "operator::inbox",
        ],
    ),
    // The webhook creates Payments like any other client; it knows nothing of how they are judged.
    ("payments", &["api", "clock", "metrics", "payments", "server"]),
    // A backup is what the API server holds: it knows nothing of how accounts are decided on.
    ("backup", &["api", "backup", "metrics"]),
    // What runs an account: it executes the plan, and everything else of the operator is below it.
    ("operator", &["api", "catalog", "clock", "metrics", "operator"]),
    // Commands, and the binaries that are one.
    (
        "cli",
        &[
            "admission",
            "api",
            "backup",
            "catalog",
            "cli",
            "clock",
            "crdgen",
            "metrics",
            "operator",
            "payments",
            "server",
            "simulate",
            "telemetry",
            "text_file",
        ],
    ),
    ("main", &["cli"]),
    ("bin", &["crdgen"]),
    // The list of modules, and the tests of the text of this repository.
    ("lib", &[]),
    ("arrows", &["source_tree"]),
    ("cited_laws", &["source_tree"]),
    ("plain_words", &["source_tree"]),
    ("source_tree", &[]),
    // The simulation decides with the operator's own code, and never meets a client.
    (
        "simulate",
        &["admission", "api", "catalog", "crdgen", "operator::convert", "operator::project", "simulate"],
    ),
];

/// The dependencies that the crates without a client may have.
const PURE_DEPENDENCIES: [(&str, &[&str]); 2] = [
    ("ledger", &["ethnum", "jiff", "rust_decimal", "thiserror"]),
    ("testing", &["clap", "flashgate-ledger", "jiff", "proptest"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|file| has_extension(file, &["rs"])).collect()
}

/// Returns the paths below this crate's root that a text names, such as `operator::cluster`.
fn named_modules(text: &str) -> BTreeSet<String> {
    let paths = text.split("crate::").skip(1).map(|rest| {
        let is_part =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_:".contains(letter);
        rest.split(|letter: char| !is_part(letter))
            .next()
            .unwrap_or_default()
            .trim_end_matches(':')
            .to_owned()
    });
    paths.filter(|path| !path.is_empty()).collect()
}

/// Returns what `module` may name, by the longest path that it lies below.
fn allowed(module: &str) -> Option<&'static [&'static str]> {
    let holds =
        |path: &str| module.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let rows = ARROWS.iter().filter(|(path, _)| holds(path));
    rows.max_by_key(|(path, _)| path.len()).map(|(_, allowed)| *allowed)
}

#[test]
fn every_module_names_only_what_it_may_know() {
    let folder = root().join("src");
    for file in sources(&folder) {
        let module = file.strip_prefix(&folder).expect("below src").with_extension("").display().to_string();
        let allowed = allowed(&module);
        assert!(allowed.is_some(), "src/{module}.rs needs a row in ARROWS");
        let allowed = allowed.unwrap_or_default();
        for named in named_modules(&fs::read_to_string(&file).expect("source")) {
            let is_allowed =
                allowed.iter().any(|path| named == *path || named.starts_with(&format!("{path}::")));
            assert!(is_allowed, "src/{module}.rs must not name crate::{named}; it may name {allowed:?}");
        }
    }
}

#[test]
fn the_ledger_stands_on_numbers_and_time_alone_and_its_test_kit_on_the_ledger() {
    for (folder, dependencies) in PURE_DEPENDENCIES {
        let manifest = root().join("crates").join(folder).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("manifest");
        let section = manifest.split("\n[dependencies]").nth(1).expect("dependencies");
        let section = section.split("\n[").next().unwrap_or_default();
        for line in section.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(dependencies.contains(&name), "crates/{folder} must not depend on {name}");
        }
    }
}

#[test]
fn deciding_meets_no_client_and_waits_for_nothing() {
    let decide = fs::read_to_string(root().join("src/operator/plan.rs")).expect("source");
    for word in ["async fn", ".await", "kube::", "tokio::"] {
        assert!(!decide.contains(word), "src/operator/plan.rs must not contain {word}");
    }
}

#[test]
fn folders_have_no_anonymous_drawers() {
    for file in sources(&root().join("src")).into_iter().chain(sources(&root().join("crates"))) {
        let stem = file.file_stem().expect("name").to_string_lossy();
        for drawer in ["mod", "util", "utils", "common", "helpers", "prelude", "misc"] {
            assert_ne!(stem, drawer, "{} must be named after what it holds", file.display());
        }
    }
}
