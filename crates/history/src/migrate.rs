//! Creates and upgrades the tables.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, SqlSafeStr, SqliteConnection};

use crate::error::StoreError;

/// Longest time to connect to a server.
const CONNECT: Duration = Duration::from_secs(10);

// sqlx hides `Migrator::run_direct` in its documentation. The future of `Migrator::run` cannot be sent to another thread.

/// Returns the migrations. Each one is applied once, in this order. A released migration never changes.
fn migrator(texts: &[(&'static str, &'static str)]) -> Migrator {
    let migrations = texts.iter().zip(1..).map(|((name, sql), version)| {
        Migration::new(version, Cow::Borrowed(*name), MigrationType::Simple, (*sql).into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Creates the file and its tables, or upgrades them, in one transaction that locks the file.
pub(crate) async fn migrate_sqlite(options: SqliteConnectOptions) -> Result<(), StoreError> {
    let mut connection: SqliteConnection = options.create_if_missing(true).connect().await?;
    let migrator = migrator(&[
        ("entries", include_str!("../migrations/sqlite/0001_entries.sql")),
        ("queries", include_str!("../migrations/sqlite/0002_queries.sql")),
        ("pages", include_str!("../migrations/sqlite/0003_pages.sql")),
    ]);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    migrator
        .run_direct(None, &mut *transaction, false)
        .await
        .map_err(|error| StoreError::Migrate(Box::new(error)))?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}

/// Creates the tables, or upgrades them, under an advisory lock.
///
/// It uses a connection of its own: the lock ends with the connection, also after an error.
pub(crate) async fn migrate_postgres(options: PgConnectOptions) -> Result<(), StoreError> {
    let connecting = tokio::time::timeout(CONNECT, options.connect());
    let mut connection: PgConnection = connecting.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    let migrator = migrator(&[
        ("entries", include_str!("../migrations/postgres/0001_entries.sql")),
        ("queries", include_str!("../migrations/postgres/0002_queries.sql")),
        ("pages", include_str!("../migrations/postgres/0003_pages.sql")),
    ]);
    migrator
        .run_direct(None, &mut connection, false)
        .await
        .map_err(|error| StoreError::Migrate(Box::new(error)))?;
    connection.close().await?;
    Ok(())
}
