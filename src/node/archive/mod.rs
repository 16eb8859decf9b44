//! The durable archive: blobs on disk and an index in SQL. What it has acknowledged is never lost.
//!
//! An object is written beside its place and made durable, renamed into its place, the folder is made durable, and the
//! index is committed; only then does [`Archive::store`] return. Whatever instant the node dies at, an object is either
//! acknowledged and whole, or unacknowledged and removed at the next start.
//!
//! An object's bytes stay as they were received; its file is named by digest, never by received text.

mod attributes;
mod blobs;
mod database;
mod error;
mod filing;
mod index;
mod instance;
mod matching;
mod part10;
mod progress;
mod query;
mod reader;
mod sql;
mod text;

use std::sync::Arc;

use sqlx::{Sqlite, Transaction};
use tokio::task::spawn_blocking;

use crate::config::StorageConfig;
use crate::dicom::Uid;
use crate::dicom::elements::DataSet;
use blobs::{BlobStore, FileSystemBlobs};
pub(in crate::node) use database::Database;
pub use error::ArchiveError;
use index::{Entry, Identity, Index};
pub use instance::{Origin, ReceivedInstance, Scope, Stored, StoredInstance};
pub use progress::{SeriesMember, UnassembledSeries};
pub use query::{Level, Query};
pub use reader::ArchiveReader;
use sql::SqlIndex;

/// The archive; cheap to clone.
#[derive(Clone)]
pub struct Archive {
    blobs: Arc<dyn BlobStore>,
    index: Arc<dyn Index>,
    database: Database,
}

impl Archive {
    /// Opens the archive, creating folders and tables, and repairs what a crash left behind.
    pub async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        let folder = config.path.clone();
        let minimum_free_bytes = config.minimum_free_mib << 20;
        let blobs = blocking(move || FileSystemBlobs::open(&folder, minimum_free_bytes)).await?;
        let database = Database::open(&config.path.join("index.sqlite")).await?;
        let archive = Self { blobs: Arc::new(blobs), index: Arc::new(SqlIndex::new(database.clone())), database };
        archive.repair().await?;
        Ok(archive)
    }

    /// Stores an object durably; returns only when it can no longer be lost.
    pub async fn store(&self, instance: ReceivedInstance) -> Result<Stored, ArchiveError> {
        let Unfiled(entry) = self.keep(instance).await?;
        self.index.file(entry).await
    }

    /// Makes the bytes of an object durable without listing it: whoever files it later does so together with what else
    /// must become true at the same instant. One that is never filed is nobody's object, and set aside at the next start.
    pub(in crate::node) async fn keep(&self, instance: ReceivedInstance) -> Result<Unfiled, ArchiveError> {
        let identity = Identity::of(&instance.header)?;
        let meta = part10::preamble_and_meta(
            identity.sop_class_uid.as_str(),
            identity.sop_instance_uid.as_str(),
            instance.transfer_syntax_uid.as_str(),
        )?;
        let received_at = jiff::Timestamp::now().as_millisecond();
        // The disk works while the digest is computed.
        let (blobs, data_set) = (Arc::clone(&self.blobs), instance.data_set.clone());
        let writing = blocking(move || {
            blobs.check_space()?;
            blobs.write(&[&meta, &data_set])
        });
        let describing = blocking(move || Ok(Entry::of(identity, &instance, received_at)));
        let (draft, entry) = tokio::try_join!(writing, describing)?;
        let (blobs, name) = (Arc::clone(&self.blobs), entry.blob);
        blocking(move || blobs.publish(draft, name)).await?;
        Ok(Unfiled(entry))
    }

    /// Answers a query with one data set a match, ordered, holding the standard's return attributes for the level
    /// (PS3.18 10.6.3) and what was asked for beyond. Texts are decoded; Specific Character Set is left out.
    pub async fn find(&self, level: Level, query: &Query) -> Result<Vec<DataSet>, ArchiveError> {
        self.index.find(level, query).await
    }

    /// The instances of a scope, in order of series and instance number; empty if there is nothing.
    pub async fn instances(&self, scope: &Scope) -> Result<Vec<StoredInstance>, ArchiveError> {
        let instances = self.index.instances(scope).await?;
        let stored = instances.into_iter().map(|instance| StoredInstance {
            path: self.blobs.path(instance.blob),
            study_instance_uid: instance.study_instance_uid,
            series_instance_uid: instance.series_instance_uid,
            sop_instance_uid: instance.sop_instance_uid,
            sop_class_uid: instance.sop_class_uid,
            transfer_syntax_uid: instance.transfer_syntax_uid,
            sha256: instance.sha256,
        });
        Ok(stored.collect())
    }

    /// Received series with instances that assembly has not dealt with, oldest first.
    pub async fn unassembled(&self) -> Result<Vec<UnassembledSeries>, ArchiveError> {
        self.index.unassembled().await
    }

    /// What assembly wants to know of the instances of a series, in order of instance number.
    pub async fn members(
        &self,
        study_instance_uid: &Uid,
        series_instance_uid: &Uid,
    ) -> Result<Vec<SeriesMember>, ArchiveError> {
        self.index.members(study_instance_uid, series_instance_uid).await
    }

    /// Fails with [`ArchiveError::Full`] when the archive takes nothing any more, so that doors can say so early.
    pub async fn check_space(&self) -> Result<(), ArchiveError> {
        let blobs = Arc::clone(&self.blobs);
        blocking(move || blobs.check_space()).await
    }

    /// Free space where the objects lie, in bytes.
    pub async fn free_bytes(&self) -> Result<u64, ArchiveError> {
        let blobs = Arc::clone(&self.blobs);
        blocking(move || blobs.free_bytes()).await
    }

    /// Waits for what is being committed and closes the index. Every handle of this archive fails with
    /// [`ArchiveError::Closed`] from then on; when the last one is dropped, the folder can be opened again.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// The database, which the queue shares so that a job and its consequences are one transaction.
    pub(in crate::node) fn database(&self) -> &Database {
        &self.database
    }

    /// Removes drafts, which were never acknowledged; reports files that are gone. Files that the index does not know are
    /// set aside and kept: they were never acknowledged either, unless the index is not the one they were filed in.
    async fn repair(&self) -> Result<(), ArchiveError> {
        let referenced = self.index.blobs().await?;
        let blobs = Arc::clone(&self.blobs);
        blocking(move || {
            let drafts = blobs.remove_drafts()?;
            let mut present = blobs.names()?;
            present.sort_unstable();
            let mut leftovers = 0_usize;
            for name in present.iter().filter(|name| referenced.binary_search(name).is_err()) {
                blobs.set_aside(*name)?;
                leftovers += 1;
            }
            let missing = referenced.iter().filter(|name| present.binary_search(name).is_err()).count();
            if drafts > 0 {
                tracing::info!(drafts, "removed drafts that were never acknowledged");
            }
            if leftovers > 0 {
                tracing::warn!(
                    leftovers,
                    "set files aside in orphans/ that the index does not know; if it was replaced, restore it"
                );
            }
            if missing > 0 {
                tracing::error!(missing, "files of the archive are gone; restore them from a backup");
            }
            Ok(())
        })
        .await
    }
}

/// An object whose bytes are durable and that the index does not list yet.
#[derive(Debug, Clone)]
pub(in crate::node) struct Unfiled(Entry);

impl Unfiled {
    /// SOP Instance UID.
    pub(in crate::node) fn sop_instance_uid(&self) -> &Uid {
        &self.0.identity.sop_instance_uid
    }

    /// Lists it, once the transaction is committed.
    pub(in crate::node) async fn file(&self, transaction: &mut Transaction<'_, Sqlite>) -> Result<Stored, sqlx::Error> {
        filing::file(transaction, &self.0).await
    }
}

/// Runs blocking work on its own thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    // The work is not cancelled and does not panic by itself; what remains is the end of the runtime.
    spawn_blocking(work).await.unwrap_or(Err(ArchiveError::Closed))
}

#[cfg(test)]
pub(in crate::node) mod testing;
#[cfg(test)]
mod tests;
