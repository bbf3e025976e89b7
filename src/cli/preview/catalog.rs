//! The catalog of a preview: that of the operator, as far as a command can know it.

use std::path::Path;

use anyhow::{Context as _, bail};
use flashgate_ledger::catalog::Catalog;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::catalog;

/// Label of the `ConfigMap` with the catalog of an operator.
const LABEL: &str = "billing.flashgate.dev/catalog";

/// Key of the catalog in it.
const KEY: &str = "catalog.yaml";

/// A catalog, and its name in words.
pub struct Chosen {
    /// The catalog.
    pub catalog: Catalog,
    /// The file, the `ConfigMap`, or the built-in catalog.
    pub name: String,
}

/// Returns the catalog in `file`. Without one, returns that of the `ConfigMap` with the label of catalogs, and without one
/// the built-in catalog.
///
/// # Errors
/// When it cannot be read, is invalid, or there are several. A wrong catalog would give wrong numbers.
pub async fn choose(file: Option<&Path>, client: &Client) -> anyhow::Result<Chosen> {
    if let Some(file) = file {
        return Ok(Chosen { catalog: catalog::load(file)?, name: format!("the file {}", file.display()) });
    }
    let found = Api::<ConfigMap>::all(client.clone()).list(&ListParams::default().labels(LABEL)).await;
    let found = found.with_context(|| {
        format!(
            "cannot list the ConfigMaps with the label {LABEL}: use `--catalog` with the operator's catalog"
        )
    })?;
    match found.items.as_slice() {
        [] => Ok(Chosen { catalog: catalog::shipped(), name: "the built-in catalog".to_owned() }),
        [map] => of_map(map),
        maps => {
            let names: Vec<String> = maps.iter().map(name_of).collect();
            bail!("several operators have a catalog ({}): name one by `--catalog`", names.join(", "))
        }
    }
}

fn of_map(map: &ConfigMap) -> anyhow::Result<Chosen> {
    let name = name_of(map);
    let text = map.data.as_ref().and_then(|data| data.get(KEY));
    let text = text.with_context(|| format!("the ConfigMap {name} has no `{KEY}`: use `--catalog`"))?;
    let catalog =
        catalog::parse(text, &name).with_context(|| format!("the ConfigMap {name} is no catalog"))?;
    Ok(Chosen { catalog, name: format!("the ConfigMap {name}") })
}

fn name_of(map: &ConfigMap) -> String {
    format!("{}/{}", map.namespace().unwrap_or_default(), map.name_any())
}
