//! The outcome for people: what exists at the end, and on request every account's statement.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};
use flashgate_ledger::Credits;
use flashgate_ledger::entry::Entry;
use serde_json::Value;

use super::Outcome;
use super::statement::{periods, statement};

/// Reports that a table shows; the rest is counted.
const REPORTS_SHOWN: usize = 20;
/// Blank characters between two columns.
const GAP: u16 = 2;

/// A blank at which no line ends; it is printed as any other.
pub(super) const GLUE: char = '\u{a0}';

/// How a table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Characters in a line.
    pub width: u16,
    /// Whether colours may be used.
    pub is_styled: bool,
}

/// Returns the outcome as text; with `events`, what happened to each account comes first.
#[must_use]
pub fn render(outcome: &Outcome, events: bool, layout: Layout) -> String {
    let Some(end_time) = outcome.end_time else {
        return "Nothing was applied: no document is for a time up to the end of the simulation.\n"
            .to_owned();
    };
    let mut text = String::new();
    if events {
        for (subscription, entries) in by_account(outcome) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "STATEMENT OF {subscription} (credits; times in UTC)");
            let _ = writeln!(text, "{}", statement(entries.into_iter(), layout));
            if let Some(statements) = outcome.statements.get(subscription).filter(|kept| !kept.is_empty()) {
                let _ = writeln!(text, "PERIODS OF {subscription}\n{}", periods(statements, layout));
            }
        }
    }
    let _ = writeln!(text, "AS OF {end_time}\n");
    let balances = outcome.entries.iter().map(|line| (&*line.subscription, line.entry.balance)).collect();
    for section in &SECTIONS {
        text.push_str(&section.render(&outcome.objects, &balances, layout));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Returns the entries of each account, in order.
fn by_account(outcome: &Outcome) -> BTreeMap<&str, Vec<&Entry>> {
    let mut accounts: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for line in &outcome.entries {
        accounts.entry(&line.subscription).or_default().push(&line.entry);
    }
    accounts
}

/// Balances by account, after the last of its entries.
type Balances<'o> = BTreeMap<&'o str, Credits>;

/// The objects of one kind.
struct Section {
    kind: &'static str,
    title: &'static str,
    columns: &'static [(Column, Source)],
}

/// Where a cell comes from.
#[derive(Clone, Copy)]
enum Source {
    /// A field.
    Field(&'static str),
    /// An amount of money and its currency.
    Money(&'static str, &'static str),
    /// The status of the condition Ready.
    Ready,
    /// The reason of the condition Ready, unless it is True.
    Reason,
    /// The balance after the account's last entry.
    LastBalance,
}

const SECTIONS: [Section; 6] = [
    Section {
        kind: "Subscription",
        title: "SUBSCRIPTIONS",
        columns: &[
            (Column::text("PLAN"), Source::Field("/status/plan")),
            (Column::text("PERIOD"), Source::Field("/status/billingPeriod")),
            (Column::text("READY"), Source::Ready),
            (Column::amount("BALANCE"), Source::Field("/status/credits/balance")),
            (Column::amount("USED %"), Source::Field("/status/thisPeriod/usedPercent")),
            (Column::text("RENEWS"), Source::Field("/status/renewalTime")),
            (Column::text("PACKS"), Source::Field("/status/packs/usedOfLimit")),
            (Column::text("REASON"), Source::Reason),
        ],
    },
    Section {
        kind: "CreditPack",
        title: "CREDIT PACKS",
        columns: &[
            (Column::text("SUBSCRIPTION"), Source::Field("/spec/subscriptionRef/name")),
            (Column::text("PACK"), Source::Field("/spec/pack")),
            (Column::amount("CREDITS"), Source::Field("/status/credits")),
            (Column::text("PRICE"), Source::Money("/status/price", "/status/currency")),
            (Column::text("STATE"), Source::Field("/status/state")),
            (Column::text("REASON"), Source::Reason),
        ],
    },
    Section {
        kind: "UsageReport",
        title: "USAGE REPORTS",
        columns: &[
            (Column::text("SUBSCRIPTION"), Source::Field("/spec/subscriptionRef/name")),
            (Column::text("SOURCE"), Source::Field("/spec/source")),
            (Column::text("WINDOW END"), Source::Field("/spec/window/endTime")),
            (Column::amount("CREDITS"), Source::Field("/status/credits")),
            (Column::text("STATE"), Source::Field("/status/state")),
            (Column::text("REASON"), Source::Reason),
        ],
    },
    Section {
        kind: "Payment",
        title: "PAYMENTS",
        columns: &[
            (Column::text("SUBSCRIPTION"), Source::Field("/spec/subscriptionRef/name")),
            (Column::text("INVOICE"), Source::Field("/spec/invoice")),
            (Column::text("REPORTS"), Source::Field("/spec/state")),
            (Column::text("AMOUNT"), Source::Money("/spec/amount", "/spec/currency")),
            (Column::text("STATE"), Source::Field("/status/state")),
            (Column::text("REASON"), Source::Reason),
        ],
    },
    Section {
        kind: "CreditAdjustment",
        title: "CREDIT ADJUSTMENTS",
        columns: &[
            (Column::text("SUBSCRIPTION"), Source::Field("/spec/subscriptionRef/name")),
            (Column::amount("CREDITS"), Source::Field("/spec/credits")),
            (Column::text("EXPIRES"), Source::Field("/spec/expirationTime")),
            (Column::text("STATE"), Source::Field("/status/state")),
            (Column::text("REASON"), Source::Reason),
        ],
    },
    Section {
        kind: "CreditLedger",
        title: "CREDIT LEDGERS",
        columns: &[
            (Column::amount("SEQUENCE"), Source::Field("/spec/sequence")),
            (Column::text("PLAN"), Source::Field("/spec/terms/plan")),
            (Column::amount("PERIOD"), Source::Field("/spec/period/number")),
            (Column::amount("DEBT"), Source::Field("/spec/debt")),
            (Column::amount("BALANCE"), Source::LastBalance),
        ],
    },
];

impl Section {
    fn render(&self, objects: &[Value], balances: &Balances, layout: Layout) -> String {
        let objects: Vec<&Value> =
            objects.iter().filter(|object| text(object, "/kind") == self.kind).collect();
        if objects.is_empty() {
            return String::new();
        }
        let hidden = if self.kind == "UsageReport" { objects.len().saturating_sub(REPORTS_SHOWN) } else { 0 };
        let mut shown = objects;
        // Those that need a look are last, so that they are not hidden.
        shown.sort_by_key(|object| {
            (is_troubled(object), text(object, "/metadata/creationTimestamp"), full_name(object))
        });
        shown.drain(..hidden);
        let columns = self.columns.iter().map(|(column, _)| *column);
        let mut grid = Grid::new([Column::text("NAME")].into_iter().chain(columns));
        for object in &shown {
            let cells = self.columns.iter().map(|(column, source)| source.cell(*column, object, balances));
            grid.row([(full_name(object), Tone::Plain)].into_iter().chain(cells));
        }
        let mut section = format!("{}\n{}", self.title, grid.render(layout));
        if hidden > 0 {
            let _ = writeln!(section, "and {hidden} more; -o json has them all");
        }
        for object in shown {
            if let Some(message) =
                ready(object).filter(|_| is_troubled(object)).map(|ready| text(ready, "/message"))
            {
                let reason = ready(object).map(|ready| text(ready, "/reason")).unwrap_or_default();
                section
                    .push_str(&wrapped(&format!("{}: {reason}: {message}", full_name(object)), layout.width));
            }
        }
        section.push('\n');
        section
    }
}

impl Source {
    fn cell(self, column: Column, object: &Value, balances: &Balances) -> (String, Tone) {
        match self {
            Self::Field(path) if column.is_amount => amount_cell(&shown(object.pointer(path))),
            Self::Field(path) => (shown(object.pointer(path)), Tone::Plain),
            Self::Money(amount, currency) => {
                let amount = grouped(&shown(object.pointer(amount)));
                (format!("{amount} {}", text(object, currency)).trim().to_owned(), Tone::Plain)
            }
            Self::Ready => {
                let status = ready(object).map(|ready| text(ready, "/status")).unwrap_or_default();
                (status.to_owned(), if status == "False" { Tone::Warning } else { Tone::Plain })
            }
            Self::Reason if is_troubled(object) => (
                ready(object).map(|ready| text(ready, "/reason").to_owned()).unwrap_or_default(),
                Tone::Warning,
            ),
            Self::Reason => (String::new(), Tone::Plain),
            Self::LastBalance => {
                let balance = balances.get(full_name(object).as_str()).copied().unwrap_or_default();
                amount_cell(&balance.to_string())
            }
        }
    }
}

fn amount_cell(amount: &str) -> (String, Tone) {
    (grouped(amount), if amount.starts_with('-') { Tone::Alarm } else { Tone::Plain })
}

/// Returns the condition Ready.
fn ready(object: &Value) -> Option<&Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| text(condition, "/type") == "Ready")
}

fn is_troubled(object: &Value) -> bool {
    ready(object).is_some_and(|ready| text(ready, "/status") != "True")
}

fn full_name(object: &Value) -> String {
    format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Returns a decimal with its thousands set apart, such as `1,125,000.5`.
pub(super) fn grouped(decimal: &str) -> String {
    let (sign, digits) = decimal.strip_prefix('-').map_or(("", decimal), |digits| ("-", digits));
    let (whole, fraction) = digits.find('.').map_or((digits, ""), |point| digits.split_at(point));
    let mut groups = String::with_capacity(decimal.len());
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && whole.len().saturating_sub(index) % 3 == 0 {
            groups.push(',');
        }
        groups.push(digit);
    }
    format!("{sign}{groups}{fraction}")
}

/// Returns `text` in lines of at most `width` characters, the further ones indented.
fn wrapped(text: &str, width: u16) -> String {
    let mut lines = String::new();
    let mut length = 0_usize;
    for word in text.split_whitespace() {
        let longer = length.saturating_add(1).saturating_add(word.chars().count());
        if length > 0 && longer > usize::from(width) {
            lines.push_str("\n  ");
            length = 2;
        } else if length > 0 {
            lines.push(' ');
            length = length.saturating_add(1);
        }
        lines.push_str(word);
        length = length.saturating_add(word.chars().count());
    }
    lines.push('\n');
    lines
}

/// How a cell stands out, where colours are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Warning,
    Alarm,
}

/// A column: its heading, and what stands in it.
#[derive(Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    is_amount: bool,
    is_prose: bool,
}

impl Column {
    /// Returns a column of words, which are not broken into lines.
    pub(super) const fn text(title: &'static str) -> Self {
        Self { title, is_amount: false, is_prose: false }
    }

    /// Returns a column of amounts, their points below each other.
    pub(super) const fn amount(title: &'static str) -> Self {
        Self { title, is_amount: true, is_prose: false }
    }

    /// Returns a column of sentences, broken into lines where the table would be too wide.
    pub(super) const fn prose(title: &'static str) -> Self {
        Self { title, is_amount: false, is_prose: true }
    }
}

/// A table without lines; columns in which nothing stands are left out.
pub(super) struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Grid {
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = (String, Tone)>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn render(mut self, layout: Layout) -> String {
        self.align_points();
        let is_used: Vec<bool> = (0..self.columns.len())
            .map(|index| {
                self.rows.iter().any(|row| row.get(index).is_some_and(|(text, _)| !text.trim().is_empty()))
            })
            .collect();
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(layout.width);
        if layout.is_styled {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let used = |index: &usize| is_used.get(*index).copied().unwrap_or_default();
        let columns: Vec<Column> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(index, _)| used(index))
            .map(|(_, column)| *column)
            .collect();
        table.set_header(columns.iter().map(|column| Cell::new(column.title).add_attribute(Attribute::Bold)));
        for row in self.rows {
            let cells = row.into_iter().enumerate().filter(|(index, _)| used(index));
            table.add_row(cells.map(|(_, (text, tone))| tone.cell(text)));
        }
        for (column, shown) in columns.iter().zip(table.column_iter_mut()) {
            shown.set_padding((0, GAP));
            if column.is_amount {
                shown.set_cell_alignment(CellAlignment::Right);
            }
            if !column.is_prose {
                shown.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        format!("{}\n", table.to_string().replace(GLUE, " ")).lines().fold(
            String::new(),
            |mut lines, line| {
                lines.push_str(line.trim_end());
                lines.push('\n');
                lines
            },
        )
    }

    /// Pads amounts on the right, so that aligned to the right their points are below each other.
    fn align_points(&mut self) {
        for (index, _) in self.columns.iter().enumerate().filter(|(_, column)| column.is_amount) {
            let after_point = |text: &str| text.find('.').map_or(0, |point| text.len().saturating_sub(point));
            let cells = |row: &Vec<(String, Tone)>| row.get(index).map_or(0, |(text, _)| after_point(text));
            let widest = self.rows.iter().map(cells).max().unwrap_or_default();
            for (text, _) in self.rows.iter_mut().filter_map(|row| row.get_mut(index)) {
                if !text.is_empty() {
                    let missing = widest.saturating_sub(after_point(text));
                    text.extend(std::iter::repeat_n(GLUE, missing));
                }
            }
        }
    }
}

impl Tone {
    fn cell(self, text: String) -> Cell {
        let cell = Cell::new_owned(text);
        match self {
            Self::Plain => cell,
            Self::Warning => cell.fg(Color::Yellow),
            Self::Alarm => cell.fg(Color::Red),
        }
    }
}
