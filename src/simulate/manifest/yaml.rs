//! Reads YAML documents as `kubectl` does, with aliases and merge keys. Each mistake has its line.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag, options};
use serde_json::{Map, Value};

use super::scalar;

/// Greatest nesting depth of collections. Objects from a server have about a dozen levels.
const NESTING_LIMIT: usize = 64;
/// Largest number of nodes that aliases may repeat in one document. More is treated as an attack.
const ALIASED_NODES: usize = 1_000_000;

/// A value and the line on which it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) content: Content,
}

/// The content of a node.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Mapping(Vec<Field>),
}

/// One field of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Field {
    name: String,
    line: usize,
    /// Whether it comes from a merge key, so that a field of the mapping replaces it.
    is_merged: bool,
    node: Node,
}

/// Why a document cannot be read, with the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) message: String,
}

/// A document with its warnings.
pub(super) struct Document {
    pub(super) root: Node,
    pub(super) notes: Vec<String>,
}

/// Reads the only document of `text`, which begins on `first_line` of its file.
pub(super) fn read(text: &str, first_line: usize) -> Result<Option<Document>, Mistake> {
    let options = options! {
        emit_comments: false,
        flow_nesting_limit: NESTING_LIMIT,
        block_nesting_limit: NESTING_LIMIT,
    };
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        lines_before: first_line.saturating_sub(1),
        anchors: BTreeMap::new(),
        aliased: 0,
        notes: Vec::new(),
    };
    let mut root = None;
    loop {
        match (reader.next()?, &root) {
            ((Event::StreamEnd, _), _) => break,
            ((Event::StreamStart | Event::DocumentEnd, _), _) | ((Event::DocumentStart(..), _), None) => {}
            ((event, line), None) => root = Some(reader.node(event, line)?),
            ((_, line), Some(_)) => {
                return Err(Mistake::new(
                    line,
                    "a second document begins, which kubectl does not read; must begin with a line `---`",
                ));
            }
        }
    }
    let Reader { notes, .. } = reader;
    Ok(root.map(|root| Document { root, notes }))
}

struct Reader<'text> {
    events: Parser<'text, StrInput<'text>>,
    lines_before: usize,
    /// Anchored nodes by the number that the parser assigns.
    anchors: BTreeMap<usize, Node>,
    /// Number of nodes that aliases have repeated so far.
    aliased: usize,
    notes: Vec<String>,
}

impl<'text> Reader<'text> {
    /// Returns the next event and its line in the file.
    fn next(&mut self) -> Result<(Event<'text>, usize), Mistake> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, self.line_of(&span))),
            Some(Err(error)) => {
                let line = self.lines_before.saturating_add(error.marker().line());
                let column = error.marker().col().saturating_add(1);
                Err(Mistake::new(line, format!("must be YAML or JSON: column {column}: {}", error.info())))
            }
            None => Err(Mistake::new(
                self.lines_before.saturating_add(1),
                "must be YAML or JSON: it ends too early",
            )),
        }
    }

    fn line_of(&self, span: &Span) -> usize {
        self.lines_before.saturating_add(span.start.line())
    }

    /// Reads the node that `event` begins.
    fn node(&mut self, event: Event<'text>, line: usize) -> Result<Node, Mistake> {
        let (anchor, content) = match event {
            Event::Alias(anchor) => return self.alias(anchor, line),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, Content::Scalar(self.scalar(&text, style, tag.as_deref(), line)?))
            }
            Event::SequenceStart(_, anchor, tag) => {
                expect_tag(tag.as_deref(), "seq", line)?;
                (anchor, Content::List(self.items()?))
            }
            Event::MappingStart(_, anchor, tag) => {
                expect_tag(tag.as_deref(), "map", line)?;
                (anchor, Content::Mapping(self.fields()?))
            }
            _ => return Err(Mistake::new(line, "must be YAML or JSON: a value must stand here")),
        };
        let node = Node { line, content };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<Node, Mistake> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Mistake::new(
                line,
                "an alias stands inside the value that it repeats; write the value out",
            ));
        };
        self.aliased = self.aliased.saturating_add(node.size());
        if self.aliased > ALIASED_NODES {
            let message = format!("aliases repeat more than {ALIASED_NODES} values; write them out");
            return Err(Mistake::new(line, message));
        }
        Ok(Node { line, content: node.content.clone() })
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<Value, Mistake> {
        let kind = tag.map(|tag| tag.core_suffix().unwrap_or_default());
        let is_text = match kind {
            None => style != ScalarStyle::Plain,
            Some("str") => true,
            Some("int" | "float" | "bool" | "null" | "timestamp") => false,
            Some(_) => return Err(unknown_tag(tag, line)),
        };
        if is_text {
            return Ok(text.into());
        }
        if let Some(octal) = scalar::surprising_octal(text) {
            self.notes.push(format!(
                "{line}: `{text}` begins with 0, so kubectl reads it as the octal number {octal}; remove the 0, or \
                 write {octal}"
            ));
        }
        scalar::resolve(text)
            .map_err(|_| Mistake::new(line, format!("`{text}` has no form in JSON; numbers must be finite")))
    }

    fn items(&mut self) -> Result<Vec<Node>, Mistake> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, line) => items.push(self.node(event, line)?),
            }
        }
    }

    fn fields(&mut self) -> Result<Vec<Field>, Mistake> {
        let mut fields = Vec::new();
        let mut places = BTreeMap::new();
        loop {
            let (event, line) = self.next()?;
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let name = match event {
                Event::MappingEnd => return Ok(fields),
                event => self.node(event, line)?.into_name()?,
            };
            let (event, value_line) = self.next()?;
            let node = self.node(event, value_line)?;
            let added =
                if is_merge { merged(node)? } else { vec![Field { name, line, is_merged: false, node }] };
            for field in added {
                add(&mut fields, &mut places, field)?;
            }
        }
    }
}

/// Adds a field. A field of the mapping replaces a merged one. Any other duplicate is a mistake.
fn add(fields: &mut Vec<Field>, places: &mut BTreeMap<String, usize>, field: Field) -> Result<(), Mistake> {
    let Some(known) = places.get(&field.name).and_then(|place| fields.get_mut(*place)) else {
        places.insert(field.name.clone(), fields.len());
        fields.push(field);
        return Ok(());
    };
    match (known.is_merged, field.is_merged) {
        (true, false) => *known = field,
        // If one merge key names several mappings, the first one with the field counts.
        (true, true) => {}
        (false, true) => {
            let Field { name, line, .. } = field;
            let first = known.line;
            return Err(Mistake::new(
                line,
                format!(
                    "`<<` replaces `{name}` of line {first} for kubectl; must stand before the fields of its mapping"
                ),
            ));
        }
        (false, false) => {
            let Field { name, line, .. } = field;
            let first = known.line;
            return Err(Mistake::new(
                line,
                format!("`{name}` is given twice, first on line {first}; must be given once"),
            ));
        }
    }
    Ok(())
}

/// Returns the fields of a merge key: those of a mapping, or of a list of mappings.
fn merged(node: Node) -> Result<Vec<Field>, Mistake> {
    let line = node.line;
    let of_mapping = |node: Node| match node.content {
        Content::Mapping(fields) => {
            Ok(fields.into_iter().map(|field| Field { line, is_merged: true, ..field }).collect::<Vec<_>>())
        }
        Content::Scalar(_) | Content::List(_) => {
            Err(Mistake::new(line, "`<<` must be followed by a mapping or a list of mappings"))
        }
    };
    match node.content {
        Content::List(items) => {
            let each = items.into_iter().map(of_mapping).collect::<Result<Vec<_>, _>>()?;
            Ok(each.into_iter().flatten().collect())
        }
        content => of_mapping(Node { line, content }),
    }
}

fn expect_tag(tag: Option<&Tag>, kind: &str, line: usize) -> Result<(), Mistake> {
    match tag {
        Some(known) if known.core_suffix() != Some(kind) => Err(unknown_tag(tag, line)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: Option<&Tag>, line: usize) -> Mistake {
    let tag = tag.map(Tag::original).unwrap_or_default();
    Mistake::new(line, format!("the tag `{tag}` is not known; must be a plain value"))
}

impl Mistake {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

impl Node {
    /// Returns its number of nodes.
    fn size(&self) -> usize {
        match &self.content {
            Content::Scalar(_) => 1,
            Content::List(items) => items.iter().map(Self::size).fold(1, usize::saturating_add),
            Content::Mapping(fields) => {
                fields.iter().map(|field| field.node.size()).fold(1, usize::saturating_add)
            }
        }
    }

    /// Returns the name of a field as JSON text.
    fn into_name(self) -> Result<String, Mistake> {
        match self.content {
            Content::Scalar(Value::String(text)) => Ok(text),
            Content::Scalar(Value::Number(number)) => Ok(number.to_string()),
            Content::Scalar(Value::Bool(truth)) => Ok(truth.to_string()),
            Content::Scalar(_) | Content::List(_) | Content::Mapping(_) => {
                Err(Mistake::new(self.line, "a field has no name; must be a text such as `plan`"))
            }
        }
    }

    /// Returns a field of a mapping.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match &self.content {
            Content::Mapping(fields) => {
                fields.iter().find(|field| field.name == name).map(|field| &field.node)
            }
            Content::Scalar(_) | Content::List(_) => None,
        }
    }

    /// Returns the value without its lines.
    pub(super) fn into_value(self) -> Value {
        match self.content {
            Content::Scalar(value) => value,
            Content::List(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Content::Mapping(fields) => {
                let pairs = fields.into_iter().map(|Field { name, node, .. }| (name, node.into_value()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }
}
