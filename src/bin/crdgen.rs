//! Writes `crds/` and `docs/reference/api.md` from the Rust types; `make generate` runs it.

use std::fs;
use std::path::Path;

use anyhow::Context;
use flashgate_billing::crdgen::{crds, reference};

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crds = crds()?;
    for crd in &crds {
        write(&root.join("crds").join(format!("{}.yaml", crd.plural)), &crd.yaml()?)?;
    }
    write(&root.join("docs/reference/api.md"), &reference::markdown(&crds)?)
}

/// Writes a file and the folders above it.
fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
