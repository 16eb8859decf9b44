//! Objects that were rejected, and those that are in use again.

use std::collections::BTreeSet;

use sqlx::Row;

use super::database::Change;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{Visibility, attributes, set_visibility};
use super::records::{Record, insert};
use super::rows::Columns;
use crate::dicom::elements::text;
use crate::dicom::{SeriesId, Uid};

use dicom_dictionary_std::tags;

impl Store {
    /// Hides objects from query, retrieval and analysis. Their series are assembled again, without them. Results of these
    /// series are withdrawn if the reason voids them, or if nothing is left of the series. A record that is known changes
    /// nothing.
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
                for from in [Visibility::Current, Visibility::Superseded] {
                    rejected += u64::from(set_visibility(&mut change, object, from, Visibility::Rejected).await?);
                }
            }
            for series in series_of(&mut change, objects).await? {
                assemble_again(&mut change, &series).await?;
                if voids_results || is_empty(&mut change, &series).await? {
                    self.withdraw_results_of(&mut change, &series).await?;
                }
            }
            self.settle_objects(&mut change, objects, self.now()).await?;
            change.commit().await?;
            Ok(rejected)
        })
        .await?;
        tracing::warn!(study_instance_uid = %record.study_instance_uid, rejected, by = record.by, "objects were rejected");
        self.announce();
        Ok(())
    }

    /// Revokes a rejection: the objects are in use again, and their series are assembled again.
    pub async fn restore(&self, record: &Record, objects: &BTreeSet<Uid>) -> Result<(), StoreError> {
        during("restoring rejected objects", async {
            let mut change = self.database.begin().await?;
            if !insert(&mut change, record).await? {
                return Ok(());
            }
            for object in objects {
                set_visibility(&mut change, object, Visibility::Rejected, Visibility::Current).await?;
            }
            for series in series_of(&mut change, objects).await? {
                assemble_again(&mut change, &series).await?;
            }
            self.settle_objects(&mut change, objects, self.now()).await?;
            Ok(change.commit().await?)
        })
        .await?;
        tracing::warn!(study_instance_uid = %record.study_instance_uid, by = record.by, "rejected objects were restored");
        self.announce();
        Ok(())
    }

    /// The Patient ID of a study; `None` if there is no such study.
    pub async fn patient_id(&self, study: &Uid) -> Result<Option<String>, StoreError> {
        during("looking up a study", async {
            let row = sqlx::query("SELECT attributes FROM studies WHERE study_instance_uid = $1")
                .bind(study.as_str())
                .fetch_optional(self.readers())
                .await?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(text(&attributes::read(row.try_get("attributes")?), tags::PATIENT_ID).unwrap_or_default()))
        })
        .await
    }
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

async fn assemble_again(change: &mut Change, series: &SeriesId) -> Result<(), Fault> {
    sqlx::query("UPDATE series SET revision = revision + 1 WHERE study_instance_uid = $1 AND series_instance_uid = $2")
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .execute(&mut **change)
        .await?;
    Ok(())
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
