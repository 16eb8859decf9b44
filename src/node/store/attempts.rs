//! How an attempt at a job ends. The rules say what the job becomes; a repetition changes nothing.

use jiff::Timestamp;
use sqlx::Row;

use super::database::Change;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{BlobName, Filed, Unfiled, file};
use super::progress::Effect;
use super::rows::{Columns, to_json};
use crate::dicom::{SeriesId, Uid};
use crate::engine::analyse::findings::Decision;
use crate::engine::pipeline::{AnalysisSummary, Ending, ResultReference};
use crate::node::queue::{Job, JobEvent, JobId, JobProgress, JobState};

/// A newer version of a series is decided otherwise than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedDecision {
    /// Of the earlier version.
    pub earlier: Decision,
    /// Of the newer one.
    pub newer: Decision,
}

impl Store {
    /// Records a finished analysis: Running -> Analysed or Rejected, together with the results, whose bytes are durable
    /// already, and with the deliveries to each destination. Results of earlier versions are superseded by it. Returns
    /// whether the decision is another one than theirs. Where another object has the identifier of a result, the job is
    /// queued again, for the next issue of its results.
    ///
    /// # Errors
    /// The job keeps its lease after any error but [`StoreError::LeaseVoid`] and [`StoreError::Job`]: end the attempt as a failed or a postponed one.
    pub async fn finish(
        &self,
        job: &Job,
        summary: &AnalysisSummary,
        objects: &[Unfiled],
        now: Timestamp,
    ) -> Result<Option<ChangedDecision>, StoreError> {
        let event = match summary.ending {
            Ending::Analysed(_) => JobEvent::Analysed,
            Ending::Rejected(_) => JobEvent::Rejected,
        };
        let changed = during("recording a finished job", async {
            let mut change = self.database.begin().await?;
            let mut changed = None;
            if let Effect::Changed(_) = self.change_job(&mut change, &job.id, event, now).await?
                && !self.drop_if_withdrawn(&mut change, &job.id, now).await?
            {
                if let Some(taken) = taken(&mut change, objects).await? {
                    let reason = format!("another object has the identifier {taken} of a result");
                    self.issue_again(&mut change, &job.id, &reason, now).await?;
                } else {
                    changed = changed_decision(&mut change, job, summary).await?;
                    insert_results(&mut change, job, summary, objects).await?;
                }
                self.settle(&mut change, &job.series, now).await?;
            }
            change.commit().await?;
            Ok(changed)
        })
        .await?;
        self.announce();
        Ok(changed)
    }

    /// Records a failed attempt: Running -> Queued after a pause, or Failed when no attempt is left. Returns which.
    pub async fn attempt_failed(&self, job: &Job, error: &str, now: Timestamp) -> Result<JobState, StoreError> {
        tracing::warn!(job = %job.id, attempt = job.attempts, error, "the attempt failed");
        self.end_attempt("recording a failed attempt", &job.id, JobEvent::AttemptFailed(error), now).await
    }

    /// Postpones an attempt that could not be made for a reason outside the job, such as a full disk or an analysis
    /// process that does not start: Running -> Queued after a pause; such an attempt never counts.
    pub async fn postpone(&self, job: &Job, error: &str, now: Timestamp) -> Result<(), StoreError> {
        tracing::warn!(job = %job.id, error, "the attempt is postponed");
        self.end_attempt("postponing an attempt", &job.id, JobEvent::Postponed(error), now).await.map(drop)
    }

    /// Releases a job unfinished because the node is stopping: Running -> Queued; the attempt does not count.
    pub async fn release(&self, job: &Job, now: Timestamp) -> Result<(), StoreError> {
        self.end_attempt("releasing a job", &job.id, JobEvent::Released, now).await.map(drop)
    }

    /// Queues a failed job again, with all its attempts: Failed -> Queued.
    ///
    /// # Errors
    /// [`StoreError::Unknown`], or [`StoreError::Job`] of a job that has not failed.
    pub async fn retry(&self, id: &JobId, now: Timestamp) -> Result<(), StoreError> {
        self.end_attempt("queueing a failed job again", id, JobEvent::Retried, now).await.map(drop)
    }

    /// Requeues what other runs of the node left running.
    pub(super) async fn requeue_interrupted_jobs(&self, now: Timestamp) -> Result<(), StoreError> {
        during("requeueing interrupted jobs", async {
            let mut change = self.database.begin().await?;
            let rows = sqlx::query("SELECT id FROM jobs WHERE state = $1 AND (lease_run IS NULL OR lease_run <> $2)")
                .bind(JobState::Running.name())
                .bind(&*self.run)
                .fetch_all(&mut *change)
                .await?;
            for row in rows {
                self.end(&mut change, &row.job_id("id")?, JobEvent::Interrupted, now).await?;
            }
            Ok(change.commit().await?)
        })
        .await
    }

    /// Treats leases of this run that ran out as failed attempts.
    pub(super) async fn requeue_expired_jobs(&self, now: Timestamp) -> Result<(), StoreError> {
        let expired: Vec<JobId> = during("looking for expired leases", async {
            let rows = sqlx::query("SELECT id FROM jobs WHERE state = $1 AND lease_until < $2")
                .bind(JobState::Running.name())
                .bind(now.as_millisecond())
                .fetch_all(self.readers())
                .await?;
            rows.iter().map(|row| row.job_id("id")).collect()
        })
        .await?;
        for job in expired {
            let event = JobEvent::AttemptFailed("the lease ran out");
            self.end_attempt("recording an expired lease", &job, event, now).await?;
        }
        Ok(())
    }

    /// Applies an event to a job in a transaction of its own. Returns the state of the job after it.
    async fn end_attempt(
        &self,
        action: &'static str,
        id: &JobId,
        event: JobEvent<'_>,
        now: Timestamp,
    ) -> Result<JobState, StoreError> {
        let changed = during(action, async {
            let mut change = self.database.begin().await?;
            let changed = self.end(&mut change, id, event, now).await?;
            change.commit().await?;
            Ok(changed)
        })
        .await?;
        Ok(match changed {
            Effect::Changed(progress) => {
                self.announce();
                progress.state
            }
            Effect::AsBefore(progress) => progress.state,
        })
    }

    /// Applies an event to a job. If it has failed for good by it, the results of earlier versions stay current.
    async fn end(
        &self,
        change: &mut Change,
        id: &JobId,
        event: JobEvent<'_>,
        now: Timestamp,
    ) -> Result<Effect<JobProgress>, Fault> {
        let changed = self.change_job(change, id, event, now).await?;
        if matches!(&changed, Effect::Changed(progress) if progress.state == JobState::Failed) {
            self.settle_job(change, id, now).await?;
        }
        Ok(changed)
    }
}

/// Records the outcome of an analysis and lists its results.
async fn insert_results(
    change: &mut Change,
    job: &Job,
    summary: &AnalysisSummary,
    objects: &[Unfiled],
) -> Result<(), Fault> {
    sqlx::query("UPDATE jobs SET summary = $2 WHERE id = $1")
        .bind(job.id.as_str())
        .bind(to_json("summary", summary)?)
        .execute(&mut **change)
        .await?;
    for object in objects {
        file_own(change, &job.id, object).await?;
    }
    for (position, result) in (0..).zip(summary.results()) {
        insert_result(change, (&job.id, &job.series), position, result).await?;
    }
    Ok(())
}

/// The first identifier of these objects that another object has: one with other content. The same content may have come
/// from outside, under another encoding: a destination sent it back.
async fn taken(change: &mut Change, objects: &[Unfiled]) -> Result<Option<Uid>, Fault> {
    for object in objects {
        let row = sqlx::query("SELECT blob, content FROM instances WHERE sop_instance_uid = $1")
            .bind(object.sop_instance_uid().as_str())
            .fetch_optional(&mut **change)
            .await?;
        let Some(row) = row else { continue };
        let content: Option<&str> = row.try_get("content")?;
        if row.named::<BlobName>("blob")? != object.blob() && content != Some(object.content().as_str()) {
            return Ok(Some(object.sop_instance_uid().clone()));
        }
    }
    Ok(None)
}

/// Lists an object of this node's own. One with the same content that came from outside is the node's own from now on.
///
/// # Errors
/// [`StoreError::Conflict`]: another object has its identifier.
pub(super) async fn file_own(change: &mut Change, job: &JobId, object: &Unfiled) -> Result<(), Fault> {
    match file(change, object).await? {
        Filed::Known(known) if known.content.as_ref() == Some(object.content()) && !known.is_result => {
            tracing::info!(%job, sop_instance_uid = %object.sop_instance_uid(), "a result that came back is the node's own");
            adopt(change, object).await
        }
        Filed::Known(known) if known.blob != object.blob() => {
            let sop_instance_uid = object.sop_instance_uid().clone();
            Err(StoreError::Conflict { job: job.clone(), sop_instance_uid }.into())
        }
        Filed::New | Filed::Known(_) => Ok(()),
    }
}

/// Lists an object that came from outside as the node's own.
async fn adopt(change: &mut Change, object: &Unfiled) -> Result<(), Fault> {
    let origin = object.origin().to_string();
    sqlx::query("UPDATE instances SET origin = $2 WHERE sop_instance_uid = $1")
        .bind(object.sop_instance_uid().as_str())
        .bind(origin)
        .execute(&mut **change)
        .await?;
    sqlx::query("UPDATE series SET own_results = 1 WHERE study_instance_uid = $1 AND series_instance_uid = $2")
        .bind(object.series().study_instance_uid.as_str())
        .bind(object.series().series_instance_uid.as_str())
        .execute(&mut **change)
        .await?;
    Ok(())
}

/// Lists a result of a job of a series, in the issue that the job is at. A repetition changes nothing.
pub(super) async fn insert_result(
    change: &mut Change,
    (job, series): (&JobId, &SeriesId),
    position: i64,
    result: &ResultReference,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO results (job_id, position, kind, study_instance_uid, series_instance_uid, sop_instance_uid, issue) \
         VALUES ($1, $2, $3, $4, $5, $6, (SELECT issue FROM jobs WHERE id = $1)) \
         ON CONFLICT (job_id, sop_instance_uid) DO NOTHING",
    )
    .bind(job.as_str())
    .bind(position)
    .bind(result.kind.name())
    .bind(series.study_instance_uid.as_str())
    .bind(result.series_instance_uid.as_str())
    .bind(result.sop_instance_uid.as_str())
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Whether a version is decided otherwise than the newest one before it that was analysed.
async fn changed_decision(
    change: &mut Change,
    job: &Job,
    summary: &AnalysisSummary,
) -> Result<Option<ChangedDecision>, Fault> {
    let row = sqlx::query(
        "SELECT e.summary FROM jobs e JOIN jobs j ON j.study_instance_uid = e.study_instance_uid \
         AND j.series_instance_uid = e.series_instance_uid AND j.version > e.version \
         WHERE j.id = $1 AND e.state = $2 AND e.withdrawn = 0 AND e.summary IS NOT NULL ORDER BY e.version DESC LIMIT 1",
    )
    .bind(job.id.as_str())
    .bind(JobState::Analysed.name())
    .fetch_optional(&mut **change)
    .await?;
    let earlier: Option<AnalysisSummary> = row.map(|row| row.json("summary")).transpose()?;
    let decisions = earlier.and_then(|earlier| earlier.decision()).zip(summary.decision());
    Ok(decisions.filter(|(earlier, newer)| earlier != newer).map(|(earlier, newer)| {
        tracing::warn!(job = %job.id, series = %job.series.series_instance_uid, %earlier, %newer,
            "a newer version of an exam is decided otherwise than the one before");
        ChangedDecision { earlier, newer }
    }))
}
