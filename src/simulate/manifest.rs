//! Reads the objects of YAML and JSON files, each with its place.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use yaml::{Content, Mistake, Node};

use super::SimulateError;

mod json;
mod scalar;
mod yaml;

/// An object of a file, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its place.
    pub place: Place,
    /// Its content.
    pub object: Value,
    /// Warnings about values whose meaning may surprise.
    pub notes: Vec<String>,
}

/// The place of a document, with which messages begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file, as on the command line.
    pub file: Arc<str>,
    /// Line on which the object or the mistake begins, counted from 1.
    pub line: usize,
    /// Number of the document in its file, counted from 1.
    pub document: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: document {}", self.file, self.line, self.document)
    }
}

/// Returns the objects in `text`, the content of `file`, in order.
///
/// Documents are separated by lines that begin with `---`, as for `kubectl`. A document may also be a list of
/// objects, as `kubectl get -o yaml` prints it, or several JSON values in a row. All line endings are accepted.
///
/// # Errors
/// An item is an error if its document is neither YAML nor JSON.
#[must_use]
pub fn manifests(file: &str, text: &str) -> Vec<Result<Manifest, SimulateError>> {
    let file: Arc<str> = file.into();
    let text = with_line_feeds(text.strip_prefix('\u{feff}').unwrap_or(text));
    let last_line = text.lines().count().max(1);
    let chunks = Chunks { rest: &text, line: 1 }.filter(|chunk| !chunk.is_empty()).enumerate();
    let read = chunks.flat_map(|(index, chunk)| {
        let document = index.saturating_add(1);
        let place = |line: usize| Place { file: Arc::clone(&file), line: line.min(last_line), document };
        match chunk.objects() {
            Ok((objects, mut notes)) => {
                let manifest = |(line, object)| {
                    Ok(Manifest { place: place(line), object, notes: std::mem::take(&mut notes) })
                };
                objects.into_iter().map(manifest).collect::<Vec<_>>()
            }
            Err(Mistake { line, message }) => {
                vec![Err(SimulateError::Unreadable { place: place(line), message })]
            }
        }
    });
    read.collect()
}

/// Returns a text with all line endings replaced by line feeds.
fn with_line_feeds(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

/// The text between two separators.
struct Chunk<'t> {
    /// The text after `---` on the line of the separator. Only a comment is allowed.
    after_separator: &'t str,
    text: &'t str,
    /// Line of its first content.
    line: usize,
    /// Line on which its text begins.
    text_line: usize,
}

/// Splits a text at its separators.
struct Chunks<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Iterator for Chunks<'t> {
    type Item = Chunk<'t>;

    fn next(&mut self) -> Option<Chunk<'t>> {
        if self.rest.is_empty() {
            return None;
        }
        let text_line = self.line;
        let from = if self.rest.starts_with(SEPARATOR) { SEPARATOR.len() } else { 0 };
        let mut end = 0_usize;
        for line in self.rest.split_inclusive('\n') {
            if end > 0 && line.starts_with(SEPARATOR) {
                break;
            }
            end = end.saturating_add(line.len());
            self.line = self.line.saturating_add(1);
        }
        let (chunk, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = chunk.get(from..).unwrap_or_default();
        let after_separator = if from == 0 { "" } else { text.lines().next().unwrap_or_default().trim() };
        let blank = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let line = text_line.saturating_add(text.lines().take_while(blank).count());
        Some(Chunk { after_separator, text, line, text_line })
    }
}

/// Prefix of the lines between documents.
const SEPARATOR: &str = "---";

/// Objects with the lines on which they begin, and warnings.
type Objects = (Vec<(usize, Value)>, Vec<String>);

impl Chunk<'_> {
    /// Returns whether the chunk has only comments.
    fn is_empty(&self) -> bool {
        self.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    }

    /// Returns the objects of the chunk, with lists replaced by their items.
    fn objects(&self) -> Result<Objects, Mistake> {
        if !self.after_separator.is_empty() && !self.after_separator.starts_with('#') {
            let message = format!(
                "`{}` follows `---`, which kubectl refuses; must stand on the next line",
                self.after_separator
            );
            return Err(Mistake { line: self.text_line, message });
        }
        let (mut objects, mut notes) = (Vec::new(), Vec::new());
        if let Some(values) = json::read(self.text, self.text_line) {
            for (line, value) in values? {
                add_value(&mut objects, line, value);
            }
        } else if let Some(document) = yaml::read(self.text, self.text_line)? {
            let root = Node { line: self.line, ..document.root };
            notes = document.notes;
            add_node(&mut objects, root);
        }
        Ok((objects, notes))
    }
}

/// Adds the object of `value`, or those of a list. All objects of a JSON value get its line.
fn add_value(objects: &mut Vec<(usize, Value)>, line: usize, value: Value) {
    match value {
        Value::Null => {}
        Value::Object(list) if is_list(&list) => {
            for item in items(list) {
                add_value(objects, line, item);
            }
        }
        value => objects.push((line, value)),
    }
}

/// Adds the object of `node`, or those of a list, each with its line.
fn add_node(objects: &mut Vec<(usize, Value)>, node: Node) {
    let kind = node.field("kind").map(|kind| &kind.content);
    let is_list = matches!(kind, Some(Content::Scalar(Value::String(kind))) if kind.ends_with("List"));
    match node.field("items").map(|items| &items.content) {
        Some(Content::List(items)) if is_list => {
            for item in items {
                add_node(objects, item.clone());
            }
        }
        _ => {
            let line = node.line;
            match node.into_value() {
                Value::Null => {}
                value => objects.push((line, value)),
            }
        }
    }
}

/// Returns whether an object is a list of objects, as `kubectl get -o json` prints it.
fn is_list(object: &Map<String, Value>) -> bool {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    kind.ends_with("List") && object.get("items").is_some_and(Value::is_array)
}

fn items(mut list: Map<String, Value>) -> Vec<Value> {
    match list.remove("items") {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<(usize, usize, Value)> {
        let read = manifests("acme.yaml", text).into_iter().map(|manifest| manifest.expect("is readable"));
        read.map(|Manifest { place, object, .. }| (place.document, place.line, object)).collect()
    }

    fn refusal(text: &str) -> String {
        let error = manifests("acme.yaml", text).into_iter().find_map(Result::err).expect("is not readable");
        error.to_string()
    }

    #[test]
    fn documents_are_numbered_and_know_their_line() {
        let text = "# a comment\n---\n# another\nkind: A\n--- # third\nkind: B\n---\n\n---\nkind: C\n";
        let expected =
            [(1, 4, json!({"kind": "A"})), (2, 6, json!({"kind": "B"})), (3, 10, json!({"kind": "C"}))];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn lines_may_end_as_on_any_system() {
        let text = "# a comment\nkind: A\n---\nkind: B\nspec:\n  plan: x\n";
        let expected = [(1, 2, json!({"kind": "A"})), (2, 4, json!({"kind": "B", "spec": {"plan": "x"}}))];
        for end in ["\n", "\r\n", "\r"] {
            assert_eq!(read(&text.replace('\n', end)), expected, "{end:?}");
            assert_eq!(read(&format!("\u{feff}{}", text.replace('\n', end))), expected, "{end:?}, marked");
        }
    }

    #[test]
    fn a_separator_inside_a_block_of_text_separates_nothing() {
        assert_eq!(read("text: |\n  ---\n  more\nx: 1\n").len(), 1);
    }

    #[test]
    fn lists_and_json_values_in_a_row_hold_several_objects() {
        let list = "apiVersion: v1\nkind: List\nitems:\n- kind: A\n- kind: B\n- kind: BList\n  items:\n  - kind: C\n";
        let expected =
            [(1, 4, json!({"kind": "A"})), (1, 5, json!({"kind": "B"})), (1, 8, json!({"kind": "C"}))];
        assert_eq!(read(list), expected);
        let rows = "{\"kind\": \"A\"}\n\n{\"kind\": \"B\"}\n";
        assert_eq!(read(rows), [(1, 1, json!({"kind": "A"})), (1, 3, json!({"kind": "B"}))]);
        assert_eq!(read("{kind: A}"), [(1, 1, json!({"kind": "A"}))]);
        assert_eq!(read("---\n# nothing\n---\n~\n"), []);
    }

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        let text =
            "- 1e3\n- 1.5\n- 2500000\n- 12G\n- \"1e3\"\n- 2026-01-31T10:00:00Z\n- 18446744073709551616\n";
        let expected = json!([
            1000,
            1.5,
            2_500_000,
            "12G",
            "1e3",
            "2026-01-31T10:00:00Z",
            18_446_744_073_709_551_616_f64
        ]);
        assert_eq!(read(text), [(1, 1, expected)]);
    }

    #[test]
    fn octal_numbers_are_what_kubectl_sends_and_noted() {
        let read = manifests("acme.yaml", "kind: A\n---\nkind: B\nquantity: 0777\n");
        let notes = read.into_iter().flat_map(|manifest| manifest.expect("is readable").notes);
        let expected = "4: `0777` begins with 0, so kubectl reads it as the octal number 511; remove the 0, or \
                        write 511";
        assert_eq!(notes.collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn aliases_and_merge_keys_are_written_out() {
        let text = "base: &base {plan: starter, renewal: None}\nspec:\n  <<: *base\n  renewal: Automatic\n";
        let expected = json!({
            "base": {"plan": "starter", "renewal": "None"}, "spec": {"plan": "starter", "renewal": "Automatic"},
        });
        assert_eq!(read(text), [(1, 1, expected)]);
        let after = refusal("base: &base {plan: starter}\nspec:\n  plan: growth\n  <<: *base\n");
        assert!(after.starts_with("acme.yaml:4: document 1: `<<` replaces `plan` of line 3"), "{after}");
        let many = (0..9).fold("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
            let aliases = vec![format!("*a{level}"); 8].join(", ");
            let next = level + 1;
            format!("{text}a{next}: &a{next} [{aliases}]\n")
        });
        assert!(refusal(&many).contains("aliases repeat more than 1000000 values"), "{}", refusal(&many));
    }

    #[test]
    fn an_unreadable_manifest_is_refused_with_its_file_and_line() {
        let refused = [
            (
                "kind: A\nkind: B\n",
                "acme.yaml:2: document 1: `kind` is given twice, first on line 1; must be",
            ),
            (
                "kind: A\n---\nspec:\n  plan: x\n  plan: y\n",
                "acme.yaml:5: document 2: `plan` is given twice, first on line 4",
            ),
            (
                "{\"kind\": \"A\",\n \"kind\": \"B\"}",
                "acme.yaml:2: document 1: `kind` is given twice, first on line 1",
            ),
            ("{\"kind\": \"A\"}\n{\"kind\": \"B\",}\n", "acme.yaml:2: document 1: must be JSON"),
            ("kind: A\n---\nkind: [B\n", "acme.yaml:3: document 2: must be YAML or JSON"),
            ("spec:\n\tplan: x\n", "acme.yaml:2: document 1: must be YAML or JSON"),
            ("kind: A\nplan: x\0\n", "acme.yaml:2: document 1: must be YAML or JSON"),
            ("kind: *other\n", "acme.yaml:1: document 1: must be YAML or JSON"),
            ("kind: A\n...\nkind: B\n", "acme.yaml:3: document 1: a second document begins"),
            ("kind: A\n--- kind: B\n", "acme.yaml:2: document 2: `kind: B` follows `---`"),
            ("kind: !secret A\n", "acme.yaml:1: document 1: the tag `!secret` is not known"),
            ("kind: A\n~: B\n", "acme.yaml:2: document 1: a field has no name"),
            ("quantity: .inf\n", "acme.yaml:1: document 1: `.inf` has no form in JSON"),
        ];
        for (text, expected) in refused {
            let message = refusal(text);
            assert!(message.starts_with(expected), "{text:?}: {message}");
        }
    }
}
