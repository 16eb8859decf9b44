//! What is due a notice: exams that were not analysed, and destinations that have results which newer ones replaced.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::attempts::{file_own, insert_result};
use super::deliveries;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{Unfiled, Visibility, set_visibility};
use super::jobs::result_reference;
use super::rows::Columns;
use crate::dicom::{RejectionReason, SeriesId, Uid};
use crate::engine::pipeline::{AnalysisSummary, ResultReference};
use crate::engine::report::{NotAnalysed, ReplacedResult};
use crate::engine::volume::Reason;
use crate::node::queue::{JobId, JobState};

/// Exams that changed longer ago get no notice: those of the time before the setting was turned on.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24);

/// Places of notices among the results of a job: after all that an analysis makes.
const OVERDUE: i64 = 1000;
const ENDED: i64 = 1001;
const REJECTION_NOTE: i64 = 1002;

/// An exam that is due a notice.
#[derive(Debug, Clone, PartialEq)]
pub struct DueNotice {
    /// The newest job of its series.
    pub job: JobId,
    /// The series.
    pub series: SeriesId,
    /// The instances of the job.
    pub instances: Vec<Uid>,
    /// Why it has no result.
    pub cause: NotAnalysed,
    /// Since when.
    pub since: Timestamp,
    /// True if an earlier version of the series has a result.
    pub has_earlier_result: bool,
}

/// A destination that is due a rejection note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRejectionNote {
    /// The destination.
    pub destination: String,
    /// The job whose results it has.
    pub job: JobId,
    /// The series that was analysed.
    pub series: SeriesId,
    /// The results that were replaced.
    pub replaced: Vec<ReplacedResult>,
    /// Why: they were replaced by newer ones, or patient or study were corrected.
    pub reason: RejectionReason,
    /// A result that replaced them, and that the destination has. The note goes under its patient and study.
    pub current: CurrentResult,
}

/// A result that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentResult {
    /// Its job.
    pub job: JobId,
    /// When that job was made.
    pub made_at: Timestamp,
    /// The object.
    pub reference: ResultReference,
}

/// The newest version of a series, as far as notices are concerned.
struct Candidate {
    notice: Option<DueNotice>,
    job: JobId,
    series: SeriesId,
    instances: usize,
    is_told: bool,
    has_result: bool,
    study_has_result: bool,
}

impl Store {
    /// The exams that are due a notice and have none. Of a study of which nothing was analysed it is one, for its largest
    /// series. `overdue` is how long an analysis may take.
    pub async fn due_notices(
        &self,
        overdue: Option<SignedDuration>,
        now: Timestamp,
    ) -> Result<Vec<DueNotice>, StoreError> {
        during("looking for exams that were not analysed", async {
            let rows = sqlx::query(
                "SELECT j.id, j.study_instance_uid, j.series_instance_uid, j.instances, j.state, j.summary, \
                 j.created_at, j.updated_at, \
                 EXISTS (SELECT 1 FROM results r JOIN jobs a ON a.id = r.job_id \
                 WHERE a.study_instance_uid = j.study_instance_uid AND a.series_instance_uid = j.series_instance_uid \
                 AND r.position < 1000) AS has_result, \
                 EXISTS (SELECT 1 FROM results r JOIN jobs a ON a.id = r.job_id \
                 WHERE a.study_instance_uid = j.study_instance_uid AND r.position < 1000) AS study_has_result, \
                 (SELECT MAX(r.position) FROM results r WHERE r.job_id = j.id) AS position \
                 FROM jobs j WHERE j.updated_at >= $1 AND j.version = (SELECT MAX(n.version) FROM jobs n \
                 WHERE n.study_instance_uid = j.study_instance_uid AND n.series_instance_uid = j.series_instance_uid) \
                 ORDER BY j.updated_at, j.id",
            )
            .bind((now - LOOK_BACK).as_millisecond())
            .fetch_all(self.readers())
            .await?;
            let candidates: Result<Vec<_>, Fault> = rows.iter().map(|row| candidate(row, overdue, now)).collect();
            Ok(due(candidates?))
        })
        .await
    }

    /// Lists a notice, whose bytes are durable, beside the results of its series, and enqueues its deliveries.
    pub async fn record_notice(
        &self,
        due: &DueNotice,
        object: &Unfiled,
        reference: &ResultReference,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        during("recording a notice", async {
            let mut change = self.database.begin().await?;
            file_own(&mut change, &due.job, object).await?;
            let position = if matches!(due.cause, NotAnalysed::Overdue(_)) { OVERDUE } else { ENDED };
            insert_result(&mut change, (&due.job, &due.series), position, reference).await?;
            self.settle(&mut change, &due.series, now).await?;
            Ok(change.commit().await?)
        })
        .await?;
        tracing::info!(job = %due.job, sop_instance_uid = %reference.sop_instance_uid, cause = %due.cause, "notice that an exam was not analysed");
        self.announce();
        Ok(())
    }

    /// The destinations that take rejection notes, have a result that was replaced, and have one that replaced it.
    pub async fn due_rejection_notes(&self) -> Result<Vec<DueRejectionNote>, StoreError> {
        during("looking for results that were replaced", async {
            let rows = sqlx::query(
                "SELECT d.job_id, d.destination, d.sop_instance_uid, i.series_instance_uid AS result_series, \
                 i.sop_class_uid, i.visibility, j.study_instance_uid, j.series_instance_uid FROM deliveries d \
                 JOIN jobs j ON j.id = d.job_id \
                 JOIN results r ON r.job_id = d.job_id AND r.sop_instance_uid = d.sop_instance_uid \
                 JOIN instances i ON i.sop_instance_uid = d.sop_instance_uid \
                 WHERE d.state = 'delivered' AND i.visibility IN ($1, $3) AND r.position < $2 AND NOT EXISTS \
                 (SELECT 1 FROM rejection_notes n WHERE n.sop_instance_uid = d.sop_instance_uid \
                 AND n.destination = d.destination) ORDER BY d.job_id, d.destination, r.position",
            )
            .bind(Visibility::Superseded.name())
            .bind(REJECTION_NOTE)
            .bind(Visibility::Withdrawn.name())
            .fetch_all(self.readers())
            .await?;
            let mut replaced: BTreeMap<(JobId, String, bool), (SeriesId, Vec<ReplacedResult>)> = BTreeMap::new();
            for row in &rows {
                let destination: String = row.try_get("destination")?;
                if self.rules.rejection_notes.contains(&destination) {
                    let is_withdrawn = row.named::<Visibility>("visibility")? == Visibility::Withdrawn;
                    let entry = replaced.entry((row.job_id("job_id")?, destination, is_withdrawn));
                    entry.or_insert((row.series()?, Vec::new())).1.push(ReplacedResult {
                        series_instance_uid: row.uid("result_series")?,
                        sop_instance_uid: row.uid("sop_instance_uid")?,
                        sop_class_uid: row.uid("sop_class_uid")?,
                    });
                }
            }
            let mut due = Vec::new();
            for ((job, destination, is_withdrawn), (series, replaced)) in replaced {
                if let Some(current) = self.current_result_at(&destination, &series).await? {
                    let reason =
                        if is_withdrawn { RejectionReason::IncorrectWorklistEntry } else { RejectionReason::Quality };
                    due.push(DueRejectionNote { destination, job, series, replaced, reason, current });
                }
            }
            Ok(due)
        })
        .await
    }

    /// Keeps a rejection note, whose bytes are durable, and enqueues it for its destination. No search lists it.
    pub async fn record_rejection_note(
        &self,
        due: &DueRejectionNote,
        object: &Unfiled,
        reference: &ResultReference,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        during("recording a rejection note", async {
            let mut change = self.database.begin().await?;
            file_own(&mut change, &due.job, object).await?;
            let uid = &reference.sop_instance_uid;
            set_visibility(&mut change, uid, Visibility::Current, Visibility::Superseded).await?;
            insert_result(&mut change, (&due.job, &due.series), REJECTION_NOTE, reference).await?;
            deliveries::enqueue(&mut change, &due.job, reference, &due.destination, now).await?;
            for result in &due.replaced {
                sqlx::query("INSERT INTO rejection_notes (sop_instance_uid, destination, note) VALUES ($1, $2, $3)")
                    .bind(result.sop_instance_uid.as_str())
                    .bind(&due.destination)
                    .bind(uid.as_str())
                    .execute(&mut *change)
                    .await?;
            }
            Ok(change.commit().await?)
        })
        .await?;
        tracing::info!(job = %due.job, due.destination, note = %reference.sop_instance_uid, "rejection note of replaced results");
        self.announce();
        Ok(())
    }

    /// A current result of a series that a destination has.
    async fn current_result_at(&self, destination: &str, series: &SeriesId) -> Result<Option<CurrentResult>, Fault> {
        let row = sqlx::query(
            "SELECT j.id, j.created_at, r.kind, r.series_instance_uid, r.sop_instance_uid FROM jobs j JOIN results r ON r.job_id = j.id \
             JOIN instances i ON i.sop_instance_uid = r.sop_instance_uid \
             JOIN deliveries d ON d.sop_instance_uid = r.sop_instance_uid AND d.destination = $1 \
             WHERE j.study_instance_uid = $2 AND j.series_instance_uid = $3 AND i.visibility = $4 \
             AND d.state = 'delivered' ORDER BY j.version DESC, r.position LIMIT 1",
        )
        .bind(destination)
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .bind(Visibility::Current.name())
        .fetch_optional(self.readers())
        .await?;
        let current = |row: SqliteRow| {
            let (job, made_at) = (row.job_id("id")?, row.time("created_at")?);
            Ok(CurrentResult { job, made_at, reference: result_reference(&row)? })
        };
        row.map(current).transpose()
    }
}

fn candidate(row: &SqliteRow, overdue: Option<SignedDuration>, now: Timestamp) -> Result<Candidate, Fault> {
    let (created_at, updated_at) = (row.time("created_at")?, row.time("updated_at")?);
    let (job, series) = (row.job_id("id")?, row.series()?);
    let instances: Vec<Uid> = row.json("instances")?;
    let cause = match row.named("state")? {
        JobState::Analysed => None,
        JobState::Rejected => {
            let summary: Option<AnalysisSummary> = row.optional_json("summary")?;
            let rejections = summary.map_or_else(Vec::new, |summary| summary.rejections().to_vec());
            // Images of other kinds, in a series of their own, are no exam for this node.
            let is_exam = rejections.iter().any(|rejection| rejection.reason != Reason::WrongModality);
            is_exam.then_some((NotAnalysed::Rejected(rejections), updated_at))
        }
        JobState::Failed => Some((NotAnalysed::Failed, updated_at)),
        JobState::Queued | JobState::Running => overdue
            .filter(|overdue| now.duration_since(created_at) >= *overdue)
            .map(|overdue| (NotAnalysed::Overdue(overdue.as_mins().unsigned_abs()), created_at + overdue)),
    };
    let told: Option<i64> = row.try_get("position")?;
    let wanted = if matches!(cause, Some((NotAnalysed::Overdue(_), _))) { OVERDUE } else { ENDED };
    let has_result: bool = row.try_get("has_result")?;
    Ok(Candidate {
        instances: instances.len(),
        is_told: told.is_some_and(|position| position >= wanted),
        has_result,
        study_has_result: row.try_get("study_has_result")?,
        notice: cause.map(|(cause, since)| {
            let (job, series) = (job.clone(), series.clone());
            DueNotice { job, series, instances, cause, since, has_earlier_result: has_result }
        }),
        job,
        series,
    })
}

/// The notices that are due: of a series that has a result, because later images have none; else of the largest series of
/// a study without any result, once all of its series have ended or are overdue.
fn due(candidates: Vec<Candidate>) -> Vec<DueNotice> {
    let speaks_for_its_study = |one: &Candidate| {
        candidates
            .iter()
            .filter(|other| other.series.study_instance_uid == one.series.study_instance_uid)
            .all(|other| other.notice.is_some() && (other.instances, &other.job) <= (one.instances, &one.job))
    };
    let is_due =
        |one: &&Candidate| !one.is_told && (one.has_result || (!one.study_has_result && speaks_for_its_study(one)));
    candidates.iter().filter(is_due).filter_map(|candidate| candidate.notice.clone()).collect()
}
