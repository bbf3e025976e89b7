//! `cargo xtask generate` writes the files that are derived from the code: the CRDs, pages of the reference, parts of the
//! chart, and the settings for Argo CD. `make generate` runs it.

mod argocd;
mod chart;
mod pages;
mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use flashgate_api::definitions::crds;
use flashgate_billing::catalog;
use flashgate_preview::convert::entry_schema;

const USAGE: &str = "usage: cargo xtask generate";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["generate"] {
        bail!("{USAGE}");
    }
    let root = root();
    for (path, content) in generated(&root)? {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Returns the root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the content of each generated file, by its path below `root`.
fn generated(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("read {path}"));
    let mut files = BTreeMap::new();
    let mut write = |path: &str, content: String| files.insert(PathBuf::from(path), content);

    let crds = crds()?;
    for crd in &crds {
        write(&format!("crds/{}.yaml", crd.plural), crd.yaml()?);
        let template = format!("charts/flashgate-billing/templates/crds/{}.yaml", crd.plural);
        write(&template, chart::template(crd)?);
    }
    write("docs/reference/api.md", reference::markdown(&crds)?);
    write("docs/reference/entries.schema.json", entry_schema());
    write("docs/reference/openapi.json", flashgate_portal::openapi::json()?);
    write("docs/reference/metrics.md", pages::metrics_markdown());
    write("docs/reference/reasons.md", pages::reasons_markdown());

    let alerts = chart::alerts(&read("charts/flashgate-billing/files/alerts.yaml")?)?;
    let catalog = serde_json::from_str(&catalog::schema())?;
    let values = chart::values_schema(&read("charts/values.schema.yaml")?, &catalog, &alerts)?;
    write("charts/flashgate-billing/values.schema.json", values);

    let customizations = argocd::customizations(&root.join("resource_customizations"))?;
    write("examples/argocd/argocd-cm.yaml", argocd::config_map(&customizations));
    write("examples/argocd/argocd-values.yaml", argocd::helm_values(&customizations));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generated_file_is_up_to_date() {
        for (path, content) in generated(&root()).expect("content") {
            let committed = fs::read_to_string(root().join(&path)).unwrap_or_default();
            assert!(committed == content, "{}: run `make generate` and commit it", path.display());
        }
    }
}
