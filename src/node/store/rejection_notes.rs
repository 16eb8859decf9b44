//! Which destinations have results that do not stand any more, and were not told so.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::attempts::{file_own, insert_result};
use super::deliveries;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{BlobName, Unfiled, Visibility, set_visibility};
use super::rows::Columns;
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::{ResultKind, ResultReference};
use crate::engine::report::{NoteCause, RejectedResult};
use crate::node::queue::{JobId, JobState};

/// The place of a rejection note among the results of a job: after all that an analysis makes.
const POSITION: i64 = 1002;

/// A destination that is due a rejection note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRejectionNote {
    /// The destination.
    pub destination: String,
    /// The job whose results it has.
    pub job: JobId,
    /// The series that was analysed.
    pub series: SeriesId,
    /// The results that do not stand any more.
    pub rejected: Vec<RejectedResult>,
    /// Why.
    pub cause: NoteCause,
    /// What made them so: the name of the newer job, or of the record of the correction or rejection.
    pub occasion: String,
    /// When.
    pub at: Timestamp,
    /// A received object of the series, as it is now: the note goes under its patient and study.
    pub source: BlobName,
}

/// What made results stand no more.
struct Occasion {
    cause: NoteCause,
    name: String,
    at: Timestamp,
}

/// Results of a job at a destination.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    job: JobId,
    destination: String,
    visibility: Visibility,
}

impl Store {
    /// The destinations that take rejection notes and have, or may have, a result that does not stand any more. Of a result
    /// that a newer one replaced they are told once they have that, or once there is nothing to wait for; of one that was
    /// withdrawn or rejected at once.
    pub async fn due_rejection_notes(&self) -> Result<Vec<DueRejectionNote>, StoreError> {
        during("looking for results that do not stand any more", async {
            // What was tried and then dropped may have arrived without an answer.
            let rows = sqlx::query(
                "SELECT d.job_id, d.destination, d.sop_instance_uid, i.series_instance_uid AS result_series, \
                 i.sop_class_uid, i.visibility, j.study_instance_uid, j.series_instance_uid FROM deliveries d \
                 JOIN jobs j ON j.id = d.job_id \
                 JOIN results r ON r.job_id = d.job_id AND r.sop_instance_uid = d.sop_instance_uid \
                 JOIN instances i ON i.sop_instance_uid = d.sop_instance_uid \
                 WHERE (d.state = 'delivered' OR (d.state = 'dropped' AND d.attempts > 0)) \
                 AND i.visibility <> 'current' AND r.kind <> $1 AND NOT EXISTS \
                 (SELECT 1 FROM rejection_notes n WHERE n.sop_instance_uid = d.sop_instance_uid \
                 AND n.destination = d.destination) ORDER BY d.job_id, d.destination, r.position",
            )
            .bind(ResultKind::RejectionNote.name())
            .fetch_all(self.readers())
            .await?;
            let mut places: BTreeMap<Place, (SeriesId, Vec<RejectedResult>)> = BTreeMap::new();
            for row in &rows {
                let destination: String = row.try_get("destination")?;
                if self.rules.rejection_notes.contains(&destination) {
                    let place = Place { job: row.job_id("job_id")?, destination, visibility: row.named("visibility")? };
                    places.entry(place).or_insert((row.series()?, Vec::new())).1.push(RejectedResult {
                        series_instance_uid: row.uid("result_series")?,
                        sop_instance_uid: row.uid("sop_instance_uid")?,
                        sop_class_uid: row.uid("sop_class_uid")?,
                    });
                }
            }
            let mut due = Vec::new();
            for (place, (series, rejected)) in places {
                let first = &rejected[0].sop_instance_uid;
                let Some(occasion) = self.occasion(&place, &series, first).await? else { continue };
                let Some(source) = self.source_of(&place.job).await? else { continue };
                let Place { job, destination, .. } = place;
                let Occasion { cause, name, at } = occasion;
                due.push(DueRejectionNote { destination, job, series, rejected, cause, occasion: name, at, source });
            }
            Ok(due)
        })
        .await
    }

    /// Keeps a rejection note, whose bytes are durable, and enqueues it for its destination. No search lists it. Nothing
    /// happens if what it names is current again.
    pub async fn record_rejection_note(
        &self,
        due: &DueRejectionNote,
        object: &Unfiled,
        reference: &ResultReference,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let recorded = during("recording a rejection note", async {
            let mut change = self.database.begin().await?;
            for result in &due.rejected {
                let current: i64 = sqlx::query_scalar(
                    "SELECT COUNT(*) FROM instances WHERE sop_instance_uid = $1 AND visibility = 'current'",
                )
                .bind(result.sop_instance_uid.as_str())
                .fetch_one(&mut *change)
                .await?;
                if current > 0 {
                    return Ok(false);
                }
            }
            file_own(&mut change, &due.job, object).await?;
            let uid = &reference.sop_instance_uid;
            set_visibility(&mut change, uid, Visibility::Current, Visibility::Superseded).await?;
            insert_result(&mut change, (&due.job, &due.series), POSITION, reference).await?;
            deliveries::enqueue(&mut change, &due.job, reference, &due.destination, now).await?;
            for result in &due.rejected {
                sqlx::query("INSERT INTO rejection_notes (sop_instance_uid, destination, note) VALUES ($1, $2, $3)")
                    .bind(result.sop_instance_uid.as_str())
                    .bind(&due.destination)
                    .bind(uid.as_str())
                    .execute(&mut *change)
                    .await?;
            }
            change.commit().await?;
            Ok(true)
        })
        .await?;
        if recorded {
            let (destination, cause) = (&due.destination, &due.cause);
            tracing::info!(job = %due.job, destination, ?cause, note = %reference.sop_instance_uid, "rejection note of results");
            self.announce();
        }
        Ok(())
    }

    /// What made results stand no more; `None` while the newer ones are not at the destination.
    async fn occasion(&self, place: &Place, series: &SeriesId, result: &Uid) -> Result<Option<Occasion>, Fault> {
        if place.visibility == Visibility::Superseded {
            return self.replacement(&place.destination, series).await;
        }
        if let Some(record) = self.voiding_record(series, result, place.visibility).await? {
            let cause = record.note_cause();
            return Ok(Some(Occasion { cause, name: record.id, at: record.at }));
        }
        // Its record is not there: the index was made anew.
        Ok(Some(Occasion { cause: NoteCause::Corrected, name: place.visibility.to_string(), at: self.now() }))
    }

    /// What replaced a result of a series: a current one that the destination has, or the newest version, if there is no
    /// current one and none to wait for.
    async fn replacement(&self, destination: &str, series: &SeriesId) -> Result<Option<Occasion>, Fault> {
        let row = sqlx::query(
            "SELECT j.id, j.created_at, d.state FROM jobs j JOIN results r ON r.job_id = j.id \
             JOIN instances i ON i.sop_instance_uid = r.sop_instance_uid AND i.visibility = 'current' \
             LEFT JOIN deliveries d ON d.sop_instance_uid = r.sop_instance_uid AND d.destination = $1 \
             WHERE j.study_instance_uid = $2 AND j.series_instance_uid = $3 \
             ORDER BY d.state = 'delivered' DESC, j.version DESC, r.position LIMIT 1",
        )
        .bind(destination)
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .fetch_optional(self.readers())
        .await?;
        let occasion = |row: &SqliteRow| {
            let (name, at) = (row.job_id("id")?.to_string(), row.time("created_at")?);
            Ok(Occasion { cause: NoteCause::Replaced, name, at })
        };
        if let Some(row) = row {
            let is_there = row.try_get::<Option<&str>, _>("state")? == Some("delivered");
            return is_there.then(|| occasion(&row)).transpose();
        }
        let newest = sqlx::query(
            "SELECT id, created_at, state FROM jobs WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
             ORDER BY version DESC LIMIT 1",
        )
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .fetch_one(self.readers())
        .await?;
        let waits = matches!(newest.named("state")?, JobState::Queued | JobState::Running);
        if waits { Ok(None) } else { occasion(&newest).map(Some) }
    }

    /// The file of a received object that a job is about, as the index lists it now.
    async fn source_of(&self, job: &JobId) -> Result<Option<BlobName>, Fault> {
        let row = sqlx::query("SELECT instances FROM jobs WHERE id = $1")
            .bind(job.as_str())
            .fetch_one(self.readers())
            .await?;
        for instance in row.json::<Vec<Uid>>("instances")? {
            let stored = sqlx::query("SELECT blob FROM instances WHERE sop_instance_uid = $1")
                .bind(instance.as_str())
                .fetch_optional(self.readers())
                .await?;
            if let Some(stored) = stored {
                return stored.named("blob").map(Some);
            }
        }
        Ok(None)
    }
}
