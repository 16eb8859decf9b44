//! Due times and leases when the time of day is set.

use std::time::Duration;

use jiff::Timestamp;

use super::error::{StoreError, during};
use super::handle::Store;
use crate::node::queue::{DeliveryState, JobState};
use crate::node::shutdown::Shutdown;

/// How often the time of day is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

impl Store {
    /// The time by which jobs and deliveries wait: the time of day, but for a jump that is not followed yet.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Follows the time of day until `shutdown`.
    pub async fn keep_time(&self, shutdown: Shutdown) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.follow(Timestamp::now()).await {
                tracing::error!(%error, "the time of day was set; what waits goes by the former time");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Where the time of day has jumped, moves due times, leases and the beginnings of outages along with it.
    pub(super) async fn follow(&self, time_of_day: Timestamp) -> Result<(), StoreError> {
        let Some(jump) = self.clock.jump(time_of_day) else { return Ok(()) };
        let milliseconds = i64::try_from(jump.as_millis()).unwrap_or_default();
        during("moving due times", async {
            let mut change = self.database.begin().await?;
            for statement in [
                "UPDATE jobs SET not_before = not_before + $1 WHERE not_before > 0",
                "UPDATE jobs SET lease_until = lease_until + $1",
                "UPDATE deliveries SET not_before = not_before + $1 WHERE not_before > 0",
                "UPDATE commitments SET not_before = not_before + $1",
            ] {
                sqlx::query(statement).bind(milliseconds).execute(&mut *change).await?;
            }
            sqlx::query("UPDATE deliveries SET created_at = created_at + $1 WHERE state IN ($2, $3, $4)")
                .bind(milliseconds)
                .bind(DeliveryState::Queued.name())
                .bind(DeliveryState::Running.name())
                .bind(DeliveryState::Retrying.name())
                .execute(&mut *change)
                .await?;
            Ok(change.commit().await?)
        })
        .await?;
        self.clock.follow(jump);
        self.announce();
        tracing::warn!(seconds = jump.as_secs(), "the time of day was set; due times and leases moved along");
        Ok(())
    }

    /// As if everything had been received later than it was.
    #[cfg(test)]
    pub(in crate::node) async fn received_later(&self, by: jiff::SignedDuration) {
        let mut change = self.database.begin().await.expect("a transaction");
        sqlx::query("UPDATE series SET last_received_at = last_received_at + $1")
            .bind(i64::try_from(by.as_millis()).expect("milliseconds"))
            .execute(&mut *change)
            .await
            .expect("moved");
        change.commit().await.expect("committed");
    }

    /// At the start: what was written at a time that is still to come was written before the time of day was set back.
    /// It is due now.
    pub(super) async fn distrust_future_times(&self, now: Timestamp) -> Result<(), StoreError> {
        during("checking due times", async {
            let mut change = self.database.begin().await?;
            sqlx::query("UPDATE jobs SET not_before = 0 WHERE updated_at > $1 AND state = $2")
                .bind(now.as_millisecond())
                .bind(JobState::Queued.name())
                .execute(&mut *change)
                .await?;
            sqlx::query(
                "UPDATE deliveries SET not_before = 0, created_at = $1 WHERE updated_at > $1 AND state IN ($2, $3, $4)",
            )
            .bind(now.as_millisecond())
            .bind(DeliveryState::Queued.name())
            .bind(DeliveryState::Running.name())
            .bind(DeliveryState::Retrying.name())
            .execute(&mut *change)
            .await?;
            Ok(change.commit().await?)
        })
        .await
    }
}
