//! Corrections of patient and study: when they take effect, and how.

use std::collections::BTreeSet;

use super::error::ArchiveError;
use super::handle::{Archive, blocking};
use super::rewriting;
use super::stored::StoredInstance;
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{Uid, bounded, content};
use crate::node::store::{HeldObject, Origin, Record, RecordedChange, Replacement, Scope};
use dicom_object::Tag;

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
        self.correct(study, replacements(&held), changes_patient(&held), by).await?;
        Ok(true)
    }

    /// Accepts what is held for a study, whoever sent it. Stored objects that did not come again are corrected like those
    /// that did: the study stays whole. Returns how many objects were corrected.
    ///
    /// # Errors
    /// [`ArchiveError::Unfit`]: a stored object cannot be written with the new values. Nothing has changed.
    pub async fn accept_held(&self, study: &Uid, by: &str) -> Result<usize, ArchiveError> {
        let _judging = self.judging.lock().await;
        let held = self.index.held_objects(study).await?;
        let Some(example) = held.last() else { return Ok(0) };
        let mut replacements = replacements(&held);
        replacements.extend(self.correct_others(study, &held, example, by).await?);
        let corrected = replacements.len();
        self.correct(study, replacements, changes_patient(&held), by.to_owned()).await?;
        Ok(corrected)
    }

    /// Writes the stored objects that did not come again as `example` has it.
    async fn correct_others(
        &self,
        study: &Uid,
        held: &[HeldObject],
        example: &HeldObject,
        by: &str,
    ) -> Result<Vec<Replacement>, ArchiveError> {
        let tags: BTreeSet<Tag> =
            example.differing.iter().copied().filter(|tag| content::is_of_patient(*tag)).collect();
        let (path, limits) = (self.blobs.path(example.blob), self.limits);
        let corrected = blocking(move || Ok(bounded::open_header(&path, &limits)?.into_inner())).await?;
        let mut others = Vec::new();
        for instance in self.outstanding(study, held).await? {
            let (path, corrected, tags) = (instance.path, corrected.clone(), tags.clone());
            let origin = Origin::Correction { by: by.to_owned() };
            let written =
                blocking(move || rewriting::with_attributes(&path, &corrected, &tags, origin, &limits)).await?;
            let kept = self.keep(written).await?;
            let from = instance.blob;
            if kept.blob() != from {
                others.push(Replacement { sop_instance_uid: instance.sop_instance_uid, from, to: kept.blob() });
            }
        }
        Ok(others)
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
        for instance in self.outstanding(study, held).await? {
            let (path, limits) = (instance.path, self.limits);
            let header = blocking(move || Ok(bounded::open_header(&path, &limits).ok())).await?;
            if !header.is_some_and(|header| agrees(&header)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The stored objects of a study that did not come again; results of this node are made anew.
    async fn outstanding(&self, study: &Uid, held: &[HeldObject]) -> Result<Vec<StoredInstance>, ArchiveError> {
        let came: BTreeSet<&Uid> = held.iter().map(|held| &held.sop_instance_uid).collect();
        let mut stored = self.instances(&Scope::Study(study.clone())).await?;
        stored.retain(|instance| !instance.is_result && !came.contains(&instance.sop_instance_uid));
        Ok(stored)
    }

    async fn correct(
        &self,
        study: &Uid,
        objects: Vec<Replacement>,
        changes_patient: bool,
        by: String,
    ) -> Result<(), ArchiveError> {
        let change = RecordedChange::Correction { objects, changes_patient };
        self.record(Record::new(by, study.clone(), change)).await
    }
}

fn replacements(held: &[HeldObject]) -> Vec<Replacement> {
    let replacement = |held: &HeldObject| Replacement {
        sop_instance_uid: held.sop_instance_uid.clone(),
        from: held.listed,
        to: held.blob,
    };
    held.iter().map(replacement).collect()
}

/// True if patient or study change, and not descriptions alone.
fn changes_patient(held: &[HeldObject]) -> bool {
    held.iter().any(|held| held.differing.iter().any(|tag| content::is_of_patient(*tag)))
}
