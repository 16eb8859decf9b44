//! What becomes of an object whose SOP Instance UID is known.
//!
//! The same content, in whatever encoding, is a duplicate: the sender is told of success, and a stored object that is
//! damaged is healed by it. Other content is never success, unless the sender is trusted with corrections and pixels and
//! geometry are equal. An object that says something else of patient or study is held for a person to decide.

use super::error::{ArchiveError, Conflict};
use super::handle::{Archive, blocking};
use super::{part10, samples};
use crate::dicom::content::{self, Content, Difference, Subject};
use crate::node::store::{
    BlobName, ConflictState, Filed, KnownObject, ReceivedInstance, Record, RecordedChange, Replacement, Stored, Unfiled,
};

/// How an object compares with the one that is listed.
enum Comparison {
    Same,
    /// The same, but the listed one is damaged.
    Heals,
    Differs(Difference),
    /// The listed one is damaged, so nobody knows.
    Unknown,
}

impl Archive {
    /// Judges an object, whose bytes are durable, against the one that is listed under its identifier.
    pub(super) async fn reconcile(&self, object: &Unfiled, instance: ReceivedInstance) -> Result<Stored, ArchiveError> {
        let _judging = self.judging.lock().await;
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
            Comparison::Unknown => Err(self.refuse(object, &Difference::default(), Conflict::Damaged).await?),
            Comparison::Differs(difference) => self.differs(&known, object, &difference, may_correct).await,
        }
    }

    async fn differs(
        &self,
        known: &KnownObject,
        object: &Unfiled,
        difference: &Difference,
        may_correct: bool,
    ) -> Result<Stored, ArchiveError> {
        let conflict = match difference.subject() {
            _ if known.is_result => Conflict::Result,
            Some(Subject::Address) => Conflict::Address,
            Some(Subject::Image) => Conflict::Image,
            Some(Subject::Patient | Subject::Description) | None => Conflict::Held,
        };
        if matches!(conflict, Conflict::Image | Conflict::Held) && known.is_rejected {
            self.replace_rejected(known, object, difference).await?;
            return Ok(Stored::Corrected);
        }
        if conflict != Conflict::Held {
            return Err(self.refuse(object, difference, conflict).await?);
        }
        self.index.note_conflict(object, difference, ConflictState::Held, may_correct).await?;
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
        Ok(if self.correct_if_complete(&known.series.study_instance_uid).await? {
            Stored::Corrected
        } else {
            Stored::Held
        })
    }

    /// Lists an object in the place of one that was rejected.
    async fn replace_rejected(
        &self,
        known: &KnownObject,
        object: &Unfiled,
        difference: &Difference,
    ) -> Result<(), ArchiveError> {
        self.index.note_conflict(object, difference, ConflictState::Held, false).await?;
        let replacement =
            Replacement { sop_instance_uid: object.sop_instance_uid().clone(), from: known.blob, to: object.blob() };
        let changes_patient = difference.tags().into_iter().any(content::is_of_patient);
        let change = RecordedChange::Correction { objects: vec![replacement], changes_patient };
        let study = known.series.study_instance_uid.clone();
        self.record(Record::new(object.origin().to_string(), study, change)).await
    }

    /// Notes that an object is refused and removes its bytes.
    async fn refuse(
        &self,
        object: &Unfiled,
        difference: &Difference,
        conflict: Conflict,
    ) -> Result<ArchiveError, ArchiveError> {
        self.index.note_conflict(object, difference, ConflictState::Refused, false).await?;
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

    async fn compare(
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
            let Ok((header, pixels)) = content::open(&listed, &limits) else { return Ok(Comparison::Unknown) };
            if !is_whole {
                return Ok(Comparison::Unknown);
            }
            let stored = Content { header: &header, pixels };
            let mut difference = Difference::between(stored, Content { header: &sent.header, pixels: sent.pixels });
            if difference.has_pixels() && !same_syntax && samples::are_equal(&listed, &received, &limits) {
                difference = difference.with_equal_pixels();
            }
            Ok(if difference.subject().is_none() { Comparison::Same } else { Comparison::Differs(difference) })
        })
        .await
    }

    /// Lists the bytes of a received object in the place of damaged ones with the same content.
    async fn heal(&self, known: &KnownObject, object: &Unfiled) -> Result<(), ArchiveError> {
        tracing::warn!(
            sop_instance_uid = %object.sop_instance_uid(),
            file = known.blob.to_text(),
            origin = %object.origin(),
            "the file of a stored object is damaged; it was sent again and is whole now"
        );
        self.index.heal(object).await?;
        Ok(())
    }
}
