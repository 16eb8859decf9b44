//! What assembly asks of the index: which series have new instances, and what those instances are.

use dicom_dictionary_std::tags;
use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::{Fault, StoreError, during};
use super::handle::Store;
use super::index::attributes;
use super::rows::Columns;
use crate::dicom::concatenation::Part;
use crate::dicom::elements::{numbers, texts};
use crate::dicom::{SeriesId, Uid};

/// A series with instances that assembly has not considered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnassembledSeries {
    /// The series.
    pub series: SeriesId,
    /// Modality (0008,0060), empty if it has none.
    pub modality: String,
    /// Counts the series' instances as they arrive.
    pub revision: i64,
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
    /// Which part of a concatenation it is.
    pub part: Option<Part>,
}

impl Store {
    /// Received series with new instances, oldest first. The node's own results are not among them.
    pub async fn unassembled(&self) -> Result<Vec<UnassembledSeries>, StoreError> {
        during("looking for new instances", async {
            let rows = sqlx::query(
                "SELECT study_instance_uid, series_instance_uid, modality, revision FROM series \
                 WHERE assembled_revision < revision AND own_results = 0 ORDER BY last_received_at",
            )
            .fetch_all(self.readers())
            .await?;
            rows.iter().map(unassembled).collect()
        })
        .await
    }

    /// What assembly wants to know of the current instances of a series, in order of instance number.
    pub async fn members(&self, series: &SeriesId) -> Result<Vec<SeriesMember>, StoreError> {
        during("listing the instances of a series", async {
            let mut rows = sqlx::query(
                "SELECT sop_instance_uid, sop_class_uid, sha256, attributes FROM instances \
                 WHERE study_instance_uid = $1 AND series_instance_uid = $2 AND visibility = 'current' \
                 ORDER BY COALESCE(instance_number, 2147483648), sop_instance_uid",
            )
            .bind(series.study_instance_uid.as_str())
            .bind(series.series_instance_uid.as_str())
            .fetch(self.readers());
            let mut members = Vec::new();
            while let Some(row) = rows.try_next().await? {
                members.push(member(&row)?);
            }
            Ok(members)
        })
        .await
    }
}

fn unassembled(row: &SqliteRow) -> Result<UnassembledSeries, Fault> {
    Ok(UnassembledSeries {
        series: row.series()?,
        modality: row.try_get("modality")?,
        revision: row.try_get("revision")?,
    })
}

fn member(row: &SqliteRow) -> Result<SeriesMember, Fault> {
    let attributes = attributes::read(row.try_get("attributes")?);
    Ok(SeriesMember {
        sop_instance_uid: row.uid("sop_instance_uid")?,
        sop_class_uid: row.uid("sop_class_uid")?,
        sha256: row.try_get("sha256")?,
        image_type: texts(&attributes, tags::IMAGE_TYPE),
        position: numbers(&attributes, tags::IMAGE_POSITION_PATIENT).and_then(|values| values.try_into().ok()),
        orientation: numbers(&attributes, tags::IMAGE_ORIENTATION_PATIENT).and_then(|values| values.try_into().ok()),
        part: Part::read(&attributes),
    })
}
