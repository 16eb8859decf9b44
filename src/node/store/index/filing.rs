//! Filing. One task owns the writing; what arrives while a commit is under way shares the next one.

use tokio::sync::{mpsc, oneshot};

use super::instance::{Origin, Stored};
use super::unfiled::Unfiled;
use crate::node::store::database::{Change, Database};
use crate::node::store::error::{Fault, StoreError, during};

/// Instances that share a commit at most.
const LARGEST_BATCH: usize = 64;

/// Hands objects to the filing task.
#[derive(Debug, Clone)]
pub(in crate::node::store) struct Filer {
    sender: mpsc::Sender<Filing>,
}

#[derive(Debug)]
struct Filing {
    entry: Unfiled,
    answer: oneshot::Sender<Result<Stored, StoreError>>,
}

impl Filer {
    /// Starts the task; it ends when the last handle is dropped.
    pub(in crate::node::store) fn start(database: Database) -> Self {
        let (sender, receiver) = mpsc::channel(LARGEST_BATCH);
        tokio::spawn(run(database, receiver));
        Self { sender }
    }

    /// Files an entry; returns after the commit.
    pub(in crate::node::store) async fn file(&self, entry: Unfiled) -> Result<Stored, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.sender.send(Filing { entry, answer }).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

async fn run(database: Database, mut receiver: mpsc::Receiver<Filing>) {
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, LARGEST_BATCH).await > 0 {
        let (entries, answers): (Vec<Unfiled>, Vec<_>) =
            batch.drain(..).map(|filing| (filing.entry, filing.answer)).unzip();
        match commit(&database, &entries).await {
            Ok(stored) => {
                for (answer, stored) in answers.into_iter().zip(stored) {
                    let _ = answer.send(Ok(stored));
                }
            }
            // One entry must not spoil the others: each gets a transaction and an answer of its own.
            Err(_) if entries.len() > 1 => {
                for (answer, entry) in answers.into_iter().zip(&entries) {
                    let stored = commit(&database, std::slice::from_ref(entry)).await;
                    let _ = answer.send(stored.map(|stored| stored[0]));
                }
            }
            Err(error) => {
                if let Some(answer) = answers.into_iter().next() {
                    let _ = answer.send(Err(error));
                }
            }
        }
    }
}

async fn commit(database: &Database, entries: &[Unfiled]) -> Result<Vec<Stored>, StoreError> {
    during("filing an instance in the index", async {
        let mut change = database.begin().await?;
        let mut stored = Vec::with_capacity(entries.len());
        for entry in entries {
            stored.push(file(&mut change, entry).await?);
        }
        change.commit().await?;
        Ok(stored)
    })
    .await
}

/// Files one entry. The instance is inserted first: a new one then costs two statements, and a third for its study if
/// it is the first of a series.
pub(in crate::node::store) async fn file(change: &mut Change, entry: &Unfiled) -> Result<Stored, Fault> {
    if insert_instance(change, entry).await? {
        if upsert_series(change, entry).await? == 1 {
            insert_study(change, entry).await?;
        }
        return Ok(Stored::New);
    }
    let known: String = sqlx::query_scalar("SELECT blob FROM instances WHERE sop_instance_uid = $1")
        .bind(entry.id.sop_instance_uid.as_str())
        .fetch_one(&mut **change)
        .await?;
    if known == entry.blob.to_text() {
        return Ok(Stored::Already);
    }
    insert_conflict(change, entry).await?;
    tracing::warn!(
        sop_instance_uid = %entry.id.sop_instance_uid,
        sha256 = %entry.sha256,
        origin = %entry.origin,
        "another object with this SOP Instance UID is stored already; this one is kept apart"
    );
    Ok(Stored::Conflict)
}

async fn insert_study(change: &mut Change, entry: &Unfiled) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO studies (study_instance_uid, patient_id_folded, patient_name_folded, accession_number_folded, \
         description_folded, study_date, received_at, attributes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (study_instance_uid) DO NOTHING",
    )
    .bind(entry.id.series.study_instance_uid.as_str())
    .bind(&entry.patient_id_folded)
    .bind(&entry.patient_name_folded)
    .bind(&entry.accession_number_folded)
    .bind(&entry.study_description_folded)
    .bind(&entry.study_date)
    .bind(entry.received_at.as_millisecond())
    .bind(&entry.attributes.study)
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Returns the revision of the series: 1 if this is its first instance.
async fn upsert_series(change: &mut Change, entry: &Unfiled) -> Result<i64, Fault> {
    sqlx::query_scalar(
        "INSERT INTO series (study_instance_uid, series_instance_uid, modality, series_number, own_results, \
         last_received_at, revision, assembled_revision, attributes, description_folded, study_received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, 0, $7, $8, \
         COALESCE((SELECT received_at FROM studies WHERE study_instance_uid = $1), $6)) \
         ON CONFLICT (study_instance_uid, series_instance_uid) DO UPDATE SET \
         last_received_at = excluded.last_received_at, revision = series.revision + 1 RETURNING revision",
    )
    .bind(entry.id.series.study_instance_uid.as_str())
    .bind(entry.id.series.series_instance_uid.as_str())
    .bind(&entry.modality)
    .bind(entry.series_number)
    .bind(i64::from(entry.origin == Origin::Analysis))
    .bind(entry.received_at.as_millisecond())
    .bind(&entry.attributes.series)
    .bind(&entry.series_description_folded)
    .fetch_one(&mut **change)
    .await
    .map_err(Fault::from)
}

/// False if there is an instance with this identifier already.
async fn insert_instance(change: &mut Change, entry: &Unfiled) -> Result<bool, Fault> {
    let inserted = sqlx::query(
        "INSERT INTO instances (sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, \
         transfer_syntax_uid, sha256, blob, bytes, instance_number, origin, received_at, attributes) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (sop_instance_uid) DO NOTHING",
    )
    .bind(entry.id.sop_instance_uid.as_str())
    .bind(entry.id.series.study_instance_uid.as_str())
    .bind(entry.id.series.series_instance_uid.as_str())
    .bind(entry.id.sop_class_uid.as_str())
    .bind(entry.transfer_syntax_uid.as_str())
    .bind(&entry.sha256)
    .bind(entry.blob.to_text())
    .bind(entry.bytes)
    .bind(entry.instance_number)
    .bind(entry.origin.to_string())
    .bind(entry.received_at.as_millisecond())
    .bind(&entry.attributes.instance)
    .execute(&mut **change)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn insert_conflict(change: &mut Change, entry: &Unfiled) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO conflicts (sop_instance_uid, sha256, study_instance_uid, series_instance_uid, \
         transfer_syntax_uid, blob, origin, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (sop_instance_uid, blob) DO NOTHING",
    )
    .bind(entry.id.sop_instance_uid.as_str())
    .bind(&entry.sha256)
    .bind(entry.id.series.study_instance_uid.as_str())
    .bind(entry.id.series.series_instance_uid.as_str())
    .bind(entry.transfer_syntax_uid.as_str())
    .bind(entry.blob.to_text())
    .bind(entry.origin.to_string())
    .bind(entry.received_at.as_millisecond())
    .execute(&mut **change)
    .await?;
    Ok(())
}
