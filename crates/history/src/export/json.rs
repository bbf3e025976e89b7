//! JSON lines.

use std::io::Write;

use flashgate_ledger::Credits;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Page, Sink};
use crate::error::StoreError;
use crate::read::{Row, RowContent};
use crate::record::Opening;
use crate::rows::{GAP, OPENING};
use crate::totals;

/// A line: an entry of `entries.schema.json`, with `sequence` and `index`.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub time: Timestamp,
    pub subscription: &'a str,
    pub kind: &'a str,
    pub credits: Credits,
    pub balance: Credits,
    pub detail: Value,
    pub sequence: i64,
    pub index: u32,
}

impl<'a> Line<'a> {
    /// Returns the line of a row. The credits of `Opening` and `Gap` are 0, because the changes are not known.
    pub fn new(subscription: &'a str, row: &'a Row) -> Self {
        let cover = |kind: &'a str, opening: &Opening, detail: Value| Self {
            time: opening.time,
            subscription,
            kind,
            credits: Credits::ZERO,
            balance: opening.balance,
            detail,
            sequence: opening.sequence,
            index: 0,
        };
        match &row.content {
            RowContent::Entry { entry, .. } => Self {
                time: entry.time,
                subscription,
                kind: &entry.kind,
                credits: entry.credits,
                balance: entry.balance,
                detail: entry.detail.clone(),
                sequence: entry.sequence,
                index: entry.index,
            },
            RowContent::Opening(opening) => {
                let detail = json!({"last": opening.number, "totals": totals::to_json(&opening.totals)});
                cover(OPENING, opening, detail)
            }
            RowContent::Gap(gap, opening) => {
                let sums = totals::to_json(&opening.totals);
                cover(GAP, opening, json!({"first": gap.first, "last": gap.last, "totals": sums}))
            }
        }
    }

    /// Returns the hash of the entry, or of the last entry that the row stands for.
    pub fn hash(row: &Row) -> &str {
        match &row.content {
            RowContent::Entry { entry, .. } => &entry.hash,
            RowContent::Opening(opening) | RowContent::Gap(_, opening) => &opening.hash,
        }
    }
}

/// Writes one JSON object a line.
pub(super) struct JsonLines<'a> {
    output: &'a mut (dyn Write + Send),
}

impl<'a> JsonLines<'a> {
    pub fn new(output: &'a mut (dyn Write + Send)) -> Self {
        Self { output }
    }
}

impl Sink for JsonLines<'_> {
    fn page(&mut self, page: &Page<'_>) -> Result<(), StoreError> {
        let subscription = page.account.subscription();
        let mut text = Vec::new();
        for row in &page.rows {
            serde_json::to_writer(&mut text, &Line::new(&subscription, row)).map_err(std::io::Error::from)?;
            text.push(b'\n');
        }
        Ok(self.output.write_all(&text)?)
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        Ok(self.output.flush()?)
    }
}
