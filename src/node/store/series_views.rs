//! A series as API and dashboard show it: the state of its newest version beside the result that counts.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::Fault;
use super::handle::Store;
use super::index::Visibility;
use super::jobs::result_reference;
use super::results::visibility_of_result;
use super::rows::{Columns, confirmation};
use super::views::{DeliveryView, EarlierResult, LaterImages, Outcome, SeriesProgress, SeriesView, VoidResult};
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::{AnalysisSummary, ResultKind, ResultReference};
use crate::node::queue::{DeliveryState, JobId, JobState};

impl Store {
    /// A series, by its row with the job of its newest version.
    pub(super) async fn series_view(&self, row: &SqliteRow, study_instance_uid: &Uid) -> Result<SeriesView, Fault> {
        let series = SeriesId::new(study_instance_uid.clone(), row.uid("series_instance_uid")?);
        let newest: Option<JobId> = row.try_get::<Option<&str>, _>("job")?.map(JobId::from_text);
        let version: Option<u32> = row.try_get("version")?;
        let error: Option<String> = row.try_get("error")?;
        let state = if row.try_get("receiving")? || newest.is_none() {
            SeriesProgress::Receiving
        } else {
            SeriesProgress::Job(row.named::<JobState>("state")?)
        };
        let ended: Option<AnalysisSummary> = row.optional_json("summary")?;
        let not_analysed = ended.filter(|summary| summary.analysed().is_none());
        let mut analysed = self.analysed_versions(&series).await?.into_iter();
        // An earlier version does not take the place of one whose result does not stand any more.
        let (result, void) = match analysed.next() {
            Some(version) if version.visibility == Visibility::Current => (Some(version), None),
            Some(version) => (None, Some(self.void_result(&series, &version).await?)),
            None => (None, None),
        };
        let result_version = result.as_ref().map(|result| result.version);
        let newer = newest.as_ref().filter(|_| result_version != version);
        let (results, deliveries) = self.current_results(result.as_ref().map(|result| &result.job), newer).await?;
        let later = later(state, version, not_analysed.as_ref(), error.as_deref()).filter(|_| result.is_some());
        Ok(SeriesView {
            earlier: self.earlier_results(&results, analysed.as_slice()).await?,
            series_instance_uid: series.series_instance_uid,
            modality: row.try_get("modality")?,
            instances: row.count("instances")?,
            state,
            version,
            void,
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
        })
    }

    /// The results of the version that was analysed, and the notice of a newer one; with their deliveries.
    async fn current_results(
        &self,
        analysed: Option<&JobId>,
        newer: Option<&JobId>,
    ) -> Result<(Vec<ResultReference>, Vec<DeliveryView>), Fault> {
        let (mut results, mut deliveries) = (Vec::new(), Vec::new());
        if let Some(job) = analysed {
            (results, deliveries) = (self.results(job, &[Visibility::Current]).await?, self.deliveries_of(job).await?);
        }
        if let Some(job) = newer {
            results.extend(self.notice(job).await?);
            deliveries.extend(self.deliveries_of(job).await?);
        }
        deliveries.retain(|delivery| results.iter().any(|one| one.sop_instance_uid == delivery.sop_instance_uid));
        Ok((results, deliveries))
    }

    /// The results of versions that are not the current ones, each set once.
    async fn earlier_results(
        &self,
        current: &[ResultReference],
        versions: &[AnalysedVersion],
    ) -> Result<Vec<EarlierResult>, Fault> {
        let mut earlier: Vec<EarlierResult> = Vec::new();
        let stand = |one: &&AnalysedVersion| matches!(one.visibility, Visibility::Current | Visibility::Superseded);
        for AnalysedVersion { job, version, summary, .. } in versions.iter().filter(stand) {
            let results = self.results(job, &[Visibility::Current, Visibility::Superseded]).await?;
            let mut known = std::iter::once(current).chain(earlier.iter().map(|one| one.results.as_slice()));
            let mut findings = results.iter().filter(|result| result.kind.is_finding());
            let is_known = known.any(|known| findings.clone().all(|result| known.contains(result)));
            if findings.next().is_some()
                && !is_known
                && let Some(found) = summary.analysed()
            {
                earlier.push(EarlierResult {
                    version: *version,
                    decision: found.decision,
                    probability: found.probability,
                    deliveries: self.deliveries_of(job).await?,
                    results,
                });
            }
        }
        Ok(earlier)
    }

    /// The versions of a series that were analysed, newest first. One that is analysed again still has its result.
    async fn analysed_versions(&self, series: &SeriesId) -> Result<Vec<AnalysedVersion>, Fault> {
        let rows = sqlx::query(concat!(
            "SELECT j.id, j.version, j.summary, CASE WHEN j.withdrawn = 1 THEN 'withdrawn' ELSE COALESCE(",
            visibility_of_result!(),
            ", 'current') END AS visibility FROM jobs j WHERE j.study_instance_uid = $1 AND j.series_instance_uid = $2 \
             AND j.summary IS NOT NULL ORDER BY j.version DESC"
        ))
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .fetch_all(self.readers())
        .await?;
        let version = |row: &SqliteRow| {
            let (job, version, summary) = (row.job_id("id")?, row.try_get("version")?, row.json("summary")?);
            Ok(AnalysedVersion { job, version, summary, visibility: row.named("visibility")? })
        };
        let versions: Result<Vec<AnalysedVersion>, Fault> = rows.iter().map(version).collect();
        Ok(versions?.into_iter().filter(|version| version.summary.analysed().is_some()).collect())
    }

    /// What is said in place of a result that does not stand any more.
    async fn void_result(&self, series: &SeriesId, version: &AnalysedVersion) -> Result<VoidResult, Fault> {
        let rejected = self.results(&version.job, &[version.visibility]).await?;
        let reason = match rejected.iter().find(|one| one.kind.is_finding()) {
            Some(result) => self
                .voiding_record(series, &result.sop_instance_uid, version.visibility)
                .await?
                .map(|one| one.note_cause()),
            None => None,
        };
        Ok(VoidResult { version: version.version, state: version.visibility, reason })
    }

    /// What a job made in its issue, as far as it has one of these visibilities or is not in the index.
    async fn results(&self, job: &JobId, visibilities: &[Visibility]) -> Result<Vec<ResultReference>, Fault> {
        let rows = sqlx::query(
            "SELECT r.kind, r.series_instance_uid, r.sop_instance_uid, i.visibility FROM results r \
             JOIN jobs j ON j.id = r.job_id AND j.issue = r.issue \
             LEFT JOIN instances i ON i.sop_instance_uid = r.sop_instance_uid WHERE r.job_id = $1 ORDER BY r.position",
        )
        .bind(job.as_str())
        .fetch_all(self.readers())
        .await?;
        let mut results = Vec::with_capacity(rows.len());
        for row in &rows {
            let is_listed = row.try_get::<Option<&str>, _>("visibility")?.is_some();
            if !is_listed || visibilities.contains(&row.named("visibility")?) {
                results.push(result_reference(row)?);
            }
        }
        Ok(results)
    }

    /// The notice that a job was not analysed, while it counts.
    async fn notice(&self, job: &JobId) -> Result<Option<ResultReference>, Fault> {
        let row = sqlx::query(
            "SELECT r.kind, r.series_instance_uid, r.sop_instance_uid FROM results r \
             JOIN jobs j ON j.id = r.job_id AND j.issue = r.issue \
             JOIN instances i ON i.sop_instance_uid = r.sop_instance_uid AND i.visibility = 'current' \
             WHERE r.job_id = $1 AND r.kind = $2 ORDER BY r.position DESC LIMIT 1",
        )
        .bind(job.as_str())
        .bind(ResultKind::Notice.name())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(result_reference).transpose()
    }

    /// The deliveries of the results of a job, by destination.
    pub(super) async fn deliveries_of(&self, job: &JobId) -> Result<Vec<DeliveryView>, Fault> {
        let rows = sqlx::query(
            "SELECT d.destination, d.sop_instance_uid, d.state, d.attempts, d.error, d.not_before, d.sent_as, d.remark, \
             d.committed_at FROM results r \
             JOIN jobs j ON j.id = r.job_id AND j.issue = r.issue \
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
    visibility: Visibility,
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
