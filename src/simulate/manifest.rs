//! Manifests: files of YAML or JSON to the objects they hold, each with the place where it stands.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::SimulateError;

/// An object as it was written, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Where it stands.
    pub place: Place,
    /// What is written there.
    pub object: Value,
}

/// Where a document stands: what a message begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file as it was given.
    pub file: Arc<str>,
    /// Line on which the document begins, the first being 1.
    pub line: usize,
    /// Number of the document in its file, the first being 1.
    pub document: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: document {}", self.file, self.line, self.document)
    }
}

/// Returns the objects that `text`, the content of `file`, holds, in its order.
///
/// Documents are separated as `kubectl` separates them, by lines that begin with `---`; a document may also be a
/// list of objects, as `kubectl get -o yaml` prints it, or several JSON values in a row.
///
/// # Errors
/// Of each item: when its document is neither YAML nor JSON.
pub fn manifests<'t>(
    file: &str,
    text: &'t str,
) -> impl Iterator<Item = Result<Manifest, SimulateError>> + use<'t> {
    let file: Arc<str> = file.into();
    let chunks = Chunks { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let chunks = chunks.filter(|chunk| !chunk.is_empty()).enumerate();
    chunks.flat_map(move |(index, chunk)| {
        let place = Place { file: Arc::clone(&file), line: chunk.line, document: index.saturating_add(1) };
        match chunk.objects() {
            Ok(objects) => {
                let manifest = |object| Ok(Manifest { place: place.clone(), object });
                objects.into_iter().map(manifest).collect::<Vec<_>>()
            }
            Err(message) => vec![Err(SimulateError::Unreadable { place, message })],
        }
    })
}

/// The text between two separators.
struct Chunk<'t> {
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
        let begins_with_separator = is_separator(self.rest);
        let from = if begins_with_separator { "---".len() } else { 0 };
        let mut end = 0_usize;
        for line in self.rest.split_inclusive('\n') {
            if end > 0 && is_separator(line) {
                break;
            }
            end = end.saturating_add(line.len());
            self.line = self.line.saturating_add(1);
        }
        let (chunk, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = chunk.get(from..).unwrap_or_default();
        let blank = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let line = text_line.saturating_add(text.lines().take_while(blank).count());
        Some(Chunk { text, line, text_line })
    }
}

/// Returns whether a new document begins on `line`.
fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

impl Chunk<'_> {
    /// Returns whether nothing is written here but comments.
    fn is_empty(&self) -> bool {
        self.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    }

    /// Returns the objects of the chunk, the items of lists in their place.
    fn objects(&self) -> Result<Vec<Value>, String> {
        let mut objects = Vec::new();
        for Node(value) in self.json().map_or_else(|| self.yaml(), Ok)? {
            match value {
                Value::Null => {}
                Value::Object(list) if is_list(&list) => objects.extend(items(list)),
                value => objects.push(value),
            }
        }
        Ok(objects)
    }

    /// Returns the values of a chunk of JSON; nothing when it is none, as YAML may begin with a brace too.
    fn json(&self) -> Option<Vec<Node>> {
        if !self.text.trim_start().starts_with('{') {
            return None;
        }
        serde_json::Deserializer::from_str(self.text).into_iter::<Node>().collect::<Result<_, _>>().ok()
    }

    fn yaml(&self) -> Result<Vec<Node>, String> {
        if let Ok(node) = serde_yaml::from_str(self.text) {
            return Ok(vec![node]);
        }
        // Read again at its place in the file, so that the message names the line of the file.
        let padding = "\n".repeat(self.text_line.saturating_sub(1));
        let again = serde_yaml::from_str(&format!("{padding}{}", self.text));
        again.map(|node| vec![node]).map_err(|error| error.to_string())
    }
}

/// Returns whether an object is a list of objects, as `kubectl get -o yaml` prints it.
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

/// A value as the API server gets it from `kubectl`: keys are given once, and a whole number is an integer
/// however it is written (`1e3` is 1000).
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor).map(Node)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping, a list, a text, a number, a boolean or null")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        if number.fract() == 0.0
            && let Ok(whole) = format!("{number:.0}").parse::<i64>()
        {
            return Ok(whole.into());
        }
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("numbers must be finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Node(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let Node(value) = access.next_value()?;
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format!("`{key}` is given twice; must be given once")));
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<(usize, usize, Value)> {
        let read = manifests("acme.yaml", text).map(|manifest| manifest.expect("is readable"));
        read.map(|Manifest { place, object }| (place.document, place.line, object)).collect()
    }

    fn refusal(text: &str) -> String {
        let error = manifests("acme.yaml", text).find_map(Result::err).expect("is not readable");
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
    fn a_separator_inside_a_block_of_text_separates_nothing() {
        assert_eq!(read("text: |\n  ---\n  more\n---x: 1\n").len(), 1);
    }

    #[test]
    fn lists_and_json_values_in_a_row_hold_several_objects() {
        let list = "apiVersion: v1\nkind: List\nitems:\n- kind: A\n- kind: B\n";
        assert_eq!(read(list), [(1, 1, json!({"kind": "A"})), (1, 1, json!({"kind": "B"}))]);
        let rows = "{\"kind\": \"A\"}\n{\"kind\": \"B\"}\n";
        assert_eq!(read(rows), [(1, 1, json!({"kind": "A"})), (1, 1, json!({"kind": "B"}))]);
        assert_eq!(read("{kind: A}"), [(1, 1, json!({"kind": "A"}))]);
    }

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        let text = "- 1e3\n- 1.5\n- 2500000\n- 12G\n- \"1e3\"\n- 2026-01-31T10:00:00Z\n";
        let expected = json!([1000, 1.5, 2_500_000, "12G", "1e3", "2026-01-31T10:00:00Z"]);
        assert_eq!(read(text), [(1, 1, expected)]);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_file_and_line() {
        let message = refusal("kind: A\n---\nkind: B\nspec:\n  plan: x\n  plan: y\n");
        assert!(message.starts_with("acme.yaml:3: document 2"), "{message}");
        assert!(message.contains("`plan` is given twice; must be given once"), "{message}");
        let message = refusal("kind: A\n---\nkind: [B\n");
        assert!(message.contains("line 4"), "{message}");
    }
}
