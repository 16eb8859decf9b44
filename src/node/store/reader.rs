//! The store read beside a running node: no lock, nothing written.

use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::database::{FILE, LATEST, version};
use super::error::{StoreError, during};
use crate::config::StorageConfig;

/// The store, for reading; cheap to clone.
#[derive(Debug, Clone)]
pub struct StoreReader {
    pub(super) database: SqlitePool,
}

impl StoreReader {
    /// Opens the store of a node that may be running.
    ///
    /// # Errors
    /// There is none, or another version of the program made it.
    pub async fn open(config: &StorageConfig) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(config.path.join(FILE))
            .read_only(true)
            .busy_timeout(Duration::from_secs(10));
        let database = SqlitePoolOptions::new().max_connections(1).connect_with(options);
        let database = during("opening the index for reading (storage.path)", async { Ok(database.await?) }).await?;
        match version(&database).await?.unwrap_or(0) {
            LATEST => Ok(Self { database }),
            found => Err(StoreError::Version { found, wanted: LATEST }),
        }
    }
}
