//! Apache Parquet, one row an entry, in the columns of the CSV export.

use std::io::Write;
use std::sync::Arc;

use flashgate_ledger::Credits;
use parquet::basic::Compression;
use parquet::data_type::{
    ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::json::Line;
use super::{Page, Sink};
use crate::chain::canonical_json;
use crate::error::StoreError;

/// Amounts are exact decimals: 28 digits, nine of them after the point, as [`Credits`] has them.
const SCHEMA: &str = "
    message entries {
      REQUIRED BYTE_ARRAY subscription (STRING);
      REQUIRED BYTE_ARRAY account (STRING);
      REQUIRED INT64 number;
      REQUIRED INT64 sequence;
      REQUIRED INT32 index;
      REQUIRED INT64 time (TIMESTAMP(MICROS, true));
      REQUIRED BYTE_ARRAY kind (STRING);
      REQUIRED FIXED_LEN_BYTE_ARRAY (16) credits (DECIMAL(28, 9));
      REQUIRED FIXED_LEN_BYTE_ARRAY (16) balance (DECIMAL(28, 9));
      REQUIRED BYTE_ARRAY detail (JSON);
      REQUIRED BYTE_ARRAY hash (STRING);
    }
";

/// Most rows of a row group. Readers skip row groups by their statistics.
const GROUP_ROWS: usize = 10_000;

/// Bytes of details after which a row group ends. It bounds the memory of an export.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// The columns of a row group, in the order of the schema.
#[derive(Default)]
struct Columns {
    subscriptions: Vec<ByteArray>,
    accounts: Vec<ByteArray>,
    numbers: Vec<i64>,
    sequences: Vec<i64>,
    indexes: Vec<i32>,
    times: Vec<i64>,
    kinds: Vec<ByteArray>,
    credits: Vec<FixedLenByteArray>,
    balances: Vec<FixedLenByteArray>,
    details: Vec<ByteArray>,
    hashes: Vec<ByteArray>,
    /// Bytes of the details.
    bytes: usize,
}

/// Writes row groups.
pub(super) struct Parquet<'a> {
    writer: SerializedFileWriter<&'a mut (dyn Write + Send)>,
    columns: Columns,
}

/// Converts an error of the writer. Its other cause than the output is a bug.
fn from_parquet(error: parquet::errors::ParquetError) -> StoreError {
    StoreError::Write(std::io::Error::other(error))
}

impl<'a> Parquet<'a> {
    pub fn new(output: &'a mut (dyn Write + Send)) -> Result<Self, StoreError> {
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(from_parquet)?);
        let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
        let writer = SerializedFileWriter::new(output, schema, properties).map_err(from_parquet)?;
        Ok(Self { writer, columns: Columns::default() })
    }

    fn write_group(&mut self) -> Result<(), StoreError> {
        let columns = std::mem::take(&mut self.columns);
        if columns.numbers.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(from_parquet)?;
        columns.write(&mut group).map_err(from_parquet)?;
        group.close().map_err(from_parquet)?;
        Ok(())
    }
}

/// Returns an amount as big-endian bytes in units of 10^-9.
fn amount(credits: Credits) -> FixedLenByteArray {
    credits.nanos().to_be_bytes().to_vec().into()
}

fn text(value: &str) -> ByteArray {
    value.into()
}

impl Columns {
    fn write<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> parquet::errors::Result<()> {
        macro_rules! column {
            ($type:ty, $values:expr) => {
                if let Some(mut column) = group.next_column()? {
                    column.typed::<$type>().write_batch(&$values, None, None)?;
                    column.close()?;
                }
            };
        }
        column!(ByteArrayType, self.subscriptions);
        column!(ByteArrayType, self.accounts);
        column!(Int64Type, self.numbers);
        column!(Int64Type, self.sequences);
        column!(Int32Type, self.indexes);
        column!(Int64Type, self.times);
        column!(ByteArrayType, self.kinds);
        column!(FixedLenByteArrayType, self.credits);
        column!(FixedLenByteArrayType, self.balances);
        column!(ByteArrayType, self.details);
        column!(ByteArrayType, self.hashes);
        Ok(())
    }
}

impl Sink for Parquet<'_> {
    fn page(&mut self, page: &Page<'_>) -> Result<(), StoreError> {
        let subscription = page.account.subscription();
        for row in &page.rows {
            let line = Line::new(&subscription, row);
            let columns = &mut self.columns;
            columns.subscriptions.push(text(&subscription));
            columns.accounts.push(text(&page.account.account));
            columns.numbers.push(row.number());
            columns.sequences.push(line.sequence);
            columns.indexes.push(i32::try_from(line.index).unwrap_or(i32::MAX));
            columns.times.push(line.time.as_microsecond());
            columns.kinds.push(text(line.kind));
            columns.credits.push(amount(line.credits));
            columns.balances.push(amount(line.balance));
            let detail = canonical_json(&line.detail);
            columns.bytes = columns.bytes.saturating_add(detail.len());
            columns.details.push(text(&detail));
            columns.hashes.push(text(Line::hash(row)));
            if columns.numbers.len() >= GROUP_ROWS || columns.bytes >= GROUP_BYTES {
                self.write_group()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.write_group()?;
        self.writer.finish().map_err(from_parquet)?;
        Ok(())
    }
}
