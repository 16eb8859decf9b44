//! What assembly asks of the index: which series have new instances, and what those instances are.

use dicom_dictionary_std::tags;
use futures_util::TryStreamExt;
use sqlx::Row;

use super::attributes;
use super::database::Database;
use super::sql::uid;
use crate::dicom::Uid;
use crate::dicom::elements::{numbers, texts};

/// A series with instances that assembly has not dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnassembledSeries {
    /// Study Instance UID.
    pub study_instance_uid: Uid,
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// Modality (0008,0060), empty if it has none.
    pub modality: String,
    /// Counts the series' instances as they came.
    pub revision: i64,
    /// When the last one came, in milliseconds since 1970.
    pub last_received_at: i64,
}

/// What assembly wants to know of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesMember {
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// SOP Class UID.
    pub sop_class_uid: Uid,
    /// SHA-256 of the data set's bytes.
    pub sha256: String,
    /// Image Type (0008,0008).
    pub image_type: Vec<String>,
    /// Image Position (Patient) (0020,0032), where it is three numbers.
    pub position: Option<[f64; 3]>,
    /// Image Orientation (Patient) (0020,0037), where it is six numbers.
    pub orientation: Option<[f64; 6]>,
}

/// Received series with new instances, oldest first. The node's own results are not among them.
pub(super) async fn unassembled(database: &Database) -> Result<Vec<UnassembledSeries>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT study_instance_uid, series_instance_uid, modality, revision, last_received_at FROM series \
         WHERE assembled_revision < revision AND own_results = 0 ORDER BY last_received_at",
    )
    .fetch_all(database.readers())
    .await?;
    let read = |row| {
        Ok(UnassembledSeries {
            study_instance_uid: uid(row, 0)?,
            series_instance_uid: uid(row, 1)?,
            modality: row.try_get(2)?,
            revision: row.try_get(3)?,
            last_received_at: row.try_get(4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// The instances of a series, in order of instance number.
pub(super) async fn members(
    database: &Database,
    study_instance_uid: &Uid,
    series_instance_uid: &Uid,
) -> Result<Vec<SeriesMember>, sqlx::Error> {
    let mut rows = sqlx::query(
        "SELECT sop_instance_uid, sop_class_uid, sha256, attributes FROM instances \
         WHERE study_instance_uid = $1 AND series_instance_uid = $2 \
         ORDER BY COALESCE(instance_number, 2147483648), sop_instance_uid",
    )
    .bind(study_instance_uid.as_str())
    .bind(series_instance_uid.as_str())
    .fetch(database.readers());
    let mut members = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let attributes = attributes::read(row.try_get(3)?);
        members.push(SeriesMember {
            sop_instance_uid: uid(&row, 0)?,
            sop_class_uid: uid(&row, 1)?,
            sha256: row.try_get(2)?,
            image_type: texts(&attributes, tags::IMAGE_TYPE),
            position: numbers(&attributes, tags::IMAGE_POSITION_PATIENT).and_then(|values| values.try_into().ok()),
            orientation: numbers(&attributes, tags::IMAGE_ORIENTATION_PATIENT)
                .and_then(|values| values.try_into().ok()),
        });
    }
    Ok(members)
}
