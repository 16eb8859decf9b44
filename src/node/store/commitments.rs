//! Storage commitments: what peers asked the node to keep, what it has committed to, and who is to be told.

use jiff::{SignedDuration, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::Change;
use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::Scope;
use super::rows::Columns;
use crate::dicom::Uid;
use crate::node::queue::{
    Commitment, CommitmentId, CommitmentInstance, CommitmentRequest, CommitmentState, LONGEST_COMMITMENT_PAUSE, Verdict,
};

/// What stands for "committed" in the column of failure reasons.
const COMMITTED: i64 = 0;

impl Store {
    /// Records what a requester asks the node to keep, durably. It is told from `not_before` on. The same request once
    /// more is told again.
    pub async fn request_commitment(
        &self,
        id: &CommitmentId,
        instances: &[CommitmentInstance],
        not_before: Timestamp,
        now: Timestamp,
    ) -> Result<CommitmentRequest, StoreError> {
        during("recording a request for storage commitment", async {
            let mut change = self.database.begin().await?;
            let known = members(&mut change, id).await?;
            let same = |known: &[CommitmentInstance]| {
                known.iter().map(|each| &each.sop_instance_uid).eq(instances.iter().map(|each| &each.sop_instance_uid))
            };
            if !known.is_empty() && !same(&known) {
                return Ok(CommitmentRequest::Duplicate);
            }
            sqlx::query(
                "INSERT INTO commitments (requester, transaction_uid, state, attempts, not_before, requested_at, \
                 updated_at) VALUES ($1, $2, $3, 0, $4, $5, $5) ON CONFLICT (requester, transaction_uid) DO UPDATE SET \
                 state = excluded.state, attempts = 0, not_before = excluded.not_before, error = NULL, \
                 requested_at = excluded.requested_at, updated_at = excluded.updated_at",
            )
            .bind(&id.requester)
            .bind(id.transaction_uid.as_str())
            .bind(CommitmentState::Requested.name())
            .bind(not_before.as_millisecond())
            .bind(now.as_millisecond())
            .execute(&mut *change)
            .await?;
            if known.is_empty() {
                insert_members(&mut change, id, instances).await?;
            } else {
                forget_refusals(&mut change, id).await?;
            }
            change.commit().await?;
            Ok(CommitmentRequest::Accepted)
        })
        .await
        .inspect(|_| self.announce())
    }

    /// Takes a commitment whose requester was not told, so that nobody else tells it before `until`; `None` if it was told
    /// meanwhile. The attempt counts.
    pub async fn claim_commitment(
        &self,
        id: &CommitmentId,
        until: Timestamp,
    ) -> Result<Option<Commitment>, StoreError> {
        during("claiming a storage commitment", async {
            let mut change = self.database.begin().await?;
            let row: Option<SqliteRow> = sqlx::query(
                "UPDATE commitments SET attempts = attempts + 1, not_before = $4 \
                 WHERE requester = $1 AND transaction_uid = $2 AND state = $3 RETURNING attempts, requested_at",
            )
            .bind(&id.requester)
            .bind(id.transaction_uid.as_str())
            .bind(CommitmentState::Requested.name())
            .bind(until.as_millisecond())
            .fetch_optional(&mut *change)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let attempts = u32::try_from(row.count("attempts")?).unwrap_or(u32::MAX);
            let requested_at = row.time("requested_at")?;
            let instances = members(&mut change, id).await?;
            change.commit().await?;
            Ok(Some(Commitment { id: id.clone(), instances, attempts, requested_at }))
        })
        .await
    }

    /// Records what the node has found of the instances of a commitment, in their order. What it has committed to is kept
    /// from then on.
    pub async fn judge_commitment(&self, id: &CommitmentId, verdicts: &[Verdict]) -> Result<(), StoreError> {
        during("recording a storage commitment", async {
            let mut change = self.database.begin().await?;
            for (position, verdict) in (0_i64..).zip(verdicts) {
                sqlx::query(
                    "UPDATE commitment_instances SET failure_reason = $4 \
                     WHERE requester = $1 AND transaction_uid = $2 AND position = $3",
                )
                .bind(&id.requester)
                .bind(id.transaction_uid.as_str())
                .bind(position)
                .bind(code(*verdict))
                .execute(&mut *change)
                .await?;
            }
            change.commit().await?;
            Ok(())
        })
        .await
    }

    /// The requester was told, or is not told any more, or is told again from `not_before` on.
    pub async fn end_report(
        &self,
        id: &CommitmentId,
        state: CommitmentState,
        not_before: Timestamp,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        during("recording the report of a storage commitment", async {
            let mut change = self.database.begin().await?;
            sqlx::query(
                "UPDATE commitments SET state = $3, not_before = $4, error = $5, updated_at = $6 \
                 WHERE requester = $1 AND transaction_uid = $2 AND state = $7",
            )
            .bind(&id.requester)
            .bind(id.transaction_uid.as_str())
            .bind(state.name())
            .bind(not_before.as_millisecond())
            .bind(error)
            .bind(self.now().as_millisecond())
            .bind(CommitmentState::Requested.name())
            .execute(&mut *change)
            .await?;
            change.commit().await?;
            Ok(())
        })
        .await
        .inspect(|()| self.announce())
    }

    /// Commitments whose requester was not told, oldest first: those of one requester, failed ones too, because it is
    /// there and can be told.
    pub async fn untold_commitments(&self, requester: &str) -> Result<Vec<CommitmentId>, StoreError> {
        during("looking for storage commitments", async {
            let mut change = self.database.begin().await?;
            sqlx::query("UPDATE commitments SET state = $3 WHERE requester = $1 AND state = $2")
                .bind(requester)
                .bind(CommitmentState::Failed.name())
                .bind(CommitmentState::Requested.name())
                .execute(&mut *change)
                .await?;
            let rows = sqlx::query(
                "SELECT requester, transaction_uid FROM commitments WHERE requester = $1 AND state = $2 \
                 ORDER BY requested_at, transaction_uid",
            )
            .bind(requester)
            .bind(CommitmentState::Requested.name())
            .fetch_all(&mut *change)
            .await?;
            change.commit().await?;
            rows.iter().map(id).collect()
        })
        .await
    }

    /// Commitments whose requesters are to be told now. A time that no pause reaches is of a clock that was wrong.
    pub async fn due_commitments(&self, now: Timestamp) -> Result<Vec<CommitmentId>, StoreError> {
        let far = now + SignedDuration::try_from(LONGEST_COMMITMENT_PAUSE).unwrap_or(SignedDuration::MAX);
        during("looking for storage commitments", async {
            let rows = sqlx::query(
                "SELECT requester, transaction_uid FROM commitments WHERE state = $1 \
                 AND (not_before <= $2 OR not_before > $3) ORDER BY not_before",
            )
            .bind(CommitmentState::Requested.name())
            .bind(now.as_millisecond())
            .bind(far.as_millisecond())
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(id).collect()
        })
        .await
    }

    /// Makes all reports due that a former run of the node had begun or put off.
    pub(super) async fn release_commitments(&self) -> Result<(), StoreError> {
        during("releasing storage commitments", async {
            let mut change = self.database.begin().await?;
            sqlx::query("UPDATE commitments SET not_before = 0 WHERE state = $1")
                .bind(CommitmentState::Requested.name())
                .execute(&mut *change)
                .await?;
            change.commit().await?;
            Ok(())
        })
        .await
    }

    /// How many commitments are in each state.
    pub async fn commitment_counts(&self) -> Result<Vec<(CommitmentState, u64)>, StoreError> {
        during("counting storage commitments", async {
            let rows = sqlx::query("SELECT state, COUNT(*) AS count FROM commitments GROUP BY state")
                .fetch_all(self.readers())
                .await?;
            rows.iter().map(|row| Ok((row.named("state")?, row.count("count")?))).collect()
        })
        .await
    }

    /// True if the node has committed to keep an instance: a retention must spare it until a destination has committed to
    /// it.
    pub async fn is_committed(&self, sop_instance_uid: &Uid) -> Result<bool, StoreError> {
        during("looking for a storage commitment", async {
            let count: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM commitment_instances WHERE sop_instance_uid = $1 AND failure_reason = $2",
            )
            .bind(sop_instance_uid.as_str())
            .bind(COMMITTED)
            .fetch_one(self.readers())
            .await?;
            Ok(count > 0)
        })
        .await
    }

    /// The scope of an instance, by its identifier alone; `None` if there is none.
    pub async fn locate(&self, sop_instance_uid: &Uid) -> Result<Option<Scope>, StoreError> {
        during("looking for an instance", async {
            let row: Option<SqliteRow> = sqlx::query(
                "SELECT study_instance_uid, series_instance_uid FROM instances WHERE sop_instance_uid = $1",
            )
            .bind(sop_instance_uid.as_str())
            .fetch_optional(self.readers())
            .await?;
            let scope = |row: SqliteRow| -> Result<Scope, Fault> {
                let series = row.series()?;
                let instance = sop_instance_uid.clone();
                Ok(Scope::Instance(series.study_instance_uid, series.series_instance_uid, instance))
            };
            row.map(scope).transpose()
        })
        .await
    }
}

async fn members(change: &mut Change, id: &CommitmentId) -> Result<Vec<CommitmentInstance>, Fault> {
    let rows = sqlx::query(
        "SELECT sop_class_uid, sop_instance_uid, failure_reason FROM commitment_instances \
         WHERE requester = $1 AND transaction_uid = $2 ORDER BY position",
    )
    .bind(&id.requester)
    .bind(id.transaction_uid.as_str())
    .fetch_all(&mut **change)
    .await?;
    let member = |row: &SqliteRow| {
        let reason: Option<i64> = row.try_get("failure_reason")?;
        Ok(CommitmentInstance {
            sop_class_uid: row.uid("sop_class_uid")?,
            sop_instance_uid: row.uid("sop_instance_uid")?,
            verdict: reason.map(verdict).transpose()?,
        })
    };
    rows.iter().map(member).collect()
}

async fn insert_members(change: &mut Change, id: &CommitmentId, instances: &[CommitmentInstance]) -> Result<(), Fault> {
    for (position, instance) in (0_i64..).zip(instances) {
        sqlx::query(
            "INSERT INTO commitment_instances (requester, transaction_uid, position, sop_class_uid, sop_instance_uid) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&id.requester)
        .bind(id.transaction_uid.as_str())
        .bind(position)
        .bind(instance.sop_class_uid.as_str())
        .bind(instance.sop_instance_uid.as_str())
        .execute(&mut **change)
        .await?;
    }
    Ok(())
}

/// What was refused before may have come meanwhile.
async fn forget_refusals(change: &mut Change, id: &CommitmentId) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE commitment_instances SET failure_reason = NULL \
         WHERE requester = $1 AND transaction_uid = $2 AND failure_reason <> $3",
    )
    .bind(&id.requester)
    .bind(id.transaction_uid.as_str())
    .bind(COMMITTED)
    .execute(&mut **change)
    .await?;
    Ok(())
}

fn id(row: &SqliteRow) -> Result<CommitmentId, Fault> {
    Ok(CommitmentId { requester: row.try_get("requester")?, transaction_uid: row.uid("transaction_uid")? })
}

fn code(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Committed => COMMITTED,
        Verdict::Refused(reason) => i64::from(reason),
    }
}

fn verdict(code: i64) -> Result<Verdict, Fault> {
    match code {
        COMMITTED => Ok(Verdict::Committed),
        reason => u16::try_from(reason).map(Verdict::Refused).map_err(|error| Fault::row("failure_reason", error)),
    }
}
