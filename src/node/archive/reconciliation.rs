//! What becomes of an object whose SOP Instance UID is known.
//!
//! The same content, in whatever encoding, is a duplicate: the sender is told of success, and a stored object that is
//! damaged is healed by it. Other content is never success, unless the sender is trusted with corrections and pixels and
//! geometry are equal. An object that says something else of patient or study is held for a person to decide.

use std::collections::BTreeSet;

use dicom_object::Tag;

use super::error::{ArchiveError, Conflict};
use super::handle::{Archive, blocking};
use super::{part10, samples};
use crate::dicom::content::{self, Content, Difference, Subject};
use crate::dicom::elements::DataSet;
use crate::node::store::{
    BlobName, ConflictState, Differing, Filed, InstanceId, KnownObject, Level, ReceivedInstance, Record,
    RecordedChange, Replacement, Stored, Unfiled,
};

/// How an object compares with the one that is listed.
pub(super) enum Comparison {
    Same,
    /// The same, but the listed one is damaged.
    Heals,
    Differs(Box<Differing>),
    /// The listed one is damaged, so nobody knows.
    Unknown(Box<Differing>),
}

impl Conflict {
    /// Why an object is not stored that differs from the one that is listed under its identifier.
    pub(super) fn between(known: &KnownObject, differing: &Differing) -> Self {
        match differing.difference.subject() {
            _ if known.is_result => Self::Result,
            Some(Subject::Address) => Self::Address,
            Some(Subject::Image) => Self::Image,
            Some(Subject::Patient | Subject::Description) | None => Self::Held,
        }
    }
}

impl Archive {
    /// Judges an object, whose bytes are durable, against the one that is listed under its identifier.
    pub(super) async fn reconcile(&self, object: &Unfiled, instance: ReceivedInstance) -> Result<Stored, ArchiveError> {
        let _judging = self.judging.lock().await;
        let instance = self.kept_still(object, instance).await?;
        // What is listed may have changed while this waited.
        let known = match self.index.file(object.clone()).await? {
            Filed::New => return Ok(Stored::New),
            Filed::Known(known) if known.blob == object.blob() => return Ok(Stored::Already),
            Filed::Known(known) => known,
        };
        let may_correct = instance.rights.may_correct;
        match self.compare(&known, object, instance).await? {
            Comparison::Same => {
                self.discard(object).await?;
                Ok(Stored::Already)
            }
            Comparison::Heals => {
                self.heal(&known, object).await?;
                Ok(Stored::Already)
            }
            Comparison::Unknown(differing) => Err(self.refuse(object, &differing, Conflict::Damaged).await?),
            Comparison::Differs(differing) => self.differs(&known, object, &differing, may_correct).await,
        }
    }

    /// Keeps the bytes of an object again if those that came with another association were judged, and removed, meanwhile.
    async fn kept_still(&self, object: &Unfiled, instance: ReceivedInstance) -> Result<ReceivedInstance, ArchiveError> {
        if self.blobs.path(object.blob()).exists() {
            return Ok(instance);
        }
        let id = InstanceId::of(&instance.header)?;
        Ok(self.keep_as(id, instance).await?.1)
    }

    async fn differs(
        &self,
        known: &KnownObject,
        object: &Unfiled,
        differing: &Differing,
        may_correct: bool,
    ) -> Result<Stored, ArchiveError> {
        let conflict = Conflict::between(known, differing);
        let is_candidate = known.is_rejected && matches!(conflict, Conflict::Image | Conflict::Held);
        if is_candidate && let Some(changes_patient) = self.fits_study(known, differing).await? {
            self.replace_rejected(known, object, differing, changes_patient).await?;
            return Ok(Stored::Corrected);
        }
        if conflict != Conflict::Held {
            return Err(self.refuse(object, differing, conflict).await?);
        }
        self.index.note_conflict(object, differing, ConflictState::Held, may_correct).await?;
        tracing::warn!(
            sop_instance_uid = %object.sop_instance_uid(),
            study_instance_uid = %known.series.study_instance_uid,
            origin = %object.origin(),
            may_correct,
            "an object is held: it says something else of patient or study than the stored one"
        );
        if !may_correct {
            return Err(Conflict::Held.into());
        }
        let study = &known.series.study_instance_uid;
        let corrected = self.correct_if_complete(study, object.blob(), differing).await?;
        Ok(if corrected { Stored::Corrected } else { Stored::Held })
    }

    /// Whether an object may take the place of a rejected one: it says of patient and study what the study says, or nothing
    /// else of the study is listed, and the study changes with it. `Some(true)`: the study changes.
    async fn fits_study(&self, known: &KnownObject, differing: &Differing) -> Result<Option<bool>, ArchiveError> {
        let study = &known.series.study_instance_uid;
        let questioned = differing.study_tags();
        if questioned.is_empty() {
            return Ok(Some(false));
        }
        if self.index.first_outstanding(study, 1).await?.is_empty() && self.index.held_objects(study).await?.is_empty()
        {
            return Ok(Some(true));
        }
        let Some(of_study) = self.index.study_attributes(study).await? else { return Ok(Some(true)) };
        let compared: BTreeSet<Tag> =
            questioned.into_iter().filter(|tag| Level::Study.attributes().contains(tag)).collect();
        let agrees = content::digest_of(&of_study, &compared) == content::digest_of(&differing.received, &compared);
        Ok(agrees.then_some(false))
    }

    /// Lists an object in the place of one that was rejected.
    async fn replace_rejected(
        &self,
        known: &KnownObject,
        object: &Unfiled,
        differing: &Differing,
        changes_patient: bool,
    ) -> Result<(), ArchiveError> {
        self.index.note_conflict(object, differing, ConflictState::Held, false).await?;
        let replacement =
            Replacement { sop_instance_uid: object.sop_instance_uid().clone(), from: known.blob, to: object.blob() };
        let change =
            RecordedChange::Correction { objects: vec![replacement], changes_patient, replaces_rejected: true };
        let study = known.series.study_instance_uid.clone();
        self.record(Record::new(object.origin().to_string(), study, change)).await
    }

    /// Notes that an object is refused and removes its bytes.
    async fn refuse(
        &self,
        object: &Unfiled,
        differing: &Differing,
        conflict: Conflict,
    ) -> Result<ArchiveError, ArchiveError> {
        self.index.note_conflict(object, differing, ConflictState::Refused, false).await?;
        self.discard(object).await?;
        tracing::warn!(
            sop_instance_uid = %object.sop_instance_uid(),
            origin = %object.origin(),
            reason = %conflict,
            "an object is refused: its identifier is taken"
        );
        Ok(conflict.into())
    }

    /// Removes the bytes of an object that nothing refers to.
    async fn discard(&self, object: &Unfiled) -> Result<(), ArchiveError> {
        if self.index.is_referenced(object.blob()).await? {
            return Ok(());
        }
        let (blobs, name) = (self.blobs.clone(), object.blob());
        blocking(move || blobs.remove(name)).await
    }

    pub(super) async fn compare(
        &self,
        known: &KnownObject,
        object: &Unfiled,
        sent: ReceivedInstance,
    ) -> Result<Comparison, ArchiveError> {
        let same = known.content.as_ref() == Some(object.content());
        let [listed, received] = [known.blob, object.blob()].map(|blob| self.blobs.path(blob));
        let (name, same_syntax) = (known.blob, known.transfer_syntax_uid == *object.transfer_syntax_uid());
        let limits = self.limits;
        blocking(move || {
            let is_whole = part10::stored(&listed)
                .is_ok_and(|found| BlobName::of(&found.sha256, &found.transfer_syntax_uid) == name);
            if same {
                return Ok(if is_whole { Comparison::Same } else { Comparison::Heals });
            }
            let received_says = content::of_patient(&sent.header);
            let unknown = Differing {
                difference: Difference::default(),
                stored: DataSet::new_empty(),
                received: received_says.clone(),
            };
            let Ok((header, pixels)) = content::open(&listed, &limits) else {
                return Ok(Comparison::Unknown(Box::new(unknown)));
            };
            if !is_whole {
                return Ok(Comparison::Unknown(Box::new(unknown)));
            }
            let stored = Content { header: &header, pixels };
            let mut difference = Difference::between(stored, Content { header: &sent.header, pixels: sent.pixels });
            if difference.has_pixels() && !same_syntax && samples::are_equal(&listed, &received, &limits) {
                difference = difference.with_equal_pixels();
            }
            if difference.subject().is_none() {
                return Ok(Comparison::Same);
            }
            let stored = content::of_patient(&header);
            Ok(Comparison::Differs(Box::new(Differing { difference, stored, received: received_says })))
        })
        .await
    }

    /// Lists the bytes of a received object in the place of damaged ones with the same content.
    pub(super) async fn heal(&self, known: &KnownObject, object: &Unfiled) -> Result<(), ArchiveError> {
        tracing::warn!(
            sop_instance_uid = %object.sop_instance_uid(),
            file = known.blob.to_text(),
            origin = %object.origin(),
            "the file of a stored object is damaged; it was sent again and is whole now"
        );
        self.index.heal(object).await?;
        self.integrity.repaired(known.blob);
        Ok(())
    }
}
