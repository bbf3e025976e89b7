//! Every test that a page names exists.

use std::fs;

use crate::world::root;

/// Pages that name tests of this suite as `module::test`.
const PAGES: [&str; 2] = ["SECURITY.md", "docs/reliability.md"];

/// Returns the names of tests on a page. A whole module, as in `corpus::*`, is skipped.
fn names(page: &str) -> Vec<String> {
    let quoted = page.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| {
        text.contains("::")
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':')
    };
    quoted.filter(is_name).map(str::to_owned).collect()
}

/// Returns whether this suite has a test with that name.
fn is_there(name: &str) -> bool {
    let (module, test) = name.rsplit_once("::").expect("a path");
    let file = root().join("tests/suite").join(format!("{}.rs", module.replace("::", "/")));
    fs::read_to_string(file).is_ok_and(|source| source.contains(&format!("fn {test}()")))
}

#[test]
fn every_test_that_a_page_names_exists() {
    for page in PAGES {
        let names = names(&fs::read_to_string(root().join(page)).expect("page"));
        assert!(!names.is_empty(), "{page} names no tests");
        let missing: Vec<_> = names.into_iter().filter(|name| !is_there(name)).collect();
        assert!(missing.is_empty(), "{page} names tests that do not exist: {missing:?}");
    }
}
