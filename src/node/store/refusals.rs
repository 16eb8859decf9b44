//! Objects that were refused. One task records them, once a second at most: a sender that repeats a refused object
//! without end costs no more than that. What is refused less than a second before the node is killed is forgotten; it
//! was never acknowledged.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// Takes note of refusals for the task that records them.
#[derive(Debug, Clone)]
pub(super) struct Refusals {
    pending: Arc<Mutex<Pending>>,
    /// Asks the task to write at once; answered when that is done.
    flushes: mpsc::Sender<oneshot::Sender<()>>,
}

impl Refusals {
    /// Starts the task; it ends when the last handle is dropped.
    pub(super) fn start(database: Database) -> Self {
        let pending = Arc::<Mutex<Pending>>::default();
        let (flushes, receiver) = mpsc::channel(1);
        tokio::spawn(run(database, Arc::clone(&pending), receiver));
        Self { pending, flushes }
    }

    /// Notes a refusal, without waiting.
    pub(super) fn note(&self, refusal: Refusal) {
        let Refusal { series, sop_instance_uid, cause, at } = refusal;
        locked(&self.pending).add((series, sop_instance_uid), Noted { cause, first_at: at, last_at: at });
    }

    /// Waits until every refusal is written that was noted before.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.flushes.send(done).await.is_ok() {
            // Dropped unanswered, the task has ended with the node.
            let _ = written.await;
        }
    }
}

/// What is known of a refused object.
#[derive(Debug, Clone, Copy)]
struct Noted {
    cause: RefusalCause,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl Noted {
    /// Both of one object: all times, and the cause of the last one; `other` is the last one where the times are equal.
    fn with(self, other: Self) -> Self {
        let last = if other.last_at < self.last_at { self } else { other };
        Self { first_at: self.first_at.min(other.first_at), ..last }
    }
}

/// Refusals that are not written yet.
#[derive(Debug, Default)]
struct Pending {
    objects: HashMap<(SeriesId, Uid), Noted>,
    /// Objects beyond those that are remembered.
    dropped: u64,
}

impl Pending {
    fn add(&mut self, object: (SeriesId, Uid), noted: Noted) {
        let full = self.objects.len() >= MOST;
        match self.objects.entry(object) {
            Entry::Occupied(mut known) => *known.get_mut() = known.get().with(noted),
            Entry::Vacant(_) if full => self.dropped += 1,
            Entry::Vacant(new) => {
                new.insert(noted);
            }
        }
    }
}

/// Nothing that holds the lock can panic half way.
fn locked(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(database: Database, pending: Arc<Mutex<Pending>>, mut flushes: mpsc::Receiver<oneshot::Sender<()>>) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            flush = flushes.recv() => {
                let Some(done) = flush else { return };
                write(&database, &pending).await;
                let _ = done.send(());
            }
            _ = ticks.tick() => write(&database, &pending).await,
        }
    }
}

/// Writes what is pending. What cannot be written stays pending: the disk may have room again later.
async fn write(database: &Database, pending: &Mutex<Pending>) {
    let Pending { objects, dropped } = mem::take(&mut *locked(pending));
    if dropped > 0 {
        tracing::warn!(dropped, remembered = MOST, "more objects are refused than are remembered");
    }
    if objects.is_empty() {
        return;
    }
    if let Err(error) = insert(database, &objects).await {
        // Each of them is in the log, with its reason.
        tracing::debug!(%error, refusals = objects.len(), "refusals are not recorded yet");
        let mut pending = locked(pending);
        for (object, noted) in objects {
            pending.add(object, noted);
        }
    }
}

async fn insert(database: &Database, objects: &HashMap<(SeriesId, Uid), Noted>) -> Result<(), StoreError> {
    during("recording refused objects", async {
        let mut change = database.begin().await?;
        for ((series, sop_instance_uid), noted) in objects {
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

/// What was refused of a series and did not come into it since, by the last cause of each object. Objects that were refused
/// or held, because another object has their identifier, count among them, each by itself. Of those whose identifier is
/// that of an object of the same series nobody knows whether the series lacks them: they have a cause of their own.
pub(super) async fn of_series(change: &mut Change, series: &SeriesId) -> Result<Vec<RefusedImages>, Fault> {
    let rows = sqlx::query(
        "WITH present AS (SELECT sop_instance_uid FROM instances \
         WHERE study_instance_uid = $1 AND series_instance_uid = $2), \
         missing AS (SELECT sop_instance_uid, cause, first_at, last_at FROM refusals \
         WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
         AND sop_instance_uid NOT IN (SELECT sop_instance_uid FROM present) \
         UNION ALL SELECT sop_instance_uid, \
         CASE WHEN sop_instance_uid IN (SELECT sop_instance_uid FROM present) THEN $4 ELSE $3 END, \
         received_at, received_at FROM conflicts WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
         AND state IN ('held', 'refused')), \
         judged AS (SELECT cause, first_at, last_at, \
         FIRST_VALUE(cause) OVER (PARTITION BY sop_instance_uid ORDER BY last_at DESC, cause) AS last_cause \
         FROM missing) \
         SELECT cause, COUNT(*) AS images, MIN(first_at) AS first_at, MAX(last_at) AS last_at FROM judged \
         WHERE cause = last_cause GROUP BY cause ORDER BY cause",
    )
    .bind(series.study_instance_uid.as_str())
    .bind(series.series_instance_uid.as_str())
    .bind(RefusalCause::Conflict.name())
    .bind(RefusalCause::ConflictInSeries.name())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_joins_what_came_since_and_what_is_beyond_the_most_is_counted() {
        let uid = |text: &str| Uid::parse(text).expect("a UID");
        let object = |number: usize| (SeriesId::new(uid("1.1"), uid("1.1.1")), uid(&format!("1.1.1.{number}")));
        let at = |second| Timestamp::from_second(second).expect("a time");
        let noted = |cause, [first, last]: [i64; 2]| Noted { cause, first_at: at(first), last_at: at(last) };
        let mut pending = Pending::default();
        (0..=MOST).for_each(|number| pending.add(object(number), noted(RefusalCause::Full, [5, 5])));
        assert_eq!((pending.objects.len(), pending.dropped), (MOST, 1));
        pending.add(object(0), noted(RefusalCause::Fault, [1, 2]));
        let joined = &pending.objects[&object(0)];
        assert_eq!((joined.cause, joined.first_at, joined.last_at), (RefusalCause::Full, at(1), at(5)));
        assert_eq!(pending.dropped, 1);
    }
}
