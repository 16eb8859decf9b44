//! The archive read beside a running node: no lock, no repair, nothing written.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::blobs::{self, BlobName};
use super::database::LATEST;
use super::error::ArchiveError;
use crate::config::StorageConfig;

/// The archive, for reading; cheap to clone.
#[derive(Debug, Clone)]
pub struct ArchiveReader {
    folder: PathBuf,
    database: SqlitePool,
}

impl ArchiveReader {
    /// Opens the archive of a node that may be running.
    ///
    /// # Errors
    /// There is none, or another version of the program made it.
    pub async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        let opening = ArchiveError::index("opening the index for reading (storage.path)");
        let options = SqliteConnectOptions::new()
            .filename(config.path.join("index.sqlite"))
            .read_only(true)
            .busy_timeout(Duration::from_secs(10));
        let database = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(opening)?;
        let found: i64 = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&database)
            .await
            .map_err(ArchiveError::index("reading the version of the index"))?;
        if found != LATEST {
            return Err(ArchiveError::Version { found, wanted: LATEST });
        }
        Ok(Self { folder: config.path.join(blobs::FOLDER), database })
    }

    /// Connections to the index.
    pub(in crate::node) fn database(&self) -> &SqlitePool {
        &self.database
    }

    /// The file of an object by the name that the index has for its bytes; `None` if that is no name.
    pub(in crate::node) fn path(&self, blob: &str) -> Option<PathBuf> {
        BlobName::parse(blob).map(|name| name.path_in(&self.folder))
    }
}
