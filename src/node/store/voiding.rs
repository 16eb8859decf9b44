//! Why a result was withdrawn or rejected: by the records of its study.

use std::collections::BTreeSet;

use super::error::Fault;
use super::handle::Store;
use super::index::Visibility;
use super::records::{Record, RecordedChange};
use super::rows::Columns;
use crate::dicom::{SeriesId, Uid};
use crate::engine::report::NoteCause;

impl Record {
    /// What a destination is told of results that this record voided.
    pub(super) fn note_cause(&self) -> NoteCause {
        match &self.change {
            RecordedChange::Rejection { reason, .. } => NoteCause::Rejected(*reason),
            RecordedChange::Correction { .. } | RecordedChange::Restoration { .. } => NoteCause::Corrected,
        }
    }
}

impl Store {
    /// The newest record that withdrew or rejected a result of a series: a correction of its patient, or a rejection of the
    /// result or of images of the series. `None` if the index has no such record.
    pub(super) async fn voiding_record(
        &self,
        series: &SeriesId,
        result: &Uid,
        visibility: Visibility,
    ) -> Result<Option<Record>, Fault> {
        let records = sqlx::query("SELECT record FROM records WHERE study_instance_uid = $1 ORDER BY at DESC, id DESC")
            .bind(series.study_instance_uid.as_str())
            .fetch_all(self.readers())
            .await?;
        let images = sqlx::query(
            "SELECT sop_instance_uid FROM instances WHERE study_instance_uid = $1 AND series_instance_uid = $2",
        )
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .fetch_all(self.readers())
        .await?;
        let images: Result<BTreeSet<Uid>, Fault> = images.iter().map(|row| row.uid("sop_instance_uid")).collect();
        let images = images?;
        for row in &records {
            let record: Record = row.json("record")?;
            let is_it = match &record.change {
                RecordedChange::Correction { changes_patient, .. } => {
                    *changes_patient && visibility == Visibility::Withdrawn
                }
                RecordedChange::Rejection { objects, .. } if visibility == Visibility::Rejected => {
                    objects.contains(result)
                }
                RecordedChange::Rejection { objects, .. } => !objects.is_disjoint(&images),
                RecordedChange::Restoration { .. } => false,
            };
            if is_it {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}
