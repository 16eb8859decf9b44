//! Studies in conflict, for API and dashboard.

use std::collections::BTreeSet;

use dicom_object::Tag;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::conflicts::tags;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{attributes, keyword};
use super::proposals::Proposal;
use super::rows::Columns;
use crate::dicom::Uid;
use crate::dicom::elements::{self, DataSet};

/// For how long a refused object is shown.
const REFUSED_SHOWN: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// What of a study is in conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StudyConflict {
    /// Study Instance UID of the stored objects.
    pub study_instance_uid: Uid,
    /// Objects that are held: accept one of the proposals, or refuse them all.
    pub held: u64,
    /// What they propose; several, if they contradict each other.
    pub proposals: Vec<ProposedCorrection>,
    /// Objects that were refused, because their pixels, place or address differ from those of the stored objects.
    pub refused: u64,
    /// The attributes in which the last refused one differs.
    pub differing: Vec<DifferingAttribute>,
    /// Where the last one came from.
    pub origin: String,
    /// When the first one came.
    pub first_at: Timestamp,
    /// When the last one came.
    pub last_at: Timestamp,
}

/// A correction that somebody proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProposedCorrection {
    /// Its name, for the decision; it changes when another proposal comes.
    pub id: String,
    /// Objects that propose it.
    pub held: u64,
    /// Stored objects of the study that did not come again with it.
    pub outstanding: u64,
    /// The attributes that would change.
    pub differing: Vec<DifferingAttribute>,
    /// Where its last object came from.
    pub origin: String,
}

/// An attribute that stored and received objects have with other values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferingAttribute {
    /// Its keyword (PS3.6), or its tag if it has none.
    pub attribute: String,
    /// What the stored objects say, which may be several things. Empty, as what was received, for attributes that are no
    /// text.
    pub stored: String,
    /// What came.
    pub received: String,
}

impl Store {
    /// Studies in conflict, those first whose last object came last. A study whose conflicts were all refused stays for
    /// some days, so that somebody sees it.
    pub async fn study_conflicts(&self, limit: u32, now: Timestamp) -> Result<Vec<StudyConflict>, StoreError> {
        during("listing conflicts", async {
            let rows = sqlx::query(
                "SELECT i.study_instance_uid, SUM(c.state = 'held') AS held, SUM(c.state = 'refused') AS refused, \
                 MIN(c.received_at) AS first_at, MAX(c.received_at) AS last_at \
                 FROM conflicts c JOIN instances i ON i.sop_instance_uid = c.sop_instance_uid \
                 WHERE c.state = 'held' OR (c.state = 'refused' AND c.received_at > $2) \
                 GROUP BY i.study_instance_uid ORDER BY MAX(c.received_at) DESC, i.study_instance_uid LIMIT $1",
            )
            .bind(limit)
            .bind((now - REFUSED_SHOWN).as_millisecond())
            .fetch_all(self.readers())
            .await?;
            let mut conflicts = Vec::with_capacity(rows.len());
            for row in &rows {
                conflicts.push(self.study_conflict(row).await?);
            }
            Ok(conflicts)
        })
        .await
    }

    async fn study_conflict(&self, row: &SqliteRow) -> Result<StudyConflict, Fault> {
        let study_instance_uid = row.uid("study_instance_uid")?;
        let (held, refused) = (row.count("held")?, row.count("refused")?);
        let mut proposals = Vec::new();
        if held > 0 {
            let stored = self.current_objects(&study_instance_uid).await?;
            let all = Proposal::all(self.held_of(&study_instance_uid).await?);
            proposals.extend(all.iter().map(|proposal| proposed(proposal, &stored)));
        }
        let newest = sqlx::query(
            "SELECT c.differing, c.attributes, c.stored, c.origin FROM conflicts c \
             JOIN instances i ON i.sop_instance_uid = c.sop_instance_uid \
             WHERE i.study_instance_uid = $1 AND c.state IN ('held', 'refused') \
             ORDER BY c.state = 'refused' DESC, c.received_at DESC LIMIT 1",
        )
        .bind(study_instance_uid.as_str())
        .fetch_one(self.readers())
        .await?;
        let [stored, received] =
            [attributes::read(newest.try_get("stored")?), attributes::read(newest.try_get("attributes")?)];
        let differing = if refused > 0 { differing(tags(&newest)?, &[&stored], &received) } else { Vec::new() };
        Ok(StudyConflict {
            study_instance_uid,
            held,
            proposals,
            refused,
            differing,
            origin: newest.try_get("origin")?,
            first_at: row.time("first_at")?,
            last_at: row.time("last_at")?,
        })
    }

    /// SOP Instance UIDs of the received objects of a study that are listed.
    async fn current_objects(&self, study: &Uid) -> Result<BTreeSet<Uid>, Fault> {
        let rows = sqlx::query(
            "SELECT sop_instance_uid FROM instances WHERE study_instance_uid = $1 AND origin <> 'analysis' \
             AND visibility = 'current'",
        )
        .bind(study.as_str())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| row.uid("sop_instance_uid")).collect()
    }
}

fn proposed(proposal: &Proposal, stored: &BTreeSet<Uid>) -> ProposedCorrection {
    let came: BTreeSet<&Uid> = proposal.objects.iter().map(|object| &object.sop_instance_uid).collect();
    let all: BTreeSet<Tag> = proposal.objects.iter().flat_map(|object| object.differing.iter().copied()).collect();
    let before: Vec<&DataSet> = proposal.objects.iter().map(|object| &object.stored).collect();
    let last = proposal.objects.iter().max_by_key(|object| object.received_at);
    ProposedCorrection {
        id: proposal.id.clone(),
        held: came.len() as u64,
        outstanding: stored.iter().filter(|object| !came.contains(object)).count() as u64,
        differing: last.map(|last| differing(all, &before, &last.attributes)).unwrap_or_default(),
        origin: last.map(|last| last.origin.clone()).unwrap_or_default(),
    }
}

fn differing(tags: impl IntoIterator<Item = Tag>, stored: &[&DataSet], received: &DataSet) -> Vec<DifferingAttribute> {
    let value = |data_set: &DataSet, tag| elements::texts(data_set, tag).join("\\");
    let attribute = |tag| {
        let before: BTreeSet<String> = stored.iter().map(|data_set| value(data_set, tag)).collect();
        DifferingAttribute {
            attribute: keyword(tag),
            stored: before.into_iter().collect::<Vec<_>>().join(", "),
            received: value(received, tag),
        }
    };
    tags.into_iter().map(attribute).collect()
}
