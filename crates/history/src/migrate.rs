//! Creates and upgrades the tables.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, SqlSafeStr, SqliteConnection};

use crate::error::StoreError;

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
    let migrator = migrator(&[("entries", include_str!("../migrations/sqlite/0001_entries.sql"))]);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    migrator.run(&mut transaction).await.map_err(|error| StoreError::Migrate(Box::new(error)))?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}

/// Creates the tables, or upgrades them, under an advisory lock.
///
/// It uses a connection of its own: the lock ends with the connection, also after an error.
pub(crate) async fn migrate_postgres(options: PgConnectOptions) -> Result<(), StoreError> {
    let mut connection: PgConnection = options.connect().await?;
    let migrator = migrator(&[("entries", include_str!("../migrations/postgres/0001_entries.sql"))]);
    migrator.run(&mut connection).await.map_err(|error| StoreError::Migrate(Box::new(error)))?;
    connection.close().await?;
    Ok(())
}
