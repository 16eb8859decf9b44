//! Objects that were rejected, and those that are in use again.

use std::collections::BTreeSet;

use sqlx::Row;

use super::database::Change;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{Visibility, assemble_again, attributes, set_visibility, settle_study};
use super::records::{Record, insert};
use super::rows::Columns;
use crate::dicom::elements::DataSet;
use crate::dicom::{SeriesId, Uid};

impl Store {
    /// Hides objects of a study from query, retrieval and analysis; one that is not here yet, from when it comes. Their
    /// series are assembled again, without them. Results of these series are withdrawn if the reason voids them, or if
    /// nothing is left of the series. A record that is known changes nothing.
    pub async fn reject(
        &self,
        record: &Record,
        objects: &BTreeSet<Uid>,
        voids_results: bool,
    ) -> Result<(), StoreError> {
        let rejected = during("rejecting objects", async {
            let mut change = self.database.begin().await?;
            if !insert(&mut change, record).await? {
                return Ok(0);
            }
            let mut rejected = 0;
            for object in objects {
                rejected += u64::from(hide(&mut change, record, object).await?);
            }
            for series in series_of(&mut change, objects).await? {
                assemble_again(&mut change, &series).await?;
                if voids_results || is_empty(&mut change, &series).await? {
                    self.withdraw_results_of(&mut change, &series).await?;
                }
            }
            settle_study(&mut change, &record.study_instance_uid).await?;
            self.settle_objects(&mut change, objects, self.now()).await?;
            change.commit().await?;
            Ok(rejected)
        })
        .await?;
        tracing::warn!(study_instance_uid = %record.study_instance_uid, rejected, by = record.by, "objects were rejected");
        self.announce();
        Ok(())
    }

    /// Revokes the rejection that `rejection` records: objects that no other one names are in use again as they were, and
    /// their series are assembled again.
    pub async fn restore(&self, record: &Record, rejection: &str, objects: &BTreeSet<Uid>) -> Result<(), StoreError> {
        during("restoring rejected objects", async {
            let mut change = self.database.begin().await?;
            if !insert(&mut change, record).await? {
                return Ok(());
            }
            for object in objects {
                show(&mut change, rejection, object).await?;
            }
            for series in series_of(&mut change, objects).await? {
                assemble_again(&mut change, &series).await?;
            }
            self.settle_objects(&mut change, objects, self.now()).await?;
            Ok(change.commit().await?)
        })
        .await?;
        tracing::warn!(study_instance_uid = %record.study_instance_uid, by = record.by, "a rejection was revoked");
        self.announce();
        Ok(())
    }

    /// The series that an object lies in.
    pub async fn series_of_object(&self, object: &Uid) -> Result<Option<SeriesId>, StoreError> {
        during("looking up an object", async {
            let row = sqlx::query(
                "SELECT study_instance_uid, series_instance_uid FROM instances WHERE sop_instance_uid = $1",
            )
            .bind(object.as_str())
            .fetch_optional(self.readers())
            .await?;
            row.map(|row| row.series()).transpose()
        })
        .await
    }

    /// What the index keeps of the patient and the study; `None` if there is no such study.
    pub async fn study_attributes(&self, study: &Uid) -> Result<Option<DataSet>, StoreError> {
        during("looking up a study", async {
            let row = sqlx::query("SELECT attributes FROM studies WHERE study_instance_uid = $1")
                .bind(study.as_str())
                .fetch_optional(self.readers())
                .await?;
            row.map(|row| Ok(attributes::read(row.try_get("attributes")?))).transpose()
        })
        .await
    }
}

/// Notes that a rejection names an object, and hides it. Returns whether it was listed.
async fn hide(change: &mut Change, record: &Record, object: &Uid) -> Result<bool, Fault> {
    let known = sqlx::query("SELECT study_instance_uid, visibility FROM instances WHERE sop_instance_uid = $1")
        .bind(object.as_str())
        .fetch_optional(&mut **change)
        .await?;
    let visibility = match known {
        Some(row) if row.uid("study_instance_uid")? != record.study_instance_uid => return Ok(false),
        Some(row) => row.named("visibility")?,
        None => Visibility::Current,
    };
    if visibility == Visibility::Withdrawn {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO standing_rejections (sop_instance_uid, study_instance_uid, record, was) VALUES ($1, $2, $3, \
         COALESCE((SELECT MIN(was) FROM standing_rejections WHERE sop_instance_uid = $1), $4)) ON CONFLICT DO NOTHING",
    )
    .bind(object.as_str())
    .bind(record.study_instance_uid.as_str())
    .bind(&record.id)
    .bind(visibility.name())
    .execute(&mut **change)
    .await?;
    set_visibility(change, object, visibility, Visibility::Rejected).await
}

/// Revokes what a rejection says of an object, which is shown as it was where no other rejection names it.
async fn show(change: &mut Change, rejection: &str, object: &Uid) -> Result<(), Fault> {
    let was: Option<String> = sqlx::query_scalar(
        "DELETE FROM standing_rejections WHERE sop_instance_uid = $1 AND record IN ($2, '') RETURNING was",
    )
    .bind(object.as_str())
    .bind(rejection)
    .fetch_optional(&mut **change)
    .await?;
    if let Some(was) = was {
        sqlx::query(
            "UPDATE instances SET visibility = $2 WHERE sop_instance_uid = $1 AND visibility = 'rejected' \
             AND NOT EXISTS (SELECT 1 FROM standing_rejections WHERE sop_instance_uid = $1)",
        )
        .bind(object.as_str())
        .bind(was)
        .execute(&mut **change)
        .await?;
    }
    Ok(())
}

/// The received series that objects belong to.
async fn series_of(change: &mut Change, objects: &BTreeSet<Uid>) -> Result<Vec<SeriesId>, Fault> {
    let mut found = Vec::new();
    for object in objects {
        let row = sqlx::query(
            "SELECT study_instance_uid, series_instance_uid FROM instances WHERE sop_instance_uid = $1 \
             AND origin <> 'analysis'",
        )
        .bind(object.as_str())
        .fetch_optional(&mut **change)
        .await?;
        found.extend(row.map(|row| row.series()).transpose()?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// True if nothing of a series is in use.
async fn is_empty(change: &mut Change, series: &SeriesId) -> Result<bool, Fault> {
    let left: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM instances WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
         AND visibility = 'current'",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .fetch_one(&mut **change)
    .await?;
    Ok(left == 0)
}
