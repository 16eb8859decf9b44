//! Objects that were refused. One task records them, once a second at most: a sender that repeats a refused object
//! without end costs no more than that. What is refused less than a second before the node is killed is forgotten; it
//! was never acknowledged.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::database::{Change, Database};
use super::error::{Fault, StoreError, during};
use super::rows::Columns;
use crate::dicom::{SeriesId, Uid};
use crate::node::queue::{Refusal, RefusalCause, RefusedImages};

/// How often refusals are written.
const PAUSE: Duration = Duration::from_secs(1);
/// Refused objects that are remembered, in the database and on their way into it.
const MOST: usize = 10_000;
/// Refusals that may wait for the task.
const WAITING: usize = 1024;

/// Hands refusals to the task that records them.
#[derive(Debug, Clone)]
pub(super) struct Refusals {
    sender: mpsc::Sender<Message>,
}

#[derive(Debug)]
enum Message {
    Refused(Refusal),
    /// Write what came before; answered when that is done.
    Flush(oneshot::Sender<()>),
}

impl Refusals {
    /// Starts the task; it ends when the last handle is dropped.
    pub(super) fn start(database: Database) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(run(database, receiver));
        Self { sender }
    }

    /// Notes a refusal, without waiting.
    pub(super) fn note(&self, refusal: Refusal) {
        // A queue that is full means many more refusals than anybody reads of: one less is no loss.
        let _ = self.sender.try_send(Message::Refused(refusal));
    }

    /// Waits until every refusal is written that was reported before.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            // Dropped unanswered, the task has ended with the node.
            let _ = written.await;
        }
    }
}

/// What is known of a refused object.
struct Noted {
    cause: RefusalCause,
    first_at: Timestamp,
    last_at: Timestamp,
}

/// Refusals that are not written yet, one an object.
type Pending = HashMap<(SeriesId, Uid), Noted>;

async fn run(database: Database, mut receiver: mpsc::Receiver<Message>) {
    let mut pending = Pending::new();
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = receiver.recv() => match message {
                Some(Message::Refused(refusal)) => note(&mut pending, refusal),
                Some(Message::Flush(done)) => {
                    write(&database, &mut pending).await;
                    let _ = done.send(());
                }
                None => return,
            },
            _ = ticks.tick() => write(&database, &mut pending).await,
        }
    }
}

fn note(pending: &mut Pending, refusal: Refusal) {
    let Refusal { series, sop_instance_uid, cause, at } = refusal;
    let key = (series, sop_instance_uid);
    if pending.len() < MOST || pending.contains_key(&key) {
        let noted = pending.entry(key).or_insert(Noted { cause, first_at: at, last_at: at });
        (noted.cause, noted.last_at) = (cause, at);
    }
}

/// Writes what is pending. What cannot be written stays pending: the disk may have room again later.
async fn write(database: &Database, pending: &mut Pending) {
    if pending.is_empty() {
        return;
    }
    match insert(database, pending).await {
        Ok(()) => pending.clear(),
        // Each of them is in the log, with its reason.
        Err(error) => tracing::debug!(%error, refusals = pending.len(), "refusals are not recorded yet"),
    }
}

async fn insert(database: &Database, pending: &Pending) -> Result<(), StoreError> {
    during("recording refused objects", async {
        let mut change = database.begin().await?;
        for ((series, sop_instance_uid), noted) in pending {
            sqlx::query(
                "INSERT INTO refusals (study_instance_uid, series_instance_uid, sop_instance_uid, cause, first_at, \
                 last_at) VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (study_instance_uid, series_instance_uid, sop_instance_uid) DO UPDATE SET \
                 cause = excluded.cause, last_at = excluded.last_at",
            )
            .bind(series.study_instance_uid.as_str())
            .bind(series.series_instance_uid.as_str())
            .bind(sop_instance_uid.as_str())
            .bind(noted.cause.name())
            .bind(noted.first_at.as_millisecond())
            .bind(noted.last_at.as_millisecond())
            .execute(&mut *change)
            .await?;
        }
        sqlx::query(
            "DELETE FROM refusals WHERE last_at < (SELECT last_at FROM refusals ORDER BY last_at DESC LIMIT 1 OFFSET $1)",
        )
        .bind(MOST as i64 - 1)
        .execute(&mut *change)
        .await?;
        Ok(change.commit().await?)
    })
    .await
}

/// What was refused of a series and did not come into it since, by cause. Objects that were kept apart, because another
/// object has their identifier, count among them.
pub(super) async fn of_series(change: &mut Change, series: &SeriesId) -> Result<Vec<RefusedImages>, Fault> {
    let rows = sqlx::query(
        "SELECT cause, COUNT(DISTINCT sop_instance_uid) AS images, MIN(first_at) AS first_at, MAX(last_at) AS last_at \
         FROM (SELECT sop_instance_uid, cause, first_at, last_at FROM refusals \
         WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
         UNION ALL SELECT sop_instance_uid, $3, received_at, received_at FROM conflicts \
         WHERE study_instance_uid = $1 AND series_instance_uid = $2) refused \
         WHERE NOT EXISTS (SELECT 1 FROM instances i WHERE i.sop_instance_uid = refused.sop_instance_uid \
         AND i.study_instance_uid = $1 AND i.series_instance_uid = $2) GROUP BY cause ORDER BY cause",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .bind(RefusalCause::Conflict.name())
    .fetch_all(&mut **change)
    .await?;
    let images = |row| -> Result<RefusedImages, Fault> {
        let row: &sqlx::sqlite::SqliteRow = row;
        Ok(RefusedImages {
            cause: row.named("cause")?,
            images: row.count("images")?,
            first_at: row.time("first_at")?,
            last_at: row.time("last_at")?,
        })
    };
    rows.iter().map(images).collect()
}
