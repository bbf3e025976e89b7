//! Comma-separated values of entries.

use std::io::Write;

use super::json::Line;
use super::{Page, Sink};
use crate::chain::canonical_json;
use crate::error::StoreError;

const HEADER: [&str; 11] = [
    "subscription",
    "account",
    "number",
    "sequence",
    "index",
    "time",
    "kind",
    "credits",
    "balance",
    "detail",
    "hash",
];

/// Writes one line an entry, with the detail as JSON.
pub(super) struct Csv<'a> {
    writer: ::csv::Writer<&'a mut (dyn Write + Send)>,
}

impl<'a> Csv<'a> {
    pub fn new(output: &'a mut (dyn Write + Send)) -> Result<Self, StoreError> {
        let mut writer = ::csv::Writer::from_writer(output);
        writer.write_record(HEADER).map_err(from_csv)?;
        Ok(Self { writer })
    }
}

/// Converts an error of the writer. It has no other cause than the output.
pub(super) fn from_csv(error: ::csv::Error) -> StoreError {
    StoreError::Write(std::io::Error::from(error))
}

impl Sink for Csv<'_> {
    fn page(&mut self, page: &Page<'_>) -> Result<(), StoreError> {
        let subscription = page.account.subscription();
        for row in &page.rows {
            let line = Line::new(&subscription, row);
            let fields = [
                subscription.clone(),
                page.account.account.clone(),
                row.number().to_string(),
                line.sequence.to_string(),
                line.index.to_string(),
                line.time.to_string(),
                line.kind.to_owned(),
                line.credits.to_string(),
                line.balance.to_string(),
                canonical_json(&line.detail),
                Line::hash(row).to_owned(),
            ];
            self.writer.write_record(fields).map_err(from_csv)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        Ok(self.writer.flush()?)
    }
}
