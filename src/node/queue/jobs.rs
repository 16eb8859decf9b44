//! Transitions of jobs, one method each: the old state is checked, the change is logged and made durable, and a
//! repetition changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::error::{QueueError, database};
use super::job::{Job, JobId, Member, Selection, instances_sha256, rejected};
use super::state::{JobState, backoff};
use super::{Queue, deliveries};
use crate::dicom::Uid;
use crate::engine::pipeline::{Status, Summary};

/// Pause after the first failed attempt, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Attempts that the node's own end cut short do not count against a job until there are this many.
const INTERRUPTIONS: i64 = 50;

impl Queue {
    /// Records what is to become of a complete series at the given revision: a queued job, a rejected one, or none.
    /// Earlier jobs of the series that have not begun are dropped: their instance set is outdated.
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
                let summary = rejected(study_instance_uid, series_instance_uid, rejections);
                Some((members, JobState::Rejected, Some(summary)))
            }
        };
        let id = match job {
            None => None,
            Some((members, state, summary)) => {
                let id = JobId::of(study_instance_uid, series_instance_uid, &instances_sha256(members));
                let summary = summary.map(|summary| to_json(&id, &summary)).transpose()?;
                drop_outdated(&mut transaction, study_instance_uid, series_instance_uid, &id)
                    .await
                    .map_err(database(failing))?;
                let new = Insertion { id: &id, study_instance_uid, series_instance_uid, members, state, summary, now };
                insert(&mut transaction, new).await.map_err(database(failing))?;
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
        let job = row.as_ref().map(leased).transpose().map_err(database(failing))?;
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

    /// Records a finished analysis, whose results are in the archive already: Running -> Analysed or Rejected, together
    /// with the result rows and what is owed to each destination.
    pub async fn finish(&self, job: &Job, summary: &Summary, now: Timestamp) -> Result<(), QueueError> {
        let failing = "recording a finished job";
        let state = match summary.status {
            Status::Analysed => JobState::Analysed,
            Status::Rejected => JobState::Rejected,
        };
        let json = to_json(&job.id, summary)?;
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let change = Change { state, not_before: 0, error: None, summary: Some(json), interrupted: false, now };
        if !self.change(&mut transaction, &job.id, change).await? {
            return Ok(());
        }
        for (position, result) in summary.results.iter().enumerate() {
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
        if self.rules.deliver_demonstrations || !summary.demonstration {
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
        let found: Option<String> = sqlx::query_scalar("SELECT state FROM jobs WHERE id = $1")
            .bind(&id.0)
            .fetch_optional(&mut **transaction)
            .await
            .map_err(database(failing))?;
        match found.as_deref().and_then(JobState::parse) {
            Some(found) if found == change.state => Ok(false),
            Some(found) => Err(QueueError::WrongState { job: id.to_string(), wanted: change.state, found }),
            None => Err(QueueError::Unknown(format!("job {id}"))),
        }
    }
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
         SELECT $1, $2, $3, $4, $5, 1 + COUNT(*), $6, 0, 0, 0, $7, $8, $8 FROM jobs \
         WHERE study_instance_uid = $2 AND series_instance_uid = $3 AND id <> $1 ON CONFLICT (id) DO NOTHING",
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

async fn drop_outdated(
    transaction: &mut Transaction<'_, Sqlite>,
    study_instance_uid: &Uid,
    series_instance_uid: &Uid,
    current: &JobId,
) -> Result<(), sqlx::Error> {
    let dropped: Vec<String> = sqlx::query_scalar(
        "DELETE FROM jobs WHERE study_instance_uid = $1 AND series_instance_uid = $2 AND id <> $3 \
         AND state = 'queued' RETURNING id",
    )
    .bind(study_instance_uid.as_str())
    .bind(series_instance_uid.as_str())
    .bind(&current.0)
    .fetch_all(&mut **transaction)
    .await?;
    for job in dropped {
        tracing::info!(job, "dropped before it began: more instances of its series came");
    }
    Ok(())
}

fn leased(row: &SqliteRow) -> Result<Job, sqlx::Error> {
    let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
    let uid = |column| Uid::parse(row.try_get(column)?).map_err(|error| decode(error.into()));
    Ok(Job {
        id: JobId(row.try_get("id")?),
        study_instance_uid: uid("study_instance_uid")?,
        series_instance_uid: uid("series_instance_uid")?,
        instances: serde_json::from_str(row.try_get("instances")?).map_err(|error| decode(error.into()))?,
        instances_sha256: row.try_get("instances_sha256")?,
        attempts: row.try_get("attempts")?,
        created_at: Timestamp::from_millisecond(row.try_get("created_at")?).map_err(|error| decode(error.into()))?,
    })
}

fn to_json(id: &JobId, summary: &Summary) -> Result<String, QueueError> {
    serde_json::to_string(summary).map_err(|source| QueueError::Summary { job: id.to_string(), source })
}

fn log(job: &JobId, from: JobState, to: JobState) {
    debug_assert!(from.may_become(to), "{from} -> {to}");
    tracing::info!(%job, "{from} -> {to}");
}
