//! The outcome as text: tables of all objects, and on request every account's statement.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use flashgate_ledger::Credits;
use flashgate_ledger::entry::Entry;
use serde_json::Value;

use super::Outcome;
use crate::grid::{Column, Grid, Layout, Tone, grouped};
use crate::statement::{periods, statement};

/// Number of reports that a table shows. The number of the others is printed.
const REPORTS_SHOWN: usize = 20;

/// Returns the outcome as text. With `events`, the statement of each account comes first.
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

/// The source of a cell.
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
        // Reports that need attention come last, so that they are not hidden.
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

/// Returns `text` in lines of at most `width` characters. All lines after the first are indented.
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
