//! Studies, series and jobs as API and dashboard show them.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row};

use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::jobs::result_reference;
use super::page::{Page, push_page};
use super::rows::{Columns, confirmation};
use super::views::{DeliveryView, EarlierResult, JobView, LaterImages, Outcome, SeriesProgress, SeriesView, StudyView};
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::{AnalysisSummary, ResultKind, ResultReference};
use crate::node::queue::{DeliveryState, JobId, JobState};

/// The series of images of a study `s`: those that a study's view has. Of one whose objects may still come, `j` is NULL;
/// of the others it is the newest job.
macro_rules! series_of_images {
    () => {
        "FROM series e LEFT JOIN jobs j ON j.study_instance_uid = e.study_instance_uid \
         AND j.series_instance_uid = e.series_instance_uid AND e.revision = e.assembled_revision \
         AND j.version = (SELECT MAX(n.version) FROM jobs n WHERE n.study_instance_uid = e.study_instance_uid \
         AND n.series_instance_uid = e.series_instance_uid) \
         WHERE e.study_instance_uid = s.study_instance_uid AND e.own_results = 0 \
         AND (j.id IS NOT NULL OR e.assembled_revision < e.revision)"
    };
}

impl Store {
    /// A study with all its series; `None` if the node has nothing of it.
    pub async fn study(&self, study_instance_uid: &Uid) -> Result<Option<StudyView>, StoreError> {
        during("looking up a study", async {
            let row = sqlx::query("SELECT study_instance_uid, received_at FROM studies WHERE study_instance_uid = $1")
                .bind(study_instance_uid.as_str())
                .fetch_optional(self.readers())
                .await?;
            match row {
                Some(row) => Ok(Some(self.study_view(&row).await?)),
                None => Ok(None),
            }
        })
        .await
    }

    /// Studies, the one received last first.
    pub async fn studies(&self, page: impl Into<Page<SeriesProgress>>) -> Result<Vec<StudyView>, StoreError> {
        let page = page.into();
        during("listing studies", async {
            let mut statement = QueryBuilder::new(
                "SELECT s.study_instance_uid, s.received_at FROM studies s WHERE EXISTS (SELECT 1 FROM instances i \
                     WHERE i.study_instance_uid = s.study_instance_uid AND i.visibility = 'current')",
            );
            match page.state {
                None => {}
                Some(SeriesProgress::Receiving) => {
                    statement.push(concat!(" AND EXISTS (SELECT 1 ", series_of_images!(), " AND j.id IS NULL)"));
                }
                Some(SeriesProgress::Job(state)) => {
                    statement.push(concat!(" AND EXISTS (SELECT 1 ", series_of_images!(), " AND j.state = "));
                    statement.push_bind(state.name()).push(")");
                }
            }
            push_page(&mut statement, &page, "s.received_at", "s.study_instance_uid");
            let rows = statement.build().fetch_all(self.readers()).await?;
            let mut studies = Vec::with_capacity(rows.len());
            for row in &rows {
                studies.push(self.study_view(row).await?);
            }
            Ok(studies)
        })
        .await
    }

    /// Jobs, the one made last first. Their states change, their order does not.
    pub async fn jobs(&self, page: impl Into<Page<JobState>>) -> Result<Vec<JobView>, StoreError> {
        let page = page.into();
        during("listing jobs", async {
            let mut statement = QueryBuilder::new("SELECT * FROM jobs WHERE 1 = 1");
            if let Some(state) = page.state {
                statement.push(" AND state = ").push_bind(state.name());
            }
            push_page(&mut statement, &page, "created_at", "id");
            let rows = statement.build().fetch_all(self.readers()).await?;
            rows.iter().map(job_view).collect()
        })
        .await
    }

    /// One job; `None` if there is no such job.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobView>, StoreError> {
        during("looking up a job", async {
            let row = sqlx::query("SELECT * FROM jobs WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(self.readers())
                .await?;
            row.as_ref().map(job_view).transpose()
        })
        .await
    }

    /// The deliveries of a job's results, by destination.
    pub async fn deliveries(&self, job: &JobId) -> Result<Vec<DeliveryView>, StoreError> {
        during("listing deliveries", self.deliveries_of(job)).await
    }

    async fn study_view(&self, row: &SqliteRow) -> Result<StudyView, Fault> {
        let study_instance_uid = row.uid("study_instance_uid")?;
        let series = self.series_of(&study_instance_uid).await?;
        Ok(StudyView { study_instance_uid, received_at: row.time("received_at")?, series })
    }

    async fn series_of(&self, study_instance_uid: &Uid) -> Result<Vec<SeriesView>, Fault> {
        // The newest job is the one of the highest version.
        let rows = sqlx::query(
            "SELECT e.series_instance_uid, e.modality, e.revision > e.assembled_revision AS receiving, \
             (SELECT COUNT(*) FROM instances i WHERE i.study_instance_uid = e.study_instance_uid \
             AND i.series_instance_uid = e.series_instance_uid AND i.visibility = 'current') AS instances, \
             j.id AS job, j.version, j.state, COALESCE(j.attempts, 0) AS attempts, j.error, j.summary FROM series e \
             LEFT JOIN jobs j ON j.study_instance_uid = e.study_instance_uid \
             AND j.series_instance_uid = e.series_instance_uid \
             AND j.version = (SELECT MAX(n.version) FROM jobs n WHERE n.study_instance_uid = e.study_instance_uid \
             AND n.series_instance_uid = e.series_instance_uid) \
             WHERE e.study_instance_uid = $1 AND e.own_results = 0 AND EXISTS (SELECT 1 FROM instances i \
             WHERE i.study_instance_uid = e.study_instance_uid AND i.series_instance_uid = e.series_instance_uid \
             AND i.visibility = 'current') \
             AND (j.id IS NOT NULL OR e.assembled_revision < e.revision) \
             ORDER BY COALESCE(e.series_number, 2147483648), e.series_instance_uid",
        )
        .bind(study_instance_uid.as_str())
        .fetch_all(self.readers())
        .await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in &rows {
            views.push(self.series_view(row, study_instance_uid).await?);
        }
        Ok(views)
    }

    async fn series_view(&self, row: &SqliteRow, study_instance_uid: &Uid) -> Result<SeriesView, Fault> {
        let newest: Option<JobId> = row.try_get::<Option<&str>, _>("job")?.map(JobId::from_text);
        let series = SeriesId::new(study_instance_uid.clone(), row.uid("series_instance_uid")?);
        let mut analysed = self.analysed_versions(&series).await?.into_iter();
        let result = analysed.next();
        let state = if row.try_get("receiving")? || newest.is_none() {
            SeriesProgress::Receiving
        } else {
            SeriesProgress::Job(row.named::<JobState>("state")?)
        };
        let ended: Option<AnalysisSummary> = row.optional_json("summary")?;
        let not_analysed = ended.filter(|summary| summary.analysed().is_none());
        let version: Option<u32> = row.try_get("version")?;
        let error: Option<String> = row.try_get("error")?;
        let (mut results, mut deliveries) = (Vec::new(), Vec::new());
        if let Some(result) = &result {
            (results, deliveries) = (self.results(&result.job).await?, self.deliveries_of(&result.job).await?);
        }
        let result_version = result.as_ref().map(|result| result.version);
        if let Some(newest) = newest.as_ref().filter(|_| result_version != version) {
            results.extend(self.notice(newest).await?);
            deliveries.extend(self.deliveries_of(newest).await?);
            deliveries.retain(|delivery| results.iter().any(|one| one.sop_instance_uid == delivery.sop_instance_uid));
        }
        let mut earlier: Vec<EarlierResult> = Vec::new();
        for version in analysed {
            let (of_version, deliveries) = (self.results(&version.job).await?, self.deliveries_of(&version.job).await?);
            let known = std::iter::once(&results).chain(earlier.iter().map(|one| &one.results));
            if !known.into_iter().any(|known| of_version.iter().all(|result| known.contains(result)))
                && let Some(found) = version.summary.analysed()
            {
                let (decision, probability) = (found.decision, found.probability);
                earlier.push(EarlierResult {
                    version: version.version,
                    decision,
                    probability,
                    results: of_version,
                    deliveries,
                });
            }
        }
        let later = later(state, version, not_analysed.as_ref(), error.as_deref()).filter(|_| result.is_some());
        Ok(SeriesView {
            series_instance_uid: series.series_instance_uid,
            modality: row.try_get("modality")?,
            instances: row.count("instances")?,
            state,
            version,
            outcome: Outcome { result: result.map(|result| result.summary), not_analysed },
            shadow: match &newest {
                Some(newest) => self.shadows(newest).await?,
                None => Vec::new(),
            },
            job: newest,
            attempts: row.try_get("attempts")?,
            error,
            result_version,
            results,
            deliveries,
            later,
            earlier,
        })
    }

    /// The versions of a series that were analysed, newest first. One that is analysed again still has its result, one whose
    /// results were withdrawn has none.
    async fn analysed_versions(&self, series: &SeriesId) -> Result<Vec<AnalysedVersion>, Fault> {
        let rows = sqlx::query(
            "SELECT id, version, summary FROM jobs WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
             AND summary IS NOT NULL AND NOT EXISTS (SELECT 1 FROM results r JOIN instances i \
             ON i.sop_instance_uid = r.sop_instance_uid WHERE r.job_id = jobs.id AND i.visibility = 'withdrawn') \
             ORDER BY version DESC",
        )
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .fetch_all(self.readers())
        .await?;
        let version = |row: &SqliteRow| {
            let (job, version, summary) = (row.job_id("id")?, row.try_get("version")?, row.json("summary")?);
            Ok(AnalysedVersion { job, version, summary })
        };
        let versions: Result<Vec<AnalysedVersion>, Fault> = rows.iter().map(version).collect();
        Ok(versions?.into_iter().filter(|version| version.summary.analysed().is_some()).collect())
    }

    async fn results(&self, job: &JobId) -> Result<Vec<ResultReference>, Fault> {
        let rows = sqlx::query(
            "SELECT kind, series_instance_uid, sop_instance_uid FROM results WHERE job_id = $1 ORDER BY position",
        )
        .bind(job.as_str())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(result_reference).collect()
    }

    /// The notice that a job was not analysed, while it counts.
    async fn notice(&self, job: &JobId) -> Result<Option<ResultReference>, Fault> {
        let row = sqlx::query(
            "SELECT r.kind, r.series_instance_uid, r.sop_instance_uid FROM results r \
             JOIN instances i ON i.sop_instance_uid = r.sop_instance_uid AND i.visibility = 'current' \
             WHERE r.job_id = $1 AND r.kind = $2 ORDER BY r.position DESC LIMIT 1",
        )
        .bind(job.as_str())
        .bind(ResultKind::Notice.name())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(result_reference).transpose()
    }

    async fn deliveries_of(&self, job: &JobId) -> Result<Vec<DeliveryView>, Fault> {
        let rows = sqlx::query(
            "SELECT d.destination, d.sop_instance_uid, d.state, d.attempts, d.error, d.not_before, d.sent_as, d.remark, \
             d.committed_at FROM results r \
             JOIN deliveries d ON d.sop_instance_uid = r.sop_instance_uid \
             WHERE r.job_id = $1 ORDER BY d.destination, r.position",
        )
        .bind(job.as_str())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(delivery_view).collect()
    }
}

/// A version of a series that was analysed.
struct AnalysedVersion {
    job: JobId,
    version: u32,
    summary: AnalysisSummary,
}

/// What a version says that has no result, unless it was analysed.
fn later(
    state: SeriesProgress,
    version: Option<u32>,
    not_analysed: Option<&AnalysisSummary>,
    error: Option<&str>,
) -> Option<LaterImages> {
    let explanation = match (state, not_analysed, error) {
        (SeriesProgress::Job(JobState::Analysed), ..) => return None,
        (SeriesProgress::Job(JobState::Rejected), Some(summary), _) => {
            let reasons = summary.rejections().iter().map(|one| format!("{}: {}", one.reason, one.explanation));
            reasons.collect::<Vec<_>>().join("; ")
        }
        (SeriesProgress::Job(JobState::Failed), _, Some(error)) => format!("failed: {error}"),
        _ => state.name().to_owned(),
    };
    Some(LaterImages { version: version.filter(|_| state != SeriesProgress::Receiving), state, explanation })
}

pub(super) fn delivery_view(row: &SqliteRow) -> Result<DeliveryView, Fault> {
    let state: DeliveryState = row.named("state")?;
    let confirmation = confirmation(row)?;
    let due: Option<Timestamp> = if state == DeliveryState::Retrying { Some(row.time("not_before")?) } else { None };
    Ok(DeliveryView {
        destination: row.try_get("destination")?,
        sop_instance_uid: row.uid("sop_instance_uid")?,
        state,
        attempts: row.try_get("attempts")?,
        error: row.try_get("error")?,
        next_attempt_at: due,
        sent_as: confirmation.sent_as,
        remark: confirmation.remark,
        committed_at: row.optional_time("committed_at")?,
    })
}

fn job_view(row: &SqliteRow) -> Result<JobView, Fault> {
    Ok(JobView {
        id: row.job_id("id")?,
        series: row.series()?,
        version: row.try_get("version")?,
        state: row.named("state")?,
        attempts: row.try_get("attempts")?,
        error: row.try_get("error")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        summary: row.optional_json("summary")?,
    })
}
