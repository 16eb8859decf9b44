//! What the header of one instance says about its place in a series.

use std::path::{Path, PathBuf};

use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, Tag};

use super::geometry::dot;
use super::hounsfield::{self, Unfit};
use super::image_grid::ImageGrid;
use super::labels::Labels;
use super::left_out::LeftOutKind;
use super::rejection::{Reason, Rejection};
use crate::dicom::Uid;
use crate::dicom::bounded::ReadError;
use crate::dicom::elements::{DataSet, integer, text, texts, uid};

/// Whom an image shows. All images of a series must agree on it, because results take it from one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) patient_id: Option<String>,
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
    pub(super) labels: Labels,
    pub(super) subject: Subject,
    pub(super) grid: ImageGrid,
    /// Image Position (Patient): the centre of the first pixel.
    pub(super) position: [f64; 3],
    /// Counts the breaks that pixels showed below it: what is above another break is of another scan.
    pub(super) scan: usize,
}

impl SliceHeader {
    /// The place of the image along a direction in millimetres.
    pub(super) fn along(&self, direction: [f64; 3]) -> f64 {
        dot(self.position, direction)
    }
}

/// An instance that is no slice of any stack.
#[derive(Debug, Clone)]
pub(super) struct Excluded {
    pub(super) kind: LeftOutKind,
    /// Why the series is not usable, where no whole stack is left; `None` for what belongs to a series and is no slice.
    pub(super) reason: Option<Reason>,
    /// What is wrong, without naming the instance.
    pub(super) problem: String,
    pub(super) instance_number: Option<i64>,
    /// Whom it says it shows.
    pub(super) patient_id: Option<String>,
}

impl Excluded {
    fn no_slice(kind: LeftOutKind, problem: &str) -> Self {
        Self { kind, reason: None, problem: problem.to_owned(), instance_number: None, patient_id: None }
    }

    fn fault(kind: LeftOutKind, reason: Reason, problem: impl Into<String>) -> Self {
        Self { kind, reason: Some(reason), problem: problem.into(), instance_number: None, patient_id: None }
    }

    /// An object, or its pixels, that cannot be read.
    pub(super) fn unreadable(rejection: Rejection, instance_number: Option<i64>) -> Self {
        let kind = LeftOutKind::Unreadable;
        let reason = Some(rejection.reason);
        Self { kind, reason, problem: rejection.explanation, instance_number, patient_id: None }
    }
}

impl From<Unfit> for Excluded {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Projection(problem) => Self::fault(LeftOutKind::Projection, Reason::Projection, problem),
            Unfit::NotHounsfield(problem) => Self::fault(LeftOutKind::NotHounsfield, Reason::NotHounsfield, problem),
        }
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
    let instance_number = integer(image, tags::INSTANCE_NUMBER);
    let patient_id = text(image, tags::PATIENT_ID);
    slice_header(path, image).map_err(|excluded| Excluded { instance_number, patient_id, ..excluded })
}

fn slice_header(path: &Path, image: &FileDicomObject<DataSet>) -> Result<SliceHeader, Excluded> {
    let unreadable = |problem: String| Excluded::fault(LeftOutKind::Unreadable, Reason::Unreadable, problem);
    let header: &DataSet = image;
    // De-identification may have removed it from the data set; the file has it a second time (PS3.10 7.1).
    let sop_class_uid = uid(header, tags::SOP_CLASS_UID)
        .or_else(|| Uid::parse(image.meta().media_storage_sop_class_uid()).ok())
        .ok_or_else(|| unreadable("the object has no SOP Class UID".to_owned()))?;
    check_kind(header, &sop_class_uid)?;
    let image_type = texts(header, tags::IMAGE_TYPE);
    if image_type.iter().any(|value| value.eq_ignore_ascii_case("LOCALIZER")) {
        return Err(Excluded::no_slice(LeftOutKind::Localizer, "a localizer by its Image Type"));
    }
    if image_type.iter().any(|value| ["SCREEN SAVE", "DOSE_INFO"].contains(&value.as_str())) {
        return Err(Excluded::no_slice(LeftOutKind::Page, "a screen or dose page by its Image Type"));
    }
    hounsfield::check(header)?;
    let sop_instance_uid = identifier(header, tags::SOP_INSTANCE_UID, "SOP Instance UID").map_err(unreadable)?;
    let (grid, position) = ImageGrid::read(header)
        .map_err(|problem| Excluded::fault(LeftOutKind::WithoutPosition, Reason::BadGeometry, problem))?;
    Ok(SliceHeader {
        path: path.to_owned(),
        sop_class_uid,
        sop_instance_uid,
        instance_number: integer(header, tags::INSTANCE_NUMBER),
        labels: Labels::read(header),
        subject: Subject {
            patient_id: text(header, tags::PATIENT_ID),
            synthetic: text(header, tags::SYNTHETIC_DATA).is_some_and(|value| value == "YES"),
        },
        grid,
        position,
        scan: 0,
    })
}

/// An identifier; the error says whether it is missing or has characters that no identifier has.
pub(super) fn identifier(header: &DataSet, tag: Tag, name: &str) -> Result<Uid, String> {
    match text(header, tag).map(|text| Uid::parse(&text)) {
        Some(Ok(uid)) => Ok(uid),
        Some(Err(error)) => Err(format!("{name} {tag} is not usable: {error}")),
        None => Err(format!("the object has no {name}")),
    }
}

fn check_kind(header: &DataSet, sop_class_uid: &Uid) -> Result<(), Excluded> {
    let other = |problem: String| Excluded::fault(LeftOutKind::OtherObject, Reason::WrongModality, problem);
    let modality = text(header, tags::MODALITY);
    if [uids::ENHANCED_CT_IMAGE_STORAGE, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE]
        .contains(&sop_class_uid.as_str())
    {
        let problem = "enhanced multi-frame CT is not supported: send the series as CT Image Storage";
        return Err(Excluded::fault(LeftOutKind::OtherObject, Reason::Unreadable, problem));
    }
    if sop_class_uid.as_str() != uids::CT_IMAGE_STORAGE {
        let modality = modality.as_deref().unwrap_or("missing");
        return Err(other(format!(
            "an object of SOP class {sop_class_uid}, modality {modality}; CT Image Storage was expected"
        )));
    }
    match modality.as_deref() {
        Some("CT") | None => {}
        Some(modality) => return Err(other(format!("the image has modality {modality}; CT was expected"))),
    }
    let samples = integer(header, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    if samples != 1 {
        let problem = format!("a page in colour, of {samples} samples per pixel; a CT slice has 1");
        return Err(Excluded::fault(LeftOutKind::Page, Reason::WrongModality, problem));
    }
    let frames = integer(header, tags::NUMBER_OF_FRAMES).unwrap_or(1);
    if frames != 1 {
        let problem = format!("the image has {frames} frames; one slice per instance was expected");
        return Err(Excluded::fault(LeftOutKind::OtherObject, Reason::Unreadable, problem));
    }
    Ok(())
}
