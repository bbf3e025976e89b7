//! Records: the entries of an account as a bank statement, with the balance after each one.

use flashgate_history::query::entries::{EntryFilter, ExplainedRow, Kinds, Place};
use flashgate_history::{Row, RowContent, UsageRecord};
use flashgate_ledger::Credits;
use jiff::Timestamp;

use super::{UsageLine, entry_id};
use crate::book::{EntryContent, KeptEntry};

/// The records to return.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordQuery {
    /// Kinds, times and text that select records.
    pub filter: EntryFilter,
    /// The place of the page.
    pub place: Place,
    /// Most records of the page.
    pub limit: u32,
}

/// A record of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of the entry, or of the last entry that the record stands for.
    pub number: i64,
    /// Identifier within the account.
    pub id: String,
    /// Instant at which it took effect.
    pub time: Timestamp,
    /// Balance after it.
    pub balance: Credits,
    /// The content.
    pub content: RecordContent,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordContent {
    /// An entry, with the lines that a charge has. There are none if they are not known.
    Entry(EntryContent, Vec<ChargedLine>),
    /// The state at which the history begins, for an account that is older.
    Opening,
    /// Entries that the history has lost.
    Gap {
        /// Number of the first lost entry.
        first: i64,
        /// Number of the last lost entry.
        last: i64,
    },
}

/// A line of usage with the credits that it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargedLine {
    /// The usage.
    pub line: UsageLine,
    /// Credits charged for it.
    pub credits: Credits,
}

/// A page of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// Records of the page, newest first.
    pub records: Vec<Record>,
    /// Whether more records follow in the direction of the place: older ones, or newer ones after a number.
    pub has_more: bool,
}

impl Record {
    /// Returns the change of the balance. It is absent for a record that stands for entries that are not recorded.
    #[must_use]
    pub const fn credits(&self) -> Option<Credits> {
        match &self.content {
            RecordContent::Entry(entry, _) => Some(entry.credits),
            RecordContent::Opening | RecordContent::Gap { .. } => None,
        }
    }

    /// Returns the kind of the entry, or `Opening` or `Gap`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match &self.content {
            RecordContent::Entry(entry, _) => &entry.kind,
            RecordContent::Opening => "Opening",
            RecordContent::Gap { .. } => "Gap",
        }
    }

    /// Returns the number of the invoice that the record is about, if it is about one.
    #[must_use]
    pub fn invoice(&self) -> Option<&str> {
        match &self.content {
            RecordContent::Entry(entry, _) => entry.text("invoice"),
            RecordContent::Opening | RecordContent::Gap { .. } => None,
        }
    }

    /// Returns the record of a stored row.
    #[must_use]
    pub fn of_stored(stored: ExplainedRow) -> Self {
        let ExplainedRow { row, usage } = stored;
        let (number, time) = (row.number(), row.time());
        let Row { branch, content } = row;
        let (balance, content) = match content {
            RowContent::Entry { entry, totals: _ } => {
                let content = EntryContent {
                    time: entry.time,
                    kind: entry.kind,
                    credits: entry.credits,
                    detail: entry.detail,
                };
                let lines = usage.into_iter().map(charged_line).collect();
                (entry.balance, RecordContent::Entry(content, lines))
            }
            RowContent::Opening(opening) => (opening.balance, RecordContent::Opening),
            RowContent::Gap(gap, opening) => {
                (opening.balance, RecordContent::Gap { first: gap.first, last: gap.last })
            }
        };
        Self { number, id: entry_id(&branch, number), time, balance, content }
    }
}

fn charged_line(usage: UsageRecord) -> ChargedLine {
    let UsageRecord { node_type, operation, quantity, labels, credits, .. } = usage;
    ChargedLine { line: UsageLine { node_type, operation, quantity, labels }, credits }
}

/// Returns a page of the entries that a ledger keeps, which are oldest first. `balance` is that after the last entry.
#[must_use]
pub fn of_ledger(entries: &[KeptEntry], balance: Credits, query: &RecordQuery) -> RecordPage {
    let mut after = balance;
    let mut records = Vec::new();
    for (position, entry) in entries.iter().enumerate().rev() {
        let before = after.checked_sub(entry.content.credits).unwrap_or(after);
        if is_selected(entry, &query.filter) {
            records.push(Record {
                // A ledger of version 0.1.0 has no numbers.
                number: entry.number.unwrap_or_else(|| i64::try_from(position).unwrap_or(i64::MAX)),
                id: entry.id.clone(),
                time: entry.content.time,
                balance: after,
                content: RecordContent::Entry(entry.content.clone(), Vec::new()),
            });
        }
        after = before;
    }
    page(records, query)
}

/// Returns the page of a query among records, which are newest first.
fn page(mut records: Vec<Record>, query: &RecordQuery) -> RecordPage {
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    match query.place {
        Place::Newest => {}
        Place::Before(number) => records.retain(|record| record.number < number),
        Place::After(number) => records.retain(|record| record.number > number),
    }
    let has_more = records.len() > limit;
    if matches!(query.place, Place::After(_)) {
        records.drain(..records.len().saturating_sub(limit));
    }
    records.truncate(limit);
    RecordPage { records, has_more }
}

/// Returns whether a filter selects an entry. The same filters select the same entries of a store.
fn is_selected(entry: &KeptEntry, filter: &EntryFilter) -> bool {
    let EntryContent { time, kind, detail, .. } = &entry.content;
    let EntryFilter { from, to, kinds, text } = filter;
    let has_kind = match kinds {
        Kinds::All => true,
        Kinds::BesidesCharges => kind != "Charged",
        Kinds::Only(only) => kind == only,
    };
    has_kind
        && from.is_none_or(|from| from <= *time)
        && to.is_none_or(|to| *time <= to)
        && text.as_deref().is_none_or(|text| has_text(detail, text))
}

/// Returns whether a text in a value of JSON begins with `text`, or does so after the kind of an object.
fn has_text(value: &serde_json::Value, text: &str) -> bool {
    use serde_json::Value;
    match value {
        Value::String(found) => found.starts_with(text) || found.contains(&format!("/{text}")),
        Value::Array(items) => items.iter().any(|item| has_text(item, text)),
        Value::Object(fields) => fields.values().any(|field| has_text(field, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(number: i64, kind: &str, credits: &str, detail: serde_json::Value) -> KeptEntry {
        let content = EntryContent {
            time: format!("2026-03-{number:02}T10:00:00Z").parse().expect("time"),
            kind: kind.to_owned(),
            credits: credits.parse().expect("amount"),
            detail,
        };
        KeptEntry { id: number.to_string(), number: Some(number), content }
    }

    fn entries() -> Vec<KeptEntry> {
        vec![
            entry(3, "Granted", "100", json!({"amount": "100", "grant": "plan/1", "plan": "starter"})),
            entry(
                4,
                "Charged",
                "-20",
                json!({"object": "UsageReport/gw-1", "paidBy": [{"grant": "plan/1", "amount": "20"}]}),
            ),
            entry(5, "Purchased", "10", json!({"object": "CreditPack/order-7", "pack": "plus-100"})),
            entry(6, "Charged", "-120", json!({"object": "UsageReport/gw-2", "source": "gw"})),
        ]
    }

    fn select(query: &RecordQuery) -> Vec<(i64, String)> {
        let page = of_ledger(&entries(), "-25".parse().expect("amount"), query);
        page.records.iter().map(|record| (record.number, record.balance.to_string())).collect()
    }

    fn all() -> RecordQuery {
        RecordQuery { limit: 50, ..RecordQuery::default() }
    }

    #[test]
    fn the_balance_runs_back_from_the_present_one() {
        let expected = [(6, "-25"), (5, "95"), (4, "85"), (3, "105")];
        assert_eq!(select(&all()), expected.map(|(number, balance)| (number, balance.to_owned())));
    }

    #[test]
    fn pages_join_without_a_gap_in_both_directions() {
        let numbers = |place, limit| {
            let page = of_ledger(&entries(), Credits::ZERO, &RecordQuery { place, limit, ..all() });
            (page.records.iter().map(|record| record.number).collect::<Vec<_>>(), page.has_more)
        };
        assert_eq!(numbers(Place::Newest, 3), (vec![6, 5, 4], true));
        assert_eq!(numbers(Place::Before(4), 3), (vec![3], false));
        assert_eq!(numbers(Place::After(3), 2), (vec![5, 4], true));
        assert_eq!(numbers(Place::After(4), 2), (vec![6, 5], false));
        assert_eq!(numbers(Place::After(6), 2), (vec![], false));
    }

    #[test]
    fn each_filter_selects_its_entries_and_keeps_their_balance() {
        let numbers = |filter: EntryFilter| {
            select(&RecordQuery { filter, ..all() }).into_iter().map(|(number, _)| number).collect::<Vec<_>>()
        };
        let kinds = |kinds| EntryFilter { kinds, ..EntryFilter::default() };
        assert_eq!(numbers(kinds(Kinds::Only("Charged".to_owned()))), [6, 4]);
        assert_eq!(numbers(kinds(Kinds::BesidesCharges)), [5, 3]);
        for (text, expected) in [
            ("gw-1", vec![4]),
            ("order", vec![5]),
            ("plan/1", vec![4, 3]),
            ("gw", vec![6, 4]),
            ("ount", vec![]),
        ] {
            let filter = EntryFilter { text: Some(text.to_owned()), ..EntryFilter::default() };
            assert_eq!(numbers(filter), expected, "{text}");
        }
        let time = |text: &str| text.parse().ok();
        let (from, to) = (time("2026-03-04T10:00:00Z"), time("2026-03-05T10:00:00Z"));
        assert_eq!(numbers(EntryFilter { from, to, ..EntryFilter::default() }), [5, 4]);
    }
}
