//! What is due a notice: exams that were not analysed.

use jiff::{SignedDuration, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::attempts::{file_own, insert_result};
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::Unfiled;
use super::results::{has_result, visibility_of_result};
use super::rows::Columns;
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::{AnalysisSummary, ResultReference};
use crate::engine::report::NotAnalysed;
use crate::engine::volume::Reason;
use crate::node::queue::{JobId, JobState};

/// Exams that changed longer ago get no notice: those of the time before the setting was turned on.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24);

/// Places of notices among the results of a job: after all that an analysis makes.
const OVERDUE: i64 = 1000;
const ENDED: i64 = 1001;

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
    /// True if an earlier version of the series has a result that stands.
    pub has_earlier_result: bool,
    /// Which issue of the page it is.
    pub issue: u32,
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
            let rows = sqlx::query(concat!(
                "WITH found AS NOT MATERIALIZED (SELECT j.study_instance_uid, j.series_instance_uid FROM jobs j WHERE ",
                has_result!(),
                ") SELECT n.id, n.study_instance_uid, n.series_instance_uid, n.instances, n.state, n.summary, n.issue, \
                 n.created_at, n.updated_at, \
                 EXISTS (SELECT 1 FROM found f WHERE f.study_instance_uid = n.study_instance_uid \
                 AND f.series_instance_uid = n.series_instance_uid) AS has_result, \
                 EXISTS (SELECT 1 FROM found f WHERE f.study_instance_uid = n.study_instance_uid) AS study_has_result, \
                 (SELECT MAX(r.position) FROM results r WHERE r.job_id = n.id AND r.issue = n.issue \
                 AND r.kind = 'notice' AND r.beside_result = 0) AS told_alone, \
                 (SELECT MAX(r.position) FROM results r WHERE r.job_id = n.id AND r.issue = n.issue \
                 AND r.kind = 'notice' AND r.beside_result = 1) AS told_beside \
                 FROM jobs n WHERE n.updated_at >= $1 AND n.withdrawn = 0 AND n.version = (SELECT MAX(o.version) \
                 FROM jobs o WHERE o.study_instance_uid = n.study_instance_uid \
                 AND o.series_instance_uid = n.series_instance_uid) ORDER BY n.updated_at, n.id"
            ))
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
            sqlx::query("UPDATE results SET beside_result = $3 WHERE job_id = $1 AND sop_instance_uid = $2")
                .bind(due.job.as_str())
                .bind(reference.sop_instance_uid.as_str())
                .bind(due.has_earlier_result)
                .execute(&mut *change)
                .await?;
            self.settle(&mut change, &due.series, now).await?;
            Ok(change.commit().await?)
        })
        .await?;
        tracing::info!(job = %due.job, sop_instance_uid = %reference.sop_instance_uid, cause = %due.cause, "notice that an exam was not analysed");
        self.announce();
        Ok(())
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
    let wanted = if matches!(cause, Some((NotAnalysed::Overdue(_), _))) { OVERDUE } else { ENDED };
    let has_result: bool = row.try_get("has_result")?;
    let told: Option<i64> = row.try_get(if has_result { "told_beside" } else { "told_alone" })?;
    let issue = row.try_get("issue")?;
    Ok(Candidate {
        instances: instances.len(),
        is_told: told.is_some_and(|position| position >= wanted),
        has_result,
        study_has_result: row.try_get("study_has_result")?,
        notice: cause.map(|(cause, since)| {
            let (job, series) = (job.clone(), series.clone());
            DueNotice { job, series, instances, cause, since, has_earlier_result: has_result, issue }
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
