//! YAML as a tree whose nodes have their line. serde cannot provide lines to checks after parsing.

use std::fmt;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, options};

use super::Problem;

/// Greatest nesting depth of collections. A catalog has three levels.
const NESTING_LIMIT: usize = 16;

/// The start of a node: line and column, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value with its position.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) value: Value,
}

/// A value. Numbers keep their text, because floats would lose digits.
#[derive(Debug)]
pub(super) enum Value {
    Null(String),
    Boolean(String),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<Field>),
}

/// One field of a mapping. Duplicate names are not refused yet.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) position: Position,
    pub(super) node: Node,
}

/// Reads the only document of `text`.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let options = options! {
        emit_comments: false,
        flow_nesting_limit: NESTING_LIMIT,
        block_nesting_limit: NESTING_LIMIT,
    };
    let mut document = Document { events: Parser::new_from_str_with_options(text, options) };
    let root = loop {
        match document.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd, position) => {
                return Err(Problem::new(position, "the file is empty; must hold a catalog"));
            }
            (event, position) => break document.node(event, position)?,
        }
    };
    loop {
        match document.next()? {
            (Event::DocumentEnd, _) => {}
            (Event::StreamEnd, _) => return Ok(root),
            (_, position) => {
                return Err(Problem::new(
                    position,
                    "a second document begins; a catalog must be one document",
                ));
            }
        }
    }
}

/// The remaining events of the parser.
struct Document<'text> {
    events: Parser<'text, StrInput<'text>>,
}

impl<'text> Document<'text> {
    fn next(&mut self) -> Result<(Event<'text>, Position), Problem> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, start(&span))),
            Some(Err(error)) => {
                Err(Problem::new(position(error.marker()), format!("not valid YAML: {}", error.info())))
            }
            None => Err(Problem::new(Position { line: 1, column: 1 }, "not valid YAML: it ends too early")),
        }
    }

    /// Reads the node that `event` begins.
    fn node(&mut self, event: Event<'text>, position: Position) -> Result<Node, Problem> {
        let refused = |message| Err(Problem::new(position, message));
        let value = match event {
            Event::Alias(_)
            | Event::Scalar(_, _, 1.., _)
            | Event::SequenceStart(_, 1.., _)
            | Event::MappingStart(_, 1.., _) => {
                return refused(
                    "anchors (&) and aliases (*) are refused, so that each number is read where it stands; \
                     must be written out",
                );
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => {
                return refused("tags (!) are refused; must be a plain value");
            }
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(text.into_owned()),
            Event::Scalar(text, ..) => Value::Text(text.into_owned()),
            Event::SequenceStart(..) => Value::List(self.items()?),
            Event::MappingStart(..) => Value::Mapping(self.fields()?),
            _ => return refused("not valid YAML: a value must stand here"),
        };
        Ok(Node { position, value })
    }

    fn items(&mut self) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, position) => items.push(self.node(event, position)?),
            }
        }
    }

    fn fields(&mut self) -> Result<Vec<Field>, Problem> {
        let mut fields = Vec::new();
        loop {
            let (event, position) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(fields);
            }
            let (Value::Text(name) | Value::Null(name) | Value::Boolean(name) | Value::Number(name)) =
                self.node(event, position)?.value
            else {
                return Err(Problem::new(position, "a list or a mapping is no field name; must be text"));
            };
            let (event, value_position) = self.next()?;
            fields.push(Field { name, position, node: self.node(event, value_position)? });
        }
    }
}

/// Returns the value of unquoted text by the core schema of YAML 1.2.
fn plain(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null(text),
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Value::Boolean(text),
        _ if is_number(&text) => Value::Number(text),
        _ => Value::Text(text),
    }
}

/// Returns whether unquoted `text` is a number in YAML.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    }
    // The remaining valid texts are digits with at most one point and one exponent. f64 accepts these, and
    // words such as `inf`, which have no digit.
    unsigned.bytes().any(|byte| byte.is_ascii_digit())
        && unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && unsigned.parse::<f64>().is_ok()
}

fn start(span: &Span) -> Position {
    position(&span.start)
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col().saturating_add(1) }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}
