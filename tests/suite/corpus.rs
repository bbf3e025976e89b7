//! Runs the fuzz targets on the committed corpus. `make fuzz` searches for new inputs.

use std::fs;

use crate::parsers;
use crate::world::root;

/// Runs a target on every file of its corpus.
fn feed(target: &str, judge: fn(&[u8])) {
    let folder = fs::read_dir(root().join("fuzz/corpus").join(target)).expect("corpus");
    let files: Vec<_> = folder.map(|entry| entry.expect("entry").path()).collect();
    assert!(files.len() >= 3, "the corpus of {target} has {} files", files.len());
    for file in files {
        println!("{}", file.display());
        judge(&fs::read(&file).expect("file"));
    }
}

#[test]
fn quantities_of_the_corpus_are_parsed_as_admission_parses_them() {
    feed("quantity", parsers::quantity);
}

#[test]
fn catalogs_of_the_corpus_are_parsed_or_rejected_with_a_line() {
    feed("catalog", parsers::catalog);
}

#[test]
fn admitted_manifests_of_the_corpus_can_be_decoded() {
    feed("manifest", parsers::manifest);
}

#[test]
fn ledgers_of_the_corpus_are_written_back_unchanged() {
    feed("ledger", parsers::ledger);
}

#[test]
fn callbacks_of_the_corpus_are_accepted_only_if_signed() {
    feed("callback", parsers::callback);
}
