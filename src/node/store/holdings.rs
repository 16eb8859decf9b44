//! What the node holds of a study, as far as others want images from it: read beside a running node.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::{QueueError, database};
use super::job::JobId;
use super::state::JobState;
use super::views::{summary, uid};
use crate::dicom::Uid;
use crate::engine::volume::Reason;
use crate::node::archive::ArchiveReader;

/// A series that assembly made a job of, at its newest job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSeries {
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// How far the job is.
    pub state: JobState,
    /// Why it was rejected, if it was.
    pub reasons: Vec<Reason>,
    /// The slices of the job and their files, `None` for one that the archive no longer has.
    pub slices: Vec<(Uid, Option<PathBuf>)>,
}

/// The studies with an accession number, without regard to case.
pub async fn studies_of_accession(archive: &ArchiveReader, accession_number: &str) -> Result<Vec<Uid>, QueueError> {
    let failing = "looking up an accession number";
    let rows = sqlx::query("SELECT study_instance_uid FROM studies WHERE accession_number_folded = $1 ORDER BY 1")
        .bind(accession_number.trim().to_lowercase())
        .fetch_all(archive.database())
        .await
        .map_err(database(failing))?;
    rows.iter().map(|row| uid(row, "study_instance_uid")).collect::<Result<_, _>>().map_err(database(failing))
}

/// The received series of a study that are complete, or nothing if the node does not have the study. One whose slices
/// still arrive is not complete, even if it was and has a job.
pub async fn held_series(archive: &ArchiveReader, study: &Uid) -> Result<Option<Vec<HeldSeries>>, QueueError> {
    let failing = "looking up a study";
    let known: Option<i64> = sqlx::query_scalar("SELECT received_at FROM studies WHERE study_instance_uid = $1")
        .bind(study.as_str())
        .fetch_optional(archive.database())
        .await
        .map_err(database(failing))?;
    if known.is_none() {
        return Ok(None);
    }
    let rows = sqlx::query(
        "SELECT j.id, j.series_instance_uid, j.state, j.summary, j.instances FROM jobs j \
         JOIN series e ON e.study_instance_uid = j.study_instance_uid \
         AND e.series_instance_uid = j.series_instance_uid AND e.assembled_revision >= e.revision \
         WHERE j.study_instance_uid = $1 AND j.version = (SELECT MAX(n.version) FROM jobs n \
         WHERE n.study_instance_uid = j.study_instance_uid AND n.series_instance_uid = j.series_instance_uid) \
         ORDER BY j.series_instance_uid",
    )
    .bind(study.as_str())
    .fetch_all(archive.database())
    .await
    .map_err(database(failing))?;
    let mut held = Vec::with_capacity(rows.len());
    for row in &rows {
        held.push(held_at(archive, study, row).await?);
    }
    Ok(Some(held))
}

async fn held_at(archive: &ArchiveReader, study: &Uid, row: &SqliteRow) -> Result<HeldSeries, QueueError> {
    let failing = "reading a series";
    let job = JobId(row.get("id"));
    let series = uid(row, "series_instance_uid").map_err(database(failing))?;
    let summary = summary(Some(&job), row.get("summary"))?;
    let wanted: Vec<Uid> = serde_json::from_str(row.get("instances"))
        .map_err(|source| QueueError::Summary { job: job.to_string(), source })?;
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT sop_instance_uid, blob FROM instances WHERE study_instance_uid = $1 AND series_instance_uid = $2",
    )
    .bind(study.as_str())
    .bind(series.as_str())
    .fetch_all(archive.database())
    .await
    .map_err(database(failing))?;
    let blobs: BTreeMap<String, String> = rows.into_iter().collect();
    let slice = |instance: Uid| {
        let path = blobs.get(instance.as_str()).and_then(|blob| archive.path(blob));
        (instance, path)
    };
    Ok(HeldSeries {
        series_instance_uid: series,
        state: JobState::parse(row.get("state")).unwrap_or(JobState::Failed),
        reasons: summary.map_or_else(Vec::new, |summary| summary.reasons()),
        slices: wanted.into_iter().map(slice).collect(),
    })
}
