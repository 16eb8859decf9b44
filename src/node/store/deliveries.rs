//! Deliveries: each result object is owed to each destination, until it is there or every attempt has failed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sqlx::{Row, Sqlite, Transaction};

use super::error::{QueueError, database};
use super::job::{Job, JobId};
use super::state::{DeliveryFailure, DeliveryState, backoff};
use super::{Patience, Queue};
use crate::dicom::Uid;
use crate::engine::pipeline::AnalysisSummary;

/// Pause after the first failed attempt, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Pause after an attempt that a destination as a whole did not take.
const OUTAGE_PAUSE: Duration = Duration::from_secs(30);

/// With a destination that the settings no longer name.
const FORMER_DESTINATION: Patience = Patience { attempts: 10, outage: SignedDuration::from_hours(24) };

/// A delivery that was claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The job whose result it is.
    pub job: JobId,
    /// Name of the destination.
    pub destination: String,
    /// Study of the result.
    pub study_instance_uid: Uid,
    /// Series of the result.
    pub series_instance_uid: Uid,
    /// The result object.
    pub sop_instance_uid: Uid,
    /// Kind of the result: `sr`, `sc`, `seg`, `kos`.
    pub kind: String,
    /// Attempts begun, this one included.
    pub attempts: u32,
    /// Since when it is owed, or owed again.
    pub owed_since: Timestamp,
}

/// Writes down that all results of a job are owed to a destination. A repetition changes nothing.
pub(super) async fn owe(
    transaction: &mut Transaction<'_, Sqlite>,
    job: &Job,
    summary: &AnalysisSummary,
    destination: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    for result in summary.results() {
        sqlx::query(
            "INSERT INTO deliveries (sop_instance_uid, destination, job_id, state, attempts, not_before, created_at, \
             updated_at) VALUES ($1, $2, $3, 'queued', 0, 0, $4, $4) \
             ON CONFLICT (sop_instance_uid, destination) DO NOTHING",
        )
        .bind(result.sop_instance_uid.as_str())
        .bind(destination)
        .bind(&job.id.0)
        .bind(now.as_millisecond())
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

impl Queue {
    /// Takes up to `limit` deliveries to a destination that are due, oldest first: Queued or Retrying -> Running.
    /// Each must end in [`Queue::delivered`], [`Queue::delivery_failed`] or [`Queue::delivery_given_back`].
    pub async fn claim_due(&self, destination: &str, limit: u32, now: Timestamp) -> Result<Vec<Delivery>, QueueError> {
        let failing = "claiming deliveries";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let rows = sqlx::query(
            "SELECT d.job_id, d.destination, r.study_instance_uid, r.series_instance_uid, d.sop_instance_uid, r.kind, \
             d.attempts + 1, d.created_at FROM deliveries d \
             JOIN results r ON r.job_id = d.job_id AND r.sop_instance_uid = d.sop_instance_uid \
             WHERE d.destination = $1 AND d.state IN ('queued', 'retrying') AND d.not_before <= $2 \
             ORDER BY d.created_at, d.job_id, r.position LIMIT $3",
        )
        .bind(destination)
        .bind(now.as_millisecond())
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(database(failing))?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            let uid =
                |column: usize| Uid::parse(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(Box::new(error)));
            let delivery = Delivery {
                job: JobId(row.get(0)),
                destination: row.get(1),
                study_instance_uid: uid(2).map_err(database(failing))?,
                series_instance_uid: uid(3).map_err(database(failing))?,
                sop_instance_uid: uid(4).map_err(database(failing))?,
                kind: row.get(5),
                attempts: row.get(6),
                owed_since: Timestamp::from_millisecond(row.get(7)).unwrap_or(now),
            };
            let change =
                Change { state: DeliveryState::Running, attempts: delivery.attempts, not_before: 0, error: None };
            change.make(&mut transaction, &delivery, now).await.map_err(database(failing))?;
            claimed.push(delivery);
        }
        transaction.commit().await.map_err(database(failing))?;
        if !claimed.is_empty() {
            self.announce();
        }
        Ok(claimed)
    }

    /// When the next delivery to a destination is due, if there is one.
    pub async fn next_delivery_due(&self, destination: &str) -> Result<Option<Timestamp>, QueueError> {
        let due: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(not_before) FROM deliveries WHERE destination = $1 AND state IN ('queued', 'retrying')",
        )
        .bind(destination)
        .fetch_one(self.database.readers())
        .await
        .map_err(database("looking for the next delivery"))?;
        Ok(due.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()))
    }

    /// The destination has confirmed it: Running -> Delivered.
    pub async fn delivered(&self, delivery: &Delivery, now: Timestamp) -> Result<(), QueueError> {
        let change =
            Change { state: DeliveryState::Delivered, attempts: delivery.attempts, not_before: 0, error: None };
        self.end(delivery, change, now).await
    }

    /// The attempt failed: Running -> Retrying after a pause, or DeadLetter when no attempt is left, or when the
    /// destination has taken nothing for longer than its settings wait. Returns which.
    pub async fn delivery_failed(
        &self,
        delivery: &Delivery,
        failure: &DeliveryFailure,
        now: Timestamp,
    ) -> Result<DeliveryState, QueueError> {
        let patience = self.rules.destinations.get(&delivery.destination).copied().unwrap_or(FORMER_DESTINATION);
        let (attempts, pause, hopeless) = match failure {
            DeliveryFailure::Object(_) => {
                let pause = backoff(delivery.attempts, FIRST_PAUSE, LONGEST_PAUSE);
                (delivery.attempts, pause, delivery.attempts >= patience.attempts)
            }
            DeliveryFailure::Destination(_) => {
                let waited = now.duration_since(delivery.owed_since);
                (delivery.attempts.saturating_sub(1), OUTAGE_PAUSE, waited > patience.outage)
            }
        };
        let state = if hopeless { DeliveryState::DeadLetter } else { DeliveryState::Retrying };
        let not_before = now.as_millisecond() + pause.as_millis() as i64;
        let error = failure.to_string();
        let change = Change { state, attempts, not_before, error: Some(&error) };
        self.end(delivery, change, now).await?;
        Ok(state)
    }

    /// Not tried after all, because the node is stopping: Running -> Queued; the attempt does not count.
    pub async fn delivery_given_back(&self, delivery: &Delivery, now: Timestamp) -> Result<(), QueueError> {
        let attempts = delivery.attempts.saturating_sub(1);
        let change = Change { state: DeliveryState::Queued, attempts, not_before: 0, error: None };
        self.end(delivery, change, now).await
    }

    /// Queues dead letters anew, with all attempts and all patience before them: those of one destination, or all.
    /// Returns how many.
    pub async fn revive_dead_letters(&self, destination: Option<&str>, now: Timestamp) -> Result<u64, QueueError> {
        let failing = "queueing dead letters anew";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let revived = sqlx::query(
            "UPDATE deliveries SET state = 'queued', attempts = 0, not_before = 0, created_at = $2, updated_at = $2 \
             WHERE (destination = $1 OR $1 IS NULL) AND state = 'dead-letter'",
        )
        .bind(destination)
        .bind(now.as_millisecond())
        .execute(&mut *transaction)
        .await
        .map_err(database(failing))?
        .rows_affected();
        transaction.commit().await.map_err(database(failing))?;
        self.announce();
        Ok(revived)
    }

    /// Takes back what a loop left on its way that ended by a fault of this program; each has lost an attempt by it.
    pub async fn take_back_deliveries_to(&self, destination: &str, now: Timestamp) -> Result<(), QueueError> {
        let failing = "taking back deliveries";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        sqlx::query(
            "UPDATE deliveries SET state = 'retrying', not_before = $2, error = 'a fault of the node', updated_at = $3 \
             WHERE state = 'running' AND destination = $1",
        )
        .bind(destination)
        .bind(now.as_millisecond() + OUTAGE_PAUSE.as_millis() as i64)
        .bind(now.as_millisecond())
        .execute(&mut *transaction)
        .await
        .map_err(database(failing))?;
        transaction.commit().await.map_err(database(failing))
    }

    /// Takes back what a former run of the node left on its way. Whether it arrived is unknown, so it is sent again:
    /// the same object under the same identifier, which a destination must take as the one it has.
    pub(super) async fn take_back_deliveries(&self) -> Result<(), QueueError> {
        let failing = "taking back deliveries";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        sqlx::query(
            "UPDATE deliveries SET state = 'queued', attempts = attempts - 1, not_before = 0 WHERE state = 'running'",
        )
        .execute(&mut *transaction)
        .await
        .map_err(database(failing))?;
        transaction.commit().await.map_err(database(failing))
    }

    async fn end(&self, delivery: &Delivery, change: Change<'_>, now: Timestamp) -> Result<(), QueueError> {
        let failing = "recording an attempt of a delivery";
        let mut transaction = self.database.write().await.map_err(database(failing))?;
        let changed = change.make(&mut transaction, delivery, now).await.map_err(database(failing))?;
        transaction.commit().await.map_err(database(failing))?;
        if changed {
            tracing::info!(
                sop_instance_uid = %delivery.sop_instance_uid,
                destination = delivery.destination,
                attempt = delivery.attempts,
                error = change.error,
                "delivery: running -> {}",
                change.state
            );
            self.announce();
        }
        Ok(())
    }
}

/// What becomes of a delivery.
struct Change<'a> {
    state: DeliveryState,
    attempts: u32,
    not_before: i64,
    error: Option<&'a str>,
}

impl Change<'_> {
    /// Makes the change, if the delivery is in a state that it can follow.
    async fn make(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let claiming = self.state == DeliveryState::Running;
        let changed = sqlx::query(
            "UPDATE deliveries SET state = $3, attempts = $4, not_before = $5, error = COALESCE($6, error), \
             updated_at = $7 WHERE sop_instance_uid = $1 AND destination = $2 \
             AND ((state = 'running' AND $8 = 0) OR (state IN ('queued', 'retrying') AND $8 = 1))",
        )
        .bind(delivery.sop_instance_uid.as_str())
        .bind(&delivery.destination)
        .bind(self.state.name())
        .bind(i64::from(self.attempts))
        .bind(self.not_before)
        .bind(self.error)
        .bind(now.as_millisecond())
        .bind(i64::from(claiming))
        .execute(&mut **transaction)
        .await?;
        Ok(changed.rows_affected() == 1)
    }
}
