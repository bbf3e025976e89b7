//! Writes `crds/` and pages of `docs/reference/` from the Rust types; `make generate` runs it.

use std::fs;
use std::path::Path;

use anyhow::Context;
use flashgate_billing::crdgen::{crds, reference};
use flashgate_billing::operator::convert::entry_schema;
use flashgate_billing::operator::reason::reasons_markdown;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crds = crds()?;
    for crd in &crds {
        write(&root.join("crds").join(format!("{}.yaml", crd.plural)), &crd.yaml()?)?;
    }
    let pages = root.join("docs/reference");
    write(&pages.join("api.md"), &reference::markdown(&crds)?)?;
    write(&pages.join("entries.schema.json"), &entry_schema())?;
    write(&pages.join("reasons.md"), &reasons_markdown())
}

/// Writes a file and the folders above it.
fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
