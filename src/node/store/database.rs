//! The database file that index and queue share: one writer, several readers, every commit durable.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr, Sqlite, SqlitePool, Transaction};

use super::error::ArchiveError;

/// Versioned changes of the tables, oldest first. One that has been released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "archive", include_str!("../../../migrations/0001_archive.sql")),
    (2, "queue", include_str!("../../../migrations/0002_queue.sql")),
    (3, "shadow", include_str!("../../../migrations/0003_shadow.sql")),
];

/// The version that this program's tables have.
pub(super) const LATEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Readers at the same time; more wait.
const READERS: u32 = 4;

/// A handle to the database; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::node) struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Database {
    /// Opens the file, creating it if needed, and brings its tables to this version of the program.
    pub(super) async fn open(path: &Path) -> Result<Self, ArchiveError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let opening = ArchiveError::index("opening the index");
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await
            .map_err(opening)?;
        let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
            Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        Migrator::with_migrations(migrations.collect()).run(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // A file does not go away as a server does; asking first would cost as much as most answers.
            .test_before_acquire(false)
            .connect_lazy_with(options.read_only(true));
        Ok(Self { writer, readers })
    }

    /// Connections for reading. They see everything that was committed before.
    pub(in crate::node) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins the only writing transaction; waits for the one before it. Dropped, it is rolled back.
    pub(in crate::node) async fn write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Lets go of the file.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
