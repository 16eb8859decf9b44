//! Keeping objects durably and finding them again.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::blobs::Blobs;
use super::error::ArchiveError;
use super::integrity::{DamagedObject, Integrity};
use super::part10;
use super::records::RecordFiles;
use super::stored::StoredInstance;
use crate::config::StorageConfig;
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements::DataSet;
use crate::dicom::{RejectionNote, Uid};
use crate::node::queue::{Refusal, RefusalCause};
use crate::node::store::{
    BlobName, Filed, IndexedInstance, InstanceId, Level, Query, ReceivedInstance, Scope, Store, Stored, Unfiled,
};

/// The archive; cheap to clone.
#[derive(Clone)]
pub struct Archive {
    pub(super) blobs: Arc<Blobs>,
    pub(super) records: Arc<RecordFiles>,
    pub(super) integrity: Arc<Integrity>,
    pub(super) index: Store,
    pub(super) limits: Limits,
    /// `storage.hide_quality_rejections`
    pub(super) hides_quality_rejections: bool,
    /// Held while an object under a known identifier is judged: what is found then must still be true when it is acted
    /// on.
    pub(super) judging: Arc<Mutex<()>>,
}

impl Archive {
    /// Opens the archive of an index, creating what is missing, and repairs what a crash or a change of the index left behind.
    pub async fn open(config: &StorageConfig, limits: Limits, index: Store) -> Result<Self, ArchiveError> {
        let (folder, minimum_free_bytes) = (config.path.clone(), config.minimum_free_mib << 20);
        let hides_quality_rejections = config.hide_quality_rejections;
        let (blobs, records) =
            blocking(move || Ok((Blobs::open(&folder, minimum_free_bytes)?, RecordFiles::open(&folder)?))).await?;
        let (blobs, records) = (Arc::new(blobs), Arc::new(records));
        let integrity = Arc::default();
        let archive =
            Self { blobs, records, integrity, index, limits, hides_quality_rejections, judging: Arc::default() };
        archive.recover().await?;
        Ok(archive)
    }

    /// The store that lists what the archive holds.
    pub fn index(&self) -> &Store {
        &self.index
    }

    /// Stores an object durably; returns only when it can no longer be lost.
    pub async fn store(&self, instance: ReceivedInstance) -> Result<Stored, ArchiveError> {
        let id = InstanceId::of(&instance.header)?;
        let stored = self.keep_and_file(id.clone(), instance).await;
        stored.inspect_err(|error| {
            // The index has a row of its own for each conflict.
            if !matches!(error, ArchiveError::Conflict(_)) {
                self.refused(id, RefusalCause::from(error));
            }
        })
    }

    async fn keep_and_file(&self, id: InstanceId, instance: ReceivedInstance) -> Result<Stored, ArchiveError> {
        let note = RejectionNote::read(&instance.header);
        if let Some(note) = &note {
            self.check_note(note, &instance.header, instance.rights.may_reject).await?;
        }
        let (unfiled, instance) = self.keep_as(id, instance).await?;
        let stored = match self.index.file(unfiled.clone()).await? {
            Filed::New => Stored::New,
            Filed::Known(known) if known.blob == unfiled.blob() => Stored::Already,
            Filed::Known(_) => self.reconcile(&unfiled, instance).await?,
        };
        if let Some(note) = note {
            self.reject_by_note(note, unfiled.sop_instance_uid(), unfiled.origin()).await?;
        }
        Ok(stored)
    }

    /// Notes that an object is refused, so that its series can say what it lacks and why. One whose header lacks an
    /// identifier belongs to no series.
    pub fn note_refusal(&self, header: &DataSet, cause: RefusalCause) {
        if let Ok(id) = InstanceId::of(header) {
            self.refused(id, cause);
        }
    }

    /// As [`Self::note_refusal`], of an object that cannot be read, if what comes before its pixels can be.
    pub fn note_unreadable(&self, bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits, error: &ReadError) {
        if let Ok(header) = bounded::leading_header(bytes, transfer_syntax_uid, limits) {
            self.note_refusal(&header, RefusalCause::from(error));
        }
    }

    fn refused(&self, id: InstanceId, cause: RefusalCause) {
        let InstanceId { series, sop_instance_uid, .. } = id;
        self.index.refused(Refusal { series, sop_instance_uid, cause, at: Timestamp::now() });
    }

    /// Makes the bytes of an object durable without listing it: it is filed later, in one transaction with everything
    /// else that must change at the same time. An object that is never filed is set aside at the next start.
    pub async fn keep(&self, instance: ReceivedInstance) -> Result<Unfiled, ArchiveError> {
        let id = InstanceId::of(&instance.header)?;
        Ok(self.keep_as(id, instance).await?.0)
    }

    pub(super) async fn keep_as(
        &self,
        id: InstanceId,
        instance: ReceivedInstance,
    ) -> Result<(Unfiled, ReceivedInstance), ArchiveError> {
        let meta = part10::preamble_and_meta(
            id.sop_class_uid.as_str(),
            id.sop_instance_uid.as_str(),
            instance.transfer_syntax_uid.as_str(),
        )?;
        let received_at = Timestamp::now();
        // The disk works while the digest is computed.
        let (blobs, data_set) = (Arc::clone(&self.blobs), instance.data_set.clone());
        let writing = blocking(move || {
            blobs.check_space()?;
            blobs.write(&[&meta, &data_set])
        });
        let describing = blocking(move || Ok((Unfiled::of(id, &instance, received_at), instance)));
        let (draft, (unfiled, instance)) = tokio::try_join!(writing, describing)?;
        let (blobs, name) = (Arc::clone(&self.blobs), unfiled.blob());
        blocking(move || blobs.publish(draft, name)).await?;
        self.integrity.repaired(name);
        Ok((unfiled, instance))
    }

    /// Answers a query; see [`Store::find`].
    pub async fn find(&self, level: Level, query: &Query) -> Result<Vec<DataSet>, ArchiveError> {
        Ok(self.index.find(level, query).await?)
    }

    /// The instances of a scope, in order of series and instance number; empty if there is nothing.
    pub async fn instances(&self, scope: &Scope) -> Result<Vec<StoredInstance>, ArchiveError> {
        Ok(self.index.instances(scope).await?.into_iter().map(|instance| self.stored(instance)).collect())
    }

    /// An instance of the index with the file of its bytes.
    pub(super) fn stored(&self, instance: IndexedInstance) -> StoredInstance {
        StoredInstance {
            path: self.blobs.path(instance.blob),
            study_instance_uid: instance.study_instance_uid,
            series_instance_uid: instance.series_instance_uid,
            sop_instance_uid: instance.sop_instance_uid,
            sop_class_uid: instance.sop_class_uid,
            transfer_syntax_uid: instance.transfer_syntax_uid,
            sha256: instance.sha256,
            blob: instance.blob,
            is_result: instance.is_result,
            received_at: instance.received_at,
        }
    }

    /// The file of an object, whether it is listed or not.
    pub fn path(&self, blob: BlobName) -> PathBuf {
        self.blobs.path(blob)
    }

    /// Those of these instances whose files are not what was received. Each is an alarm until it is sent again.
    pub async fn damaged_among(&self, instances: &[StoredInstance]) -> Result<Vec<Uid>, ArchiveError> {
        let (integrity, instances) = (Arc::clone(&self.integrity), instances.to_vec());
        blocking(move || {
            let damaged = instances.into_iter().filter(|instance| !integrity.is_whole(instance));
            Ok(damaged.map(|instance| instance.sop_instance_uid).collect())
        })
        .await
    }

    /// Fails with [`ArchiveError::Damaged`] if the file of one of these instances is not what was received.
    pub async fn check(&self, instances: &[StoredInstance]) -> Result<(), ArchiveError> {
        let damaged = self.damaged_among(instances).await?;
        if damaged.is_empty() { Ok(()) } else { Err(ArchiveError::Damaged(damaged)) }
    }

    /// The objects that are known to be damaged.
    pub fn damaged(&self) -> Vec<DamagedObject> {
        self.integrity.damaged()
    }

    /// Fails with [`ArchiveError::Full`] when the archive accepts nothing any more. Interfaces can check this early.
    pub async fn check_space(&self) -> Result<(), ArchiveError> {
        let blobs = Arc::clone(&self.blobs);
        blocking(move || blobs.check_space()).await
    }

    /// Fails if no object could be stored now: space ran out, or the disk refuses to write.
    pub async fn check_writable(&self) -> Result<(), ArchiveError> {
        let blobs = Arc::clone(&self.blobs);
        blocking(move || blobs.check_writable()).await
    }

    /// Free space where the objects lie, in bytes.
    pub async fn free_bytes(&self) -> Result<u64, ArchiveError> {
        let blobs = Arc::clone(&self.blobs);
        blocking(move || blobs.free_bytes()).await
    }

    /// Waits for what is being committed and closes the index. Every handle of this archive fails with
    /// [`ArchiveError::Closed`] from then on; when the last one is dropped, the folder can be opened again.
    pub async fn close(&self) {
        self.index.close().await;
    }
}

/// Runs blocking work on its own thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    // The work is not cancelled and does not panic by itself; what remains is the end of the runtime.
    spawn_blocking(work).await.unwrap_or(Err(ArchiveError::Closed))
}
