//! Writes `crds/`, pages of `docs/reference/` and parts of the chart from the Rust types, and the settings for Argo CD
//! from its scripts; `make generate` runs it.

use std::fs;
use std::path::Path;

use anyhow::Context;
use flashgate_billing::catalog;
use flashgate_billing::crdgen::{Crd, argocd, chart, crds, reference};
use flashgate_billing::metrics::description::metrics_markdown;
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
    write(&pages.join("metrics.md"), &metrics_markdown())?;
    write(&pages.join("reasons.md"), &reasons_markdown())?;
    let customizations = argocd::customizations(&root.join("resource_customizations"))?;
    let argocd = root.join("examples/argocd");
    write(&argocd.join("argocd-cm.yaml"), &argocd::config_map(&customizations))?;
    write(&argocd.join("argocd-values.yaml"), &argocd::helm_values(&customizations))?;
    write_chart(&root.join("charts"), &crds)
}

/// Writes what of the chart is generated.
fn write_chart(charts: &Path, crds: &[Crd]) -> anyhow::Result<()> {
    let chart = charts.join("flashgate-billing");
    for crd in crds {
        write(&chart.join(format!("templates/crds/{}.yaml", crd.plural)), &chart::template(crd)?)?;
    }
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    let alerts = chart::alerts(&read(&chart.join("files/alerts.yaml"))?)?;
    let catalog = serde_json::from_str(&catalog::schema())?;
    let written = read(&charts.join("values.schema.yaml"))?;
    write(&chart.join("values.schema.json"), &chart::values_schema(&written, &catalog, &alerts)?)
}

/// Writes a file and the folders above it.
fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
