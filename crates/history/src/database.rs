//! Connections to both databases behind one type. A statement has one text for each, and the same values and columns.

use flashgate_ledger::{Credits, Quantity};
use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    PgConnection, PgPool, Postgres, Row as _, Sqlite, SqliteConnection, SqlitePool,
    Transaction as SqlxTransaction,
};

use crate::error::StoreError;
use crate::text;

/// Units of 10^-9 in one whole.
const NANOS: i128 = 1_000_000_000;

/// Units of 10^-18 in one whole.
const ATTOS: u128 = 1_000_000_000_000_000_000;

/// A statement with its text for each database.
#[derive(Clone, Copy)]
pub(crate) struct Sql {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

/// Returns a statement with the same text for both databases.
pub(crate) const fn same(text: &'static str) -> Sql {
    Sql { sqlite: text, postgres: text }
}

/// A value of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Integer(i64),
    Text(String),
    OptionalText(Option<String>),
    Flag(bool),
}

impl Value {
    /// Returns a text as it is stored.
    pub fn text(value: &str) -> Self {
        Self::Text(text::encode(value).into_owned())
    }
}

/// Appends the two values of an amount: whole credits and units of 10^-9, with the same sign.
pub(crate) fn push_amount(values: &mut Vec<Value>, amount: Credits) {
    // The whole part is at most 10^18, so the fallbacks are never used.
    let part = |units: i128| Value::Integer(i64::try_from(units).unwrap_or_default());
    values.extend([part(amount.nanos() / NANOS), part(amount.nanos() % NANOS)]);
}

/// Appends the three values of a quantity: whole units, units of 10^-9 and units of 10^-18.
pub(crate) fn push_quantity(values: &mut Vec<Value>, quantity: Quantity) {
    // The whole part is at most 10^18, so the fallbacks are never used.
    let part = |units: u128| Value::Integer(i64::try_from(units).unwrap_or_default());
    let (whole, rest) = (quantity.attos() / ATTOS, quantity.attos() % ATTOS);
    let nano = NANOS.unsigned_abs();
    values.extend([part(whole), part(rest / nano), part(rest % nano)]);
}

/// Appends the two values of a time: seconds and nanoseconds.
pub(crate) fn push_time(values: &mut Vec<Value>, time: Timestamp) {
    values.extend([Value::Integer(time.as_second()), Value::Integer(i64::from(time.subsec_nanosecond()))]);
}

/// A row of a result.
pub(crate) enum DataRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl DataRow {
    pub fn integer(&self, column: usize) -> Result<i64, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub fn flag(&self, column: usize) -> Result<bool, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Returns a text as it is stored.
    pub fn raw_text(&self, column: usize) -> Result<String, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Returns a text that was stored by [`Value::text`].
    pub fn text(&self, column: usize) -> Result<String, StoreError> {
        Ok(text::decode(&self.raw_text(column)?))
    }

    pub fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Returns the amount of two columns.
    pub fn amount(&self, column: usize) -> Result<Credits, StoreError> {
        let (whole, nanos) = (self.integer(column)?, self.integer(column + 1)?);
        Ok(Credits::from_nanos(i128::from(whole) * NANOS + i128::from(nanos))?)
    }

    /// Returns the quantity of three columns.
    pub fn quantity(&self, column: usize) -> Result<Quantity, StoreError> {
        let (whole, nanos, attos) =
            (self.integer(column)?, self.integer(column + 1)?, self.integer(column + 2)?);
        let digits = format!("{whole}.{nanos:09}{attos:09}");
        let plain = digits.trim_end_matches('0').trim_end_matches('.');
        Quantity::from_total(plain)
            .map_err(|error| StoreError::Corrupt { column: "quantity", problem: error.to_string() })
    }

    /// Returns the time of two columns.
    pub fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        let (seconds, nanos) = (self.integer(column)?, self.integer(column + 1)?);
        let corrupt = |problem: String| StoreError::Corrupt { column: "time", problem };
        let nanos = i32::try_from(nanos).map_err(|error| corrupt(error.to_string()))?;
        Timestamp::new(seconds, nanos).map_err(|error| corrupt(error.to_string()))
    }
}

/// The connections to a store.
#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    /// Returns a connection for statements that need no transaction.
    pub async fn session(&self) -> Result<Session, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => Session::Sqlite(pool.acquire().await?),
            Self::Postgres(pool) => Session::Postgres(pool.acquire().await?),
        })
    }

    /// Begins a transaction that writes.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(match self {
            // A deferred transaction of SQLite cannot wait for the lock once it has read.
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Transaction::Postgres(pool.begin().await?),
        })
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A connection of a pool.
pub(crate) enum Session {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Session {
    pub fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection) => Connection::Sqlite(connection),
            Self::Postgres(connection) => Connection::Postgres(connection),
        }
    }
}

/// A transaction. It is rolled back when it is dropped.
pub(crate) enum Transaction {
    Sqlite(SqlxTransaction<'static, Sqlite>),
    Postgres(SqlxTransaction<'static, Postgres>),
}

impl Transaction {
    pub fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(transaction) => Connection::Sqlite(transaction),
            Self::Postgres(transaction) => Connection::Postgres(transaction),
        }
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}

/// A connection that executes statements.
pub(crate) enum Connection<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Connection<'_> {
    /// Executes a statement, and returns the number of affected rows.
    pub async fn execute(&mut self, sql: Sql, values: Vec<Value>) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(connection) => {
                bind_sqlite(sqlx::query(sql.sqlite), values).execute(&mut **connection).await?.rows_affected()
            }
            Self::Postgres(connection) => bind_postgres(sqlx::query(sql.postgres), values)
                .execute(&mut **connection)
                .await?
                .rows_affected(),
        })
    }

    /// Returns all rows of a query.
    pub async fn fetch(&mut self, sql: Sql, values: Vec<Value>) -> Result<Vec<DataRow>, StoreError> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let rows = bind_sqlite(sqlx::query(sql.sqlite), values).fetch_all(&mut **connection).await?;
                rows.into_iter().map(DataRow::Sqlite).collect()
            }
            Self::Postgres(connection) => {
                let rows =
                    bind_postgres(sqlx::query(sql.postgres), values).fetch_all(&mut **connection).await?;
                rows.into_iter().map(DataRow::Postgres).collect()
            }
        })
    }

    /// Executes a statement for many rows: once for each row in SQLite, and once for all with one array for each column
    /// in PostgreSQL.
    pub async fn insert(&mut self, sql: Sql, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => {
                for values in rows {
                    bind_sqlite(sqlx::query(sql.sqlite), values).execute(&mut **connection).await?;
                }
            }
            Self::Postgres(connection) => {
                if !rows.is_empty() {
                    bind_columns(sqlx::query(sql.postgres), rows).execute(&mut **connection).await?;
                }
            }
        }
        Ok(())
    }

    /// Returns the lines of the database's plan for a query.
    pub async fn explain(&mut self, sql: Sql, values: Vec<Value>) -> Result<Vec<String>, StoreError> {
        let (text, column) = match self {
            Self::Sqlite(_) => (format!("EXPLAIN QUERY PLAN {}", sql.sqlite), 3),
            Self::Postgres(_) => (format!("EXPLAIN {}", sql.postgres), 0),
        };
        let text = sqlx::AssertSqlSafe(text);
        let rows: Vec<DataRow> = match self {
            Self::Sqlite(connection) => {
                let rows = bind_sqlite(sqlx::query(text), values).fetch_all(&mut **connection).await?;
                rows.into_iter().map(DataRow::Sqlite).collect()
            }
            Self::Postgres(connection) => {
                // Tables of a test are so small that a scan of them would be the best plan.
                sqlx::query("SET enable_seqscan = off").execute(&mut **connection).await?;
                let rows = bind_postgres(sqlx::query(text), values).fetch_all(&mut **connection).await?;
                rows.into_iter().map(DataRow::Postgres).collect()
            }
        };
        rows.iter().map(|row| row.raw_text(column)).collect()
    }
}

fn bind_sqlite(
    query: Query<'_, Sqlite, SqliteArguments>,
    values: Vec<Value>,
) -> Query<'_, Sqlite, SqliteArguments> {
    values.into_iter().fold(query, |query, value| match value {
        Value::Integer(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::OptionalText(value) => query.bind(value),
        Value::Flag(value) => query.bind(value),
    })
}

fn bind_postgres(
    query: Query<'_, Postgres, PgArguments>,
    values: Vec<Value>,
) -> Query<'_, Postgres, PgArguments> {
    values.into_iter().fold(query, |query, value| match value {
        Value::Integer(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::OptionalText(value) => query.bind(value),
        Value::Flag(value) => query.bind(value),
    })
}

/// The values of one column.
enum Column {
    Integers(Vec<i64>),
    Texts(Vec<Option<String>>),
    Flags(Vec<bool>),
}

/// Binds one array for each column. All rows have the same types.
fn bind_columns(
    query: Query<'_, Postgres, PgArguments>,
    rows: Vec<Vec<Value>>,
) -> Query<'_, Postgres, PgArguments> {
    let mut columns: Vec<Column> = Vec::new();
    for row in rows {
        for (index, value) in row.into_iter().enumerate() {
            match (columns.get_mut(index), value) {
                (Some(Column::Integers(column)), Value::Integer(value)) => column.push(value),
                (Some(Column::Texts(column)), Value::Text(value)) => column.push(Some(value)),
                (Some(Column::Texts(column)), Value::OptionalText(value)) => column.push(value),
                (Some(Column::Flags(column)), Value::Flag(value)) => column.push(value),
                (None, Value::Integer(value)) => columns.push(Column::Integers(vec![value])),
                (None, Value::Text(value)) => columns.push(Column::Texts(vec![Some(value)])),
                (None, Value::OptionalText(value)) => columns.push(Column::Texts(vec![value])),
                (None, Value::Flag(value)) => columns.push(Column::Flags(vec![value])),
                // PostgreSQL refuses arrays of different lengths for a NOT NULL column.
                (Some(_), _) => {}
            }
        }
    }
    columns.into_iter().fold(query, |query, column| match column {
        Column::Integers(values) => query.bind(values),
        Column::Texts(values) => query.bind(values),
        Column::Flags(values) => query.bind(values),
    })
}
