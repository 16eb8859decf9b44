//! Which results of a series are current. A newer version that was analysed replaces the results of the earlier ones. A
//! version that was rejected, has failed or waits replaces nothing: it may have a notice that says so, beside them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::Row;

use super::database::Change;
use super::deliveries;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::{Visibility, set_visibility};
use super::jobs::result_reference;
use super::rows::Columns;
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::{AnalysisSummary, ResultKind, ResultReference};
use crate::node::queue::{DeliveryEvent, DeliveryState, JobId, JobState};

/// Why a delivery is dropped; by this it is known when the result is current again.
const REPLACED: &str = "a newer version replaced this result";

/// The version of a series that was made last, with its state.
struct NewestVersion {
    version: u32,
    state: JobState,
}

/// A result of a version of a series.
struct VersionResult {
    job: JobId,
    version: u32,
    demonstration: bool,
    reference: ResultReference,
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
        let results = results_of_versions(change, series).await?;
        let study_has_result = has_result_elsewhere(change, series).await?;
        let current = current(&results, newest.version, study_has_result);
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
            "SELECT DISTINCT d.sop_instance_uid FROM deliveries d \
             JOIN results r ON r.job_id = d.job_id AND r.sop_instance_uid = d.sop_instance_uid \
             JOIN instances i ON i.sop_instance_uid = d.sop_instance_uid \
             WHERE d.destination = $1 AND d.state IN ($2, $3) AND r.kind <> $4 AND i.visibility <> $5",
        )
        .bind(destination)
        .bind(DeliveryState::Queued.name())
        .bind(DeliveryState::Retrying.name())
        .bind(ResultKind::RejectionNote.name())
        .bind(Visibility::Current.name())
        .fetch_all(&mut **change)
        .await?;
        for row in rows {
            let uid = row.uid("sop_instance_uid")?;
            self.change_delivery(change, (&uid, destination), DeliveryEvent::Dropped(REPLACED), now).await?;
        }
        Ok(())
    }

    /// Enqueues the deliveries of a current result that there are none of yet, and those that were dropped when it was
    /// replaced.
    async fn deliver(&self, change: &mut Change, result: &VersionResult, now: Timestamp) -> Result<(), Fault> {
        if result.demonstration && !self.rules.deliver_demonstrations {
            return Ok(());
        }
        let uid = &result.reference.sop_instance_uid;
        for destination in self.rules.destinations.keys() {
            deliveries::enqueue(change, &result.job, &result.reference, destination, now).await?;
        }
        for destination in destinations(change, uid, &[DeliveryState::Dropped], Some(REPLACED)).await? {
            self.change_delivery(change, (uid, &destination), DeliveryEvent::Retried, now).await?;
        }
        Ok(())
    }

    pub(super) async fn drop_deliveries_of(&self, change: &mut Change, uid: &Uid, now: Timestamp) -> Result<(), Fault> {
        let pending = [DeliveryState::Queued, DeliveryState::Retrying, DeliveryState::Failed];
        for destination in destinations(change, uid, &pending, None).await? {
            self.change_delivery(change, (uid, &destination), DeliveryEvent::Dropped(REPLACED), now).await?;
        }
        Ok(())
    }
}

/// The results that count: those of the newest version that has findings, and the last notice of the newest version, if that
/// has none. Where another series of the study has a result, a series without one needs no notice.
fn current(results: &[VersionResult], newest: u32, study_has_result: bool) -> Vec<&VersionResult> {
    let is_finding = |result: &&VersionResult| result.reference.kind.is_finding();
    let found = results.iter().filter(is_finding).map(|result| result.version).max();
    let findings = results.iter().filter(is_finding).filter(|result| Some(result.version) == found);
    let notice = results
        .iter()
        .rfind(|result| result.reference.kind == ResultKind::Notice && result.version == newest)
        .filter(|_| if found.is_some() { found != Some(newest) } else { !study_has_result });
    findings.chain(notice).collect()
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

/// True if another series of the study was analysed.
async fn has_result_elsewhere(change: &mut Change, series: &SeriesId) -> Result<bool, Fault> {
    let found = sqlx::query(
        "SELECT 1 FROM jobs WHERE study_instance_uid = $1 AND series_instance_uid <> $2 AND state = $3 LIMIT 1",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .bind(JobState::Analysed.name())
    .fetch_optional(&mut **change)
    .await?;
    Ok(found.is_some())
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

/// The results of all versions, in the order of versions and of their making. What was withdrawn or rejected is none any more.
async fn results_of_versions(change: &mut Change, series: &SeriesId) -> Result<Vec<VersionResult>, Fault> {
    let rows = sqlx::query(
        "SELECT j.id, j.version, j.summary, r.kind, r.series_instance_uid, r.sop_instance_uid \
         FROM results r JOIN jobs j ON j.id = r.job_id LEFT JOIN instances i ON i.sop_instance_uid = r.sop_instance_uid \
         WHERE j.study_instance_uid = $1 AND j.series_instance_uid = $2 \
         AND (i.visibility IS NULL OR i.visibility IN ('current', 'superseded')) ORDER BY j.version, r.position",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .fetch_all(&mut **change)
    .await?;
    let result = |row: &sqlx::sqlite::SqliteRow| {
        let summary: Option<AnalysisSummary> = row.optional_json("summary")?;
        Ok(VersionResult {
            job: row.job_id("id")?,
            version: row.try_get("version")?,
            demonstration: summary.is_some_and(|summary| summary.is_demonstration()),
            reference: result_reference(row)?,
        })
    };
    rows.iter().map(result).collect()
}

/// The destinations of deliveries of an object in one of these states, for this reason if one is given.
async fn destinations(
    change: &mut Change,
    uid: &Uid,
    states: &[DeliveryState],
    reason: Option<&str>,
) -> Result<Vec<String>, Fault> {
    let rows = sqlx::query(
        "SELECT destination, state FROM deliveries WHERE sop_instance_uid = $1 AND (error = $2 OR $2 IS NULL) \
         ORDER BY destination",
    )
    .bind(uid.as_str())
    .bind(reason)
    .fetch_all(&mut **change)
    .await?;
    let mut found = Vec::new();
    for row in &rows {
        if states.contains(&row.named("state")?) {
            found.push(row.try_get("destination")?);
        }
    }
    Ok(found)
}
