//! Checks that the text of this repository uses plain words: each phrase of the list has a direct replacement.

use std::fs;
use std::path::Path;

use crate::source_tree::{files, has_extension, root};

/// A phrase that the text must not have.
struct Phrase {
    /// The phrase in lower case, its words separated by single spaces.
    text: &'static str,
    /// The next words after which the phrase is allowed.
    unless_before: &'static str,
    /// The words to use instead.
    instead: &'static str,
}

const fn phrase(text: &'static str, instead: &'static str) -> Phrase {
    Phrase { text, unless_before: "", instead }
}

const PHRASES: [Phrase; 13] = [
    phrase("anew", "'again', or the verb alone: 'recreate', 'restart', 'regenerate'"),
    phrase("as yet", "'yet' or 'so far'"),
    phrase("by lot", "'at random'"),
    phrase("for ever", "'permanently', 'always', or 'never' with the opposite verb"),
    phrase("in the place of", "'instead of' or 'replaces'"),
    phrase("is told", "the sender first: 'an Event reports …', '… receives'"),
    Phrase {
        text: "no more",
        unless_before: "than",
        instead: "'no longer', 'not … any more', or the exact limit",
    },
    phrase("nobody", "the role that is meant: 'no client', 'no other writer', 'unused'"),
    phrase("reckon", "'calculate', 'estimate' or 'count'"),
    phrase("reckoned", "'calculated', 'estimated' or 'counted'"),
    phrase("reckoning", "'calculation' or 'estimate'"),
    phrase("reckons", "'calculates', 'estimates' or 'counts'"),
    phrase("waited for", "the subject that waits: 'the operator waits for …', 'pending until …'"),
];

/// Kinds of files that people read or write.
const EXTENSIONS: [&str; 11] =
    ["gotmpl", "lua", "md", "patch", "rs", "sh", "toml", "tpl", "txt", "yaml", "yml"];

/// Files without an extension that people read or write.
const NAMES: [&str; 2] = ["Dockerfile", "Makefile"];

/// Folders and files that are recorded or fed to a fuzzer, and this list itself.
const SKIPPED: [&str; 3] = ["docs/soak", "fuzz/corpus", "src/plain_words.rs"];

/// Returns whether `file`, a path below the root, is searched for the phrases.
fn is_scanned(file: &Path) -> bool {
    let is_named = file.file_name().is_some_and(|name| NAMES.iter().any(|known| name == *known));
    (is_named || has_extension(file, &EXTENSIONS)) && !SKIPPED.iter().any(|skipped| file.starts_with(skipped))
}

/// Returns the part of a line that is text: without indentation and the mark of a comment.
fn words_of(line: &str) -> &str {
    line.trim().trim_start_matches(['/', '!', '#', '*', '>']).trim()
}

/// Returns the phrases in `text`, each with the number of the line on which it begins. A phrase may be wrapped.
fn found(text: &str) -> Vec<(usize, &'static Phrase)> {
    let mut joined = String::new();
    let mut begins = Vec::new();
    for line in text.lines() {
        begins.push(joined.len());
        joined.push_str(&words_of(line).to_lowercase());
        joined.push(' ');
    }
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    for phrase in &PHRASES {
        for (at, _) in joined.match_indices(phrase.text) {
            let after = &joined[at + phrase.text.len()..];
            let is_whole = !joined[..at].ends_with(is_letter) && !after.starts_with(is_letter);
            let is_allowed =
                !phrase.unless_before.is_empty() && after.trim_start().starts_with(phrase.unless_before);
            if is_whole && !is_allowed {
                found.push((begins.partition_point(|begin| *begin <= at), phrase));
            }
        }
    }
    found.sort_by_key(|(line, _)| *line);
    found
}

/// Returns the written text of `file`. For a patch this is only the description line, because the rest is a
/// copy.
fn written(file: &Path) -> String {
    let text = fs::read_to_string(root().join(file)).expect("text");
    if has_extension(file, &["patch"]) { text.lines().take(1).collect() } else { text }
}

#[test]
fn the_text_uses_plain_words() {
    let mut problems = Vec::new();
    for file in files(root()) {
        let file = file.strip_prefix(root()).expect("below the root");
        if is_scanned(file) {
            let name = file.display();
            problems.extend(found(&written(file)).into_iter().map(|(line, phrase)| {
                format!("{name}:{line}: '{}': say {} instead", phrase.text, phrase.instead)
            }));
        }
    }
    assert!(problems.is_empty(), "{} phrases to replace:\n{}", problems.len(), problems.join("\n"));
}

/// Words with which no comment begins: a sentence begins with its subject (rule 1).
const CLAUSES: [&str; 6] = ["How ", "What ", "Whatever ", "Where ", "Who ", "Whoever "];

/// Returns whether a line of Rust is a comment that begins with a clause instead of its subject.
fn begins_with_a_clause(line: &str) -> bool {
    let line = line.trim_start();
    let comment = ["/// ", "//! ", "// "].iter().find_map(|mark| line.strip_prefix(mark));
    comment.is_some_and(|text| CLAUSES.iter().any(|clause| text.starts_with(clause)))
}

#[test]
fn comments_begin_with_their_subject() {
    let mut problems = Vec::new();
    for file in files(root()).into_iter().filter(|file| has_extension(file, &["rs"])) {
        let text = fs::read_to_string(&file).expect("text");
        let lines = text.lines().enumerate().filter(|(_, line)| begins_with_a_clause(line));
        problems.extend(lines.map(|(index, line)| format!("{}:{}: {line}", file.display(), index + 1)));
    }
    assert!(problems.is_empty(), "begin with the subject, in the third person:\n{}", problems.join("\n"));
}

#[test]
fn a_clause_is_found_at_the_beginning_of_a_comment_only() {
    assert!(begins_with_a_clause("    /// What is kept."));
    assert!(begins_with_a_clause("//! How it runs."));
    assert!(!begins_with_a_clause("/// Returns what is kept."));
    assert!(!begins_with_a_clause("let What = 1;"));
}

#[test]
fn a_phrase_is_found_whole_in_any_case_and_across_a_wrapped_comment() {
    let lines = |text| found(text).into_iter().map(|(line, phrase)| (line, phrase.text)).collect::<Vec<_>>();
    assert_eq!(lines("one\nNobody reads\nit anew."), [(2, "nobody"), (3, "anew")]);
    assert_eq!(lines("    /// kept for\n    /// ever\n"), [(1, "for ever")]);
    assert_eq!(lines("renews; for every account; nobody_else"), []);
    assert_eq!(lines("no more than 5, no more\n# than 6"), []);
    assert_eq!(lines("it has no more."), [(1, "no more")]);
}
