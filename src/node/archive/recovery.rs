//! What a start finds: drafts of a crash, files that the index does not know, files that are gone.
//!
//! A file that the index does not know was never acknowledged, or the index is not the one that it was filed in: it was
//! lost, or restored from an earlier backup. Its object is listed, in the order in which the files came, and records that
//! the index does not know are replayed over them. Results of this node are not listed so: their exams are analysed
//! again.

use std::collections::BTreeSet;
use std::sync::Arc;

use dicom_dictionary_std::tags;
use jiff::Timestamp;

use super::blobs::FoundBlob;
use super::error::{ArchiveError, Conflict};
use super::handle::{Archive, blocking};
use super::reconciliation::Comparison;
use super::stored::StoredInstance;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements::{self, DataSet};
use crate::engine::report::PRODUCT;
use crate::node::store::{
    BlobName, ConflictState, Filed, InstanceId, KnownObject, Origin, ReceivedInstance, Record, RecordedChange, Unfiled,
};

/// Files after which the log says how far a recovery is.
const STEP: usize = 1000;
/// Objects without a file that are named at the start; the others are named when they are asked for.
const MOST_NAMED: usize = 1000;

impl Archive {
    /// Removes drafts, which were never acknowledged, lists objects that the index does not know, replays records, and
    /// notes what is gone. What cannot be listed is set aside and kept.
    pub(super) async fn recover(&self) -> Result<(), ArchiveError> {
        let blobs = Arc::clone(&self.blobs);
        let drafts = blocking(move || blobs.remove_drafts()).await?;
        if drafts > 0 {
            tracing::info!(drafts, "removed drafts that were never acknowledged");
        }
        self.fetch_known_orphans().await?;
        // An object of a correction takes the place of another one, which is listed first.
        let corrected: BTreeSet<BlobName> = self.unapplied().await?.iter().flat_map(corrected_blobs).collect();
        let reclaimed = self.reclaim_unknown(&corrected).await?;
        self.replay().await?;
        // What no record put in the place of another object stands by itself.
        let reclaimed =
            reclaimed + if corrected.is_empty() { 0 } else { self.reclaim_unknown(&BTreeSet::new()).await? };
        if reclaimed > 0 {
            tracing::warn!(
                reclaimed,
                "objects that the index did not know are listed again; their exams are analysed again"
            );
        }
        self.set_unknown_aside().await?;
        self.note_missing().await
    }

    /// Puts files in their places that lie in `orphans/` although the index, or a record, knows them.
    async fn fetch_known_orphans(&self) -> Result<(), ArchiveError> {
        let known = self.known_blobs().await?;
        let blobs = Arc::clone(&self.blobs);
        let fetched = blocking(move || {
            let mut fetched = 0_usize;
            for found in blobs.orphans()?.iter().filter(|found| known.contains(&found.name)) {
                blobs.fetch_orphan(found.name)?;
                fetched += 1;
            }
            Ok(fetched)
        })
        .await?;
        if fetched > 0 {
            tracing::warn!(fetched, "files that the index knows were reclaimed from orphans/");
        }
        Ok(())
    }

    /// The files that rows of the index or records refer to.
    async fn known_blobs(&self) -> Result<BTreeSet<BlobName>, ArchiveError> {
        let mut known: BTreeSet<BlobName> = self.index.blobs().await?.into_iter().collect();
        known.extend(self.unapplied().await?.iter().flat_map(corrected_blobs));
        Ok(known)
    }

    /// Lists the objects of files that the index does not know, oldest first, except some. Returns how many.
    async fn reclaim_unknown(&self, except: &BTreeSet<BlobName>) -> Result<usize, ArchiveError> {
        let known: BTreeSet<BlobName> = self.index.blobs().await?.into_iter().collect();
        let blobs = Arc::clone(&self.blobs);
        let mut unknown = blocking(move || {
            let mut found = blobs.published()?;
            found.extend(blobs.orphans()?);
            Ok(found)
        })
        .await?;
        unknown.retain(|found| !known.contains(&found.name) && !except.contains(&found.name));
        unknown.sort_by_cached_key(|found| (found.written_at(), found.name));
        let mut reclaimed = 0;
        for (place, found) in unknown.iter().enumerate() {
            reclaimed += usize::from(self.reclaim(found).await?);
            if (place + 1) % STEP == 0 {
                tracing::info!(files = place + 1, of = unknown.len(), "files that the index does not know are read");
            }
        }
        Ok(reclaimed)
    }

    /// Lists the object of a file; false if it cannot be listed.
    async fn reclaim(&self, found: &FoundBlob) -> Result<bool, ArchiveError> {
        let (found, limits) = (found.clone(), self.limits);
        let name = found.name;
        let from_orphans = found.is_orphan;
        let Some((unfiled, instance)) = blocking(move || Ok(readable(&found, &limits))).await? else {
            return Ok(false);
        };
        if from_orphans {
            let blobs = Arc::clone(&self.blobs);
            blocking(move || blobs.fetch_orphan(name)).await?;
        }
        match self.index.file(unfiled.clone()).await? {
            Filed::New => Ok(true),
            Filed::Known(known) if known.blob == name => Ok(true),
            Filed::Known(known) => self.reclaim_beside(&known, &unfiled, instance).await,
        }
    }

    /// Judges an object whose identifier another one has: it is held again, if it was to correct that one.
    async fn reclaim_beside(
        &self,
        known: &KnownObject,
        object: &Unfiled,
        instance: ReceivedInstance,
    ) -> Result<bool, ArchiveError> {
        match self.compare(known, object, instance).await? {
            Comparison::Heals => {
                self.heal(known, object).await?;
                Ok(true)
            }
            Comparison::Differs(differing) if Conflict::between(known, &differing) == Conflict::Held => {
                self.index.note_conflict(object, &differing, ConflictState::Held, false).await?;
                Ok(true)
            }
            Comparison::Same | Comparison::Differs(_) | Comparison::Unknown(_) => Ok(false),
        }
    }

    async fn set_unknown_aside(&self) -> Result<(), ArchiveError> {
        let known = self.known_blobs().await?;
        let blobs = Arc::clone(&self.blobs);
        let set_aside = blocking(move || {
            let mut set_aside = 0_usize;
            for found in blobs.published()?.iter().filter(|found| !known.contains(&found.name)) {
                blobs.set_aside(found.name)?;
                set_aside += 1;
            }
            Ok(set_aside)
        })
        .await?;
        if set_aside > 0 {
            tracing::warn!(
                set_aside,
                "files were set aside in orphans/: results of an index that is gone, second copies, or damaged files"
            );
        }
        Ok(())
    }

    /// Raises the alarm for objects whose files are gone.
    async fn note_missing(&self) -> Result<(), ArchiveError> {
        let blobs = Arc::clone(&self.blobs);
        let present: BTreeSet<BlobName> =
            blocking(move || Ok(blobs.published()?.into_iter().map(|found| found.name).collect())).await?;
        let listed = self.index.blobs().await?;
        let missing: Vec<BlobName> = listed.into_iter().filter(|name| !present.contains(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        tracing::error!(
            missing = missing.len(),
            "files of the archive are gone; send the objects again, or restore a backup"
        );
        let named = &missing[..missing.len().min(MOST_NAMED)];
        let gone: Vec<StoredInstance> =
            self.index.instances_in(named).await?.into_iter().map(|instance| self.stored(instance)).collect();
        self.damaged_among(&gone).await.map(drop)
    }
}

/// The object of a file, if its bytes are those that its name stands for and it is no result of this node.
fn readable(found: &FoundBlob, limits: &Limits) -> Option<(Unfiled, ReceivedInstance)> {
    let bytes = bounded::read(&found.path, limits).ok()?;
    let instance = ReceivedInstance::of_file(&bytes.into(), Origin::Recovery, limits).ok()?;
    let id = InstanceId::of(&instance.header).ok().filter(|_| !is_result(&instance.header))?;
    let received_at = Timestamp::try_from(found.written_at()).unwrap_or_else(|_| Timestamp::now());
    let unfiled = Unfiled::of(id, &instance, received_at);
    (unfiled.blob() == found.name).then_some((unfiled, instance))
}

/// True of what this program makes.
fn is_result(header: &DataSet) -> bool {
    [tags::MANUFACTURER, tags::MANUFACTURER_MODEL_NAME]
        .into_iter()
        .all(|tag| elements::text(header, tag).as_deref() == Some(PRODUCT))
}

/// The files of the objects that a record lists.
fn corrected_blobs(record: &Record) -> Vec<BlobName> {
    match &record.change {
        RecordedChange::Correction { objects, .. } => objects.iter().map(|object| object.to).collect(),
        RecordedChange::Rejection { .. } | RecordedChange::Restoration { .. } => Vec::new(),
    }
}
