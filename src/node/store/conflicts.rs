//! Objects that came under the identifier of another object with other content. Those that correct patient or study are
//! held until the study is corrected or a person decides; the others are refused, and a row says so.

use std::collections::BTreeSet;

use dicom_object::Tag;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{BlobName, Unfiled, attributes};
use super::rows::{Columns, to_json};
use crate::dicom::content::{self, Difference, Subject};
use crate::dicom::elements::DataSet;
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
    /// It is listed, and names another patient than its study.
    Stray,
}

/// What speaks against a series as it was received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesDoubts {
    /// Objects of it that were held or refused because an object of another series has their identifier, and that did not
    /// come into it since: what came is not the series.
    pub taken: u64,
    /// Listed objects of it that name another patient than their study.
    pub strays: u64,
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
    /// Its series.
    pub series: SeriesId,
    /// Its sender may correct patient and study.
    pub trusted: bool,
    /// What it says of patient and study.
    pub attributes: DataSet,
    /// What the stored object said of them when it came.
    pub stored: DataSet,
    /// The attributes in which it differs from the listed object.
    pub differing: Vec<Tag>,
    /// Where it came from, as text.
    pub origin: String,
    /// When it came.
    pub received_at: Timestamp,
}

/// An object that is not the one that is listed under its identifier.
#[derive(Debug, Clone)]
pub struct Differing {
    /// In what they differ.
    pub difference: Difference,
    /// What the stored object says of patient and study.
    pub stored: DataSet,
    /// What the other one says of them.
    pub received: DataSet,
}

impl Differing {
    /// The attributes in which they differ that all objects of a study share.
    pub fn study_tags(&self) -> BTreeSet<Tag> {
        self.difference.tags().into_iter().filter(|tag| content::is_of_study(*tag)).collect()
    }

    /// True if another object says in these what the received one says.
    pub fn agrees(&self, header: &DataSet) -> bool {
        let tags = self.study_tags();
        content::digest_of(header, &tags) == content::digest_of(&self.received, &tags)
    }
}

impl Store {
    /// Records an object that is held or refused. A repetition changes nothing but the trust in its sender.
    pub async fn note_conflict(
        &self,
        object: &Unfiled,
        differing: &Differing,
        state: ConflictState,
        trusted: bool,
    ) -> Result<(), StoreError> {
        let Differing { difference, stored, received } = differing;
        let tags: Vec<[u16; 2]> = difference.tags().into_iter().map(|tag| [tag.0, tag.1]).collect();
        let subject: &str = difference.subject().unwrap_or(Subject::Image).into();
        during("recording a conflict of identifiers", async {
            let mut change = self.database.begin().await?;
            sqlx::query(
                "INSERT INTO conflicts (sop_instance_uid, sha256, study_instance_uid, series_instance_uid, \
                 transfer_syntax_uid, blob, origin, received_at, state, subject, differing, attributes, stored, content, \
                 trusted, kept) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
                 ON CONFLICT (sop_instance_uid, blob) DO UPDATE SET state = excluded.state, \
                 differing = excluded.differing, attributes = excluded.attributes, stored = excluded.stored, received_at = excluded.received_at, trusted = MAX(conflicts.trusted, excluded.trusted), \
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
            .bind(to_json("differing", &tags)?)
            .bind(attributes::written(received))
            .bind(attributes::written(stored))
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

    /// What is held for a study, in order of identifiers and times.
    pub async fn held_objects(&self, study: &Uid) -> Result<Vec<HeldObject>, StoreError> {
        during("listing held objects", self.held_of(study)).await
    }

    pub(super) async fn held_of(&self, study: &Uid) -> Result<Vec<HeldObject>, Fault> {
        let rows = sqlx::query(
            "SELECT c.*, i.blob AS listed FROM conflicts c \
             JOIN instances i ON i.sop_instance_uid = c.sop_instance_uid \
             WHERE c.state = 'held' AND i.study_instance_uid = $1 ORDER BY c.sop_instance_uid, c.received_at",
        )
        .bind(study.as_str())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(held).collect()
    }

    /// What speaks against a series.
    pub async fn doubts(&self, series: &SeriesId) -> Result<SeriesDoubts, StoreError> {
        during("looking for conflicts of a series", async {
            let row = sqlx::query(
                "SELECT (SELECT COUNT(DISTINCT sop_instance_uid) FROM conflicts WHERE study_instance_uid = $1 \
                 AND series_instance_uid = $2 AND state IN ('held', 'refused') AND sop_instance_uid NOT IN \
                 (SELECT sop_instance_uid FROM instances WHERE study_instance_uid = $1 AND series_instance_uid = $2)) AS taken, \
                 (SELECT COUNT(*) FROM conflicts c JOIN instances i ON i.sop_instance_uid = c.sop_instance_uid \
                 WHERE c.study_instance_uid = $1 AND c.series_instance_uid = $2 AND c.state = 'stray' \
                 AND i.visibility = 'current') AS strays",
            )
            .bind(series.study_instance_uid.as_str())
            .bind(series.series_instance_uid.as_str())
            .fetch_one(self.readers())
            .await?;
            Ok(SeriesDoubts { taken: row.count("taken")?, strays: row.count("strays")? })
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
}

fn held(row: &SqliteRow) -> Result<HeldObject, Fault> {
    Ok(HeldObject {
        sop_instance_uid: row.uid("sop_instance_uid")?,
        blob: row.named("blob")?,
        listed: row.named("listed")?,
        series: row.series()?,
        trusted: row.try_get("trusted")?,
        attributes: attributes::read(row.try_get("attributes")?),
        stored: attributes::read(row.try_get("stored")?),
        differing: tags(row)?,
        origin: row.try_get("origin")?,
        received_at: row.time("received_at")?,
    })
}

pub(super) fn tags(row: &SqliteRow) -> Result<Vec<Tag>, Fault> {
    let pairs: Vec<[u16; 2]> = row.json("differing")?;
    Ok(pairs.into_iter().map(|[group, element]| Tag(group, element)).collect())
}
