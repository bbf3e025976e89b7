//! Checks the dependencies between modules that ARCHITECTURE.md describes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source_tree::{files, has_extension, root};

/// Every module by its path below `src`, with the modules of this crate and the workspace crates that it may
/// name. Every module may also name the laws. The longest path counts.
const ARROWS: &[(&str, &[&str])] = &[
    ("admission", &["flashgate_api"]),
    ("catalog", &["catalog", "text_file"]),
    ("text_file", &[]),
    // `catalog` only in its tests.
    ("metrics", &["catalog", "flashgate_gate", "flashgate_meter"]),
    ("telemetry", &[]),
    ("throttle", &[]),
    ("server", &["metrics", "server", "throttle"]),
    // `catalog` only in its tests.
    ("operator/project", &["catalog", "flashgate_api", "flashgate_preview"]),
    (
        "operator/plan",
        &["flashgate_preview", "operator::facts", "operator::memory", "operator::project", "operator::view"],
    ),
    // The table of the tests builds each situation from objects of the API server.
    (
        "operator/plan/tests",
        &["catalog", "flashgate_api", "flashgate_cluster", "flashgate_preview", "operator"],
    ),
    ("operator/memory", &["flashgate_preview", "operator::stored_ledger"]),
    // The steps of a fact. The simulation uses them too, so they must not use a client.
    ("operator/judged_kind", &["flashgate_api", "flashgate_preview", "operator::project"]),
    ("operator/facts", &["flashgate_api", "flashgate_preview", "operator::cache", "operator::view"]),
    (
        "operator/cache",
        &[
            "flashgate_api",
            "flashgate_cluster",
            "flashgate_preview",
            "operator::judged_kind",
            "operator::stored_ledger",
        ],
    ),
    ("operator/stored_ledger", &["flashgate_api", "flashgate_preview"]),
    ("operator/view", &["flashgate_api", "flashgate_cluster", "operator::cache", "operator::stored_ledger"]),
    (
        "operator/commit",
        &[
            "flashgate_api",
            "flashgate_cluster",
            "flashgate_preview",
            "operator::stored_ledger",
            "operator::view",
        ],
    ),
    (
        "operator/receipts",
        &[
            "flashgate_api",
            "flashgate_cluster",
            "operator::cache",
            "operator::judged_kind",
            "operator::project",
            "operator::view",
        ],
    ),
    (
        "operator/publish",
        &[
            "flashgate_api",
            "flashgate_cluster",
            "metrics",
            "operator::cache",
            "operator::project",
            "operator::publish",
            "operator::view",
            "throttle",
        ],
    ),
    (
        "operator/watch",
        &["flashgate_api", "flashgate_cluster", "metrics", "operator::cache", "operator::watch"],
    ),
    // An election does not use accounts: correct billing never depends on it.
    ("operator/election", &["flashgate_cluster", "metrics", "operator::election"]),
    ("operator/work_queue", &["flashgate_cluster", "operator::election", "operator::reconcile"]),
    ("operator/health", &["server"]),
    // Account metrics are computed from statuses and pending objects.
    (
        "operator/account_metrics",
        &[
            "flashgate_api",
            "flashgate_cluster",
            "flashgate_preview",
            "metrics",
            "operator::election",
            "operator::facts",
            "operator::account_metrics",
            "operator::cache",
        ],
    ),
    // The webhook creates Payments like any other client. It does not use the billing code.
    ("payments", &["flashgate_api", "flashgate_cluster", "metrics", "payments", "server"]),
    // A backup copies objects of the API server. It does not use the billing code.
    ("backup", &["backup", "flashgate_api", "metrics"]),
    // The operator executes plans. It may use all its submodules.
    (
        "operator",
        &[
            "catalog",
            "flashgate_api",
            "flashgate_cluster",
            "flashgate_history",
            "flashgate_preview",
            "metrics",
            "operator",
        ],
    ),
    // Commands, and the binary.
    (
        "cli",
        &[
            "admission",
            "backup",
            "catalog",
            "cli",
            "flashgate_api",
            "flashgate_cluster",
            "flashgate_gate",
            "flashgate_history",
            "flashgate_meter",
            "flashgate_portal",
            "grid",
            "metrics",
            "operator",
            "payments",
            "preview",
            "server",
            "simulate",
            "statement",
            "telemetry",
            "text_file",
        ],
    ),
    ("main", &["cli"]),
    // The list of modules, and the tests of the text of this repository.
    ("lib", &[]),
    ("arrows", &["source_tree"]),
    ("cited_laws", &["source_tree"]),
    ("plain_words", &["source_tree"]),
    ("source_tree", &[]),
    // The simulation uses the operator's billing code, and never a client.
    (
        "simulate",
        &[
            "admission",
            "catalog",
            "flashgate_api",
            "flashgate_preview",
            "grid",
            "operator::judged_kind",
            "operator::project",
            "simulate",
            "statement",
        ],
    ),
    // Text for terminals, which several commands share.
    ("grid", &[]),
    ("statement", &["grid"]),
    // A preview is a simulation that begins with an account of a cluster. The command reads the cluster.
    (
        "preview",
        &[
            "admission",
            "catalog",
            "flashgate_api",
            "flashgate_preview",
            "grid",
            "preview",
            "simulate",
            "statement",
        ],
    ),
];

/// Each crate below `crates`, with its allowed dependencies outside tests. A crate without a row may have none.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    // Numbers, times, and their text forms.
    ("ledger", &["ethnum", "jiff", "rust_decimal", "schemars", "serde", "thiserror"]),
    // The types of the custom resources: neither a client nor a runtime.
    (
        "api",
        &[
            "flashgate-ledger",
            "jiff",
            "k8s-openapi",
            "kube",
            "schemars",
            "serde",
            "serde_json",
            "serde_yaml",
            "thiserror",
        ],
    ),
    (
        "cluster",
        &[
            "flashgate-api",
            "futures",
            "http",
            "http-body-util",
            "jiff",
            "k8s-openapi",
            "kube",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
    ),
    // The text forms of ledgers and facts, and the effects of changes: no client, no runtime, and no clock.
    (
        "preview",
        &[
            "flashgate-api",
            "flashgate-history",
            "flashgate-ledger",
            "jiff",
            "kube",
            "schemars",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
        ],
    ),
    // The store of the history: no client of Kubernetes, and no clock.
    (
        "history",
        &[
            "csv",
            "flashgate-ledger",
            "futures",
            "jiff",
            "parquet",
            "serde",
            "serde_json",
            "sha2",
            "sqlx",
            "thiserror",
            "tokio",
        ],
    ),
    // The gate: its own watch. Of billing it uses exact amounts only.
    (
        "gate",
        &[
            "axum",
            "envoy-types",
            "flashgate-api",
            "flashgate-ledger",
            "futures",
            "hashbrown",
            "http",
            "jiff",
            "kube",
            "percent-encoding",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "tokio",
            "tonic",
            "tracing",
        ],
    ),
    // The API for customers. It makes its own calls, with the tokens of its callers.
    (
        "portal",
        &[
            "axum",
            "cookie",
            "csv",
            "flashgate-api",
            "flashgate-cluster",
            "flashgate-history",
            "flashgate-ledger",
            "flashgate-preview",
            "futures",
            "getrandom",
            "hmac",
            "http",
            "http-body-util",
            "jiff",
            "json-patch",
            "k8s-openapi",
            "kube",
            "maud",
            "serde",
            "serde_json",
            "serde_urlencoded",
            "serde_yaml",
            "sha2",
            "thiserror",
            "tokio",
            "tower-http",
            "tracing",
            "utoipa",
        ],
    ),
    // From counters of Prometheus to reports: no laws, and no clock.
    (
        "meter",
        &[
            "flashgate-api",
            "futures",
            "http",
            "http-body-util",
            "jiff",
            "k8s-openapi",
            "kube",
            "rust_decimal",
            "serde",
            "serde_json",
            "serde_urlencoded",
            "serde_yaml",
            "sha2",
            "thiserror",
            "tokio",
            "tracing",
        ],
    ),
    (
        "testing",
        &[
            "clap",
            "flashgate-api",
            "flashgate-cluster",
            "flashgate-ledger",
            "futures",
            "jiff",
            "k8s-openapi",
            "kube",
            "proptest",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
    ),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|file| has_extension(file, &["rs"])).collect()
}

/// Crates of this workspace that not every module may name. Only tests and the feature `failpoints` reach flashgate-testing.
const CRATES: [&str; 7] = [
    "flashgate_api",
    "flashgate_cluster",
    "flashgate_gate",
    "flashgate_history",
    "flashgate_meter",
    "flashgate_portal",
    "flashgate_preview",
];

/// Returns the modules of this crate and the crates of this workspace that a text names, such as `operator::plan`.
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
    let is_named = |name: &&&str| ["::", " as "].iter().any(|after| text.contains(&format!("{name}{after}")));
    let crates = CRATES.iter().filter(is_named).map(|name| (*name).to_owned());
    paths.filter(|path| !path.is_empty()).chain(crates).collect()
}

/// Returns the names that `module` may use, by the longest matching path.
fn allowed(module: &str) -> Option<&'static [&'static str]> {
    let holds =
        |path: &str| module.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let rows = ARROWS.iter().filter(|(path, _)| holds(path));
    rows.max_by_key(|(path, _)| path.len()).map(|(_, allowed)| *allowed)
}

#[test]
fn every_module_uses_only_its_allowed_dependencies() {
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
fn every_crate_has_only_its_allowed_dependencies() {
    for folder in fs::read_dir(root().join("crates")).expect("crates") {
        let folder = folder.expect("a crate").path();
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let allowed = DEPENDENCIES.iter().find(|(known, _)| *known == name).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_default();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("manifest");
        let section = manifest.split("[dependencies]").nth(1).expect("dependencies");
        let section = section.split("\n[").next().unwrap_or_default();
        for line in section.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(allowed.contains(&dependency), "crates/{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_plan_is_synchronous_and_uses_no_client() {
    let decide = fs::read_to_string(root().join("src/operator/plan.rs")).expect("source");
    for word in ["async fn", ".await", "kube::", "tokio::"] {
        assert!(!decide.contains(word), "src/operator/plan.rs must not contain {word}");
    }
}

#[test]
fn no_module_has_a_generic_name() {
    for file in ["src", "crates", "xtask/src"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let stem = file.file_stem().expect("name").to_string_lossy();
        for name in ["mod", "util", "utils", "common", "helpers", "prelude", "misc"] {
            assert_ne!(stem, name, "{} must be named after its content", file.display());
        }
    }
}
