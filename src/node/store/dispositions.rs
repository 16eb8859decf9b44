//! Deliveries in a person's hands: listed, dropped, redirected. What is due to a destination that left the settings has
//! no other way on.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;

use super::database::Change;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::rows::Columns;
use super::series_views::delivery_view;
use super::views::DeliveryView;
use crate::dicom::{SeriesId, Uid};
use crate::engine::pipeline::ResultKind;
use crate::node::queue::{DeliveryEvent, DeliveryState, JobId};

/// What a person can take from a destination.
const PENDING: [DeliveryState; 3] = [DeliveryState::Queued, DeliveryState::Retrying, DeliveryState::Failed];

/// Which deliveries are listed.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Name of a destination; all if `None`.
    pub destination: Option<String>,
    /// State; all if `None`.
    pub state: Option<DeliveryState>,
}

/// A delivery with what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryEntry {
    /// The job whose result it is.
    pub job: JobId,
    /// Series of the result.
    #[serde(flatten)]
    pub series: SeriesId,
    /// Kind of the result.
    pub kind: ResultKind,
    /// The delivery.
    #[serde(flatten)]
    pub delivery: DeliveryView,
}

impl Store {
    /// Deliveries, those that changed last first.
    pub async fn list_deliveries(&self, filter: &DeliveryFilter, limit: u32) -> Result<Vec<DeliveryEntry>, StoreError> {
        during("listing deliveries", async {
            let rows = sqlx::query(
                "SELECT d.*, r.study_instance_uid, r.series_instance_uid, r.kind FROM deliveries d \
                 JOIN results r ON r.job_id = d.job_id AND r.sop_instance_uid = d.sop_instance_uid \
                 WHERE (d.destination = $1 OR $1 IS NULL) AND (d.state = $2 OR $2 IS NULL) \
                 ORDER BY d.updated_at DESC, d.destination, d.sop_instance_uid LIMIT $3",
            )
            .bind(&filter.destination)
            .bind(filter.state.map(DeliveryState::name))
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(entry).collect()
        })
        .await
    }

    /// Drops what is due to a destination or has failed there: Queued, Retrying, Failed -> Dropped. Returns how many.
    pub async fn drop_deliveries(&self, destination: &str, now: Timestamp) -> Result<u64, StoreError> {
        let dropped = during("dropping deliveries", async {
            let mut change = self.database.begin().await?;
            let pending = pending(&mut change, destination).await?;
            for instance in &pending {
                let event = DeliveryEvent::Dropped("dropped by a person");
                self.change_delivery(&mut change, (instance, destination), event, now).await?;
            }
            change.commit().await?;
            Ok(pending.len() as u64)
        })
        .await?;
        self.announce();
        Ok(dropped)
    }

    /// Redirects what is due to a destination or has failed there: it is dropped there, and queued for the other one
    /// unless that has or gets it anyway. What does not count any more is dropped alone. Returns how many are due at the
    /// other one by it.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: the settings do not name the other destination.
    pub async fn redirect_deliveries(&self, from: &str, to: &str, now: Timestamp) -> Result<u64, StoreError> {
        if !self.rules.destinations.contains_key(to) {
            return Err(StoreError::Unknown(format!("destination {to}")));
        }
        let redirected = during("redirecting deliveries", async {
            let mut change = self.database.begin().await?;
            let reason = format!("redirected to {to}");
            self.drop_replaced(&mut change, from, now).await?;
            let pending = pending(&mut change, from).await?;
            let mut redirected = 0;
            for instance in &pending {
                let added = sqlx::query(
                    "INSERT INTO deliveries (sop_instance_uid, destination, job_id, state, attempts, not_before, \
                     created_at, updated_at) SELECT sop_instance_uid, $3, job_id, $4, 0, 0, $5, $5 FROM deliveries \
                     WHERE sop_instance_uid = $1 AND destination = $2 \
                     ON CONFLICT (sop_instance_uid, destination) DO NOTHING",
                )
                .bind(instance.as_str())
                .bind(from)
                .bind(to)
                .bind(DeliveryState::Queued.name())
                .bind(now.as_millisecond())
                .execute(&mut *change)
                .await?
                .rows_affected();
                redirected += added + self.queue_again(&mut change, instance, to, now).await?;
                self.change_delivery(&mut change, (instance, from), DeliveryEvent::Dropped(&reason), now).await?;
            }
            change.commit().await?;
            Ok(redirected)
        })
        .await?;
        self.announce();
        Ok(redirected)
    }

    /// Queues the delivery of an object again, if it has failed or was dropped. Returns how many it were: one or none.
    async fn queue_again(
        &self,
        change: &mut Change,
        instance: &Uid,
        destination: &str,
        now: Timestamp,
    ) -> Result<u64, Fault> {
        let row = sqlx::query("SELECT state FROM deliveries WHERE sop_instance_uid = $1 AND destination = $2")
            .bind(instance.as_str())
            .bind(destination)
            .fetch_one(&mut **change)
            .await?;
        if !matches!(row.named("state")?, DeliveryState::Failed | DeliveryState::Dropped) {
            return Ok(0);
        }
        self.change_delivery(change, (instance, destination), DeliveryEvent::Retried, now).await?;
        Ok(1)
    }
}

/// What a person can take from a destination, by SOP Instance UID.
async fn pending(change: &mut Change, destination: &str) -> Result<Vec<Uid>, Fault> {
    let [queued, retrying, failed] = PENDING.map(DeliveryState::name);
    let rows = sqlx::query(
        "SELECT sop_instance_uid FROM deliveries WHERE destination = $1 AND state IN ($2, $3, $4) ORDER BY created_at",
    )
    .bind(destination)
    .bind(queued)
    .bind(retrying)
    .bind(failed)
    .fetch_all(&mut **change)
    .await?;
    rows.iter().map(|row| row.uid("sop_instance_uid")).collect()
}

fn entry(row: &SqliteRow) -> Result<DeliveryEntry, Fault> {
    Ok(DeliveryEntry {
        job: row.job_id("job_id")?,
        series: row.series()?,
        kind: row.named("kind")?,
        delivery: delivery_view(row)?,
    })
}
