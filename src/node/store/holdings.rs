//! The series of a study that can be exported. They are read beside a running node.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteRow;

use super::error::{Fault, StoreError, during};
use super::index::BlobName;
use super::reader::StoreReader;
use super::rows::Columns;
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::AnalysisSummary;
use crate::engine::volume::Reason;
use crate::node::queue::JobState;

/// A series that has a job, with the state of its newest job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSeries {
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// The state of the job.
    pub state: JobState,
    /// Why it was rejected, if it was.
    pub reasons: Vec<Reason>,
    /// The slices of the job and their files, `None` for one that the archive no longer has.
    pub slices: Vec<(Uid, Option<BlobName>)>,
}

impl StoreReader {
    /// The studies with an accession number, without regard to case.
    pub async fn studies_of_accession(&self, accession_number: &str) -> Result<Vec<Uid>, StoreError> {
        during("looking up an accession number", async {
            let rows =
                sqlx::query("SELECT study_instance_uid FROM studies WHERE accession_number_folded = $1 ORDER BY 1")
                    .bind(accession_number.trim().to_lowercase())
                    .fetch_all(&self.database)
                    .await?;
            rows.iter().map(|row| row.uid("study_instance_uid")).collect()
        })
        .await
    }

    /// The instances that it has of a series.
    pub async fn instances_of(&self, study: &Uid, series: &Uid) -> Result<BTreeSet<Uid>, StoreError> {
        during("listing the instances of a series", async {
            let rows = sqlx::query(
                "SELECT sop_instance_uid FROM instances WHERE study_instance_uid = $1 AND series_instance_uid = $2",
            )
            .bind(study.as_str())
            .bind(series.as_str())
            .fetch_all(&self.database)
            .await?;
            rows.iter().map(|row| row.uid("sop_instance_uid")).collect()
        })
        .await
    }

    /// The received series of a study that are complete, or nothing if the node does not have the study. A series whose
    /// slices still arrive is not complete, even if it was complete before and has a job.
    pub async fn held_series(&self, study: &Uid) -> Result<Option<Vec<HeldSeries>>, StoreError> {
        during("looking up a study", async {
            let known = sqlx::query("SELECT 1 FROM studies WHERE study_instance_uid = $1")
                .bind(study.as_str())
                .fetch_optional(&self.database)
                .await?;
            if known.is_none() {
                return Ok(None);
            }
            let rows = sqlx::query(
                "SELECT j.study_instance_uid, j.series_instance_uid, j.state, j.summary, j.instances FROM jobs j \
                 JOIN series e ON e.study_instance_uid = j.study_instance_uid \
                 AND e.series_instance_uid = j.series_instance_uid AND e.assembled_revision >= e.revision \
                 WHERE j.study_instance_uid = $1 AND j.version = (SELECT MAX(n.version) FROM jobs n \
                 WHERE n.study_instance_uid = j.study_instance_uid AND n.series_instance_uid = j.series_instance_uid) \
                 ORDER BY j.series_instance_uid",
            )
            .bind(study.as_str())
            .fetch_all(&self.database)
            .await?;
            let mut held = Vec::with_capacity(rows.len());
            for row in &rows {
                held.push(self.held_at(row).await?);
            }
            Ok(Some(held))
        })
        .await
    }

    async fn held_at(&self, row: &SqliteRow) -> Result<HeldSeries, Fault> {
        let series = row.series()?;
        let summary: Option<AnalysisSummary> = row.optional_json("summary")?;
        let wanted: Vec<Uid> = row.json("instances")?;
        let mut blobs = self.blobs_of(&series).await?;
        Ok(HeldSeries {
            series_instance_uid: series.series_instance_uid,
            state: row.named("state")?,
            reasons: summary.map_or_else(Vec::new, |summary| summary.reasons()),
            slices: wanted
                .into_iter()
                .map(|instance| {
                    let blob = blobs.remove(&instance);
                    (instance, blob)
                })
                .collect(),
        })
    }

    async fn blobs_of(&self, series: &SeriesId) -> Result<BTreeMap<Uid, BlobName>, Fault> {
        let rows = sqlx::query(
            "SELECT sop_instance_uid, blob FROM instances WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
             AND visibility = 'current'",
        )
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .fetch_all(&self.database)
        .await?;
        rows.iter().map(|row| Ok((row.uid("sop_instance_uid")?, row.named("blob")?))).collect()
    }
}
