//! Which results of a series are current. A newer version that was analysed replaces the results of the earlier ones. A
//! version that was rejected, has failed or waits replaces nothing: it may have a notice that says so, beside them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use strum::VariantArray;

use super::database::Change;
use super::deliveries;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{Visibility, set_visibility};
use super::jobs::result_reference;
use super::rows::Columns;
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::{AnalysisSummary, ResultKind, ResultReference};
use crate::node::queue::{DeliveryEvent, DeliveryState, JobEvent, JobId, JobState};

/// The visibility of what a job `j` found: that of its report, or of its first object if it made none. NULL if the index
/// lists no object of it.
macro_rules! visibility_of_result {
    () => {
        "(SELECT x.visibility FROM results v JOIN instances x ON x.sop_instance_uid = v.sop_instance_uid \
         WHERE v.job_id = j.id AND v.issue = j.issue AND v.position < 1000 ORDER BY v.kind <> 'sr', v.position LIMIT 1)"
    };
}
pub(super) use visibility_of_result;

/// The condition that a job `j` has a result that counts.
macro_rules! has_result {
    () => {
        concat!(
            "j.state = 'analysed' AND j.withdrawn = 0 AND COALESCE(",
            visibility_of_result!(),
            ", 'current') = 'current'"
        )
    };
}
pub(super) use has_result;

/// The version of a series that was made last, with its state.
struct NewestVersion {
    version: u32,
    state: JobState,
}

/// A result of a version of a series, of whatever issue.
struct VersionResult {
    job: JobId,
    version: u32,
    demonstration: bool,
    reference: ResultReference,
    standing: Standing,
    /// Of a page "not analysed": it says that an earlier result stays as it is.
    beside_result: bool,
}

/// Whether a result stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The job is at another issue of its results.
    Former,
    /// It was withdrawn or rejected.
    Void,
    /// A destination was told not to use it: it stands, and its next issue is needed.
    Told,
    /// It can count.
    Stands,
}

impl VersionResult {
    fn stands(&self) -> bool {
        matches!(self.standing, Standing::Told | Standing::Stands)
    }

    fn is_finding(&self) -> bool {
        self.reference.kind.is_finding()
    }
}

/// Why the delivery of a result is dropped; by these it is known when the result is current again.
fn reason_to_drop(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Withdrawn => "this result was withdrawn",
        Visibility::Rejected => "this result was rejected",
        Visibility::Superseded | Visibility::Current => "a newer version replaced this result",
    }
}

impl Store {
    /// Which of these objects are results of this node already, by their identifiers.
    pub async fn known_results(&self, results: &[ResultReference]) -> Result<BTreeSet<Uid>, StoreError> {
        during("looking for known results", async {
            let mut known = BTreeSet::new();
            for result in results {
                let found = sqlx::query("SELECT 1 FROM results WHERE sop_instance_uid = $1 LIMIT 1")
                    .bind(result.sop_instance_uid.as_str())
                    .fetch_optional(self.readers())
                    .await?;
                if found.is_some() {
                    known.insert(result.sop_instance_uid.clone());
                }
            }
            Ok(known)
        })
        .await
    }

    /// Brings visibility and deliveries of the results of a series in line with its versions, whenever one of these is made
    /// or ends; then the notices of the other series of its study, which a result of this one replaces. A repetition changes
    /// nothing.
    pub(super) async fn settle(&self, change: &mut Change, series: &SeriesId, now: Timestamp) -> Result<(), Fault> {
        self.settle_series(change, series, now).await?;
        for other in series_with_notices(change, series).await? {
            self.settle_series(change, &other, now).await?;
        }
        Ok(())
    }

    async fn settle_series(&self, change: &mut Change, series: &SeriesId, now: Timestamp) -> Result<(), Fault> {
        let Some(newest) = newest_version(change, series).await? else { return Ok(()) };
        let mut results = results_of_versions(change, series).await?;
        let mut analysed = newest_analysed_version(change, series).await?;
        // What a destination was told not to use is no result any more: until its next issue is there, the earlier result
        // stays.
        while let Some(job) = told_of(&results, analysed) {
            self.issue_again(change, &job, "a destination was told not to use its results", now).await?;
            results = results_of_versions(change, series).await?;
            analysed = newest_analysed_version(change, series).await?;
        }
        let study_has_result = has_result_elsewhere(change, series).await?;
        let mut current = current(&results, newest.version, analysed, study_has_result);
        if let Some(told) = current.iter().position(|one| !one.is_finding() && one.standing == Standing::Told) {
            next_issue(change, &current.remove(told).job).await?;
        }
        let kept: BTreeSet<&Uid> = current.iter().map(|result| &result.reference.sop_instance_uid).collect();
        for result in &results {
            let uid = &result.reference.sop_instance_uid;
            if result.reference.kind == ResultKind::RejectionNote || kept.contains(uid) {
                continue;
            }
            if set_visibility(change, uid, Visibility::Current, Visibility::Superseded).await? {
                let (kind, version) = (result.reference.kind, result.version);
                tracing::info!(%series.series_instance_uid, sop_instance_uid = %uid, %kind, version, "superseded by a newer version");
            }
            self.drop_deliveries_of(change, uid, now).await?;
        }
        for result in current {
            set_visibility(change, &result.reference.sop_instance_uid, Visibility::Superseded, Visibility::Current)
                .await?;
            // What a version found that is outdated already waits for the end of the newer one.
            if matches!(newest.state, JobState::Analysed | JobState::Rejected | JobState::Failed)
                || result.version == newest.version
            {
                self.deliver(change, result, now).await?;
            }
        }
        Ok(())
    }

    /// Has a job that was analysed analysed again, for the next issue of its results: under identifiers of their own.
    pub(super) async fn issue_again(
        &self,
        change: &mut Change,
        job: &JobId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Fault> {
        self.change_job(change, job, JobEvent::AnalysedAgain, now).await?;
        sqlx::query("UPDATE jobs SET summary = NULL WHERE id = $1").bind(job.as_str()).execute(&mut **change).await?;
        next_issue(change, job).await?;
        tracing::warn!(%job, reason, "the results are made again, with new identifiers");
        Ok(())
    }

    /// As [`Self::settle`], of the series that were received and those that were analysed of which these are objects and
    /// results.
    pub(super) async fn settle_objects(
        &self,
        change: &mut Change,
        objects: &BTreeSet<Uid>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let mut series = BTreeSet::new();
        for object in objects {
            let rows = sqlx::query(
                "SELECT study_instance_uid, series_instance_uid FROM instances WHERE sop_instance_uid = $1 \
                 AND origin <> 'analysis' UNION SELECT j.study_instance_uid, j.series_instance_uid FROM results r \
                 JOIN jobs j ON j.id = r.job_id WHERE r.sop_instance_uid = $1",
            )
            .bind(object.as_str())
            .fetch_all(&mut **change)
            .await?;
            for row in &rows {
                series.insert(row.series()?);
            }
        }
        for series in &series {
            self.settle(change, series, now).await?;
        }
        Ok(())
    }

    /// As [`Self::settle`], of the series of a job.
    pub(super) async fn settle_job(&self, change: &mut Change, id: &JobId, now: Timestamp) -> Result<(), Fault> {
        let row = sqlx::query("SELECT study_instance_uid, series_instance_uid FROM jobs WHERE id = $1")
            .bind(id.as_str())
            .fetch_one(&mut **change)
            .await?;
        self.settle(change, &row.series()?, now).await
    }

    /// Drops pending deliveries to a destination of what is not current any more, before others are claimed: what was on
    /// its way when its result was replaced is not tried again.
    pub(super) async fn drop_replaced(
        &self,
        change: &mut Change,
        destination: &str,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let rows = sqlx::query(
            "SELECT DISTINCT d.sop_instance_uid, i.visibility FROM deliveries d \
             JOIN results r ON r.job_id = d.job_id AND r.sop_instance_uid = d.sop_instance_uid \
             JOIN instances i ON i.sop_instance_uid = d.sop_instance_uid \
             WHERE d.destination = $1 AND d.state IN ($2, $3, $6) AND r.kind <> $4 AND i.visibility <> $5",
        )
        .bind(destination)
        .bind(DeliveryState::Queued.name())
        .bind(DeliveryState::Retrying.name())
        .bind(ResultKind::RejectionNote.name())
        .bind(Visibility::Current.name())
        .bind(DeliveryState::Failed.name())
        .fetch_all(&mut **change)
        .await?;
        for row in rows {
            let (uid, reason) = (row.uid("sop_instance_uid")?, reason_to_drop(row.named("visibility")?));
            self.change_delivery(change, (&uid, destination), DeliveryEvent::Dropped(reason), now).await?;
        }
        Ok(())
    }

    /// Enqueues the deliveries of a current result that there are none of yet, and those that were dropped when it was not
    /// current.
    async fn deliver(&self, change: &mut Change, result: &VersionResult, now: Timestamp) -> Result<(), Fault> {
        if result.demonstration && !self.rules.deliver_demonstrations {
            return Ok(());
        }
        let uid = &result.reference.sop_instance_uid;
        for destination in self.rules.destinations.keys() {
            deliveries::enqueue(change, &result.job, &result.reference, destination, now).await?;
        }
        for (destination, reason) in destinations(change, uid, &[DeliveryState::Dropped]).await? {
            if Visibility::VARIANTS.iter().any(|visibility| reason.as_deref() == Some(reason_to_drop(*visibility))) {
                self.change_delivery(change, (uid, &destination), DeliveryEvent::Retried, now).await?;
            }
        }
        Ok(())
    }

    /// Drops what is due of a result that is not current any more, or has failed.
    pub(super) async fn drop_deliveries_of(&self, change: &mut Change, uid: &Uid, now: Timestamp) -> Result<(), Fault> {
        let pending =
            destinations(change, uid, &[DeliveryState::Queued, DeliveryState::Retrying, DeliveryState::Failed]);
        let pending = pending.await?;
        if pending.is_empty() {
            return Ok(());
        }
        let row = sqlx::query("SELECT visibility FROM instances WHERE sop_instance_uid = $1")
            .bind(uid.as_str())
            .fetch_optional(&mut **change)
            .await?;
        let visibility = row.map(|row| row.named("visibility")).transpose()?;
        let reason = reason_to_drop(visibility.unwrap_or(Visibility::Superseded));
        for (destination, _) in pending {
            self.change_delivery(change, (uid, &destination), DeliveryEvent::Dropped(reason), now).await?;
        }
        Ok(())
    }
}

/// The results that count: those of the newest version that was analysed, as far as they were neither withdrawn nor
/// rejected, and the last notice of the newest version, if that has none. An earlier version never takes the place of one
/// that does not stand any more. Where another series of the study has a result, a series without one needs no notice.
fn current(
    results: &[VersionResult],
    newest: u32,
    analysed: Option<u32>,
    study_has_result: bool,
) -> Vec<&VersionResult> {
    let findings = findings_of(results, analysed).filter(|result| result.standing == Standing::Stands);
    // Without objects, what was found stands in the API alone.
    let has_result = analysed.is_some() && report_of(results, analysed).is_none_or(VersionResult::stands);
    let notice = results
        .iter()
        .rfind(|result| {
            let is_notice = result.reference.kind == ResultKind::Notice && result.stands();
            is_notice && result.version == newest && result.beside_result == has_result
        })
        .filter(|_| if has_result { analysed != Some(newest) } else { !study_has_result });
    findings.chain(notice).collect()
}

/// What a version found, in its issue.
fn findings_of(results: &[VersionResult], version: Option<u32>) -> impl Iterator<Item = &VersionResult> {
    results
        .iter()
        .filter(move |one| Some(one.version) == version && one.standing != Standing::Former && one.is_finding())
}

/// The report of a version, or its first object if it has none: what was found stands as long as this does.
fn report_of(results: &[VersionResult], version: Option<u32>) -> Option<&VersionResult> {
    let report = findings_of(results, version).find(|one| one.reference.kind == ResultKind::Sr);
    report.or_else(|| findings_of(results, version).next())
}

/// The job of a version whose result stands, if a destination was told not to use a part of it.
fn told_of(results: &[VersionResult], version: Option<u32>) -> Option<JobId> {
    report_of(results, version).filter(|report| report.stands())?;
    findings_of(results, version).find(|one| one.standing == Standing::Told).map(|one| one.job.clone())
}

/// Moves a job to an issue that none of its series had yet.
async fn next_issue(change: &mut Change, job: &JobId) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE jobs SET issue = 1 + (SELECT MAX(o.issue) FROM jobs o WHERE o.study_instance_uid = jobs.study_instance_uid \
         AND o.series_instance_uid = jobs.series_instance_uid) WHERE id = $1",
    )
    .bind(job.as_str())
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// The other series of a study that have notices.
async fn series_with_notices(change: &mut Change, series: &SeriesId) -> Result<Vec<SeriesId>, Fault> {
    let rows = sqlx::query(
        "SELECT DISTINCT j.study_instance_uid, j.series_instance_uid FROM jobs j JOIN results r ON r.job_id = j.id \
         WHERE j.study_instance_uid = $1 AND j.series_instance_uid <> $2 AND r.kind = $3 ORDER BY 2",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .bind(ResultKind::Notice.name())
    .fetch_all(&mut **change)
    .await?;
    rows.iter().map(Columns::series).collect()
}

/// True if another series of the study has a result that stands.
async fn has_result_elsewhere(change: &mut Change, series: &SeriesId) -> Result<bool, Fault> {
    let statement = concat!(
        "SELECT 1 FROM jobs j WHERE j.study_instance_uid = $1 AND j.series_instance_uid <> $2 AND ",
        has_result!(),
        " LIMIT 1"
    );
    let found = sqlx::query(statement)
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .fetch_optional(&mut **change)
        .await?;
    Ok(found.is_some())
}

/// The newest version of a series that was analysed, whatever became of its results.
async fn newest_analysed_version(change: &mut Change, series: &SeriesId) -> Result<Option<u32>, Fault> {
    let version = sqlx::query_scalar(
        "SELECT MAX(version) FROM jobs WHERE study_instance_uid = $1 AND series_instance_uid = $2 AND state = $3",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .bind(JobState::Analysed.name())
    .fetch_one(&mut **change)
    .await?;
    Ok(version)
}

async fn newest_version(change: &mut Change, series: &SeriesId) -> Result<Option<NewestVersion>, Fault> {
    let row = sqlx::query(
        "SELECT version, state FROM jobs WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
         ORDER BY version DESC LIMIT 1",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .fetch_optional(&mut **change)
    .await?;
    row.map(|row| Ok(NewestVersion { version: row.try_get("version")?, state: row.named("state")? })).transpose()
}

/// The results of all versions, in the order of versions and of their making.
async fn results_of_versions(change: &mut Change, series: &SeriesId) -> Result<Vec<VersionResult>, Fault> {
    let rows = sqlx::query(
        "SELECT j.id, j.version, j.summary, r.kind, r.series_instance_uid, r.sop_instance_uid, r.beside_result, \
         r.issue = j.issue AS is_of_issue, i.visibility, \
         EXISTS (SELECT 1 FROM rejection_notes n WHERE n.sop_instance_uid = r.sop_instance_uid) AS is_told \
         FROM results r JOIN jobs j ON j.id = r.job_id LEFT JOIN instances i ON i.sop_instance_uid = r.sop_instance_uid \
         WHERE j.study_instance_uid = $1 AND j.series_instance_uid = $2 ORDER BY j.version, r.position",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .fetch_all(&mut **change)
    .await?;
    let result = |row: &SqliteRow| {
        let summary: Option<AnalysisSummary> = row.optional_json("summary")?;
        Ok(VersionResult {
            job: row.job_id("id")?,
            version: row.try_get("version")?,
            demonstration: summary.is_some_and(|summary| summary.is_demonstration()),
            reference: result_reference(row)?,
            standing: standing(row)?,
            beside_result: row.try_get("beside_result")?,
        })
    };
    rows.iter().map(result).collect()
}

/// Whether a result stands, by the columns `is_of_issue`, `visibility` (NULL of an object that is not listed) and `is_told`.
fn standing(row: &SqliteRow) -> Result<Standing, Fault> {
    let is_listed = row.try_get::<Option<&str>, _>("visibility")?.is_some();
    let visibility = if is_listed { row.named("visibility")? } else { Visibility::Current };
    Ok(match (row.try_get("is_of_issue")?, visibility) {
        (false, _) => Standing::Former,
        (true, Visibility::Withdrawn | Visibility::Rejected) => Standing::Void,
        (true, _) if row.try_get("is_told")? => Standing::Told,
        (true, _) => Standing::Stands,
    })
}

/// The destinations of deliveries of an object in one of these states, with what the deliveries say.
async fn destinations(
    change: &mut Change,
    uid: &Uid,
    states: &[DeliveryState],
) -> Result<Vec<(String, Option<String>)>, Fault> {
    let rows = sqlx::query(
        "SELECT destination, state, error FROM deliveries WHERE sop_instance_uid = $1 ORDER BY destination",
    )
    .bind(uid.as_str())
    .fetch_all(&mut **change)
    .await?;
    let mut found = Vec::new();
    for row in &rows {
        if states.contains(&row.named("state")?) {
            found.push((row.try_get("destination")?, row.try_get("error")?));
        }
    }
    Ok(found)
}
