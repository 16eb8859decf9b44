//! The archive read beside a running node: no lock, no repair, nothing written.

use std::path::PathBuf;

use super::blobs;
use super::error::ArchiveError;
use crate::config::StorageConfig;
use crate::node::store::{BlobName, StoreReader};

/// The archive, for reading; cheap to clone.
#[derive(Debug, Clone)]
pub struct ArchiveReader {
    folder: PathBuf,
    index: StoreReader,
}

impl ArchiveReader {
    /// Opens the archive of a node that may be running.
    ///
    /// # Errors
    /// There is none, or another version of the program made it.
    pub async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        Ok(Self { folder: config.path.join(blobs::FOLDER), index: StoreReader::open(config).await? })
    }

    /// What it holds.
    pub fn index(&self) -> &StoreReader {
        &self.index
    }

    /// The file of an object by the name that the index has for its bytes.
    pub fn path(&self, blob: BlobName) -> PathBuf {
        blobs::path_in(&self.folder, blob)
    }
}
