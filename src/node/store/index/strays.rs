//! Objects that name another patient than their study does. They are kept, and shown until they are sent right, rejected, or
//! found to be right themselves.

use std::collections::BTreeSet;

use dicom_dictionary_std::tags;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::reassembly::assemble_again;
use super::unfiled::{StudyRow, Unfiled};
use crate::dicom::Uid;
use crate::node::store::database::Change;
use crate::node::store::error::Fault;
use crate::node::store::rows::{Columns, to_json};

/// Notes that an object that was filed names another patient than its study.
pub(super) async fn note(change: &mut Change, entry: &Unfiled) -> Result<(), Fault> {
    let tag = tags::PATIENT_ID;
    sqlx::query(
        "INSERT INTO conflicts (sop_instance_uid, sha256, study_instance_uid, series_instance_uid, transfer_syntax_uid, \
         blob, origin, received_at, state, subject, differing, attributes, stored, content, kept) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, 'stray', 'patient', $9, $10, s.attributes, $11, 1 FROM studies s \
         WHERE s.study_instance_uid = $3 ON CONFLICT (sop_instance_uid, blob) DO NOTHING",
    )
    .bind(entry.id.sop_instance_uid.as_str())
    .bind(&entry.sha256)
    .bind(entry.id.series.study_instance_uid.as_str())
    .bind(entry.id.series.series_instance_uid.as_str())
    .bind(entry.transfer_syntax_uid.as_str())
    .bind(entry.blob.to_text())
    .bind(entry.origin.to_string())
    .bind(entry.received_at.as_millisecond())
    .bind(to_json("differing", &[[tag.group(), tag.element()]])?)
    .bind(&entry.study.attributes)
    .bind(entry.content.as_str())
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Gives a study other attributes. Objects that named this patient before are no strays any more, and their series are
/// assembled again.
pub(super) async fn replace_attributes(change: &mut Change, study: &Uid, row: &StudyRow) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE studies SET patient_id_folded = $2, patient_name_folded = $3, accession_number_folded = $4, \
         study_date = $5, attributes = $6, description_folded = $7 WHERE study_instance_uid = $1",
    )
    .bind(study.as_str())
    .bind(&row.patient_id_folded)
    .bind(&row.patient_name_folded)
    .bind(&row.accession_number_folded)
    .bind(&row.date)
    .bind(&row.attributes)
    .bind(&row.description_folded)
    .execute(&mut **change)
    .await?;
    let mut series = BTreeSet::new();
    for stray in strays(change, study).await? {
        if StudyRow::of(stray.try_get("attributes")?).patient_id_folded == row.patient_id_folded {
            series.insert(stray.series()?);
            sqlx::query("DELETE FROM conflicts WHERE sop_instance_uid = $1 AND blob = $2")
                .bind(stray.try_get::<&str, _>("sop_instance_uid")?)
                .bind(stray.try_get::<&str, _>("blob")?)
                .execute(&mut **change)
                .await?;
        }
    }
    for series in &series {
        assemble_again(change, series).await?;
    }
    Ok(())
}

/// Gives a study the patient of its listed objects, if all of them are strays of one patient: those that named the patient
/// of the study were rejected.
pub(in crate::node::store) async fn settle_study(change: &mut Change, study: &Uid) -> Result<(), Fault> {
    let received: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM instances WHERE study_instance_uid = $1 AND origin <> 'analysis' AND visibility = 'current'",
    )
    .bind(study.as_str())
    .fetch_one(&mut **change)
    .await?;
    let strays = strays(change, study).await?;
    if received == 0 || strays.len() as i64 != received {
        return Ok(());
    }
    let mut rows = Vec::with_capacity(strays.len());
    for stray in &strays {
        rows.push(StudyRow::of(stray.try_get("attributes")?));
    }
    let Some(first) = rows.first() else { return Ok(()) };
    if rows.iter().all(|row| row.patient_id_folded == first.patient_id_folded) {
        replace_attributes(change, study, first).await?;
    }
    Ok(())
}

/// The strays of a study that are listed.
async fn strays(change: &mut Change, study: &Uid) -> Result<Vec<SqliteRow>, Fault> {
    let rows = sqlx::query(
        "SELECT c.sop_instance_uid, c.study_instance_uid, c.series_instance_uid, c.blob, c.attributes FROM conflicts c \
         JOIN instances i ON i.sop_instance_uid = c.sop_instance_uid AND i.blob = c.blob \
         WHERE c.study_instance_uid = $1 AND c.state = 'stray' AND i.visibility = 'current'",
    )
    .bind(study.as_str())
    .fetch_all(&mut **change)
    .await?;
    Ok(rows)
}
