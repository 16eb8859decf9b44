//! Transitions of jobs, one method each: the old state is checked, the change is logged and made durable, and a
//! repetition changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::error::{QueueError, database};
use super::job::{Job, JobId, Member, Selection, instances_sha256};
use super::state::{JobState, backoff};
use super::{Queue, deliveries};
use crate::dicom::Uid;
use crate::engine::pipeline::{AnalysisSummary, Ending, ResultKind, ResultReference};
use crate::node::archive::{Stored, Unfiled};

/// Pause after the first failed attempt, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Pause before an attempt that was put off.
const POSTPONEMENT: Duration = Duration::from_secs(60);

/// Attempts that the node's own end cut short do not count against a job until there are this many.
const INTERRUPTIONS: i64 = 50;

impl Queue {
    /// Records what is to become of a complete series at the given revision: a queued job, a rejected one, or none.
    /// Earlier jobs of the series that wait are dropped: their instance set is outdated.
    ///
    /// Returns the job, whether it is new or was there before.
    pub async fn decide(
        &self,
        study_instance_uid: &Uid,
        series_instance_uid: &Uid,
        revision: i64,
        selection: &Selection,
        now: Timestamp,
    ) -> Result<Option<JobId>, QueueError> {
        let failing = "recording a complete series";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let job = match selection {
            Selection::Ignore => None,
            Selection::Analyse(members) => Some((members, JobState::Queued, None)),
            Selection::Reject(members, rejections) => {
                let summary = AnalysisSummary::rejected(study_instance_uid, series_instance_uid, rejections);
                Some((members, JobState::Rejected, Some(summary)))
            }
        };
        let id = match job {
            None => None,
            Some((members, state, summary)) => {
                let id = JobId::of(study_instance_uid, series_instance_uid, &instances_sha256(members));
                let summary = summary.map(|summary| to_json(&id, &summary)).transpose()?;
                let new = Insertion { id: &id, study_instance_uid, series_instance_uid, members, state, summary, now };
                insert(&mut transaction, new).await.map_err(database(failing))?;
                drop_outdated(&mut transaction).await.map_err(database(failing))?;
                Some(id)
            }
        };
        sqlx::query(
            "UPDATE series SET assembled_revision = $3 WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
             AND assembled_revision < $3",
        )
        .bind(study_instance_uid.as_str())
        .bind(series_instance_uid.as_str())
        .bind(revision)
        .execute(&mut *transaction)
        .await
        .map_err(database(failing))?;
        transaction.commit().await.map_err(database(failing))?;
        self.announce();
        Ok(id)
    }

    /// Leases the oldest job that is due: Queued -> Running. Leases that ran out are taken back first.
    pub async fn claim(&self, now: Timestamp) -> Result<Option<Job>, QueueError> {
        let failing = "claiming a job";
        self.take_back_expired(now).await?;
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        drop_outdated(&mut transaction).await.map_err(database(failing))?;
        let row = sqlx::query(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, lease_run = $1, lease_until = $2, \
             updated_at = $3 WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND not_before <= $3 \
             ORDER BY created_at, id LIMIT 1) \
             RETURNING id, study_instance_uid, series_instance_uid, instances, instances_sha256, attempts, created_at",
        )
        .bind(&self.rules.run)
        .bind(now.as_millisecond() + self.rules.lease_milliseconds)
        .bind(now.as_millisecond())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(database(failing))?;
        let mut job = row.as_ref().map(leased).transpose().map_err(database(failing))?;
        if let Some(job) = &mut job {
            job.predecessor = predecessor(&mut transaction, job).await.map_err(database(failing))?;
        }
        transaction.commit().await.map_err(database(failing))?;
        if let Some(job) = &job {
            log(&job.id, JobState::Queued, JobState::Running);
            self.announce();
        }
        Ok(job)
    }

    /// When the next queued job is due, if there is one.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, QueueError> {
        let due: Option<i64> = sqlx::query_scalar("SELECT MIN(not_before) FROM jobs WHERE state = 'queued'")
            .fetch_one(self.database.readers())
            .await
            .map_err(database("looking for the next job"))?;
        Ok(due.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()))
    }

    /// Records a finished analysis: Running -> Analysed or Rejected, together with the results, whose bytes are durable
    /// already, and with what is owed to each destination. An outdated job is dropped instead, and its results with it.
    ///
    /// # Errors
    /// [`QueueError::Conflict`]: another object has the identifier of a result; nothing has changed.
    pub(in crate::node) async fn finish(
        &self,
        job: &Job,
        summary: &AnalysisSummary,
        objects: &[Unfiled],
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let failing = "recording a finished job";
        let state = match summary.ending {
            Ending::Analysed(_) => JobState::Analysed,
            Ending::Rejected(_) => JobState::Rejected,
        };
        let json = to_json(&job.id, summary)?;
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let change = Change { state, not_before: 0, error: None, summary: Some(json), interrupted: false, now };
        if !self.change(&mut transaction, &job.id, change).await? {
            return Ok(());
        }
        if drop_if_outdated(&mut transaction, &job.id).await.map_err(database(failing))? {
            return transaction.commit().await.map_err(database(failing));
        }
        for object in objects {
            if object.file(&mut transaction).await.map_err(database(failing))? == Stored::Conflict {
                let sop_instance_uid = object.sop_instance_uid().to_string();
                return Err(QueueError::Conflict { job: job.id.to_string(), sop_instance_uid });
            }
        }
        for (position, result) in summary.results().iter().enumerate() {
            sqlx::query(
                "INSERT INTO results (job_id, position, kind, study_instance_uid, series_instance_uid, \
                 sop_instance_uid) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (job_id, sop_instance_uid) DO NOTHING",
            )
            .bind(&job.id.0)
            .bind(position as i64)
            .bind(result.kind.name())
            .bind(job.study_instance_uid.as_str())
            .bind(result.series_instance_uid.as_str())
            .bind(result.sop_instance_uid.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(database(failing))?;
        }
        if self.rules.deliver_demonstrations || !summary.is_demonstration() {
            for destination in self.rules.destinations.keys() {
                deliveries::owe(&mut transaction, job, summary, destination, now)
                    .await
                    .map_err(database("recording deliveries"))?;
            }
        }
        transaction.commit().await.map_err(database(failing))?;
        log(&job.id, JobState::Running, state);
        self.announce();
        Ok(())
    }

    /// Records a failed attempt: Running -> Queued after a pause, or Failed when no attempt is left. Returns which.
    pub async fn attempt_failed(&self, job: &Job, error: &str, now: Timestamp) -> Result<JobState, QueueError> {
        let failing = "recording a failed attempt";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let interruptions: i64 = sqlx::query_scalar("SELECT interruptions FROM jobs WHERE id = $1")
            .bind(&job.id.0)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database(failing))?
            .ok_or_else(|| QueueError::Unknown(format!("job {}", job.id)))?;
        let failed = job.attempts.saturating_sub(interruptions as u32);
        let state = if failed < self.rules.attempts { JobState::Queued } else { JobState::Failed };
        let not_before = now.as_millisecond() + backoff(failed, FIRST_PAUSE, LONGEST_PAUSE).as_millis() as i64;
        let change = Change { state, not_before, error: Some(error), summary: None, interrupted: false, now };
        let changed = self.change(&mut transaction, &job.id, change).await?;
        transaction.commit().await.map_err(database(failing))?;
        if changed {
            tracing::warn!(job = %job.id, attempt = job.attempts, error, "the attempt failed");
            log(&job.id, JobState::Running, state);
            self.announce();
        }
        Ok(state)
    }

    /// Puts an attempt off that could not be made for want of something that the job has no part in, space on the disk
    /// or the analysis process: Running -> Queued after a pause; the attempt does not count, however often.
    pub async fn postpone(&self, job: &Job, error: &str, now: Timestamp) -> Result<(), QueueError> {
        let failing = "putting an attempt off";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let not_before = now.as_millisecond() + POSTPONEMENT.as_millis() as i64;
        let state = JobState::Queued;
        let change = Change { state, not_before, error: Some(error), summary: None, interrupted: false, now };
        let changed = self.change(&mut transaction, &job.id, change).await?;
        if changed {
            sqlx::query("UPDATE jobs SET attempts = attempts - 1 WHERE id = $1")
                .bind(&job.id.0)
                .execute(&mut *transaction)
                .await
                .map_err(database(failing))?;
        }
        transaction.commit().await.map_err(database(failing))?;
        if changed {
            tracing::warn!(job = %job.id, error, "the attempt is put off");
            log(&job.id, JobState::Running, JobState::Queued);
            self.announce();
        }
        Ok(())
    }

    /// Queues a failed job anew, with all attempts before it: Failed -> Queued.
    ///
    /// # Errors
    /// [`QueueError::Unknown`], or [`QueueError::WrongState`] of a job that has not failed.
    pub async fn retry(&self, id: &JobId, now: Timestamp) -> Result<(), QueueError> {
        let failing = "queueing a failed job anew";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let changed = sqlx::query(
            "UPDATE jobs SET state = 'queued', attempts = 0, interruptions = 0, not_before = 0, updated_at = $2 \
             WHERE id = $1 AND state = 'failed'",
        )
        .bind(&id.0)
        .bind(now.as_millisecond())
        .execute(&mut *transaction)
        .await
        .map_err(database(failing))?
        .rows_affected();
        if changed == 0 {
            let found = state_of(&mut transaction, id).await.map_err(database(failing))?;
            return Err(match found {
                Some(found) => QueueError::WrongState { job: id.to_string(), wanted: JobState::Queued, found },
                None => QueueError::Unknown(format!("job {id}")),
            });
        }
        transaction.commit().await.map_err(database(failing))?;
        log(id, JobState::Failed, JobState::Queued);
        self.announce();
        Ok(())
    }

    /// Gives a job back unfinished because the node is stopping: Running -> Queued; the attempt does not count.
    pub async fn give_back(&self, job: &Job, now: Timestamp) -> Result<(), QueueError> {
        let failing = "giving a job back";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let change =
            Change { state: JobState::Queued, not_before: 0, error: None, summary: None, interrupted: true, now };
        let changed = self.change(&mut transaction, &job.id, change).await?;
        transaction.commit().await.map_err(database(failing))?;
        if changed {
            log(&job.id, JobState::Running, JobState::Queued);
            self.announce();
        }
        Ok(())
    }

    /// Takes back what other runs of the node left running. Only one process can have the archive open, so those runs
    /// have ended, and whatever they were doing did not finish.
    pub(super) async fn take_back_jobs(&self) -> Result<(), QueueError> {
        let taken = sqlx::query(
            "UPDATE jobs SET interruptions = interruptions + 1, lease_run = NULL, lease_until = NULL, \
             state = CASE WHEN interruptions + 1 < $2 THEN 'queued' ELSE 'failed' END, \
             error = 'the node ended during the analysis' WHERE state = 'running' AND lease_run <> $1 RETURNING id, state",
        );
        let mut transaction = self.database.write().await.map_err(database("taking back jobs"))?;
        let rows = taken
            .bind(&self.rules.run)
            .bind(INTERRUPTIONS)
            .fetch_all(&mut *transaction)
            .await
            .map_err(database("taking back jobs"))?;
        transaction.commit().await.map_err(database("taking back jobs"))?;
        for row in rows {
            let (id, state): (String, String) = (row.get(0), row.get(1));
            log(&JobId(id), JobState::Running, JobState::parse(&state).unwrap_or(JobState::Queued));
        }
        Ok(())
    }

    /// Treats leases of this run that ran out as failed attempts.
    async fn take_back_expired(&self, now: Timestamp) -> Result<(), QueueError> {
        let rows = sqlx::query(
            "SELECT id, study_instance_uid, series_instance_uid, instances, instances_sha256, attempts, created_at \
             FROM jobs WHERE state = 'running' AND lease_until < $1",
        )
        .bind(now.as_millisecond())
        .fetch_all(self.database.readers())
        .await
        .map_err(database("looking for void leases"))?;
        for row in &rows {
            let job = leased(row).map_err(database("looking for void leases"))?;
            self.attempt_failed(&job, "the lease ran out", now).await?;
        }
        Ok(())
    }

    /// Changes a running job that this run has leased. False if it has the wanted state already; an error if it has
    /// any other.
    async fn change(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        id: &JobId,
        change: Change<'_>,
    ) -> Result<bool, QueueError> {
        let failing = "changing the state of a job";
        let changed = sqlx::query(
            "UPDATE jobs SET state = $2, not_before = $3, error = $4, summary = COALESCE($5, summary), \
             interruptions = interruptions + $6, lease_run = NULL, lease_until = NULL, updated_at = $7 \
             WHERE id = $1 AND state = 'running' AND lease_run = $8",
        )
        .bind(&id.0)
        .bind(change.state.name())
        .bind(change.not_before)
        .bind(change.error)
        .bind(change.summary)
        .bind(i64::from(change.interrupted))
        .bind(change.now.as_millisecond())
        .bind(&self.rules.run)
        .execute(&mut **transaction)
        .await
        .map_err(database(failing))?
        .rows_affected();
        if changed == 1 {
            return Ok(true);
        }
        match state_of(transaction, id).await.map_err(database(failing))? {
            Some(found) if found == change.state => Ok(false),
            Some(found) => Err(QueueError::WrongState { job: id.to_string(), wanted: change.state, found }),
            None => Err(QueueError::Unknown(format!("job {id}"))),
        }
    }
}

async fn state_of(transaction: &mut Transaction<'_, Sqlite>, id: &JobId) -> Result<Option<JobState>, sqlx::Error> {
    let found: Option<String> = sqlx::query_scalar("SELECT state FROM jobs WHERE id = $1")
        .bind(&id.0)
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(found.as_deref().and_then(JobState::parse))
}

/// What becomes of a running job.
struct Change<'a> {
    state: JobState,
    not_before: i64,
    error: Option<&'a str>,
    summary: Option<String>,
    interrupted: bool,
    now: Timestamp,
}

/// A job to be.
struct Insertion<'a> {
    id: &'a JobId,
    study_instance_uid: &'a Uid,
    series_instance_uid: &'a Uid,
    members: &'a [Member],
    state: JobState,
    summary: Option<String>,
    now: Timestamp,
}

async fn insert(transaction: &mut Transaction<'_, Sqlite>, new: Insertion<'_>) -> Result<(), sqlx::Error> {
    let uids: Vec<&Uid> = new.members.iter().map(|(uid, _)| uid).collect();
    let instances = serde_json::to_string(&uids).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let inserted = sqlx::query(
        "INSERT INTO jobs (id, study_instance_uid, series_instance_uid, instances_sha256, instances, version, state, \
         attempts, interruptions, not_before, summary, created_at, updated_at) \
         SELECT $1, $2, $3, $4, $5, 1 + COALESCE(MAX(version), 0), $6, 0, 0, 0, $7, $8, $8 FROM jobs \
         WHERE study_instance_uid = $2 AND series_instance_uid = $3 ON CONFLICT (id) DO NOTHING",
    )
    .bind(&new.id.0)
    .bind(new.study_instance_uid.as_str())
    .bind(new.series_instance_uid.as_str())
    .bind(instances_sha256(new.members))
    .bind(instances)
    .bind(new.state.name())
    .bind(new.summary)
    .bind(new.now.as_millisecond())
    .execute(&mut **transaction)
    .await?
    .rows_affected();
    if inserted == 1 {
        tracing::info!(job = %new.id, series = %new.series_instance_uid, instances = uids.len(), state = %new.state, "new job");
    }
    Ok(())
}

/// True of a job whose series has a newer one, of more instances.
macro_rules! outdated {
    () => {
        "EXISTS (SELECT 1 FROM jobs newer WHERE newer.study_instance_uid = jobs.study_instance_uid \
         AND newer.series_instance_uid = jobs.series_instance_uid AND newer.version > jobs.version)"
    };
}

/// Drops the jobs in waiting that are outdated.
async fn drop_outdated(transaction: &mut Transaction<'_, Sqlite>) -> Result<(), sqlx::Error> {
    let dropped: Vec<String> =
        sqlx::query_scalar(concat!("DELETE FROM jobs WHERE state = 'queued' AND ", outdated!(), " RETURNING id"))
            .fetch_all(&mut **transaction)
            .await?;
    for job in dropped {
        tracing::info!(job, "dropped: more instances of its series came");
    }
    Ok(())
}

/// Drops a job that has just ended, if it is outdated: its results would say less than those to come.
async fn drop_if_outdated(transaction: &mut Transaction<'_, Sqlite>, id: &JobId) -> Result<bool, sqlx::Error> {
    let dropped = sqlx::query(concat!("DELETE FROM jobs WHERE id = $1 AND ", outdated!()))
        .bind(&id.0)
        .execute(&mut **transaction)
        .await?
        .rows_affected();
    if dropped == 1 {
        tracing::info!(job = %id, "its results are dropped: more instances of its series came during the analysis");
    }
    Ok(dropped == 1)
}

/// The report of the newest job of the same series that made one.
async fn predecessor(
    transaction: &mut Transaction<'_, Sqlite>,
    job: &Job,
) -> Result<Option<ResultReference>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT r.series_instance_uid, r.sop_instance_uid FROM results r JOIN jobs j ON j.id = r.job_id \
         WHERE j.study_instance_uid = $1 AND j.series_instance_uid = $2 AND r.kind = $3 AND j.id <> $4 \
         ORDER BY j.version DESC LIMIT 1",
    )
    .bind(job.study_instance_uid.as_str())
    .bind(job.series_instance_uid.as_str())
    .bind(ResultKind::Sr.name())
    .bind(&job.id.0)
    .fetch_optional(&mut **transaction)
    .await?;
    let reference = |row: SqliteRow| {
        let (series_instance_uid, sop_instance_uid) =
            (uid(&row, "series_instance_uid")?, uid(&row, "sop_instance_uid")?);
        Ok(ResultReference { kind: ResultKind::Sr, series_instance_uid, sop_instance_uid })
    };
    row.map(reference).transpose()
}

fn uid(row: &SqliteRow, column: &str) -> Result<Uid, sqlx::Error> {
    Uid::parse(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn leased(row: &SqliteRow) -> Result<Job, sqlx::Error> {
    let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
    Ok(Job {
        id: JobId(row.try_get("id")?),
        study_instance_uid: uid(row, "study_instance_uid")?,
        series_instance_uid: uid(row, "series_instance_uid")?,
        instances: serde_json::from_str(row.try_get("instances")?).map_err(|error| decode(error.into()))?,
        instances_sha256: row.try_get("instances_sha256")?,
        attempts: row.try_get("attempts")?,
        predecessor: None,
        created_at: Timestamp::from_millisecond(row.try_get("created_at")?).map_err(|error| decode(error.into()))?,
    })
}

fn to_json(id: &JobId, summary: &AnalysisSummary) -> Result<String, QueueError> {
    serde_json::to_string(summary).map_err(|source| QueueError::Summary { job: id.to_string(), source })
}

fn log(job: &JobId, from: JobState, to: JobState) {
    debug_assert!(from.may_become(to), "{from} -> {to}");
    tracing::info!(%job, "{from} -> {to}");
}
