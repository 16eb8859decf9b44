//! Changes of state: the row is read, the rules decide, and the row is written only if it still has the state that was
//! read.

use jiff::Timestamp;
use sqlx::Row;

use super::database::Change;
use super::error::{Fault, StoreError};
use super::handle::Store;
use super::rows::{Columns, confirmation};
use crate::dicom::Uid;
use crate::node::queue::{DeliveryEvent, DeliveryProgress, JobEvent, JobId, JobProgress};

/// The effect of an event on a job or a delivery.
#[derive(Debug)]
pub(super) enum Effect<Progress> {
    /// This is the new progress.
    Changed(Progress),
    /// The event was reported before; this is still the progress.
    AsBefore(Progress),
}

impl Store {
    /// Applies an event to a job.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]; [`StoreError::Job`] if the rules do not allow it; [`StoreError::LeaseVoid`] if somebody
    /// who no longer holds the lease reports it.
    pub(super) async fn change_job(
        &self,
        change: &mut Change,
        id: &JobId,
        event: JobEvent<'_>,
        now: Timestamp,
    ) -> Result<Effect<JobProgress>, Fault> {
        let row =
            sqlx::query("SELECT state, attempts, interruptions, not_before, error, lease_run FROM jobs WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(&mut **change)
                .await?
                .ok_or_else(|| StoreError::Unknown(format!("job {id}")))?;
        let found = JobProgress {
            state: row.named("state")?,
            attempts: row.try_get("attempts")?,
            interruptions: row.try_get("interruptions")?,
            not_before: row.time("not_before")?,
            error: row.try_get("error")?,
        };
        let next =
            found.after(event, &self.rules, now).map_err(|source| StoreError::Job { job: id.clone(), source })?;
        let Some(next) = next else { return Ok(Effect::AsBefore(found)) };
        let holder: Option<&str> = row.try_get("lease_run")?;
        if event.is_reported_by_the_holder() && holder != Some(&*self.run) {
            return Err(StoreError::LeaseVoid(id.clone()).into());
        }
        let lease = (event == JobEvent::Claimed).then_some(&*self.run);
        let changed = sqlx::query(
            "UPDATE jobs SET state = $3, attempts = $4, interruptions = $5, not_before = $6, error = $7, \
             lease_run = $8, lease_until = $9, updated_at = $10 WHERE id = $1 AND state = $2",
        )
        .bind(id.as_str())
        .bind(found.state.name())
        .bind(next.state.name())
        .bind(next.attempts)
        .bind(next.interruptions)
        .bind(next.not_before.as_millisecond())
        .bind(&next.error)
        .bind(lease)
        .bind(lease.map(|_| (now + self.rules.lease).as_millisecond()))
        .bind(now.as_millisecond())
        .execute(&mut **change)
        .await?
        .rows_affected();
        if changed != 1 {
            return Err(StoreError::Raced(format!("job {id}")).into());
        }
        tracing::info!(job = %id, "{} -> {}", found.state, next.state);
        Ok(Effect::Changed(next))
    }

    /// Applies an event to a delivery.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]; [`StoreError::Delivery`] if the rules do not allow it.
    pub(super) async fn change_delivery(
        &self,
        change: &mut Change,
        (sop_instance_uid, destination): (&Uid, &str),
        event: DeliveryEvent<'_>,
        now: Timestamp,
    ) -> Result<Effect<DeliveryProgress>, Fault> {
        let name = || format!("the delivery of {sop_instance_uid} to {destination}");
        let row = sqlx::query(
            "SELECT state, attempts, not_before, created_at, error, sent_as, remark FROM deliveries \
             WHERE sop_instance_uid = $1 AND destination = $2",
        )
        .bind(sop_instance_uid.as_str())
        .bind(destination)
        .fetch_optional(&mut **change)
        .await?
        .ok_or_else(|| StoreError::Unknown(name()))?;
        let found = DeliveryProgress {
            state: row.named("state")?,
            attempts: row.try_get("attempts")?,
            not_before: row.time("not_before")?,
            pending_since: row.time("created_at")?,
            error: row.try_get("error")?,
            confirmation: confirmation(&row)?,
        };
        let next = found.after(event, self.rules.patience(destination), now).map_err(|source| {
            let (sop_instance_uid, destination) = (sop_instance_uid.clone(), destination.to_owned());
            StoreError::Delivery { sop_instance_uid, destination, source }
        })?;
        let Some(next) = next else { return Ok(Effect::AsBefore(found)) };
        let changed = sqlx::query(
            "UPDATE deliveries SET state = $4, attempts = $5, not_before = $6, created_at = $7, error = $8, \
             sent_as = $9, remark = $10, updated_at = $11 WHERE sop_instance_uid = $1 AND destination = $2 AND state = $3",
        )
        .bind(sop_instance_uid.as_str())
        .bind(destination)
        .bind(found.state.name())
        .bind(next.state.name())
        .bind(next.attempts)
        .bind(next.not_before.as_millisecond())
        .bind(next.pending_since.as_millisecond())
        .bind(&next.error)
        .bind(next.confirmation.sent_as.map(|form| form.to_string()))
        .bind(&next.confirmation.remark)
        .bind(now.as_millisecond())
        .execute(&mut **change)
        .await?
        .rows_affected();
        if changed != 1 {
            return Err(StoreError::Raced(name()).into());
        }
        tracing::info!(
            %sop_instance_uid,
            destination,
            attempt = next.attempts,
            error = next.error,
            remark = next.confirmation.remark,
            "delivery: {} -> {}",
            found.state,
            next.state
        );
        Ok(Effect::Changed(next))
    }
}
