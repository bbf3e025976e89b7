//! `flashgate-billing catalog`: checks a catalog file, or prints the JSON Schema.

use std::path::Path;

use crate::catalog::{self, CatalogError};

/// Returns the output of `catalog check FILE` for a valid catalog: a summary in one line.
///
/// # Errors
/// When the file cannot be read or is not a valid catalog. The message has every mistake with its line.
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

/// Returns the output of `catalog schema`: the JSON Schema of a catalog file.
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
