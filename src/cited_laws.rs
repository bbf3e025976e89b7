//! Checks citations of the laws against docs/laws.md: each cited number has a law, and each law has a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::source_tree::{files, has_extension, root};

/// Folders with text that cites laws.
const FOLDERS: [&str; 4] = ["src", "crates", "tests", "docs"];

/// Kinds of files that cite laws.
const EXTENSIONS: [&str; 3] = ["rs", "md", "yaml"];

/// Returns the numbers of laws that `text` cites: `Law 9`, `Laws 7, 8 and 22`, `laws 11 to 13`.
fn cited(text: &str) -> BTreeSet<u32> {
    let words =
        ["Law", "law"].into_iter().flat_map(|word| text.match_indices(word)).map(|(at, _)| text.split_at(at));
    let begins = |before: &str| !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    let lists = words.filter(|(before, _)| begins(before)).filter_map(|(_, from)| {
        let after = &from["law".len()..];
        after.strip_prefix('s').unwrap_or(after).strip_prefix(' ').map(list)
    });
    lists.flatten().collect()
}

/// Returns the numbers of a list such as `0, 7 and 9 to 11`, up to where the list ends.
fn list(text: &str) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    let (mut rest, mut from) = (text, None);
    loop {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(number) = rest[..digits].parse::<u32>() else { break };
        numbers.extend(from.unwrap_or(number)..=number);
        rest = &rest[digits..];
        let separator =
            [", ", " and ", " or ", " to "].into_iter().find(|separator| rest.starts_with(separator));
        let Some(separator) = separator else { break };
        from = (separator == " to ").then_some(number);
        rest = &rest[separator.len()..];
    }
    numbers
}

/// Returns the numbers of the headings of docs/laws.md.
fn laws() -> BTreeSet<u32> {
    let page = fs::read_to_string(root().join("docs/laws.md")).expect("docs/laws.md");
    let heading = |line: &str| line.strip_prefix("## Law ")?.split_once(':')?.0.parse().ok();
    page.lines().filter_map(heading).collect()
}

/// Returns the numbers that each file cites, by its path below the root.
fn citations() -> BTreeMap<PathBuf, BTreeSet<u32>> {
    let files = FOLDERS.iter().flat_map(|folder| files(&root().join(folder)));
    let citations = files.filter(|file| has_extension(file, &EXTENSIONS)).map(|file| {
        let numbers = cited(&fs::read_to_string(&file).expect("text"));
        (file.strip_prefix(root()).expect("below the root").to_owned(), numbers)
    });
    citations.collect()
}

#[test]
fn every_cited_law_exists() {
    let laws = laws();
    assert!(laws.len() > 20, "docs/laws.md has the laws as headings '## Law N: …'");
    for (file, numbers) in citations() {
        let unknown: Vec<_> = numbers.difference(&laws).collect();
        assert!(unknown.is_empty(), "{} cites laws that docs/laws.md lacks: {unknown:?}", file.display());
    }
}

#[test]
fn every_law_is_cited_by_a_test() {
    let is_test =
        |file: &Path| file.starts_with("tests") || file.components().any(|part| part.as_os_str() == "tests");
    let tested: BTreeSet<u32> =
        citations().into_iter().filter(|(file, _)| is_test(file)).flat_map(|(_, numbers)| numbers).collect();
    let missing: Vec<_> = laws().difference(&tested).copied().collect();
    assert!(missing.is_empty(), "no test cites these laws: {missing:?}");
}

#[test]
fn citations_are_read_as_they_are_written() {
    let numbers = |text| cited(text).into_iter().collect::<Vec<_>>();
    assert_eq!(numbers("(Law 9)."), [9]);
    assert_eq!(numbers("Laws 0, 7 and 22, on a real control plane"), [0, 7, 22]);
    assert_eq!(numbers("laws 11 to 13, 16"), [11, 12, 13, 16]);
    assert_eq!(numbers("flaw 7; the laws of credits; lawn 3"), [0; 0]);
}
