//! Objects that came under the identifier of another object with other content. Those that correct patient or study are
//! held until the study is corrected or a person decides; the others are refused, and a row says so.

use std::collections::BTreeMap;

use dicom_object::Tag;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{BlobName, Unfiled, attributes, keyword};
use super::rows::{Columns, to_json};
use crate::dicom::content::{Difference, Subject};
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{SeriesId, Uid};

/// What became of an object that is not the one that is listed under its identifier.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ConflictState {
    /// It waits for the rest of its study, or for a person.
    Held,
    /// Its sender was told of a failure.
    Refused,
    /// It was listed, until a correction took its place.
    Replaced,
}

/// An object that is held.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldObject {
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// The name of the file with its bytes.
    pub blob: BlobName,
    /// The name of the file of the object that is listed under its identifier.
    pub listed: BlobName,
    /// Its sender may correct patient and study.
    pub trusted: bool,
    /// Its attributes of patient and study.
    pub attributes: DataSet,
    /// The attributes in which it differs from the listed object.
    pub differing: Vec<Tag>,
    /// Where it came from, as text.
    pub origin: String,
    /// When it came.
    pub received_at: Timestamp,
}

/// What of a study is in conflict, for API and dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StudyConflict {
    /// Study Instance UID of the stored objects.
    pub study_instance_uid: Uid,
    /// Objects that are held: accept or refuse them.
    pub held: u64,
    /// Objects that were refused, because their pixels, place or address differ from those of the stored objects.
    pub refused: u64,
    /// Stored objects of the study that did not come again.
    pub outstanding: u64,
    /// The attributes in which they differ, of those that are held if there are any: keyword, stored and received values. Both
    /// are empty for attributes that are
    /// not kept for searching.
    pub differing: Vec<DifferingAttribute>,
    /// Where the last one came from.
    pub origin: String,
    /// When the first one came.
    pub first_at: Timestamp,
    /// When the last one came.
    pub last_at: Timestamp,
}

/// An attribute that stored and received objects have with other values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferingAttribute {
    /// Its keyword (PS3.6), or its tag if it has none.
    pub attribute: String,
    /// What the stored study says.
    pub stored: String,
    /// What came.
    pub received: String,
}

impl Store {
    /// Records an object that is held or refused. A repetition changes nothing but the trust in its sender.
    pub async fn note_conflict(
        &self,
        object: &Unfiled,
        difference: &Difference,
        state: ConflictState,
        trusted: bool,
    ) -> Result<(), StoreError> {
        let differing: Vec<[u16; 2]> = difference.tags().into_iter().map(|tag| [tag.0, tag.1]).collect();
        let subject: &str = difference.subject().unwrap_or(Subject::Image).into();
        during("recording a conflict of identifiers", async {
            let mut change = self.database.begin().await?;
            sqlx::query(
                "INSERT INTO conflicts (sop_instance_uid, sha256, study_instance_uid, series_instance_uid, \
                 transfer_syntax_uid, blob, origin, received_at, state, subject, differing, attributes, content, trusted, \
                 kept) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
                 ON CONFLICT (sop_instance_uid, blob) DO UPDATE SET state = excluded.state, \
                 received_at = excluded.received_at, trusted = MAX(conflicts.trusted, excluded.trusted), \
                 kept = MAX(conflicts.kept, excluded.kept)",
            )
            .bind(object.sop_instance_uid().as_str())
            .bind(object.sha256())
            .bind(object.series().study_instance_uid.as_str())
            .bind(object.series().series_instance_uid.as_str())
            .bind(object.transfer_syntax_uid().as_str())
            .bind(object.blob().to_text())
            .bind(object.origin().to_string())
            .bind(object.received_at().as_millisecond())
            .bind(<&str>::from(state))
            .bind(subject)
            .bind(to_json("differing", &differing)?)
            .bind(object.study_attributes())
            .bind(object.content().as_str())
            .bind(i64::from(trusted))
            .bind(i64::from(state == ConflictState::Held))
            .execute(&mut *change)
            .await?;
            Ok(change.commit().await?)
        })
        .await?;
        self.announce();
        Ok(())
    }

    /// What is held for a study, the newest version of each object, in order of their identifiers.
    pub async fn held_objects(&self, study: &Uid) -> Result<Vec<HeldObject>, StoreError> {
        during("listing held objects", async {
            let rows = sqlx::query(
                "SELECT c.*, i.blob AS listed FROM conflicts c \
                 JOIN instances i ON i.sop_instance_uid = c.sop_instance_uid \
                 WHERE c.state = 'held' AND i.study_instance_uid = $1 ORDER BY c.sop_instance_uid, c.received_at",
            )
            .bind(study.as_str())
            .fetch_all(self.readers())
            .await?;
            let mut newest = BTreeMap::new();
            for row in &rows {
                let held = held(row)?;
                newest.insert(held.sop_instance_uid.clone(), held);
            }
            Ok(newest.into_values().collect())
        })
        .await
    }

    /// How many objects of a series were held or refused because an object of another series has their identifier, and
    /// did not come into it since.
    pub async fn taken_identifiers(&self, series: &SeriesId) -> Result<u64, StoreError> {
        during("looking for objects that a series lacks", async {
            let row = sqlx::query(
                "SELECT COUNT(DISTINCT sop_instance_uid) AS objects FROM conflicts WHERE study_instance_uid = $1 \
                 AND series_instance_uid = $2 AND state IN ('held', 'refused') AND sop_instance_uid NOT IN \
                 (SELECT sop_instance_uid FROM instances WHERE study_instance_uid = $1 AND series_instance_uid = $2)",
            )
            .bind(series.study_instance_uid.as_str())
            .bind(series.series_instance_uid.as_str())
            .fetch_one(self.readers())
            .await?;
            row.count("objects")
        })
        .await
    }

    /// Closes what is held for a study: the stored objects stand. Returns how many objects were held.
    pub async fn refuse_held(&self, study: &Uid) -> Result<u64, StoreError> {
        let refused = during("refusing held objects", async {
            let mut change = self.database.begin().await?;
            let refused = sqlx::query(
                "UPDATE conflicts SET state = 'refused' WHERE state = 'held' AND sop_instance_uid IN \
                 (SELECT sop_instance_uid FROM instances WHERE study_instance_uid = $1)",
            )
            .bind(study.as_str())
            .execute(&mut *change)
            .await?
            .rows_affected();
            change.commit().await?;
            Ok(refused)
        })
        .await?;
        self.announce();
        Ok(refused)
    }

    /// Studies in conflict, those first whose last object came last. A study whose conflicts were all refused stays for
    /// some days, so that somebody sees it.
    pub async fn study_conflicts(&self, limit: u32, now: Timestamp) -> Result<Vec<StudyConflict>, StoreError> {
        during("listing conflicts", async {
            let rows = sqlx::query(
                "SELECT i.study_instance_uid, SUM(c.state = 'held') AS held, SUM(c.state = 'refused') AS refused, \
                 MIN(c.received_at) AS first_at, MAX(c.received_at) AS last_at, s.attributes, \
                 (SELECT COUNT(*) FROM instances o WHERE o.study_instance_uid = i.study_instance_uid \
                 AND o.origin <> 'analysis' AND NOT EXISTS (SELECT 1 FROM conflicts h \
                 WHERE h.sop_instance_uid = o.sop_instance_uid AND h.state = 'held')) AS outstanding \
                 FROM conflicts c JOIN instances i ON i.sop_instance_uid = c.sop_instance_uid \
                 JOIN studies s ON s.study_instance_uid = i.study_instance_uid \
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
        let newest = sqlx::query(
            "SELECT c.differing, c.attributes, c.origin FROM conflicts c \
             JOIN instances i ON i.sop_instance_uid = c.sop_instance_uid \
             WHERE i.study_instance_uid = $1 AND c.state IN ('held', 'refused') \
             ORDER BY c.state = 'held' DESC, c.received_at DESC LIMIT 1",
        )
        .bind(study_instance_uid.as_str())
        .fetch_one(self.readers())
        .await?;
        let stored = attributes::read(row.try_get("attributes")?);
        let received = attributes::read(newest.try_get("attributes")?);
        let value = |data_set: &DataSet, tag| elements::texts(data_set, tag).join("\\");
        let differing = tags(&newest)?.into_iter().map(|tag| DifferingAttribute {
            attribute: keyword(tag),
            stored: value(&stored, tag),
            received: value(&received, tag),
        });
        Ok(StudyConflict {
            study_instance_uid,
            held: row.count("held")?,
            refused: row.count("refused")?,
            outstanding: row.count("outstanding")?,
            differing: differing.collect(),
            origin: newest.try_get("origin")?,
            first_at: row.time("first_at")?,
            last_at: row.time("last_at")?,
        })
    }
}

/// For how long a refused object is shown.
const REFUSED_SHOWN: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

fn held(row: &SqliteRow) -> Result<HeldObject, Fault> {
    Ok(HeldObject {
        sop_instance_uid: row.uid("sop_instance_uid")?,
        blob: row.named("blob")?,
        listed: row.named("listed")?,
        trusted: row.try_get("trusted")?,
        attributes: attributes::read(row.try_get("attributes")?),
        differing: tags(row)?,
        origin: row.try_get("origin")?,
        received_at: row.time("received_at")?,
    })
}

fn tags(row: &SqliteRow) -> Result<Vec<Tag>, Fault> {
    let pairs: Vec<[u16; 2]> = row.json("differing")?;
    Ok(pairs.into_iter().map(|[group, element]| Tag(group, element)).collect())
}
