//! The database file: one writer, several readers, every commit durable.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr, Sqlite, SqlitePool, Transaction};
use tokio::time::sleep;

use super::backup;
use super::error::{StoreError, during};
use super::soundness::Soundness;

/// The file in the folder of the archive.
pub(super) const FILE: &str = "index.sqlite";

/// Versioned changes of the tables, oldest first. One that has been released is never edited.
pub(super) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "archive", include_str!("../../../migrations/0001_archive.sql")),
    (2, "queue", include_str!("../../../migrations/0002_queue.sql")),
    (3, "shadow", include_str!("../../../migrations/0003_shadow.sql")),
    (4, "failed deliveries", include_str!("../../../migrations/0004_failed_deliveries.sql")),
    (5, "refusals", include_str!("../../../migrations/0005_refusals.sql")),
    (6, "visibility", include_str!("../../../migrations/0006_visibility.sql")),
    (7, "deliveries", include_str!("../../../migrations/0007_deliveries.sql")),
    (8, "searching", include_str!("../../../migrations/0008_searching.sql")),
    (9, "commitments", include_str!("../../../migrations/0009_commitments.sql")),
    (11, "identity", include_str!("../../../migrations/0011_identity.sql")),
    (12, "identities", include_str!("../../../migrations/0012_identities.sql")),
    (13, "issues", include_str!("../../../migrations/0013_issues.sql")),
];

/// The version that this program's tables have.
pub(super) const LATEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Readers at the same time; more wait.
const READERS: u32 = 4;

/// Between two looks at least; a large file is looked at less often, a hundredth of the time at most.
const PAUSE: Duration = Duration::from_mins(1);
const SHARE: u32 = 100;

/// What changes together, or not at all.
pub(super) type Change = Transaction<'static, Sqlite>;

/// The open database file; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
    soundness: Soundness,
}

impl Database {
    /// Opens the file, creating it if needed, and brings its tables to this version of the program. Tables of an
    /// earlier version are copied first.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.clone());
        let writer = during("opening the index", async { Ok(writer.await?) }).await?;
        match version(&writer).await? {
            Some(found) if found > LATEST => return Err(StoreError::Version { found, wanted: LATEST }),
            Some(found) if found < LATEST => backup::copy(&writer, path, LATEST).await?,
            Some(_) | None => {}
        }
        migrator(MIGRATIONS).run(&writer).await.map_err(|error| StoreError::Database {
            action: "preparing the tables of the index",
            source: error.into(),
        })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // A file does not go away as a server does; a test before each query would cost as much as most queries.
            .test_before_acquire(false)
            .connect_lazy_with(options.read_only(true));
        Ok(Self { writer, readers, soundness: Soundness::unknown() })
    }

    /// Connections for reading. They see everything that was committed before.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// What is known of damage of the file.
    pub(super) fn soundness(&self) -> &Soundness {
        &self.soundness
    }

    /// Reads the whole file and compares its parts with each other.
    pub(super) async fn look_through(&self) -> Result<(), StoreError> {
        let action = "looking through it";
        let problem: String =
            during(action, async { Ok(sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&self.readers).await?) })
                .await?;
        if problem == "ok" { Ok(()) } else { Err(StoreError::Damaged { action, problem }) }
    }

    /// Begins the only writing transaction, after waiting for the one before it. Dropped, it is rolled back.
    pub(super) async fn begin(&self) -> Result<Change, sqlx::Error> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        match self.writer.begin_with(BEGIN).await {
            // After some errors of the disk, SQLite ends a transaction itself (https://www.sqlite.org/lang_transaction.html);
            // the driver takes it for open, and this connection could never begin another one.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await?.close().await?;
                self.writer.begin_with(BEGIN).await
            }
            begun => begun,
        }
    }

    /// Closes the file.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Looks through the file until it is closed, or found damaged.
pub(super) async fn watch_over(database: Database) {
    loop {
        let begun = Instant::now();
        match database.look_through().await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => database.soundness().note(&error),
        }
        if database.soundness().damage().is_some() {
            return;
        }
        sleep(PAUSE.max(begun.elapsed() * SHARE)).await;
    }
}

/// Applies those of these changes that a database does not have yet.
pub(super) fn migrator(migrations: &'static [(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = migrations.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// The version of the tables; `None` if there are none yet.
pub(super) async fn version(database: &SqlitePool) -> Result<Option<i64>, StoreError> {
    during("reading the version of the index", async {
        let tables = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
        if sqlx::query_scalar::<_, i64>(tables).fetch_one(database).await? == 0 {
            return Ok(None);
        }
        Ok(sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success").fetch_one(database).await?)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_itself_does_not_keep_the_next_one_from_beginning() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let database = Database::open(&folder.path().join(FILE)).await.expect("open");
        let mut change = database.begin().await.expect("begin");
        sqlx::raw_sql("ROLLBACK").execute(&mut *change).await.expect("rollback");
        assert!(change.commit().await.is_err(), "there is no transaction any more");
        for _ in 0..2 {
            database.begin().await.expect("begin").commit().await.expect("commit");
        }
    }
}
