//! Rejections: objects that are not to be used any more. No bytes are deleted, and each rejection can be revoked.

use std::collections::BTreeSet;

use dicom_dictionary_std::tags;

use super::error::ArchiveError;
use super::handle::Archive;
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{RejectionNote, RejectionReason, Uid};
use crate::node::store::{Origin, Record, RecordedChange, Scope};

impl Archive {
    /// Checks that a note may take effect: its sender may reject, and the objects are those of its patient and study.
    pub(super) async fn check_note(
        &self,
        note: &RejectionNote,
        header: &DataSet,
        may_reject: bool,
    ) -> Result<(), ArchiveError> {
        if !may_reject {
            return Err(ArchiveError::Forbidden("rejection notes of this sender are not accepted"));
        }
        let study = elements::uid(header, tags::STUDY_INSTANCE_UID);
        if note.objects.iter().any(|(series, _)| Some(&series.study_instance_uid) != study.as_ref()) {
            return Err(ArchiveError::Unfit("the note names objects of another study".to_owned()));
        }
        let Some(study) = study else { return Ok(()) };
        for (series, object) in &note.objects {
            if self.index.series_of_object(object).await?.is_some_and(|stored| stored != *series) {
                return Err(ArchiveError::Unfit(format!(
                    "the note names {object} in another series or study than its own"
                )));
            }
        }
        let patient = elements::text(header, tags::PATIENT_ID).unwrap_or_default();
        let stored = self.index.study_attributes(&study).await?;
        if stored.is_some_and(|stored| elements::text(&stored, tags::PATIENT_ID).unwrap_or_default() != patient) {
            return Err(ArchiveError::Unfit("the note names another patient than the study has".to_owned()));
        }
        Ok(())
    }

    /// Rejects the objects of a note that is stored, once: a note whose effect a crash prevented takes effect when it is
    /// sent again.
    pub(super) async fn reject_by_note(
        &self,
        note: RejectionNote,
        sop_instance_uid: &Uid,
        origin: &Origin,
    ) -> Result<(), ArchiveError> {
        let Some((series, _)) = note.objects.first() else { return Ok(()) };
        let study = series.study_instance_uid.clone();
        let is_of_note = |record: &Record| matches!(&record.change, RecordedChange::Rejection { note: Some(note), .. } if note == sop_instance_uid);
        if self.index.records(&study).await?.iter().any(is_of_note) {
            return Ok(());
        }
        let objects = note.objects.into_iter().map(|(_, object)| object).collect();
        self.record_rejection(study, note.reason, Some(sop_instance_uid.clone()), objects, origin.to_string()).await
    }

    /// Rejects all objects of a study, a series or an instance. Returns how many there are. Results of this node are
    /// rejected by their own identifiers alone: with their images they are withdrawn.
    pub async fn reject(&self, scope: &Scope, reason: RejectionReason, by: String) -> Result<usize, ArchiveError> {
        let mut instances = self.instances(scope).await?;
        if matches!(scope, Scope::Study(_)) {
            instances.retain(|instance| !instance.is_result);
        }
        let objects: BTreeSet<Uid> = instances.into_iter().map(|instance| instance.sop_instance_uid).collect();
        let count = objects.len();
        if count > 0 {
            self.record_rejection(scope.study().clone(), reason, None, objects, by).await?;
        }
        Ok(count)
    }

    /// Revokes a rejection. Returns how many objects it had named; `None` if the study has no such record.
    pub async fn restore(&self, study: &Uid, record: &str, by: String) -> Result<Option<usize>, ArchiveError> {
        let records = self.index.records(study).await?;
        let rejection = records.into_iter().find(|known| known.id == record).map(|known| known.change);
        let Some(RecordedChange::Rejection { objects, .. }) = rejection else { return Ok(None) };
        let count = objects.len();
        let change = RecordedChange::Restoration { rejection: record.to_owned(), objects };
        self.record(Record::new(by, study.clone(), change)).await?;
        Ok(Some(count))
    }

    async fn record_rejection(
        &self,
        study: Uid,
        reason: RejectionReason,
        note: Option<Uid>,
        objects: BTreeSet<Uid>,
        by: String,
    ) -> Result<(), ArchiveError> {
        if reason == RejectionReason::Quality && !self.hides_quality_rejections {
            tracing::info!(%study, objects = objects.len(), by, "rejected for quality; they stay in use, as the settings ask");
            return Ok(());
        }
        self.record(Record::new(by, study, RecordedChange::Rejection { reason, note, objects })).await
    }
}
