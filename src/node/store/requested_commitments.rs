//! Storage commitment: what destinations are asked to keep, and what they say.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::rows::Columns;
use crate::dicom::Uid;
use crate::node::queue::{CommitmentReport, DeliveryEvent, DeliveryState, ReferencedObject};

impl Store {
    /// What a destination has confirmed and was not asked about, or asked before a time without an answer. What was sent
    /// in another form is left out: the destination knows other objects.
    pub async fn uncommitted(
        &self,
        destination: &str,
        asked_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<ReferencedObject>, StoreError> {
        during("looking for what no destination has committed to", async {
            let rows = sqlx::query(
                "SELECT i.sop_class_uid, i.sop_instance_uid FROM deliveries d \
                 JOIN instances i ON i.sop_instance_uid = d.sop_instance_uid \
                 WHERE d.destination = $1 AND d.state = $2 AND d.sent_as IS NULL AND d.committed_at IS NULL \
                 AND (d.commitment_asked_at IS NULL OR d.commitment_asked_at < $3) ORDER BY d.updated_at LIMIT $4",
            )
            .bind(destination)
            .bind(DeliveryState::Delivered.name())
            .bind(asked_before.as_millisecond())
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(object).collect()
        })
        .await
    }

    /// Records a request for commitment, before it is made: its report may come at any time.
    pub async fn commitment_asked(
        &self,
        destination: &str,
        transaction_uid: &Uid,
        objects: &[ReferencedObject],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        during("recording a request for commitment", async {
            let mut change = self.database.begin().await?;
            for object in objects {
                sqlx::query(
                    "UPDATE deliveries SET commitment_uid = $3, commitment_asked_at = $4 \
                     WHERE sop_instance_uid = $1 AND destination = $2",
                )
                .bind(object.sop_instance_uid.as_str())
                .bind(destination)
                .bind(transaction_uid.as_str())
                .bind(now.as_millisecond())
                .execute(&mut *change)
                .await?;
            }
            Ok(change.commit().await?)
        })
        .await
    }

    /// Records what a destination says: what it does not keep is a failed delivery. Returns whether its request is known.
    pub async fn commitment_reported(&self, report: &CommitmentReport, now: Timestamp) -> Result<bool, StoreError> {
        let known = during("recording a report of commitment", async {
            let mut change = self.database.begin().await?;
            let rows =
                sqlx::query("SELECT sop_instance_uid, destination, state FROM deliveries WHERE commitment_uid = $1")
                    .bind(report.transaction_uid.as_str())
                    .fetch_all(&mut *change)
                    .await?;
            for row in &rows {
                let (instance, destination): (Uid, &str) = (row.uid("sop_instance_uid")?, row.try_get("destination")?);
                let failed = report.failed.iter().find(|(failed, _)| *failed == instance);
                let kept = report.committed.contains(&instance);
                if !kept && failed.is_none() {
                    continue;
                }
                let answered = if kept {
                    sqlx::query(
                        "UPDATE deliveries SET committed_at = $3 WHERE sop_instance_uid = $1 AND destination = $2",
                    )
                    .bind(instance.as_str())
                    .bind(destination)
                    .bind(now.as_millisecond())
                } else {
                    // Once it is delivered again, the destination is asked at once.
                    sqlx::query(
                        "UPDATE deliveries SET commitment_asked_at = NULL \
                         WHERE sop_instance_uid = $1 AND destination = $2",
                    )
                    .bind(instance.as_str())
                    .bind(destination)
                };
                answered.execute(&mut *change).await?;
                if let (Some((_, reason)), DeliveryState::Delivered) = (failed, row.named("state")?) {
                    let reason = format!("the destination does not commit to keep it: failure reason 0x{reason:04X}");
                    let event = DeliveryEvent::NotKept(&reason);
                    self.change_delivery(&mut change, (&instance, destination), event, now).await?;
                }
            }
            change.commit().await?;
            Ok::<_, Fault>(!rows.is_empty())
        })
        .await?;
        self.announce();
        Ok(known)
    }
}

fn object(row: &SqliteRow) -> Result<ReferencedObject, Fault> {
    Ok(ReferencedObject { sop_class_uid: row.uid("sop_class_uid")?, sop_instance_uid: row.uid("sop_instance_uid")? })
}
