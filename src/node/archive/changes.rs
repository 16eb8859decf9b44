//! Changes of what the archive lists: each is recorded, then the index is told of it.

use jiff::Timestamp;

use super::error::ArchiveError;
use super::handle::{Archive, blocking};
use crate::dicom::bounded;
use crate::node::store::{
    BlobName, CorrectionExtent, InstanceId, Origin, ReceivedInstance, Record, RecordedChange, Unfiled,
};

impl Archive {
    /// Makes a record durable and tells the index of it.
    pub(super) async fn record(&self, record: Record) -> Result<(), ArchiveError> {
        let (files, written) = (self.records.clone(), record.clone());
        blocking(move || files.write(&written)).await?;
        self.apply(&record).await
    }

    /// The records that the index does not know, oldest first.
    pub(super) async fn unapplied(&self) -> Result<Vec<Record>, ArchiveError> {
        let (files, known) = (self.records.clone(), self.index.record_ids().await?);
        blocking(move || files.read_others(&known)).await
    }

    /// Tells the index of records that it does not know.
    pub(super) async fn replay(&self) -> Result<(), ArchiveError> {
        for record in self.unapplied().await? {
            tracing::info!(record = record.id, "the index is told of a record that it did not know");
            self.apply(&record).await?;
        }
        Ok(())
    }

    /// Tells the index of a record.
    pub(super) async fn apply(&self, record: &Record) -> Result<(), ArchiveError> {
        match &record.change {
            RecordedChange::Correction { objects, changes_patient, replaces_rejected } => {
                let mut corrected = Vec::with_capacity(objects.len());
                for object in objects {
                    corrected.push(self.described(object.to, record).await?);
                }
                let extent = CorrectionExtent { of_study: *changes_patient, shows: *replaces_rejected };
                Ok(self.index.correct(record, &corrected, extent).await?)
            }
            RecordedChange::Rejection { reason, objects, .. } => {
                Ok(self.index.reject(record, objects, reason.voids_results()).await?)
            }
            RecordedChange::Restoration { rejection, objects } => {
                Ok(self.index.restore(record, rejection, objects).await?)
            }
        }
    }

    /// What the index keeps of an object that lies in a file.
    async fn described(&self, blob: BlobName, record: &Record) -> Result<Unfiled, ArchiveError> {
        let (path, limits) = (self.blobs.path(blob), self.limits);
        let (origin, at): (Origin, Timestamp) = (Origin::Correction { by: record.by.clone() }, record.at);
        blocking(move || {
            let instance = ReceivedInstance::of_file(&bounded::read(&path, &limits)?.into(), origin, &limits)?;
            let described = Unfiled::of(InstanceId::of(&instance.header)?, &instance, at);
            if described.blob() != blob {
                return Err(ArchiveError::Unfit("its file is damaged".to_owned()));
            }
            Ok(described)
        })
        .await
    }
}
