//! Corrections of patient and study: when they take effect, and how.

use std::collections::BTreeSet;

use dicom_object::Tag;
use jiff::Timestamp;

use super::error::ArchiveError;
use super::handle::{Archive, blocking};
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{Uid, bounded, content};
use crate::node::store::{
    BlobName, HeldObject, InstanceId, Origin, ReceivedInstance, Record, RecordedChange, Replacement, Scope, Unfiled,
};

impl Archive {
    /// Corrects a study if all its stored objects have come again from trusted senders, or say already what the new ones
    /// say. Returns whether it was corrected.
    pub(super) async fn correct_if_complete(&self, study: &Uid) -> Result<bool, ArchiveError> {
        let held: Vec<HeldObject> =
            self.index.held_objects(study).await?.into_iter().filter(|held| held.trusted).collect();
        let Some(first) = held.first() else { return Ok(false) };
        let corrected: BTreeSet<Tag> = held.iter().flat_map(|held| held.differing.iter().copied()).collect();
        let agrees = |header: &DataSet| {
            corrected.iter().all(|tag| elements::texts(header, *tag) == elements::texts(&first.attributes, *tag))
        };
        if !held.iter().all(|held| agrees(&held.attributes)) || !self.others_agree(study, &held, agrees).await? {
            return Ok(false);
        }
        let by = first.origin.clone();
        self.correct(study, &held, by).await?;
        Ok(true)
    }

    /// Accepts what is held for a study, whoever sent it. Returns how many objects were corrected.
    pub async fn accept_held(&self, study: &Uid, by: &str) -> Result<usize, ArchiveError> {
        let _judging = self.judging.lock().await;
        let held = self.index.held_objects(study).await?;
        if !held.is_empty() {
            self.correct(study, &held, by.to_owned()).await?;
        }
        Ok(held.len())
    }

    /// Refuses what is held for a study: the stored objects stand. Returns how many objects were held.
    pub async fn refuse_held(&self, study: &Uid) -> Result<u64, ArchiveError> {
        let _judging = self.judging.lock().await;
        Ok(self.index.refuse_held(study).await?)
    }

    /// True if the stored objects that did not come again agree with those that did. The first that does not ends the
    /// search.
    async fn others_agree(
        &self,
        study: &Uid,
        held: &[HeldObject],
        agrees: impl Fn(&DataSet) -> bool,
    ) -> Result<bool, ArchiveError> {
        let came: BTreeSet<&Uid> = held.iter().map(|held| &held.sop_instance_uid).collect();
        for instance in self.instances(&Scope::Study(study.clone())).await? {
            if instance.is_result || came.contains(&instance.sop_instance_uid) {
                continue;
            }
            let (path, limits) = (instance.path, self.limits);
            let header = blocking(move || Ok(bounded::open_header(&path, &limits).ok())).await?;
            if !header.is_some_and(|header| agrees(&header)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn correct(&self, study: &Uid, held: &[HeldObject], by: String) -> Result<(), ArchiveError> {
        let objects = held.iter().map(|held| Replacement {
            sop_instance_uid: held.sop_instance_uid.clone(),
            from: held.listed,
            to: held.blob,
        });
        let changes_patient = held.iter().any(|held| held.differing.iter().any(|tag| content::is_of_patient(*tag)));
        let change = RecordedChange::Correction { objects: objects.collect(), changes_patient };
        self.record(Record::new(by, study.clone(), change)).await
    }

    /// Tells the index of a record.
    pub(super) async fn apply(&self, record: &Record) -> Result<(), ArchiveError> {
        match &record.change {
            RecordedChange::Correction { objects, .. } => {
                let mut corrected = Vec::with_capacity(objects.len());
                for object in objects {
                    corrected.push(self.described(object.to, record).await?);
                }
                Ok(self.index.correct(record, &corrected).await?)
            }
        }
    }

    /// What the index keeps of an object that lies in a file.
    async fn described(&self, blob: BlobName, record: &Record) -> Result<Unfiled, ArchiveError> {
        let (path, limits) = (self.blobs.path(blob), self.limits);
        let (origin, at): (Origin, Timestamp) = (Origin::Correction { by: record.by.clone() }, record.at);
        blocking(move || {
            let unreadable = |error: bounded::ReadError| ArchiveError::Unfit(error.to_string());
            let bytes = bytes::Bytes::from(bounded::read(&path, &limits).map_err(unreadable)?);
            let parts = bounded::split(&bytes).map_err(unreadable)?;
            let (header, pixels) =
                content::read(parts.data_set, &parts.transfer_syntax_uid, &limits).map_err(unreadable)?;
            let id = InstanceId::of(&header)?;
            let transfer_syntax_uid = Uid::parse(&parts.transfer_syntax_uid)
                .map_err(|error| ArchiveError::Unfit(error.to_string()))?;
            let data_set = bytes.slice_ref(parts.data_set);
            let instance =
                ReceivedInstance { transfer_syntax_uid, data_set, header, pixels, origin, may_correct: false };
            let described = Unfiled::of(id, &instance, at);
            if described.blob() != blob {
                return Err(ArchiveError::Unfit("its file is damaged".to_owned()));
            }
            Ok(described)
        })
        .await
    }
}
