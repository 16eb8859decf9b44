//! What a shadow model predicts: which analysed series it has not seen yet, and its results.
//!
//! The tables of jobs and results are only read here, and a shadow model's result is written after the job's own. It
//! can neither change nor delay a job, and never becomes an object or a delivery.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::rows::{Columns, to_json};
use crate::dicom::{SeriesId, Uid};
use crate::engine::models::activation::ShadowModel;
use crate::engine::models::manifest::Kind;
use crate::engine::pipeline::{self, AnalysisSummary};
use crate::node::queue::{JobId, JobState};

/// A job that the active models have finished and that a shadow model has not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowCase {
    /// The job.
    pub job: JobId,
    /// The series.
    pub series: SeriesId,
    /// The instances that were analysed.
    pub instances: Vec<Uid>,
    /// Digest of the instance set.
    pub instances_sha256: String,
    /// When the job was made.
    pub created_at: Timestamp,
}

/// What a shadow model predicts of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShadowView {
    /// The shadow model, as `name/version`.
    pub package: String,
    /// Its digest.
    pub sha256: String,
    /// What it predicts, unless it failed.
    #[serde(flatten, serialize_with = "pipeline::answer")]
    pub summary: Option<AnalysisSummary>,
    /// Why it failed, if it failed.
    pub error: Option<String>,
    /// When.
    pub recorded_at: Timestamp,
}

/// A shadow model's prediction beside that of the active models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The series.
    #[serde(flatten)]
    pub series: SeriesId,
    /// The job.
    pub job: JobId,
    /// What the active models predicted, as in the results.
    #[serde(serialize_with = "pipeline::answer")]
    pub active: Option<AnalysisSummary>,
    /// What the shadow model predicts.
    pub shadow: ShadowView,
}

impl Comparison {
    /// True if nothing but the shadow model can make a difference: it did not fail, and the model of the other kind was
    /// the same wherever it took part in both. A promotion between the two analyses changes it.
    pub fn is_comparable(&self) -> bool {
        let (Some(active), Some(shadow)) = (&self.active, &self.shadow.summary) else { return false };
        [Kind::LungSegmentation, Kind::EmbolismClassifier].into_iter().all(|kind| {
            let both = active.model(kind).zip(shadow.model(kind));
            both.is_none_or(|(one, other)| other.sha256 == self.shadow.sha256 || one.sha256 == other.sha256)
        })
    }

    /// True if both can be compared and agree: the same decision, or rejected by both.
    pub fn agrees(&self) -> bool {
        let [active, shadow] = [&self.active, &self.shadow.summary].map(Option::as_ref);
        self.is_comparable() && active.map(AnalysisSummary::decision) == shadow.map(AnalysisSummary::decision)
    }
}

impl Store {
    /// The oldest job that ended in an analysis since the shadow model was set, and that it has not seen.
    pub async fn next_shadow_case(&self, model: &ShadowModel) -> Result<Option<ShadowCase>, StoreError> {
        during("looking for a series that the shadow model has not seen", async {
            // A job without an attempt was decided on by its headers alone.
            let row = sqlx::query(
                "SELECT id, study_instance_uid, series_instance_uid, instances, instances_sha256, created_at FROM jobs \
                 WHERE state IN ($1, $2) AND attempts > 0 AND updated_at >= $3 AND NOT EXISTS \
                 (SELECT 1 FROM shadow_results s WHERE s.job_id = jobs.id AND s.package = $4 AND s.sha256 = $5) \
                 ORDER BY updated_at, id LIMIT 1",
            )
            .bind(JobState::Analysed.name())
            .bind(JobState::Rejected.name())
            .bind(model.since.as_millisecond())
            .bind(model.package.to_string())
            .bind(&model.sha256)
            .fetch_optional(self.readers())
            .await?;
            row.as_ref().map(case).transpose()
        })
        .await
    }

    /// Records what a shadow model predicts of a series, or why it failed. A repetition changes nothing.
    pub async fn record_shadow(
        &self,
        case: &ShadowCase,
        model: &ShadowModel,
        outcome: &Result<AnalysisSummary, String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        during("recording the result of a shadow model", async {
            let summary = outcome.as_ref().ok().map(|summary| to_json("summary", summary)).transpose()?;
            let mut change = self.database.begin().await?;
            sqlx::query(
                "INSERT INTO shadow_results (job_id, package, sha256, summary, error, recorded_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (job_id, package, sha256) DO NOTHING",
            )
            .bind(case.job.as_str())
            .bind(model.package.to_string())
            .bind(&model.sha256)
            .bind(summary)
            .bind(outcome.as_ref().err())
            .bind(now.as_millisecond())
            .execute(&mut *change)
            .await?;
            Ok(change.commit().await?)
        })
        .await?;
        self.announce();
        Ok(())
    }

    /// What shadow models predict of a job, the newest first.
    pub(super) async fn shadows(&self, job: &JobId) -> Result<Vec<ShadowView>, Fault> {
        let rows = sqlx::query(
            "SELECT package, sha256, summary, error, recorded_at FROM shadow_results WHERE job_id = $1 \
             ORDER BY recorded_at DESC, package",
        )
        .bind(job.as_str())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(view).collect()
    }

    /// What shadow models predict, beside what the active models predicted, the newest first.
    pub async fn comparisons(&self, limit: u32) -> Result<Vec<Comparison>, StoreError> {
        during("listing results of shadow models", async {
            let rows = sqlx::query(
                "SELECT s.job_id, s.package, s.sha256, s.summary, s.error, s.recorded_at, j.study_instance_uid, \
                 j.series_instance_uid, j.summary AS active FROM shadow_results s JOIN jobs j ON j.id = s.job_id \
                 ORDER BY s.recorded_at DESC, s.job_id, s.package LIMIT $1",
            )
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(comparison).collect()
        })
        .await
    }
}

fn case(row: &SqliteRow) -> Result<ShadowCase, Fault> {
    Ok(ShadowCase {
        job: row.job_id("id")?,
        series: row.series()?,
        instances: row.json("instances")?,
        instances_sha256: row.try_get("instances_sha256")?,
        created_at: row.time("created_at")?,
    })
}

fn view(row: &SqliteRow) -> Result<ShadowView, Fault> {
    Ok(ShadowView {
        package: row.try_get("package")?,
        sha256: row.try_get("sha256")?,
        summary: row.optional_json("summary")?,
        error: row.try_get("error")?,
        recorded_at: row.time("recorded_at")?,
    })
}

fn comparison(row: &SqliteRow) -> Result<Comparison, Fault> {
    Ok(Comparison {
        series: row.series()?,
        job: row.job_id("job_id")?,
        active: row.optional_json("active")?,
        shadow: view(row)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::analyse::findings::Decision;
    use crate::engine::pipeline::testing::{analysed, lungs_only, packages, rejected};

    /// The outcome with lungs and classifier of these versions.
    fn said(lungs: &str, embolism: &str, decision: Decision) -> AnalysisSummary {
        analysed(|summary| {
            summary.models = packages(["lungs", lungs], ["embolism", embolism]);
            summary.decision = decision;
        })
    }

    fn comparison(active: AnalysisSummary, package: &str, summary: Option<AnalysisSummary>) -> Comparison {
        Comparison {
            series: SeriesId::new(Uid::parse("1.2").expect("uid"), Uid::parse("1.3").expect("uid")),
            job: JobId::from_text("job"),
            active: Some(active),
            shadow: ShadowView {
                package: "model/1".to_owned(),
                sha256: package.to_owned(),
                summary,
                error: None,
                recorded_at: Timestamp::UNIX_EPOCH,
            },
        }
    }

    #[test]
    fn results_are_not_comparable_when_the_other_model_changed_in_between() {
        let active = || said("1.0.0", "1.0.0", Decision::Present);
        for (package, [lungs, embolism], comparable) in [
            ("embolism 2.0.0", ["1.0.0", "2.0.0"], true),
            ("embolism 2.0.0", ["2.0.0", "2.0.0"], false),
            ("lungs 2.0.0", ["2.0.0", "1.0.0"], true),
            ("lungs 2.0.0", ["2.0.0", "2.0.0"], false),
        ] {
            let found = comparison(active(), package, Some(said(lungs, embolism, Decision::Present)));
            assert_eq!((found.is_comparable(), found.agrees()), (comparable, comparable), "{lungs}, {embolism}");
            let other = comparison(active(), package, Some(said(lungs, embolism, Decision::Absent)));
            assert_eq!((other.is_comparable(), other.agrees()), (comparable, false), "{lungs}, {embolism}");
        }
    }

    #[test]
    fn a_model_that_took_no_part_makes_no_difference() {
        let active = || said("1.0.0", "1.0.0", Decision::Present);
        let found = comparison(active(), "lungs 2.0.0", Some(lungs_only("2.0.0")));
        assert!(found.is_comparable() && !found.agrees(), "it was the shadow model that found no lungs");
        let found = comparison(active(), "embolism 2.0.0", Some(lungs_only("2.0.0")));
        assert!(!found.is_comparable(), "it was the other lungs");
        let both = comparison(lungs_only("1.0.0"), "embolism 2.0.0", Some(lungs_only("1.0.0")));
        assert!(both.agrees());
        let neither = comparison(rejected(Vec::new()), "embolism 2.0.0", Some(rejected(Vec::new())));
        assert!(neither.agrees(), "rejected before any model ran");
        assert!(!comparison(active(), "embolism 2.0.0", None).is_comparable(), "it failed");
    }
}
