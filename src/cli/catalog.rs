//! `flashgate-billing catalog`: checks a catalog file, prints its JSON Schema.

use std::path::Path;

use crate::catalog::{self, CatalogError};

/// Returns what `catalog check FILE` prints for a valid catalog: what it holds, in one line.
///
/// # Errors
/// When the file cannot be read or is no valid catalog; the message names every mistake with its line.
pub fn check(path: &Path) -> Result<String, CatalogError> {
    let catalog = catalog::load(path)?;
    Ok(format!(
        "{} is a valid catalog: {} rates, {} plans, {} packs, prices in {}",
        path.display(),
        catalog.rates.len(),
        catalog.plans.len(),
        catalog.packs.len(),
        catalog.currency,
    ))
}

/// Returns what `catalog schema` prints: the JSON Schema of a catalog file.
#[must_use]
pub fn schema() -> String {
    catalog::schema()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_catalog_is_summed_up_in_one_line() {
        let shipped = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog/shipped.yaml"));
        let printed = check(shipped).expect("the shipped catalog is valid");
        assert!(
            printed.ends_with("shipped.yaml is a valid catalog: 4 rates, 5 plans, 3 packs, prices in USD"),
            "{printed}"
        );
    }
}
