//! Deliveries: each result object goes to each destination, until it is there or every attempt has failed.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;

use super::database::Change;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::Visibility;
use super::progress::Effect;
use super::rows::Columns;
use crate::dicom::Uid;
use crate::engine::pipeline::{ResultKind, ResultReference};
use crate::node::queue::{
    Confirmation, Delivery, DeliveryEvent, DeliveryFailure, DeliveryProgress, DeliveryState, JobId,
};

/// Enqueues the delivery of a result of a job to a destination. A repetition changes nothing.
pub(super) async fn enqueue(
    change: &mut Change,
    job: &JobId,
    result: &ResultReference,
    destination: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO deliveries (sop_instance_uid, destination, job_id, state, attempts, not_before, created_at, \
         updated_at) VALUES ($1, $2, $3, $4, 0, 0, $5, $5) ON CONFLICT (sop_instance_uid, destination) DO NOTHING",
    )
    .bind(result.sop_instance_uid.as_str())
    .bind(destination)
    .bind(job.as_str())
    .bind(DeliveryState::Queued.name())
    .bind(now.as_millisecond())
    .execute(&mut **change)
    .await?;
    Ok(())
}

impl Store {
    /// Takes up to `limit` deliveries to a destination that are due, oldest first: Queued or Retrying -> Running.
    /// Each must end in [`Store::delivered`], [`Store::delivery_failed`] or [`Store::release_delivery`].
    pub async fn claim_due(&self, destination: &str, limit: u32, now: Timestamp) -> Result<Vec<Delivery>, StoreError> {
        let claimed = during("claiming deliveries", async {
            let mut change = self.database.begin().await?;
            self.drop_replaced(&mut change, destination, now).await?;
            let rows = sqlx::query(
                "SELECT d.job_id, r.study_instance_uid, r.series_instance_uid, d.sop_instance_uid, r.kind \
                 FROM deliveries d \
                 JOIN results r ON r.job_id = d.job_id AND r.sop_instance_uid = d.sop_instance_uid \
                 WHERE d.destination = $1 AND d.state IN ($2, $3) AND d.not_before <= $4 \
                 ORDER BY d.created_at, d.job_id, r.position LIMIT $5",
            )
            .bind(destination)
            .bind(DeliveryState::Queued.name())
            .bind(DeliveryState::Retrying.name())
            .bind(now.as_millisecond())
            .bind(limit)
            .fetch_all(&mut *change)
            .await?;
            let mut claimed = Vec::with_capacity(rows.len());
            for row in &rows {
                let sop_instance_uid = row.uid("sop_instance_uid")?;
                let key = (&sop_instance_uid, destination);
                let (Effect::Changed(progress) | Effect::AsBefore(progress)) =
                    self.change_delivery(&mut change, key, DeliveryEvent::Claimed, now).await?;
                claimed.push(delivery(row, sop_instance_uid, destination, &progress)?);
            }
            change.commit().await?;
            Ok(claimed)
        })
        .await?;
        if !claimed.is_empty() {
            self.announce();
        }
        Ok(claimed)
    }

    /// When the next delivery to a destination is due, if there is one.
    pub async fn next_delivery_due(&self, destination: &str) -> Result<Option<Timestamp>, StoreError> {
        during("looking for the next delivery", async {
            let due = sqlx::query(
                "SELECT not_before FROM deliveries WHERE destination = $1 AND state IN ($2, $3) \
                 ORDER BY not_before LIMIT 1",
            )
            .bind(destination)
            .bind(DeliveryState::Queued.name())
            .bind(DeliveryState::Retrying.name())
            .fetch_optional(self.readers())
            .await?;
            due.map(|row: SqliteRow| row.time("not_before")).transpose()
        })
        .await
    }

    /// True if a delivery that was claimed is still to be made: its object may have been withdrawn, rejected or replaced
    /// since.
    pub async fn is_still_due(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        during("looking at a delivery", async {
            let due: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM deliveries d LEFT JOIN instances i ON i.sop_instance_uid = d.sop_instance_uid \
                 WHERE d.sop_instance_uid = $1 AND d.destination = $2 AND d.state = $3 \
                 AND (i.visibility IS NULL OR i.visibility = $4 OR $5)",
            )
            .bind(delivery.sop_instance_uid.as_str())
            .bind(&delivery.destination)
            .bind(DeliveryState::Running.name())
            .bind(Visibility::Current.name())
            .bind(delivery.kind == ResultKind::RejectionNote)
            .fetch_one(self.readers())
            .await?;
            Ok(due > 0)
        })
        .await
    }

    /// The destination has confirmed it: Running -> Delivered.
    pub async fn delivered(
        &self,
        delivery: &Delivery,
        confirmation: &Confirmation,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.end_delivery(delivery, DeliveryEvent::Delivered(confirmation), now).await.map(drop)
    }

    /// The attempt failed: Running -> Retrying after a pause, or Failed when no attempt is left, or when the destination
    /// has accepted nothing for longer than its settings allow. Returns which.
    pub async fn delivery_failed(
        &self,
        delivery: &Delivery,
        failure: &DeliveryFailure,
        now: Timestamp,
    ) -> Result<DeliveryState, StoreError> {
        self.end_delivery(delivery, DeliveryEvent::AttemptFailed(failure), now).await
    }

    /// Not tried after all, because the node is stopping: Running -> Queued; the attempt does not count.
    pub async fn release_delivery(&self, delivery: &Delivery, now: Timestamp) -> Result<(), StoreError> {
        self.end_delivery(delivery, DeliveryEvent::Released, now).await.map(drop)
    }

    /// Queues failed deliveries again, with all their attempts and time: those of one destination, or all. Returns how
    /// many.
    pub async fn retry_deliveries(&self, destination: Option<&str>, now: Timestamp) -> Result<u64, StoreError> {
        let action = "queueing failed deliveries again";
        self.change_deliveries(action, DeliveryState::Failed, destination, DeliveryEvent::Retried, now).await
    }

    /// Requeues the running deliveries of a loop that ended by a fault of this program; the attempt counts.
    pub async fn requeue_abandoned_deliveries(&self, destination: &str, now: Timestamp) -> Result<(), StoreError> {
        let (action, event) = ("requeueing abandoned deliveries", DeliveryEvent::Abandoned);
        self.change_deliveries(action, DeliveryState::Running, Some(destination), event, now).await.map(drop)
    }

    /// Releases what a former run of the node was sending. Whether it arrived is unknown, so it is sent again: the same
    /// object under the same identifier, which a destination must accept as the one it has.
    pub(super) async fn release_running_deliveries(&self, now: Timestamp) -> Result<(), StoreError> {
        let (action, event) = ("releasing deliveries", DeliveryEvent::Released);
        self.change_deliveries(action, DeliveryState::Running, None, event, now).await.map(drop)
    }

    /// Applies an event to all deliveries in a state, those of one destination or all. Returns how many there are.
    async fn change_deliveries(
        &self,
        action: &'static str,
        state: DeliveryState,
        destination: Option<&str>,
        event: DeliveryEvent<'_>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let changed = during(action, async {
            let mut change = self.database.begin().await?;
            let keys: Vec<(String, String)> = sqlx::query_as(
                "SELECT sop_instance_uid, destination FROM deliveries \
                 WHERE state = $1 AND (destination = $2 OR $2 IS NULL)",
            )
            .bind(state.name())
            .bind(destination)
            .fetch_all(&mut *change)
            .await?;
            for (sop_instance_uid, destination) in &keys {
                let uid = Uid::parse(sop_instance_uid).map_err(|error| Fault::row("sop_instance_uid", error))?;
                self.change_delivery(&mut change, (&uid, destination), event, now).await?;
            }
            change.commit().await?;
            Ok(keys.len() as u64)
        })
        .await?;
        self.announce();
        Ok(changed)
    }

    async fn end_delivery(
        &self,
        delivery: &Delivery,
        event: DeliveryEvent<'_>,
        now: Timestamp,
    ) -> Result<DeliveryState, StoreError> {
        let key = (&delivery.sop_instance_uid, delivery.destination.as_str());
        let changed = during("recording an attempt of a delivery", async {
            let mut change = self.database.begin().await?;
            let changed = self.change_delivery(&mut change, key, event, now).await?;
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
}

fn delivery(
    row: &SqliteRow,
    sop_instance_uid: Uid,
    destination: &str,
    progress: &DeliveryProgress,
) -> Result<Delivery, Fault> {
    Ok(Delivery {
        job: row.job_id("job_id")?,
        destination: destination.to_owned(),
        series: row.series()?,
        sop_instance_uid,
        kind: row.named("kind")?,
        attempts: progress.attempts,
        pending_since: progress.pending_since,
    })
}
