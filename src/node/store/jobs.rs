//! Jobs before they are worked on: made once for each set of instances, dropped when outdated, leased.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::Change;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::progress::Effect;
use super::refusals;
use super::rows::{Columns, to_json};
use crate::dicom::{Member, SeriesId, Uid, instances_sha256};
use crate::engine::pipeline::{AnalysisSummary, ResultKind, ResultReference};
use crate::node::queue::{Job, JobEvent, JobId, JobState, Selection};

/// True of a job whose series has a newer one, of more instances, and of one whose images were corrected since.
macro_rules! outdated {
    () => {
        "(jobs.withdrawn = 1 OR EXISTS (SELECT 1 FROM jobs newer WHERE newer.study_instance_uid = jobs.study_instance_uid \
         AND newer.series_instance_uid = jobs.series_instance_uid AND newer.version > jobs.version))"
    };
}

impl Store {
    /// Records what is to become of a complete series at the given revision: a queued job, a rejected one, or none.
    /// Earlier jobs of the series that are still queued are dropped: their instance set is outdated. A set that the series
    /// had before, and has again, is its newest version again.
    ///
    /// Returns the job, whether it is new or was there before.
    pub async fn decide(
        &self,
        series: &SeriesId,
        revision: i64,
        selection: &Selection,
        now: Timestamp,
    ) -> Result<Option<JobId>, StoreError> {
        let new = match selection {
            Selection::Ignore => None,
            Selection::Analyse(members) => Some((members, None)),
            Selection::Reject(members, rejections) => {
                let (study, series) = (&series.study_instance_uid, &series.series_instance_uid);
                Some((members, Some(AnalysisSummary::rejected(study, series, rejections))))
            }
        };
        self.refusals.flush().await;
        let id = during("recording a complete series", async {
            let mut change = self.database.begin().await?;
            let mut id = None;
            if let Some((members, rejected)) = &new {
                id = Some(insert(&mut change, series, members, rejected.as_ref(), now).await?);
                drop_outdated(&mut change).await?;
                self.settle(&mut change, series, now).await?;
            }
            sqlx::query(
                "UPDATE series SET assembled_revision = $3 WHERE study_instance_uid = $1 \
                 AND series_instance_uid = $2 AND assembled_revision < $3",
            )
            .bind(series.study_instance_uid.as_str())
            .bind(series.series_instance_uid.as_str())
            .bind(revision)
            .execute(&mut *change)
            .await?;
            change.commit().await?;
            Ok(id)
        })
        .await?;
        self.announce();
        Ok(id)
    }

    /// Leases the oldest job that is due. Leases that ran out are failed attempts, and are recorded first.
    pub async fn claim(&self, now: Timestamp) -> Result<Option<Job>, StoreError> {
        self.requeue_expired_jobs(now).await?;
        let job = during("claiming a job", async {
            let mut change = self.database.begin().await?;
            let job = self.lease_next(&mut change, now).await?;
            change.commit().await?;
            Ok(job)
        })
        .await?;
        if job.is_some() {
            self.announce();
        }
        Ok(job)
    }

    async fn lease_next(&self, change: &mut Change, now: Timestamp) -> Result<Option<Job>, Fault> {
        drop_outdated(change).await?;
        let row = sqlx::query(
            "SELECT id, study_instance_uid, series_instance_uid, instances, instances_sha256, version, issue, refused, \
             created_at FROM jobs \
             WHERE state = $1 AND not_before <= $2 AND withdrawn = 0 ORDER BY created_at, id LIMIT 1",
        )
        .bind(JobState::Queued.name())
        .bind(now.as_millisecond())
        .fetch_optional(&mut **change)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (id, series) = (row.job_id("id")?, row.series()?);
        let (Effect::Changed(progress) | Effect::AsBefore(progress)) =
            self.change_job(change, &id, JobEvent::Claimed, now).await?;
        Ok(Some(Job {
            predecessor: predecessor(change, &series, &id).await?,
            instances: row.json("instances")?,
            instances_sha256: row.try_get("instances_sha256")?,
            version: row.try_get("version")?,
            issue: row.try_get("issue")?,
            refused: row.optional_json("refused")?.unwrap_or_default(),
            created_at: row.time("created_at")?,
            attempts: progress.attempts,
            series,
            id,
        }))
    }

    /// When the next queued job is due, if there is one.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        during("looking for the next job", async {
            let due = sqlx::query(
                "SELECT not_before FROM jobs WHERE state = $1 AND withdrawn = 0 ORDER BY not_before LIMIT 1",
            )
            .bind(JobState::Queued.name())
            .fetch_optional(self.readers())
            .await?;
            due.map(|row: SqliteRow| row.time("not_before")).transpose()
        })
        .await
    }

    /// True if nothing is to be analysed at this time and nothing is being analysed.
    pub async fn is_idle(&self, now: Timestamp) -> Result<bool, StoreError> {
        during("looking for work", async {
            let busy: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM jobs WHERE state = $1 OR (state = $2 AND not_before <= $3 AND withdrawn = 0)",
            )
            .bind(JobState::Running.name())
            .bind(JobState::Queued.name())
            .bind(now.as_millisecond())
            .fetch_one(self.readers())
            .await?;
            Ok(busy == 0)
        })
        .await
    }
}

/// Makes the job of these instances if there is none: a queued one, or a rejected one with what is wrong.
async fn insert(
    change: &mut Change,
    series: &SeriesId,
    members: &[Member],
    rejected: Option<&AnalysisSummary>,
    now: Timestamp,
) -> Result<JobId, Fault> {
    let sha256 = instances_sha256(members);
    let id = JobId::of(series, &sha256);
    let state = if rejected.is_some() { JobState::Rejected } else { JobState::Queued };
    let uids: Vec<&Uid> = members.iter().map(|(uid, _)| uid).collect();
    let changed = sqlx::query(
        "INSERT INTO jobs (id, study_instance_uid, series_instance_uid, instances_sha256, instances, version, state, \
         attempts, interruptions, not_before, summary, refused, created_at, updated_at, issue) \
         SELECT $1, $2, $3, $4, $5, 1 + COALESCE(MAX(version), 0), $6, 0, 0, 0, $7, $8, $9, $9, \
         COALESCE((SELECT n.issue FROM jobs n WHERE n.study_instance_uid = $2 AND n.series_instance_uid = $3 \
         ORDER BY n.version DESC LIMIT 1), 0) FROM jobs \
         WHERE study_instance_uid = $2 AND series_instance_uid = $3 ON CONFLICT (id) DO UPDATE \
         SET version = excluded.version, withdrawn = 0 \
         WHERE jobs.version + 1 < excluded.version OR jobs.withdrawn = 1 RETURNING created_at",
    )
    .bind(id.as_str())
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .bind(sha256)
    .bind(to_json("instances", &uids)?)
    .bind(state.name())
    .bind(rejected.map(|summary| to_json("summary", summary)).transpose()?)
    .bind(to_json("refused", &refusals::of_series(change, series).await?)?)
    .bind(now.as_millisecond())
    .fetch_optional(&mut **change)
    .await?;
    if let Some(row) = changed {
        restore_results(change, &id).await?;
        let event = if row.time("created_at")?.as_millisecond() == now.as_millisecond() {
            "new job"
        } else {
            "the instances of this job are the newest again"
        };
        tracing::info!(job = %id, series = %series.series_instance_uid, instances = uids.len(), event);
    }
    Ok(id)
}

/// What was withdrawn of a job whose instances its series has again, as they were, can be current again.
async fn restore_results(change: &mut Change, id: &JobId) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE instances SET visibility = 'superseded' WHERE visibility = 'withdrawn' \
         AND sop_instance_uid IN (SELECT sop_instance_uid FROM results WHERE job_id = $1)",
    )
    .bind(id.as_str())
    .execute(&mut **change)
    .await?;
    Ok(())
}

impl Store {
    /// Drops what a job that has just ended found, if its images were corrected or rejected meanwhile: its results would be
    /// those of another patient, or of images that must not be used. A job of which something was shown before waits, in
    /// case its series has these images again.
    pub(super) async fn drop_if_withdrawn(
        &self,
        change: &mut Change,
        id: &JobId,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        let row = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM results r WHERE r.job_id = jobs.id) AS shown FROM jobs \
             WHERE id = $1 AND withdrawn = 1",
        )
        .bind(id.as_str())
        .fetch_optional(&mut **change)
        .await?;
        let Some(row) = row else { return Ok(false) };
        if row.try_get("shown")? {
            self.change_job(change, id, JobEvent::AnalysedAgain, now).await?;
        } else {
            sqlx::query("DELETE FROM jobs WHERE id = $1").bind(id.as_str()).execute(&mut **change).await?;
        }
        tracing::info!(job = %id, "its results are dropped: its images were corrected or rejected during the analysis");
        Ok(true)
    }
}

/// Drops the queued jobs that are outdated, but for those of which something was shown already.
async fn drop_outdated(change: &mut Change) -> Result<(), Fault> {
    let statement = concat!(
        "DELETE FROM jobs WHERE state = $1 AND ",
        outdated!(),
        " AND NOT EXISTS (SELECT 1 FROM results r WHERE r.job_id = jobs.id) RETURNING id"
    );
    let dropped: Vec<String> =
        sqlx::query_scalar(statement).bind(JobState::Queued.name()).fetch_all(&mut **change).await?;
    for job in dropped {
        tracing::info!(job, "dropped: more instances of its series came");
    }
    Ok(())
}

/// The report of the newest other job of the same series that made one.
async fn predecessor(change: &mut Change, series: &SeriesId, job: &JobId) -> Result<Option<ResultReference>, Fault> {
    let row = sqlx::query(
        "SELECT r.kind, r.series_instance_uid, r.sop_instance_uid FROM results r JOIN jobs j ON j.id = r.job_id \
         LEFT JOIN instances i ON i.sop_instance_uid = r.sop_instance_uid \
         WHERE j.study_instance_uid = $1 AND j.series_instance_uid = $2 AND r.kind = $3 AND j.id <> $4 \
         AND (i.visibility IS NULL OR i.visibility IN ('current', 'superseded')) \
         ORDER BY j.version DESC, r.issue DESC LIMIT 1",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .bind(ResultKind::Sr.name())
    .bind(job.as_str())
    .fetch_optional(&mut **change)
    .await?;
    row.as_ref().map(result_reference).transpose()
}

/// A result by the columns `kind`, `series_instance_uid` and `sop_instance_uid`.
pub(super) fn result_reference(row: &SqliteRow) -> Result<ResultReference, Fault> {
    Ok(ResultReference {
        kind: row.named("kind")?,
        series_instance_uid: row.uid("series_instance_uid")?,
        sop_instance_uid: row.uid("sop_instance_uid")?,
    })
}
