//! What the header of one instance says about its place in a series.

use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, Tag};

use super::geometry::dot;
use super::hounsfield::{self, Unfit};
use super::image_grid::ImageGrid;
use super::labels::Labels;
use super::left_out::LeftOutKind;
use super::rejection::{Reason, Rejection};
use super::stored_image::StoredImage;
use crate::dicom::bounded::ReadError;
use crate::dicom::concatenation::Part;
use crate::dicom::elements::{DataSet, integer, items, text, texts, uid};
use crate::dicom::{EnhancedCt, FrameNumber, SourceImage, Uid};

/// Whom an image shows. All images of a series must agree on it, because results take it from one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) patient_id: Option<String>,
    /// The image says that it is synthetic (0008,001C).
    synthetic: bool,
}

/// The numbers that a person finds an image by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ImageNumber {
    /// Instance Number (0020,0013).
    pub(super) instance: Option<i64>,
    /// `None` where an object is meant, be it one image or a whole multi-frame object.
    pub(super) frame: Option<FrameNumber>,
}

impl ImageNumber {
    const UNKNOWN: Self = Self { instance: None, frame: None };
}

/// Which frame an image is, and of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) class: EnhancedCt,
    pub(super) number: FrameNumber,
}

/// Header of one CT image that is valid on its own.
#[derive(Debug, Clone)]
pub(super) struct SliceHeader {
    pub(super) stored: StoredImage,
    pub(super) image: SourceImage,
    pub(super) instance_number: Option<i64>,
    /// The concatenation of which its object is a part.
    pub(super) part: Option<Part>,
    /// The object that a frame was converted from.
    pub(super) converted_from: Option<Uid>,
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

    pub(super) fn number(&self) -> ImageNumber {
        ImageNumber { instance: self.instance_number, frame: self.image.frame() }
    }

    /// Where it comes in its series, as far as numbers tell: by instance, then by frame, counted through the parts of a
    /// concatenation.
    pub(super) fn order(&self) -> Option<(i64, u64)> {
        let Some(frame) = self.image.frame() else { return Some((self.instance_number?, 0)) };
        let before = self.part.as_ref().map_or(0, |part| part.frames_before);
        Some((self.instance_number.unwrap_or_default(), u64::from(before) + u64::from(frame.get())))
    }

    /// By how much the numbers of two images differ: those of instances, or those of frames of one instance.
    pub(super) fn numbers_apart(&self, other: &Self) -> Option<u64> {
        let ((instance, frame), (other_instance, other_frame)) = (self.order()?, other.order()?);
        match (frame, other_frame) {
            (0, 0) => Some(instance.abs_diff(other_instance)),
            (1.., 1..) if instance == other_instance => Some(frame.abs_diff(other_frame)),
            _ => None,
        }
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
    pub(super) number: ImageNumber,
    /// Whom it says it shows.
    pub(super) patient_id: Option<String>,
}

impl Excluded {
    fn no_slice(kind: LeftOutKind, problem: &str) -> Self {
        Self { kind, reason: None, problem: problem.to_owned(), number: ImageNumber::UNKNOWN, patient_id: None }
    }

    fn fault(kind: LeftOutKind, reason: Reason, problem: impl Into<String>) -> Self {
        Self { kind, reason: Some(reason), problem: problem.into(), number: ImageNumber::UNKNOWN, patient_id: None }
    }

    /// An object, or its pixels, that cannot be read.
    pub(super) fn unreadable(rejection: Rejection, number: ImageNumber) -> Self {
        let kind = LeftOutKind::Unreadable;
        let reason = Some(rejection.reason);
        Self { kind, reason, problem: rejection.explanation, number, patient_id: None }
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

/// Reads what a stack needs from the header of one image
/// ([PS3.3 A.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.3.html), CT Image IOD), which
/// may be a frame of an enhanced CT with the values of its functional groups.
pub(super) fn examine(
    stored: StoredImage,
    frame: Option<Frame>,
    image: &FileDicomObject<DataSet>,
) -> Result<SliceHeader, Excluded> {
    let instance = integer(image, tags::INSTANCE_NUMBER);
    let number = ImageNumber { instance, frame: frame.map(|frame| frame.number) };
    let patient_id = text(image, tags::PATIENT_ID);
    slice_header(stored, frame, image).map_err(|excluded| Excluded { number, patient_id, ..excluded })
}

/// The SOP class of an object. De-identification may have removed it from the data set; the file has it a second time
/// (PS3.10 7.1).
pub(super) fn sop_class_of(object: &FileDicomObject<DataSet>) -> Option<Uid> {
    uid(object, tags::SOP_CLASS_UID).or_else(|| Uid::parse(object.meta().media_storage_sop_class_uid()).ok())
}

fn slice_header(
    stored: StoredImage,
    frame: Option<Frame>,
    image: &FileDicomObject<DataSet>,
) -> Result<SliceHeader, Excluded> {
    let unreadable = |problem: String| Excluded::fault(LeftOutKind::Unreadable, Reason::Unreadable, problem);
    let header: &DataSet = image;
    let sop_class_uid = sop_class_of(image).ok_or_else(|| unreadable("the object has no SOP Class UID".to_owned()))?;
    check_kind(header, &sop_class_uid, frame)?;
    let image_type = texts(header, tags::IMAGE_TYPE);
    if image_type.iter().any(|value| value.eq_ignore_ascii_case("LOCALIZER")) {
        return Err(Excluded::no_slice(LeftOutKind::Localizer, "a localizer by its Image Type"));
    }
    if image_type.iter().any(|value| ["SCREEN SAVE", "DOSE_INFO"].contains(&value.as_str())) {
        return Err(Excluded::no_slice(LeftOutKind::Page, "a screen or dose page by its Image Type"));
    }
    hounsfield::check(header)?;
    let sop_instance_uid = identifier(header, tags::SOP_INSTANCE_UID, "SOP Instance UID").map_err(unreadable)?;
    let image = match frame {
        Some(Frame { class, number }) => SourceImage::frame_of(class, sop_instance_uid, number),
        None => SourceImage::object(sop_instance_uid),
    };
    let (grid, position) = ImageGrid::read(header)
        .map_err(|problem| Excluded::fault(LeftOutKind::WithoutPosition, Reason::BadGeometry, problem))?;
    Ok(SliceHeader {
        stored,
        image,
        instance_number: integer(header, tags::INSTANCE_NUMBER),
        part: frame.and_then(|_| Part::read(header)),
        converted_from: frame.and_then(|_| converted_from(header)),
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

/// Conversion Source Attributes
/// ([PS3.3 C.7.6.16.2.23](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.16.2.23.html)).
fn converted_from(header: &DataSet) -> Option<Uid> {
    uid(items(header, tags::CONVERSION_SOURCE_ATTRIBUTES_SEQUENCE).first()?, tags::REFERENCED_SOP_INSTANCE_UID)
}

/// An identifier; the error says whether it is missing or has characters that no identifier has.
pub(super) fn identifier(header: &DataSet, tag: Tag, name: &str) -> Result<Uid, String> {
    match text(header, tag).map(|text| Uid::parse(&text)) {
        Some(Ok(uid)) => Ok(uid),
        Some(Err(error)) => Err(format!("{name} {tag} is not usable: {error}")),
        None => Err(format!("the object has no {name}")),
    }
}

fn check_kind(header: &DataSet, sop_class_uid: &Uid, frame: Option<Frame>) -> Result<(), Excluded> {
    let other = |problem: String| Excluded::fault(LeftOutKind::OtherObject, Reason::WrongModality, problem);
    let modality = text(header, tags::MODALITY);
    if sop_class_uid.as_str() != frame.map_or(uids::CT_IMAGE_STORAGE, |frame| frame.class.uid()) {
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
