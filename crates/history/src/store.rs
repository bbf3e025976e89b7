//! An open store.

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::database::{Connection, Pool};
use crate::error::StoreError;
use crate::url::HistoryUrl;
use crate::{migrate, query, statements};

/// Seconds that a call waits for a connection. Until then it retries a server that refuses connections.
const ACQUIRE_SECONDS: u64 = 5;

/// Seconds that a writer of SQLite waits for the lock of another process.
const BUSY_SECONDS: u64 = 5;

/// Connections of a pool: one for the recorder, and others for readers.
const CONNECTIONS: u32 = 4;

/// An open store. It connects on use, so it can be opened while its server is down.
///
/// A clone uses the same connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: Pool,
    options: Options,
    url: HistoryUrl,
}

#[derive(Clone)]
enum Options {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Store").field(&self.url).finish()
    }
}

impl Store {
    /// Opens the store at `url`. Returns `None` for [`HistoryUrl::None`]. It must be called in a tokio runtime.
    ///
    /// # Errors
    /// Returns an error if the URL of PostgreSQL is malformed. A server that is down is no error here.
    pub fn open(url: &HistoryUrl) -> Result<Option<Self>, StoreError> {
        let wait = Duration::from_secs(ACQUIRE_SECONDS);
        let (pool, options) = match url {
            HistoryUrl::None => return Ok(None),
            HistoryUrl::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    // A recorded entry survives a loss of power, because its receipt may be written next.
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    // A container can have a read-only root file system.
                    .pragma("temp_store", "memory")
                    .busy_timeout(Duration::from_secs(BUSY_SECONDS))
                    .disable_statement_logging();
                let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(wait);
                (Pool::Sqlite(pool.connect_lazy_with(options.clone())), Options::Sqlite(Box::new(options)))
            }
            HistoryUrl::Postgres(text) => {
                let options = PgConnectOptions::from_str(text)?
                    .application_name("flashgate-billing")
                    .disable_statement_logging();
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(wait);
                (
                    Pool::Postgres(pool.connect_lazy_with(options.clone())),
                    Options::Postgres(Box::new(options)),
                )
            }
        };
        Ok(Some(Self { pool, options, url: url.clone() }))
    }

    /// Returns the place of the store. Its text form masks the password.
    #[must_use]
    pub const fn url(&self) -> &HistoryUrl {
        &self.url
    }

    /// Creates the tables, or upgrades those of an earlier version. For SQLite it creates the file too. Several callers
    /// at once are safe.
    ///
    /// # Errors
    /// Returns an error if the store is not available, if a migration fails, or if a later version upgraded the tables.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.options {
            Options::Sqlite(options) => migrate::migrate_sqlite(SqliteConnectOptions::clone(options)).await,
            Options::Postgres(options) => migrate::migrate_postgres(PgConnectOptions::clone(options)).await,
        }
    }

    /// Returns the id of the store, which the first migration creates. An empty new store has another id.
    ///
    /// # Errors
    /// Returns [`StoreError::NotMigrated`] if there are no tables, and other errors if the store is not available.
    pub async fn id(&self) -> Result<String, StoreError> {
        store_id(&mut self.pool.session().await?.connection()).await
    }

    /// Closes all connections. Later calls return an error.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Returns the database's plan for each statement that must use an index, with its name. It is for tests.
    ///
    /// # Errors
    /// Returns an error if the store is not available.
    #[doc(hidden)]
    pub async fn plans(&self) -> Result<Vec<(&'static str, Vec<String>)>, StoreError> {
        let mut session = self.pool.session().await?;
        let mut plans = Vec::new();
        for (name, sql, values) in statements::indexed().into_iter().chain(query::indexed()) {
            plans.push((name, session.connection().explain(sql, values).await?));
        }
        Ok(plans)
    }
}

/// Returns the id of the store of a connection.
pub(crate) async fn store_id(connection: &mut Connection<'_>) -> Result<String, StoreError> {
    let rows = connection.fetch(statements::STORE_ID, Vec::new()).await?;
    rows.first().ok_or(StoreError::NotMigrated)?.raw_text(0)
}
