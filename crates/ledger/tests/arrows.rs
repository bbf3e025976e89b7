//! The modules of this crate have no circular dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Modules with the modules that they use. A folder belongs to the module with its name.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Adds the modules that the files of `folder` use. A file of a subfolder counts as the module of that
/// subfolder.
fn read(folder: &Path, module: Option<&str>, arrows: &mut Arrows) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("name");
        let module = module.unwrap_or(stem);
        if path.is_dir() {
            read(&path, Some(module), arrows);
        } else if module != "lib" {
            let text = fs::read_to_string(&path).expect("text");
            arrows.entry(module.to_owned()).or_default().extend(named_in(&text));
        }
    }
}

/// Returns the names that follow `crate::` in product code.
fn named_in(text: &str) -> BTreeSet<String> {
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code = product.lines().filter(|line| !line.trim_start().starts_with("//"));
    let named = code.flat_map(|line| line.split("crate::").skip(1)).map(|rest| {
        let name: String = rest.chars().take_while(|next| next.is_alphanumeric() || *next == '_').collect();
        assert!(!name.is_empty(), "`crate::{rest}` must name one module");
        name
    });
    named.collect()
}

#[test]
fn no_module_depends_on_itself() {
    let mut arrows = Arrows::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut arrows);
    assert!(arrows.len() > 20, "the modules were found: {arrows:?}");
    let modules: BTreeSet<String> = arrows.keys().cloned().collect();
    for (module, named) in &mut arrows {
        named.retain(|name| name != module && modules.contains(name));
    }
    // A module that uses none of the remaining ones is not in a circle.
    loop {
        let left: BTreeSet<String> = arrows.keys().cloned().collect();
        arrows.retain(|_, named| named.iter().any(|name| left.contains(name)));
        if arrows.len() == left.len() {
            break;
        }
    }
    assert!(arrows.is_empty(), "these modules form a circle, or name one that does: {arrows:?}");
}

#[test]
fn names_are_found_only_in_product_code() {
    let text = "use crate::a::B;\n// crate::c\nfn d() { crate::e::f(crate::g) }\n#[cfg(test)]\nuse crate::h;";
    assert_eq!(named_in(text), ["a", "e", "g"].map(str::to_owned).into());
}
