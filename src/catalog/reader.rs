//! Readers of single values. Each returns the value of the node, or records a problem and returns a
//! placeholder.
//!
//! A catalog with a recorded problem is refused, so placeholders are never used. This way one pass finds all
//! mistakes of a file.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use flashgate_ledger::Credits;
use flashgate_ledger::quantity::{ParseQuantityError, Quantity};

use super::node::{Field, Node, Position, Value};
use super::{Problem, bounds};

pub(super) const CURRENCY: &str = "three capital letters, such as USD";
pub(super) const NAME: &str = "1 to 63 lower-case letters, digits and '-', starting and ending with a letter or digit, such as organization-free";
pub(super) const WORD: &str =
    "1 to 63 letters and digits, starting with a capital letter, such as StorageEgress";
pub(super) const DISPLAY_NAME: &str = "1 to 100 characters on one line";
pub(super) const CHECKOUT_URL: &str = "a URL of at most 500 characters that begins with https:// or http:// and contains {invoice}, such as \"https://pay.example.com/invoices/{invoice}\"";
pub(super) const AMOUNT: &str =
    "a quoted decimal from \"0\" to \"1000000000000\" with at most 9 fractional digits, such as \"0.001\"";
pub(super) const UNIT: &str = "a quantity above zero and at most 1P (10^15), such as 1G or \"1\"";

/// The most credits or money that a catalog may state: 10^12, with nine fractional digits.
const AMOUNT_LIMIT_NANOS: i128 = 10_i128.pow(21);

/// A node and its path, such as `plans[2].lapsesTo`.
#[derive(Clone, Debug)]
pub(super) struct Entry<'file> {
    pub(super) path: String,
    pub(super) node: &'file Node,
}

/// The mistakes found so far.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
}

/// The fields of one mapping. Fields that the reader never requests are unknown.
pub(super) struct Fields<'reader, 'file> {
    reader: &'reader mut Reader,
    path: String,
    position: Position,
    given: BTreeMap<&'file str, Entry<'file>>,
    asked: Vec<&'static str>,
    /// The node is not a mapping, so missing fields are not reported.
    refused: bool,
}

impl Entry<'_> {
    /// Returns its text if it is a scalar.
    fn scalar(&self) -> Option<&str> {
        match &self.node.value {
            Value::Text(text) | Value::Number(text) | Value::Boolean(text) => Some(text),
            Value::Null(_) | Value::List(_) | Value::Mapping(_) => None,
        }
    }

    /// Returns a description of its value for messages.
    fn described(&self) -> String {
        match &self.node.value {
            Value::Text(text) => format!("'{}'", text.escape_debug()),
            Value::Number(text) | Value::Boolean(text) => text.clone(),
            Value::Null(_) => "nothing".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

impl Reader {
    /// Records that `entry` is refused because of `message`.
    pub(super) fn refuse(&mut self, entry: &Entry, message: impl Into<String>) {
        self.problems
            .push(Problem { path: entry.path.clone(), ..Problem::new(entry.node.position, message) });
    }

    fn refuse_for(&mut self, entry: &Entry, rule: &str) {
        self.refuse(entry, format!("{} is refused; must be {rule}", entry.described()));
    }

    /// Reads a mapping with `read`, then refuses the fields that `read` did not request.
    pub(super) fn mapping<'file, T>(
        &mut self,
        entry: &Entry<'file>,
        read: impl FnOnce(&mut Fields<'_, 'file>) -> T,
    ) -> T {
        let listed: &'file [Field] = match &entry.node.value {
            Value::Mapping(fields) => fields,
            _ => &[],
        };
        let refused = !matches!(entry.node.value, Value::Mapping(_));
        let mut given = BTreeMap::new();
        for field in listed {
            let path = if entry.path.is_empty() {
                field.name.clone()
            } else {
                format!("{}.{}", entry.path, field.name)
            };
            if given.insert(field.name.as_str(), Entry { path, node: &field.node }).is_some() {
                let message = format!("'{}' is given twice; must be given once", field.name.escape_debug());
                self.problems
                    .push(Problem { path: entry.path.clone(), ..Problem::new(field.position, message) });
            }
        }
        let (path, position) = (entry.path.clone(), entry.node.position);
        let mut fields = Fields { reader: self, path, position, given, asked: Vec::new(), refused };
        let read = read(&mut fields);
        let asked = fields.asked.join(", ");
        let unknown = |field: &&Field| !fields.asked.contains(&field.name.as_str());
        let unknown: Vec<&Field> = listed.iter().filter(unknown).collect();
        if refused {
            self.refuse_for(entry, &format!("a mapping of {asked}"));
        }
        for field in unknown {
            let message = format!("unknown field '{}'; must be one of {asked}", field.name.escape_debug());
            self.problems.push(Problem { path: entry.path.clone(), ..Problem::new(field.position, message) });
        }
        read
    }

    /// Reads a list, each item with `read`.
    pub(super) fn list<'file, T>(
        &mut self,
        entry: &Entry<'file>,
        read: impl Fn(&mut Self, &Entry<'file>) -> T,
    ) -> Vec<(Entry<'file>, T)> {
        let Value::List(items) = &entry.node.value else {
            self.refuse_for(entry, "a list");
            return Vec::new();
        };
        let item = |(index, node)| {
            let item = Entry { path: format!("{}[{index}]", entry.path), node };
            let read = read(self, &item);
            (item, read)
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Reads text that follows `rule`, which `follows` checks.
    fn text(&mut self, entry: &Entry, rule: &str, follows: impl Fn(&str) -> bool) -> String {
        match (entry.scalar(), &entry.node.value) {
            (Some(text), Value::Text(_)) if follows(text) => text.to_owned(),
            (Some(text), Value::Number(_) | Value::Boolean(_)) if follows(text) => {
                self.refuse_unquoted(entry, text);
                text.to_owned()
            }
            (text, _) => {
                self.refuse_for(entry, rule);
                text.unwrap_or_default().to_owned()
            }
        }
    }

    fn refuse_unquoted(&mut self, entry: &Entry, text: &str) {
        self.refuse(entry, format!("{text} is not text to YAML; must be quoted: \"{text}\""));
    }

    /// Reads a currency.
    pub(super) fn currency(&mut self, entry: &Entry) -> String {
        self.text(entry, CURRENCY, |text| {
            text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
        })
    }

    /// Reads the name of a plan or a pack: a DNS label.
    pub(super) fn name(&mut self, entry: &Entry) -> String {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        self.text(entry, NAME, |text| {
            (1..=63).contains(&text.len())
                && text.bytes().all(inner)
                && !text.starts_with('-')
                && !text.ends_with('-')
        })
    }

    /// Reads a node type or an operation.
    pub(super) fn word(&mut self, entry: &Entry) -> String {
        self.text(entry, WORD, |text| {
            (1..=63).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && text.starts_with(|first: char| first.is_ascii_uppercase())
        })
    }

    /// Reads a display name.
    pub(super) fn display_name(&mut self, entry: &Entry) -> String {
        self.text(entry, DISPLAY_NAME, |text| {
            (1..=bounds::DISPLAY_NAME_LENGTH).contains(&text.chars().count())
                && !text.contains(char::is_control)
        })
    }

    /// Reads the URL of the page on which an invoice is paid.
    pub(super) fn checkout_url(&mut self, entry: &Entry) -> String {
        self.text(entry, CHECKOUT_URL, |text| {
            text.len() <= bounds::CHECKOUT_URL_LENGTH
                && (text.starts_with("https://") || text.starts_with("http://"))
                && text.contains("{invoice}")
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        })
    }

    /// Reads credits or a price.
    pub(super) fn amount(&mut self, entry: &Entry) -> Credits {
        let amount = entry.scalar().and_then(|text| text.parse::<Credits>().ok());
        match (amount, &entry.node.value) {
            (Some(amount), _) if amount.is_negative() => {
                self.refuse(entry, format!("{} is negative; must be {AMOUNT}", entry.described()));
                Credits::ZERO
            }
            (Some(amount), Value::Text(_)) if amount.nanos() <= AMOUNT_LIMIT_NANOS => amount,
            (Some(amount), Value::Number(text)) if amount.nanos() <= AMOUNT_LIMIT_NANOS => {
                self.refuse_unquoted(entry, text);
                amount
            }
            _ => {
                self.refuse_for(entry, AMOUNT);
                Credits::ZERO
            }
        }
    }

    /// Reads credits that must not be zero.
    pub(super) fn amount_above_zero(&mut self, entry: &Entry) -> Credits {
        let known = self.problems.len();
        let amount = self.amount(entry);
        if amount.is_zero() && self.problems.len() == known {
            self.refuse(entry, format!("{} is zero; must be above zero", entry.described()));
        }
        amount
    }

    /// Reads the unit of a rate.
    pub(super) fn unit(&mut self, entry: &Entry) -> Quantity {
        let unit = entry.scalar().map(str::parse::<Quantity>);
        match (unit, &entry.node.value) {
            (Some(Ok(unit)), _) if unit.is_zero() => {
                self.refuse(entry, format!("{} is zero; must be {UNIT}", entry.described()));
            }
            (Some(Ok(unit)), Value::Text(_)) => return unit,
            (Some(Ok(_)), Value::Number(text)) => self.refuse_unquoted(entry, text),
            (Some(Err(ParseQuantityError::Negative(_))), _) => {
                self.refuse(entry, format!("{} is negative; must be {UNIT}", entry.described()));
            }
            _ => self.refuse_for(entry, UNIT),
        }
        Quantity::ZERO
    }

    /// Reads a whole number of `range`.
    pub(super) fn whole(&mut self, entry: &Entry, range: &RangeInclusive<u32>) -> u32 {
        let digits = entry.scalar().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| range.contains(number));
        match (number, &entry.node.value) {
            (Some(number), Value::Number(text)) if text.len() > 1 && text.starts_with('0') => {
                let message =
                    format!("{text} begins with 0, which many tools read as octal; must be {number}");
                self.refuse(entry, message);
            }
            (Some(number), Value::Number(_)) => return number,
            (Some(number), Value::Text(_)) => {
                self.refuse(
                    entry,
                    format!("'{number}' is text to YAML; must be a number without quotes: {number}"),
                );
            }
            _ => self.refuse_for(entry, &format!("a whole number from {} to {}", range.start(), range.end())),
        }
        *range.start()
    }

    /// Reads one of `choices`.
    pub(super) fn choice<T: Copy>(&mut self, entry: &Entry, choices: &[(&str, T)]) -> Option<T> {
        let chosen =
            choices.iter().find(|(word, _)| matches!(&entry.node.value, Value::Text(text) if text == word));
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.refuse_for(entry, &words.join(" or "));
        }
        chosen.map(|(_, choice)| *choice)
    }
}

impl<'file> Fields<'_, 'file> {
    /// Reads the required field `name`.
    pub(super) fn required<T: Default>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Reader, &Entry<'file>) -> T,
    ) -> T {
        let missing = !self.refused && !self.given.contains_key(name);
        if missing {
            let message = format!("'{name}' is missing; must be given");
            self.reader
                .problems
                .push(Problem { path: self.path.clone(), ..Problem::new(self.position, message) });
        }
        self.optional(name, read).unwrap_or_default()
    }

    /// Reads the optional field `name`.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Reader, &Entry<'file>) -> T,
    ) -> Option<T> {
        self.asked.push(name);
        self.given.get(name).map(|entry| read(self.reader, entry))
    }

    /// Reads the whole number `name` in `range`. If it is left out, returns `default`.
    pub(super) fn whole(&mut self, name: &'static str, range: &RangeInclusive<u32>, default: u32) -> u32 {
        self.optional(name, |reader, entry| reader.whole(entry, range)).unwrap_or(default)
    }

    /// Reads `name` as one of `choices`. If it is left out, returns `default`.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)], default: T) -> T {
        self.optional(name, |reader, entry| reader.choice(entry, choices)).flatten().unwrap_or(default)
    }

    /// Reads the mapping `name`. If it is left out, returns `default`.
    pub(super) fn mapping<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&mut Fields<'_, 'file>) -> T,
    ) -> T {
        self.optional(name, |reader, entry| reader.mapping(entry, read)).unwrap_or(default)
    }
}
