//! Corrections of patient and study: when they take effect, and how.

use std::collections::BTreeSet;

use super::error::{ArchiveError, DecisionError};
use super::handle::{Archive, blocking};
use super::rewriting;
use super::stored::StoredInstance;
use crate::dicom::elements::DataSet;
use crate::dicom::{SeriesId, Uid, bounded};
use crate::node::store::{
    BlobName, Differing, HeldObject, Origin, Proposal, Record, RecordedChange, Replacement, Scope,
};

/// What became of a study whose proposal was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Objects that were corrected.
    pub corrected: usize,
    /// Objects that stay as they are: they said something else than those that came again.
    pub left: usize,
}

/// What becomes of a stored object that did not come again.
enum Rest {
    /// It says already what is proposed.
    Agrees,
    /// It was written as it is proposed.
    Written(Replacement),
    /// It said something else than those that came.
    Other,
}

impl Archive {
    /// Corrects a study if all its stored objects have come again from trusted senders with what `object` says, or say it
    /// already. Returns whether it was corrected.
    pub(super) async fn correct_if_complete(
        &self,
        study: &Uid,
        object: BlobName,
        differing: &Differing,
    ) -> Result<bool, ArchiveError> {
        // One look at a stored object that did not come again spares reading all that did, for each one that comes.
        let notes = self.rejection_notes(study).await?;
        let outstanding = self.index.first_outstanding(study, notes.len() + 1).await?;
        let first = outstanding.into_iter().find(|instance| !notes.contains(&instance.sop_instance_uid));
        if let Some(first) = first
            && !self.says(&self.stored(first), |header| differing.agrees(header)).await?
        {
            return Ok(false);
        }
        let mut held = self.index.held_objects(study).await?;
        held.retain(|object| object.trusted);
        let is_of_object = |proposal: &Proposal| proposal.objects.iter().any(|held| held.blob == object);
        let Some(proposal) = Proposal::all(held).into_iter().find(is_of_object) else { return Ok(false) };
        if proposal.is_contradictory() || !self.others_agree(study, &proposal).await? {
            return Ok(false);
        }
        let mut objects = replacements(&proposal);
        let by = proposal.objects.first().map(|object| object.origin.clone()).unwrap_or_default();
        objects.extend(self.hidden_rewritten(study, &proposal, &by).await?);
        self.correct(study, &proposal, objects, by).await?;
        Ok(true)
    }

    /// Accepts what is proposed for a study, whoever sent it. Stored objects that did not come again are corrected like
    /// those that did, if they said the same before: the study stays whole. Those that said something else are left.
    ///
    /// `id` names one of several proposals. The result is `None` if nothing is held.
    ///
    /// # Errors
    /// [`DecisionError::Unclear`]: what is accepted? [`ArchiveError::Unfit`]: a stored object cannot be
    /// written with the new values. Nothing has changed.
    pub async fn accept_held(
        &self,
        study: &Uid,
        id: Option<&str>,
        by: &str,
    ) -> Result<Option<Accepted>, DecisionError> {
        let _judging = self.judging.lock().await;
        let proposals = Proposal::all(self.index.held_objects(study).await.map_err(ArchiveError::from)?);
        if proposals.is_empty() {
            return Ok(None);
        }
        let proposal = chosen(proposals, id)?;
        let mut objects = replacements(&proposal);
        let mut left = 0;
        for instance in self.outstanding(study, &proposal).await? {
            match self.rewrite(&instance, &proposal, by).await? {
                Rest::Agrees => {}
                Rest::Written(replacement) => objects.push(replacement),
                Rest::Other => left += 1,
            }
        }
        objects.extend(self.hidden_rewritten(study, &proposal, by).await?);
        let corrected = objects.len();
        self.correct(study, &proposal, objects, by.to_owned()).await?;
        Ok(Some(Accepted { corrected, left }))
    }

    /// Refuses what is held for a study: the stored objects stand. Returns how many objects were held.
    pub async fn refuse_held(&self, study: &Uid) -> Result<u64, ArchiveError> {
        let _judging = self.judging.lock().await;
        Ok(self.index.refuse_held(study).await?)
    }

    /// Writes a stored object that did not come again as it is proposed, if it said the same as those that came.
    async fn rewrite(&self, instance: &StoredInstance, proposal: &Proposal, by: &str) -> Result<Rest, ArchiveError> {
        let header = self.header(instance).await?;
        if proposal.agrees(&header) {
            return Ok(Rest::Agrees);
        }
        let series = SeriesId::new(instance.study_instance_uid.clone(), instance.series_instance_uid.clone());
        let example = proposal.example_for(&series).filter(|_| proposal.is_of_replaced(&header));
        let Some((example, tags)) = example else { return Ok(Rest::Other) };
        let (example, path, limits) = (self.blobs.path(example.blob), instance.path.clone(), self.limits);
        let origin = Origin::Correction { by: by.to_owned() };
        let written = blocking(move || {
            let corrected = bounded::open_header(&example, &limits)?.into_inner();
            rewriting::with_attributes(&path, &corrected, &tags, origin, &limits)
        })
        .await?;
        let kept = self.keep(written).await?;
        let (sop_instance_uid, from, to) = (instance.sop_instance_uid.clone(), instance.blob, kept.blob());
        Ok(if from == to { Rest::Agrees } else { Rest::Written(Replacement { sop_instance_uid, from, to }) })
    }

    /// True if the stored objects that did not come again agree with those that did. The first that does not ends the
    /// search.
    async fn others_agree(&self, study: &Uid, proposal: &Proposal) -> Result<bool, ArchiveError> {
        for instance in self.outstanding(study, proposal).await? {
            if !self.says(&instance, |header| proposal.agrees(header)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True if a stored object says already what is proposed. One that cannot be read says nothing.
    async fn says(&self, instance: &StoredInstance, agrees: impl Fn(&DataSet) -> bool) -> Result<bool, ArchiveError> {
        match self.header(instance).await {
            Ok(header) => Ok(agrees(&header)),
            Err(ArchiveError::Unfit(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn header(&self, instance: &StoredInstance) -> Result<DataSet, ArchiveError> {
        let (path, limits) = (instance.path.clone(), self.limits);
        blocking(move || Ok(bounded::open_header(&path, &limits)?.into_inner())).await
    }

    /// The stored objects of a study that did not come again. Results of this node are made anew, and rejection notes are
    /// withdrawn.
    async fn outstanding(&self, study: &Uid, proposal: &Proposal) -> Result<Vec<StoredInstance>, ArchiveError> {
        let notes = self.rejection_notes(study).await?;
        let mut stored = self.instances(&Scope::Study(study.clone())).await?;
        stored.retain(|instance| !notes.contains(&instance.sop_instance_uid));
        Ok(others(stored, proposal))
    }

    /// The rejected objects of a study that did not come again, as it is proposed. One that cannot be written stays as it
    /// is, since nobody sees it.
    async fn hidden_rewritten(
        &self,
        study: &Uid,
        proposal: &Proposal,
        by: &str,
    ) -> Result<Vec<Replacement>, ArchiveError> {
        let hidden = self.index.rejected_instances(study).await?;
        let hidden = hidden.into_iter().map(|instance| self.stored(instance)).collect();
        let mut objects = Vec::new();
        for instance in others(hidden, proposal) {
            match self.rewrite(&instance, proposal, by).await {
                Ok(Rest::Written(replacement)) => objects.push(replacement),
                Ok(Rest::Agrees | Rest::Other) => {}
                Err(error @ ArchiveError::Unfit(_)) => {
                    let sop_instance_uid = &instance.sop_instance_uid;
                    tracing::warn!(%error, %sop_instance_uid, "a rejected object keeps its old patient");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(objects)
    }

    /// The rejection notes that took effect in a study.
    async fn rejection_notes(&self, study: &Uid) -> Result<BTreeSet<Uid>, ArchiveError> {
        let records = self.index.records(study).await?;
        let note = |record: Record| match record.change {
            RecordedChange::Rejection { note, .. } => note,
            RecordedChange::Correction { .. } | RecordedChange::Restoration { .. } => None,
        };
        Ok(records.into_iter().filter_map(note).collect())
    }

    async fn correct(
        &self,
        study: &Uid,
        proposal: &Proposal,
        objects: Vec<Replacement>,
        by: String,
    ) -> Result<(), ArchiveError> {
        let changes_patient = proposal.changes_patient();
        let change = RecordedChange::Correction { objects, changes_patient, replaces_rejected: false };
        self.record(Record::new(by, study.clone(), change)).await
    }
}

/// The proposal that a person means.
fn chosen(mut proposals: Vec<Proposal>, id: Option<&str>) -> Result<Proposal, DecisionError> {
    let proposal = match id {
        None if proposals.len() > 1 => {
            return Err(DecisionError::Unclear(
                "what is held for the study contradicts itself; name one of its proposals",
            ));
        }
        None => proposals.pop(),
        Some(id) => proposals.into_iter().find(|proposal| proposal.id == id),
    };
    let proposal = proposal.ok_or(DecisionError::Unclear(
        "nothing of this name is proposed for the study; more may have come since, look again",
    ))?;
    if proposal.is_contradictory() {
        return Err(DecisionError::Unclear(
            "objects of one series contradict each other; refuse them and have the study sent again",
        ));
    }
    Ok(proposal)
}

fn others(mut stored: Vec<StoredInstance>, proposal: &Proposal) -> Vec<StoredInstance> {
    let came: BTreeSet<&Uid> = proposal.objects.iter().map(|object| &object.sop_instance_uid).collect();
    stored.retain(|instance| !instance.is_result && !came.contains(&instance.sop_instance_uid));
    stored
}

fn replacements(proposal: &Proposal) -> Vec<Replacement> {
    let replacement = |object: &HeldObject| Replacement {
        sop_instance_uid: object.sop_instance_uid.clone(),
        from: object.listed,
        to: object.blob,
    };
    proposal.objects.iter().map(replacement).collect()
}
