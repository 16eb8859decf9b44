//! Records of what people and trusted peers changed in the archive: corrections, rejections and their reversal. Each is
//! a file beside the objects, written first, so that a rebuilt index can be told of it again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::database::Change;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{BlobName, Unfiled, Visibility, replace, replace_study, set_visibility};
use super::rows::{Columns, to_json};
use crate::dicom::{RejectionReason, SeriesId, Uid};

/// A change of what the archive lists, with who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name; unique, and in order of time.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it: a peer or a person.
    pub by: String,
    /// The study that it changes.
    pub study_instance_uid: Uid,
    /// What it changes.
    #[serde(flatten)]
    pub change: RecordedChange,
}

/// What a record changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RecordedChange {
    /// Objects with other attributes of patient, study or series took the place of stored ones.
    Correction {
        /// Each object with the files of its bytes.
        objects: Vec<Replacement>,
        /// Patient or study changed: the results of the study are withdrawn.
        changes_patient: bool,
        /// They took the place of rejected ones, and are listed. Otherwise what is hidden stays hidden.
        #[serde(default)]
        replaces_rejected: bool,
    },
    /// Objects are not to be used any more.
    Rejection {
        /// Why.
        reason: RejectionReason,
        /// The rejection note that says so, if one was sent.
        note: Option<Uid>,
        /// SOP Instance UIDs.
        objects: BTreeSet<Uid>,
    },
    /// A rejection was revoked.
    Restoration {
        /// The record of the rejection.
        rejection: String,
        /// SOP Instance UIDs.
        objects: BTreeSet<Uid>,
    },
}

/// The object that is listed under an identifier, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// The file of the object that was listed.
    pub from: BlobName,
    /// The file of the one that is listed from now on.
    pub to: BlobName,
}

/// What a correction changes beside objects and series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorrectionExtent {
    /// The study says what the objects say.
    pub of_study: bool,
    /// The objects are listed, also those in whose place rejected ones stood.
    pub shows: bool,
}

impl Record {
    /// A record of now.
    pub fn new(by: String, study_instance_uid: Uid, change: RecordedChange) -> Self {
        let at = Timestamp::now();
        let id = format!("{:014}-{:08x}", at.as_millisecond(), rand::random::<u32>());
        Self { id, at, by, study_instance_uid, change }
    }
}

impl Store {
    /// Lists corrected objects in the place of those that they correct, in one transaction: their series and objects have
    /// the new attributes, and the series are assembled again. If its patient or study changed, the study has the new
    /// attributes as well, its results are withdrawn, and so are rejection notes, which name the old patient. What was
    /// listed stays in the history. A record that is known changes nothing.
    ///
    /// `objects` are those of the record; all belong to its study.
    pub async fn correct(
        &self,
        record: &Record,
        objects: &[Unfiled],
        extent: CorrectionExtent,
    ) -> Result<(), StoreError> {
        during("correcting a study", async {
            let mut change = self.database.begin().await?;
            if !insert(&mut change, record).await? {
                return Ok(());
            }
            for object in objects {
                replace(&mut change, object, extent.shows).await?;
            }
            if extent.of_study {
                // The objects agree in what they say of the study.
                if let Some(last) = objects.last() {
                    replace_study(&mut change, last).await?;
                }
                withdraw_notes(&mut change, &record.study_instance_uid).await?;
                self.withdraw_results(&mut change, &record.study_instance_uid).await?;
            }
            Ok(change.commit().await?)
        })
        .await?;
        tracing::warn!(
            study_instance_uid = %record.study_instance_uid,
            objects = objects.len(),
            by = record.by,
            "a study was corrected"
        );
        self.announce();
        Ok(())
    }

    /// The records of a study, oldest first.
    pub async fn records(&self, study: &Uid) -> Result<Vec<Record>, StoreError> {
        during("listing the records of a study", async {
            let rows = sqlx::query("SELECT record FROM records WHERE study_instance_uid = $1 ORDER BY at, id")
                .bind(study.as_str())
                .fetch_all(self.readers())
                .await?;
            rows.iter().map(|row| row.json("record")).collect()
        })
        .await
    }

    /// The names of all records that the index was told of.
    pub async fn record_ids(&self) -> Result<Vec<String>, StoreError> {
        during("listing records", async {
            let rows = sqlx::query("SELECT id FROM records ORDER BY id").fetch_all(self.readers()).await?;
            rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
        })
        .await
    }
}

/// Withdraws the rejection notes of a study. What they reject stays rejected: the records say so.
async fn withdraw_notes(change: &mut Change, study: &Uid) -> Result<(), Fault> {
    let rejections = sqlx::query("SELECT record FROM records WHERE study_instance_uid = $1 AND kind = 'rejection'")
        .bind(study.as_str())
        .fetch_all(&mut **change)
        .await?;
    for row in &rejections {
        let Record { change: RecordedChange::Rejection { note: Some(note), .. }, .. } = row.json("record")? else {
            continue;
        };
        set_visibility(change, &note, Visibility::Current, Visibility::Withdrawn).await?;
    }
    Ok(())
}

/// False if the record is known.
pub(super) async fn insert(change: &mut Change, record: &Record) -> Result<bool, Fault> {
    let kind: &str = (&record.change).into();
    let inserted = sqlx::query(
        "INSERT INTO records (id, at, study_instance_uid, kind, record) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(&record.id)
    .bind(record.at.as_millisecond())
    .bind(record.study_instance_uid.as_str())
    .bind(kind)
    .bind(to_json("record", record)?)
    .execute(&mut **change)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

impl Store {
    /// Withdraws what the node found in a study: it is neither listed nor delivered any more. Analyses under way end
    /// without results.
    async fn withdraw_results(&self, change: &mut Change, study: &Uid) -> Result<(), Fault> {
        let analysed = sqlx::query(
            "SELECT DISTINCT study_instance_uid, series_instance_uid FROM jobs WHERE study_instance_uid = $1",
        )
        .bind(study.as_str())
        .fetch_all(&mut **change)
        .await?;
        for row in &analysed {
            self.withdraw_results_of(change, &row.series()?).await?;
        }
        Ok(())
    }

    /// As [`Self::withdraw_results`], of one series.
    pub(super) async fn withdraw_results_of(&self, change: &mut Change, series: &SeriesId) -> Result<(), Fault> {
        let withdrawn = sqlx::query(
            "UPDATE instances SET visibility = 'withdrawn' WHERE visibility IN ('current', 'superseded') \
             AND sop_instance_uid IN (SELECT r.sop_instance_uid FROM results r JOIN jobs j ON j.id = r.job_id \
             WHERE j.study_instance_uid = $1 AND j.series_instance_uid = $2) RETURNING sop_instance_uid",
        )
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .fetch_all(&mut **change)
        .await?;
        for row in &withdrawn {
            self.drop_deliveries_of(change, &row.uid("sop_instance_uid")?, self.now()).await?;
        }
        sqlx::query("UPDATE jobs SET withdrawn = 1 WHERE study_instance_uid = $1 AND series_instance_uid = $2")
            .bind(series.study_instance_uid.as_str())
            .bind(series.series_instance_uid.as_str())
            .execute(&mut **change)
            .await?;
        Ok(())
    }
}
