//! What the header of one instance says about its place in a series.

use std::path::{Path, PathBuf};

use dicom_dictionary_std::{tags, uids};
use dicom_object::FileDicomObject;

use super::geometry::{cross, dot, norm};
use super::rejection::{Reason, Rejection};
use crate::dicom::Uid;
use crate::dicom::bounded::ReadError;
use crate::dicom::elements::{DataSet, integer, numbers, text, texts, uid};

/// Smallest length of a direction, and largest deviation from a right angle, that rounding explains.
const DIRECTION_TOLERANCE: f64 = 1e-2;

/// The pixel grid that all images of a stack share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImageGrid {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Distance of columns, then of rows, in millimetres (Pixel Spacing has them the other way round).
    pub(super) spacing: [f64; 2],
    /// Unit vectors along which column and row indices grow.
    pub(super) directions: [[f64; 3]; 2],
}

impl ImageGrid {
    /// True if `other` differs by no more than rounding of its decimal strings.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64, tolerance: f64| (a - b).abs() <= tolerance;
        self.rows == other.rows
            && self.columns == other.columns
            && (0..2).all(|axis| near(self.spacing[axis], other.spacing[axis], 1e-3 * self.spacing[axis]))
            && (0..2).all(|axis| (0..3).all(|i| near(self.directions[axis][i], other.directions[axis][i], 1e-3)))
    }

    /// Unit normal of the image plane with a positive component towards the head.
    pub(super) fn normal_towards_head(&self) -> [f64; 3] {
        let normal = cross(self.directions[0], self.directions[1]);
        if normal[2] < 0.0 { normal.map(|component| -component) } else { normal }
    }
}

/// Whom an image shows. All images of a series must agree on it, because results take it from one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    patient_id: Option<String>,
    /// The image says that it is synthetic (0008,001C).
    synthetic: bool,
}

/// Header of one CT image that is valid on its own.
#[derive(Debug, Clone)]
pub(super) struct SliceHeader {
    pub(super) path: PathBuf,
    pub(super) sop_class_uid: Uid,
    pub(super) sop_instance_uid: Uid,
    pub(super) instance_number: Option<i64>,
    pub(super) frame_of_reference_uid: Option<Uid>,
    pub(super) subject: Subject,
    pub(super) grid: ImageGrid,
    /// Image Position (Patient): the centre of the first pixel.
    pub(super) position: [f64; 3],
}

/// Why an instance takes no part in the stack.
#[derive(Debug)]
pub(super) enum Excluded {
    /// It belongs to the series but is not a slice; the series is usable without it.
    LeftOut(&'static str),
    /// Something is wrong with it.
    Rejected(Rejection),
}

impl From<Rejection> for Excluded {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<ReadError> for Rejection {
    fn from(error: ReadError) -> Self {
        let reason = match &error {
            ReadError::Truncated(_) => Reason::Truncated,
            ReadError::Hostile(_) => Reason::Hostile,
            ReadError::Unreadable(_) | ReadError::Io(_) => Reason::Unreadable,
        };
        Self::new(reason, error.to_string())
    }
}

/// Reads what a stack needs from the header of one instance
/// ([PS3.3 A.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.3.html), CT Image IOD).
pub(super) fn examine(path: &Path, image: &FileDicomObject<DataSet>) -> Result<SliceHeader, Excluded> {
    let header: &DataSet = image;
    // De-identification may have removed it from the data set; the file has it a second time (PS3.10 7.1).
    let sop_class_uid = uid(header, tags::SOP_CLASS_UID)
        .or_else(|| Uid::parse(image.meta().media_storage_sop_class_uid()).ok())
        .ok_or_else(|| Rejection::new(Reason::Unreadable, "an object has no SOP Class UID"))?;
    check_modality(header, &sop_class_uid)?;
    let image_type = texts(header, tags::IMAGE_TYPE);
    if image_type.iter().any(|value| value.eq_ignore_ascii_case("LOCALIZER")) {
        return Err(Excluded::LeftOut("localizer"));
    }
    if image_type.iter().any(|value| ["SCREEN SAVE", "DOSE_INFO"].contains(&value.as_str())) {
        return Err(Excluded::LeftOut("screen or dose page"));
    }
    let sop_instance_uid = uid(header, tags::SOP_INSTANCE_UID)
        .ok_or_else(|| Rejection::new(Reason::Unreadable, "an image has no SOP Instance UID"))?;
    let (grid, position) = plane(header).map_err(|missing| {
        Rejection::new(Reason::BadGeometry, format!("an image has no usable {missing} (image {sop_instance_uid})"))
    })?;
    Ok(SliceHeader {
        path: path.to_owned(),
        sop_class_uid,
        sop_instance_uid,
        instance_number: integer(header, tags::INSTANCE_NUMBER),
        frame_of_reference_uid: uid(header, tags::FRAME_OF_REFERENCE_UID),
        subject: Subject {
            patient_id: text(header, tags::PATIENT_ID),
            synthetic: text(header, tags::SYNTHETIC_DATA).is_some_and(|value| value == "YES"),
        },
        grid,
        position,
    })
}

fn check_modality(header: &DataSet, sop_class_uid: &Uid) -> Result<(), Rejection> {
    let modality = text(header, tags::MODALITY);
    if [uids::ENHANCED_CT_IMAGE_STORAGE, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE]
        .contains(&sop_class_uid.as_str())
    {
        return Err(Rejection::new(
            Reason::Unreadable,
            "enhanced multi-frame CT is not supported: send the series as CT Image Storage",
        ));
    }
    if sop_class_uid.as_str() != uids::CT_IMAGE_STORAGE {
        let modality = modality.as_deref().unwrap_or("missing");
        return Err(Rejection::new(
            Reason::WrongModality,
            format!("an object of SOP class {sop_class_uid}, modality {modality}; CT Image Storage was expected"),
        ));
    }
    match modality.as_deref() {
        Some("CT") | None => {}
        Some(other) => {
            return Err(Rejection::new(
                Reason::WrongModality,
                format!("an image has modality {other}; CT was expected"),
            ));
        }
    }
    let samples = integer(header, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    if samples != 1 {
        return Err(Rejection::new(
            Reason::WrongModality,
            format!("an image has {samples} samples per pixel; a CT slice has 1"),
        ));
    }
    let frames = integer(header, tags::NUMBER_OF_FRAMES).unwrap_or(1);
    if frames != 1 {
        return Err(Rejection::new(
            Reason::Unreadable,
            format!("an image has {frames} frames; one slice per instance was expected"),
        ));
    }
    Ok(())
}

/// Grid and position of an image ([PS3.3
/// C.7.6.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.2.html), Image Plane); the
/// error names the attribute that is missing or not valid.
fn plane(header: &DataSet) -> Result<(ImageGrid, [f64; 3]), &'static str> {
    let count = |tag| integer(header, tag).and_then(|value| usize::try_from(value).ok()).filter(|value| *value > 0);
    let rows = count(tags::ROWS).ok_or("Rows")?;
    let columns = count(tags::COLUMNS).ok_or("Columns")?;
    let spacing = numbers(header, tags::PIXEL_SPACING)
        .and_then(|values| <[f64; 2]>::try_from(values).ok())
        .filter(|values| values.iter().all(|value| (0.01..100.0).contains(value)))
        .ok_or("Pixel Spacing")?;
    let orientation = numbers(header, tags::IMAGE_ORIENTATION_PATIENT)
        .and_then(|values| <[f64; 6]>::try_from(values).ok())
        .ok_or("Image Orientation (Patient)")?;
    let directions = unit_vectors(orientation).ok_or("Image Orientation (Patient)")?;
    let position = numbers(header, tags::IMAGE_POSITION_PATIENT)
        .and_then(|values| <[f64; 3]>::try_from(values).ok())
        .ok_or("Image Position (Patient)")?;
    Ok((ImageGrid { rows, columns, spacing: [spacing[1], spacing[0]], directions }, position))
}

/// The two unit vectors of an orientation; `None` if they are not perpendicular unit vectors within rounding.
fn unit_vectors(orientation: [f64; 6]) -> Option<[[f64; 3]; 2]> {
    let [a, b, c, d, e, f] = orientation;
    let (along_row, along_column) = ([a, b, c], [d, e, f]);
    let lengths = [norm(along_row), norm(along_column)];
    let is_unit = lengths.iter().all(|length| (length - 1.0).abs() < DIRECTION_TOLERANCE);
    let perpendicular = dot(along_row, along_column).abs() < DIRECTION_TOLERANCE;
    if !is_unit || !perpendicular {
        return None;
    }
    let along_row = along_row.map(|component| component / lengths[0]);
    // Made exactly perpendicular, so that grid positions go to the patient and back without loss.
    let lean = dot(along_row, along_column);
    let upright: [f64; 3] = std::array::from_fn(|i| along_column[i] - lean * along_row[i]);
    let length = norm(upright);
    Some([along_row, upright.map(|component| component / length)])
}
