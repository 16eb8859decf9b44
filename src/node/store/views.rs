//! What API, dashboard and metrics show of series, jobs, results and deliveries.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Queue;
use super::error::{QueueError, database};
use super::job::JobId;
use super::shadow::ShadowView;
use super::state::{DeliveryState, JobState};
use crate::dicom::Uid;
use crate::engine::pipeline::{self, AnalysisSummary, ResultKind, ResultReference};

/// A study and all its series of images.
#[derive(Debug, Clone, Serialize)]
pub struct StudyView {
    /// Study Instance UID.
    pub study_instance_uid: Uid,
    /// When its first object came.
    pub received_at: Timestamp,
    /// Its series, in order of series number; none for the node's own results and for series that are not images.
    pub series: Vec<SeriesView>,
}

/// Where a series stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeriesProgress {
    /// Objects may still come.
    Receiving,
    /// As its newest job.
    #[serde(untagged)]
    Job(JobState),
}

/// A series: how far it is, what was found, what was made of it and where that went.
#[derive(Debug, Clone, Serialize)]
pub struct SeriesView {
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// Modality (0008,0060), empty if the series has none.
    pub modality: String,
    /// Stored instances.
    pub instances: u64,
    /// How far it is.
    pub state: SeriesProgress,
    /// What its newest job came to, once it ended.
    #[serde(flatten, serialize_with = "pipeline::answer")]
    pub summary: Option<AnalysisSummary>,
    /// The newest job of the series, once it is complete.
    pub job: Option<JobId>,
    /// Attempts begun.
    pub attempts: u32,
    /// What the last failed attempt said.
    pub error: Option<String>,
    /// Result objects.
    pub results: Vec<ResultReference>,
    /// Their deliveries, one entry a destination and object.
    pub deliveries: Vec<DeliveryView>,
    /// What candidate models said beside: recorded for comparison, no part of the results, never sent.
    pub shadow: Vec<ShadowView>,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// Name of the destination.
    pub destination: String,
    /// The result object.
    pub sop_instance_uid: Uid,
    /// How far it is.
    pub state: DeliveryState,
    /// Attempts begun.
    pub attempts: u32,
    /// What the last failed attempt said.
    pub error: Option<String>,
    /// When the next attempt is due, between attempts.
    pub next_attempt_at: Option<Timestamp>,
}

/// A job.
#[derive(Debug, Clone, Serialize)]
pub struct JobView {
    /// Its identity.
    pub id: JobId,
    /// Study Instance UID.
    pub study_instance_uid: Uid,
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// 1 for the first instance set of the series, 2 when more instances came, and so on.
    pub version: u32,
    /// How far it is.
    pub state: JobState,
    /// Attempts begun.
    pub attempts: u32,
    /// What the last failed attempt said.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// What the analysis said of itself, once it ended.
    pub summary: Option<AnalysisSummary>,
}

/// How many of what there are, for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Studies in the archive.
    pub studies: u64,
    /// Series in the archive, results included.
    pub series: u64,
    /// Instances in the archive, results included.
    pub instances: u64,
    /// Objects kept apart because another had their identifier.
    pub conflicts: u64,
    /// Series whose instances may still come.
    pub receiving: u64,
    /// Jobs by state; every state has an entry.
    pub jobs: BTreeMap<JobState, u64>,
    /// Deliveries by destination and state; every configured destination has all states.
    pub deliveries: BTreeMap<String, BTreeMap<DeliveryState, u64>>,
}

impl Queue {
    /// A study with all its series; `None` if the node has nothing of it.
    pub async fn study(&self, study_instance_uid: &Uid) -> Result<Option<StudyView>, QueueError> {
        let received_at: Option<i64> =
            sqlx::query_scalar("SELECT received_at FROM studies WHERE study_instance_uid = $1")
                .bind(study_instance_uid.as_str())
                .fetch_optional(self.database.readers())
                .await
                .map_err(database("looking up a study"))?;
        let Some(received_at) = received_at else { return Ok(None) };
        let series = self.series_of(study_instance_uid).await?;
        Ok(Some(StudyView { study_instance_uid: study_instance_uid.clone(), received_at: time(received_at), series }))
    }

    /// The studies received last, newest first.
    pub async fn studies(&self, limit: u32) -> Result<Vec<StudyView>, QueueError> {
        let failing = "listing studies";
        let rows = sqlx::query(
            "SELECT study_instance_uid, received_at FROM studies ORDER BY received_at DESC, study_instance_uid LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.database.readers())
        .await
        .map_err(database(failing))?;
        let mut studies = Vec::with_capacity(rows.len());
        for row in &rows {
            let study_instance_uid = uid(row, "study_instance_uid").map_err(database(failing))?;
            let series = self.series_of(&study_instance_uid).await?;
            studies.push(StudyView { study_instance_uid, received_at: time(row.get("received_at")), series });
        }
        Ok(studies)
    }

    /// The jobs changed last, newest first.
    pub async fn jobs(&self, limit: u32) -> Result<Vec<JobView>, QueueError> {
        let failing = "listing jobs";
        let rows = sqlx::query("SELECT * FROM jobs ORDER BY updated_at DESC, id LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(self.database.readers())
            .await
            .map_err(database(failing))?;
        rows.iter().map(job_view).collect()
    }

    /// One job; `None` if there is no such job.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobView>, QueueError> {
        let row = sqlx::query("SELECT * FROM jobs WHERE id = $1")
            .bind(&id.0)
            .fetch_optional(self.database.readers())
            .await
            .map_err(database("looking up a job"))?;
        row.as_ref().map(job_view).transpose()
    }

    /// How many of what there are.
    pub async fn counts(&self) -> Result<Counts, QueueError> {
        let failing = "counting";
        let readers = self.database.readers();
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM studies), (SELECT COUNT(*) FROM series), (SELECT COUNT(*) FROM instances), \
             (SELECT COUNT(*) FROM conflicts), \
             (SELECT COUNT(*) FROM series WHERE assembled_revision < revision AND own_results = 0)",
        )
        .fetch_one(readers)
        .await
        .map_err(database(failing))?;
        let count = |column: usize| row.get::<i64, _>(column) as u64;
        let mut counts = Counts {
            studies: count(0),
            series: count(1),
            instances: count(2),
            conflicts: count(3),
            receiving: count(4),
            jobs: JobState::ALL.iter().map(|state| (*state, 0)).collect(),
            deliveries: self.rules.destinations.keys().map(|name| (name.clone(), no_deliveries())).collect(),
        };
        let jobs: Vec<(String, i64)> = sqlx::query_as("SELECT state, COUNT(*) FROM jobs GROUP BY state")
            .fetch_all(readers)
            .await
            .map_err(database(failing))?;
        for (state, count) in jobs {
            counts.jobs.extend(JobState::parse(&state).map(|state| (state, count as u64)));
        }
        let deliveries: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT destination, state, COUNT(*) FROM deliveries GROUP BY destination, state")
                .fetch_all(readers)
                .await
                .map_err(database(failing))?;
        for (destination, state, count) in deliveries {
            let by_state = counts.deliveries.entry(destination).or_insert_with(no_deliveries);
            by_state.extend(DeliveryState::parse(&state).map(|state| (state, count as u64)));
        }
        Ok(counts)
    }

    async fn series_of(&self, study_instance_uid: &Uid) -> Result<Vec<SeriesView>, QueueError> {
        let failing = "listing the series of a study";
        // The newest job is the one of the highest version.
        let rows = sqlx::query(
            "SELECT e.series_instance_uid, e.modality, e.revision, e.assembled_revision, \
             (SELECT COUNT(*) FROM instances i WHERE i.study_instance_uid = e.study_instance_uid \
             AND i.series_instance_uid = e.series_instance_uid) AS instances, \
             j.id AS job, j.state, j.attempts, j.error, j.summary FROM series e \
             LEFT JOIN jobs j ON j.study_instance_uid = e.study_instance_uid \
             AND j.series_instance_uid = e.series_instance_uid \
             AND j.version = (SELECT MAX(n.version) FROM jobs n WHERE n.study_instance_uid = e.study_instance_uid \
             AND n.series_instance_uid = e.series_instance_uid) \
             WHERE e.study_instance_uid = $1 AND e.own_results = 0 \
             AND (j.id IS NOT NULL OR e.assembled_revision < e.revision) \
             ORDER BY COALESCE(e.series_number, 2147483648), e.series_instance_uid",
        )
        .bind(study_instance_uid.as_str())
        .fetch_all(self.database.readers())
        .await
        .map_err(database(failing))?;
        let mut views = Vec::with_capacity(rows.len());
        for row in &rows {
            views.push(self.series_view(row).await?);
        }
        Ok(views)
    }

    async fn series_view(&self, row: &SqliteRow) -> Result<SeriesView, QueueError> {
        let failing = "reading a series";
        let job = row.get::<Option<String>, _>("job").map(JobId);
        let receiving = row.get::<i64, _>("assembled_revision") < row.get::<i64, _>("revision");
        let state = row.get::<Option<&str>, _>("state").and_then(JobState::parse);
        let summary = summary(job.as_ref(), row.get("summary"))?;
        let (results, deliveries, shadow) = match &job {
            Some(job) => (self.results(job).await?, self.deliveries(job).await?, self.shadows(job).await?),
            None => (Vec::new(), Vec::new(), Vec::new()),
        };
        Ok(SeriesView {
            series_instance_uid: uid(row, "series_instance_uid").map_err(database(failing))?,
            modality: row.get("modality"),
            instances: row.get::<i64, _>("instances") as u64,
            state: state.filter(|_| !receiving).map_or(SeriesProgress::Receiving, SeriesProgress::Job),
            summary,
            job,
            attempts: row.get::<Option<i64>, _>("attempts").unwrap_or(0) as u32,
            error: row.get("error"),
            results,
            deliveries,
            shadow,
        })
    }

    async fn results(&self, job: &JobId) -> Result<Vec<ResultReference>, QueueError> {
        let failing = "listing results";
        let rows = sqlx::query(
            "SELECT kind, series_instance_uid, sop_instance_uid FROM results WHERE job_id = $1 ORDER BY position",
        )
        .bind(&job.0)
        .fetch_all(self.database.readers())
        .await
        .map_err(database(failing))?;
        let view = |row: &SqliteRow| {
            Ok(ResultReference {
                kind: kind(row)?,
                series_instance_uid: uid(row, "series_instance_uid")?,
                sop_instance_uid: uid(row, "sop_instance_uid")?,
            })
        };
        rows.iter().map(view).collect::<Result<_, sqlx::Error>>().map_err(database(failing))
    }

    /// The deliveries of a job's results, by destination.
    pub async fn deliveries(&self, job: &JobId) -> Result<Vec<DeliveryView>, QueueError> {
        let failing = "listing deliveries";
        let rows = sqlx::query(
            "SELECT d.destination, d.sop_instance_uid, d.state, d.attempts, d.error, d.not_before FROM deliveries d \
             LEFT JOIN results r ON r.job_id = d.job_id AND r.sop_instance_uid = d.sop_instance_uid \
             WHERE d.job_id = $1 ORDER BY d.destination, r.position",
        )
        .bind(&job.0)
        .fetch_all(self.database.readers())
        .await
        .map_err(database(failing))?;
        let view = |row: &SqliteRow| {
            let state = DeliveryState::parse(row.get("state")).unwrap_or(DeliveryState::Queued);
            Ok(DeliveryView {
                destination: row.get("destination"),
                sop_instance_uid: uid(row, "sop_instance_uid")?,
                state,
                attempts: row.get("attempts"),
                error: row.get("error"),
                next_attempt_at: (state == DeliveryState::Retrying).then(|| time(row.get("not_before"))),
            })
        };
        rows.iter().map(view).collect::<Result<_, sqlx::Error>>().map_err(database(failing))
    }
}

fn no_deliveries() -> BTreeMap<DeliveryState, u64> {
    DeliveryState::ALL.iter().map(|state| (*state, 0)).collect()
}

pub(super) fn uid(row: &SqliteRow, column: &str) -> Result<Uid, sqlx::Error> {
    Uid::parse(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn kind(row: &SqliteRow) -> Result<ResultKind, sqlx::Error> {
    row.try_get::<&str, _>("kind")?.parse().map_err(|error: strum::ParseError| sqlx::Error::Decode(Box::new(error)))
}

pub(super) fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn summary(job: Option<&JobId>, json: Option<&str>) -> Result<Option<AnalysisSummary>, QueueError> {
    let job = || job.map(ToString::to_string).unwrap_or_default();
    json.map(serde_json::from_str).transpose().map_err(|source| QueueError::Summary { job: job(), source })
}

fn job_view(row: &SqliteRow) -> Result<JobView, QueueError> {
    let failing = "reading a job";
    let id = JobId(row.get("id"));
    let summary = summary(Some(&id), row.get("summary"))?;
    Ok(JobView {
        study_instance_uid: uid(row, "study_instance_uid").map_err(database(failing))?,
        series_instance_uid: uid(row, "series_instance_uid").map_err(database(failing))?,
        version: row.get("version"),
        state: JobState::parse(row.get("state")).unwrap_or(JobState::Failed),
        attempts: row.get("attempts"),
        error: row.get("error"),
        created_at: time(row.get("created_at")),
        updated_at: time(row.get("updated_at")),
        summary,
        id,
    })
}
