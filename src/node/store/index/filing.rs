//! Filing. One task owns the writing; what arrives while a commit is under way shares the next one.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tokio::sync::{mpsc, oneshot};

use super::instance::{Filed, KnownObject, Origin, is_of_analysis};
use super::strays;
use super::unfiled::Unfiled;
use super::visibility::{Visibility, set_visibility};
use crate::dicom::content::ContentDigest;
use crate::node::store::database::{Change, Database};
use crate::node::store::error::{Fault, StoreError, during};
use crate::node::store::rows::Columns;

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
    answer: oneshot::Sender<Result<Filed, StoreError>>,
}

impl Filer {
    /// Starts the task; it ends when the last handle is dropped.
    pub(in crate::node::store) fn start(database: Database) -> Self {
        let (sender, receiver) = mpsc::channel(LARGEST_BATCH);
        tokio::spawn(run(database, receiver));
        Self { sender }
    }

    /// Files an entry; returns after the commit.
    pub(in crate::node::store) async fn file(&self, entry: Unfiled) -> Result<Filed, StoreError> {
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
                    let _ = answer.send(stored.map(|mut stored| stored.remove(0)));
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

async fn commit(database: &Database, entries: &[Unfiled]) -> Result<Vec<Filed>, StoreError> {
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
    .inspect_err(|error| database.soundness().note(error))
}

/// Files one entry. The instance is inserted first: a new one then costs two statements, and a third for its study if
/// it is the first of a series.
pub(in crate::node::store) async fn file(change: &mut Change, entry: &Unfiled) -> Result<Filed, Fault> {
    if insert_instance(change, entry).await? {
        let (revision, patient_id) = upsert_series(change, entry).await?;
        if revision == 1 {
            insert_study(change, entry).await?;
        }
        if entry.origin != Origin::Analysis
            && patient_id.is_some_and(|of_study| contradict(&of_study, &entry.study.patient_id_folded))
        {
            strays::note(change, entry).await?;
        }
        return Ok(Filed::New);
    }
    let row = sqlx::query(
        "SELECT study_instance_uid, series_instance_uid, blob, transfer_syntax_uid, content, origin, visibility FROM instances \
         WHERE sop_instance_uid = $1",
    )
    .bind(entry.id.sop_instance_uid.as_str())
    .fetch_one(&mut **change)
    .await?;
    Ok(Filed::Known(Box::new(known(&row)?)))
}

/// True of two Patient IDs that are given and differ.
fn contradict(first: &str, second: &str) -> bool {
    !first.is_empty() && !second.is_empty() && first != second
}

fn known(row: &SqliteRow) -> Result<KnownObject, Fault> {
    let content: Option<&str> = row.try_get("content")?;
    Ok(KnownObject {
        series: row.series()?,
        blob: row.named("blob")?,
        transfer_syntax_uid: row.uid("transfer_syntax_uid")?,
        content: content.map(ContentDigest::from_text),
        is_rejected: row.named::<Visibility>("visibility")? == Visibility::Rejected,
        is_result: is_of_analysis(row.try_get("origin")?),
    })
}

async fn insert_study(change: &mut Change, entry: &Unfiled) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO studies (study_instance_uid, patient_id_folded, patient_name_folded, accession_number_folded, \
         description_folded, study_date, received_at, attributes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (study_instance_uid) DO NOTHING",
    )
    .bind(entry.id.series.study_instance_uid.as_str())
    .bind(&entry.study.patient_id_folded)
    .bind(&entry.study.patient_name_folded)
    .bind(&entry.study.accession_number_folded)
    .bind(&entry.study.description_folded)
    .bind(&entry.study.date)
    .bind(entry.received_at.as_millisecond())
    .bind(&entry.study.attributes)
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Returns the revision of the series, 1 if this is its first instance, and the patient that its study has, if it is known.
async fn upsert_series(change: &mut Change, entry: &Unfiled) -> Result<(i64, Option<String>), Fault> {
    sqlx::query_as(
        "INSERT INTO series (study_instance_uid, series_instance_uid, modality, series_number, own_results, \
         last_received_at, revision, assembled_revision, attributes, description_folded, study_received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, 0, $7, $8, \
         COALESCE((SELECT received_at FROM studies WHERE study_instance_uid = $1), $6)) \
         ON CONFLICT (study_instance_uid, series_instance_uid) DO UPDATE SET \
         last_received_at = excluded.last_received_at, revision = series.revision + 1 RETURNING revision, \
         (SELECT patient_id_folded FROM studies WHERE study_instance_uid = $1)",
    )
    .bind(entry.id.series.study_instance_uid.as_str())
    .bind(entry.id.series.series_instance_uid.as_str())
    .bind(&entry.modality)
    .bind(entry.series_number)
    .bind(i64::from(entry.origin == Origin::Analysis))
    .bind(entry.received_at.as_millisecond())
    .bind(&entry.series_attributes)
    .bind(&entry.series_description_folded)
    .fetch_one(&mut **change)
    .await
    .map_err(Fault::from)
}

/// False if there is an instance with this identifier already. One that was rejected before it came is hidden.
async fn insert_instance(change: &mut Change, entry: &Unfiled) -> Result<bool, Fault> {
    let inserted = sqlx::query(
        "INSERT INTO instances (sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, \
         transfer_syntax_uid, sha256, blob, bytes, instance_number, origin, received_at, attributes, content, \
         visibility) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, CASE WHEN EXISTS (SELECT 1 FROM \
         standing_rejections WHERE sop_instance_uid = $1 AND study_instance_uid = $2) THEN 'rejected' ELSE 'current' END) \
         ON CONFLICT (sop_instance_uid) DO NOTHING",
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
    .bind(&entry.instance_attributes)
    .bind(entry.content.as_str())
    .execute(&mut **change)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Lists an object in the place of the one that has its identifier; one in whose place a rejected one stood, if `shows`.
/// That one stays in the history.
pub(in crate::node::store) async fn replace(change: &mut Change, entry: &Unfiled, shows: bool) -> Result<(), Fault> {
    let sop_instance_uid = entry.id.sop_instance_uid.as_str();
    sqlx::query(
        "INSERT INTO conflicts (sop_instance_uid, sha256, study_instance_uid, series_instance_uid, transfer_syntax_uid, \
         blob, origin, received_at, state, subject, attributes, content, kept) \
         SELECT i.sop_instance_uid, i.sha256, i.study_instance_uid, i.series_instance_uid, i.transfer_syntax_uid, i.blob, \
         i.origin, i.received_at, 'replaced', 'patient', s.attributes, i.content, 1 FROM instances i \
         JOIN studies s ON s.study_instance_uid = i.study_instance_uid WHERE i.sop_instance_uid = $1 \
         ON CONFLICT (sop_instance_uid, blob) DO UPDATE SET state = 'replaced', kept = 1",
    )
    .bind(sop_instance_uid)
    .execute(&mut **change)
    .await?;
    sqlx::query("DELETE FROM conflicts WHERE sop_instance_uid = $1 AND blob = $2")
        .bind(sop_instance_uid)
        .bind(entry.blob.to_text())
        .execute(&mut **change)
        .await?;
    // Others that were held for it proposed something else.
    sqlx::query("UPDATE conflicts SET state = 'refused' WHERE sop_instance_uid = $1 AND state = 'held'")
        .bind(sop_instance_uid)
        .execute(&mut **change)
        .await?;
    sqlx::query(
        "UPDATE instances SET transfer_syntax_uid = $2, sha256 = $3, blob = $4, bytes = $5, instance_number = $6, \
         origin = $7, received_at = $8, attributes = $9, content = $10 WHERE sop_instance_uid = $1",
    )
    .bind(sop_instance_uid)
    .bind(entry.transfer_syntax_uid.as_str())
    .bind(&entry.sha256)
    .bind(entry.blob.to_text())
    .bind(entry.bytes)
    .bind(entry.instance_number)
    .bind(entry.origin.to_string())
    .bind(entry.received_at.as_millisecond())
    .bind(&entry.instance_attributes)
    .bind(entry.content.as_str())
    .execute(&mut **change)
    .await?;
    if shows {
        sqlx::query("DELETE FROM standing_rejections WHERE sop_instance_uid = $1")
            .bind(sop_instance_uid)
            .execute(&mut **change)
            .await?;
        set_visibility(change, &entry.id.sop_instance_uid, Visibility::Rejected, Visibility::Current).await?;
    }
    replace_series(change, entry).await
}

async fn replace_series(change: &mut Change, entry: &Unfiled) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE series SET modality = $3, series_number = $4, attributes = $5, last_received_at = $6, \
         description_folded = $7, revision = revision + 1 WHERE study_instance_uid = $1 AND series_instance_uid = $2",
    )
    .bind(entry.id.series.study_instance_uid.as_str())
    .bind(entry.id.series.series_instance_uid.as_str())
    .bind(&entry.modality)
    .bind(entry.series_number)
    .bind(&entry.series_attributes)
    .bind(entry.received_at.as_millisecond())
    .bind(&entry.series_description_folded)
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Has a study say what an object of it says.
pub(in crate::node::store) async fn replace_study(change: &mut Change, entry: &Unfiled) -> Result<(), Fault> {
    let study = &entry.id.series.study_instance_uid;
    strays::replace_attributes(change, study, &entry.study).await
}
