//! Result objects in other forms, for systems that refuse the class of the original.
//!
//! A converted object has identifiers of its own, which derive from those of the original: it is the same again for each
//! destination and each attempt. It lies in a series of its own.

use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject, Tag};

use super::element::Compose;
use crate::config::Fallback;
use crate::dicom::Uid;
use crate::dicom::elements::{self, DataSet};

/// Attributes of the multi-frame module, which one frame does not have
/// ([PS3.3 C.7.6.6](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.6.html)).
const MULTI_FRAME: [Tag; 3] = [tags::NUMBER_OF_FRAMES, tags::FRAME_INCREMENT_POINTER, tags::FRAME_LABEL_VECTOR];

/// Why an object has no other form.
#[derive(Debug, thiserror::Error)]
pub enum FallbackError {
    /// An attribute is missing.
    #[error("it lacks {0}")]
    Missing(Tag),
    /// Frames and pixels do not fit each other.
    #[error("its {pixels} bytes of pixels are not {frames} frames of {rows} x {columns} in colour")]
    Pixels {
        /// Bytes of Pixel Data (7FE0,0010).
        pixels: usize,
        /// Number of Frames (0028,0008).
        frames: usize,
        /// Rows (0028,0010).
        rows: usize,
        /// Columns (0028,0011).
        columns: usize,
    },
    /// The file meta information cannot be made.
    #[error("writing its file meta information: {0}")]
    FileMeta(#[from] Box<dicom_object::WithMetaError>),
}

impl Fallback {
    /// The SOP class of the converted objects.
    pub fn sop_class_uid(self) -> &'static str {
        match self {
            Self::ComprehensiveSr => uids::COMPREHENSIVE_SR_STORAGE,
            Self::EnhancedSr => uids::ENHANCED_SR_STORAGE,
            Self::SingleFrameSc => uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
        }
    }

    /// True if objects of a class have this other form.
    pub fn is_for(self, sop_class_uid: &str) -> bool {
        sop_class_uid
            == match self {
                Self::ComprehensiveSr | Self::EnhancedSr => uids::COMPREHENSIVE3_DSR_STORAGE,
                Self::SingleFrameSc => uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE,
            }
    }

    /// The object in this form: as one object or, of several frames, as one for each.
    pub fn convert(self, original: &DataSet) -> Result<Vec<FileDicomObject<InMemDicomObject>>, FallbackError> {
        let converted = match self {
            Self::ComprehensiveSr | Self::EnhancedSr => vec![self.report(original)?],
            Self::SingleFrameSc => self.pictures(original)?,
        };
        converted.into_iter().map(with_meta).collect()
    }

    /// The content tree uses what all three classes allow: coordinates on images, and no reference within the document
    /// ([PS3.3 A.35](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.35.html)).
    fn report(self, original: &DataSet) -> Result<DataSet, FallbackError> {
        let mut report = self.identified(original, 1)?;
        let predecessors = elements::items(original, tags::PREDECESSOR_DOCUMENTS_SEQUENCE);
        if !predecessors.is_empty() {
            let predecessors = predecessors.iter().map(|study| self.predecessor(study)).collect();
            report = report.with_items(tags::PREDECESSOR_DOCUMENTS_SEQUENCE, predecessors);
        }
        Ok(report)
    }

    /// A destination that gets converted reports has converted predecessors too.
    fn predecessor(self, study: &DataSet) -> DataSet {
        let series = elements::items(study, tags::REFERENCED_SERIES_SEQUENCE).iter().map(|series| {
            let objects = elements::items(series, tags::REFERENCED_SOP_SEQUENCE).iter().map(|object| {
                let class = elements::text(object, tags::REFERENCED_SOP_CLASS_UID).unwrap_or_default();
                match elements::uid(object, tags::REFERENCED_SOP_INSTANCE_UID) {
                    Some(instance) if self.is_for(&class) => object
                        .clone()
                        .with(tags::REFERENCED_SOP_CLASS_UID, self.sop_class_uid())
                        .with(tags::REFERENCED_SOP_INSTANCE_UID, self.instance_uid(&instance, 1).as_str()),
                    _ => object.clone(),
                }
            });
            let objects = objects.collect();
            let uid = elements::uid(series, tags::SERIES_INSTANCE_UID);
            let series = series.clone().with_items(tags::REFERENCED_SOP_SEQUENCE, objects);
            match uid {
                Some(uid) => series.with(tags::SERIES_INSTANCE_UID, self.series_uid(&uid).as_str()),
                None => series,
            }
        });
        study.clone().with_items(tags::REFERENCED_SERIES_SEQUENCE, series.collect())
    }

    /// One object for each frame, numbered from 1.
    fn pictures(self, original: &DataSet) -> Result<Vec<DataSet>, FallbackError> {
        let size = |tag| {
            let value = elements::integer(original, tag).and_then(|value| usize::try_from(value).ok());
            value.filter(|value| *value > 0).ok_or(FallbackError::Missing(tag))
        };
        let (frames, rows, columns) = (size(tags::NUMBER_OF_FRAMES)?, size(tags::ROWS)?, size(tags::COLUMNS)?);
        let pixels = original
            .get(tags::PIXEL_DATA)
            .and_then(|element| element.to_bytes().ok())
            .ok_or(FallbackError::Missing(tags::PIXEL_DATA))?;
        let length = rows * columns * 3;
        if pixels.len() != (frames * length).next_multiple_of(2) {
            return Err(FallbackError::Pixels { pixels: pixels.len(), frames, rows, columns });
        }
        let numbered = pixels.chunks_exact(length).take(frames).enumerate();
        numbered.map(|(index, frame)| self.picture(original, frames, index, frame)).collect()
    }

    fn picture(self, original: &DataSet, frames: usize, index: usize, frame: &[u8]) -> Result<DataSet, FallbackError> {
        let mut picture = self.identified(original, index + 1)?;
        for tag in MULTI_FRAME {
            picture.remove_element(tag);
        }
        let mut bytes = frame.to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(0);
        }
        let picture = picture.with(tags::INSTANCE_NUMBER, (index + 1).to_string()).with(tags::PIXEL_DATA, bytes);
        // The first frame is the summary; each other one shows one source image, where there are as many.
        let sources = elements::items(original, tags::SOURCE_IMAGE_SEQUENCE);
        Ok(match index.checked_sub(1) {
            Some(shown) if sources.len() + 1 == frames => showing(picture, &sources[shown]),
            _ => picture,
        })
    }

    /// The original under the class and the identifiers of its converted form.
    fn identified(self, original: &DataSet, number: usize) -> Result<DataSet, FallbackError> {
        let uid = |tag| elements::uid(original, tag).ok_or(FallbackError::Missing(tag));
        let instance = self.instance_uid(&uid(tags::SOP_INSTANCE_UID)?, number);
        let series = self.series_uid(&uid(tags::SERIES_INSTANCE_UID)?);
        Ok(original
            .clone()
            .with(tags::SOP_CLASS_UID, self.sop_class_uid())
            .with(tags::SOP_INSTANCE_UID, instance.as_str())
            .with(tags::SERIES_INSTANCE_UID, series.as_str()))
    }

    fn instance_uid(self, original: &Uid, number: usize) -> Uid {
        Uid::derived([original.as_str(), self.sop_class_uid(), &number.to_string()])
    }

    fn series_uid(self, original: &Uid) -> Uid {
        Uid::derived([original.as_str(), self.sop_class_uid()])
    }
}

/// A picture that shows one source image alone.
fn showing(picture: DataSet, source: &DataSet) -> DataSet {
    let shown = elements::uid(source, tags::REFERENCED_SOP_INSTANCE_UID);
    let is_shown = |object: &&DataSet| elements::uid(object, tags::REFERENCED_SOP_INSTANCE_UID) == shown;
    let series = elements::items(&picture, tags::REFERENCED_SERIES_SEQUENCE).iter().map(|series| {
        let objects = elements::items(series, tags::REFERENCED_INSTANCE_SEQUENCE).iter().filter(is_shown).cloned();
        series.clone().with_items(tags::REFERENCED_INSTANCE_SEQUENCE, objects.collect())
    });
    let series = series.collect();
    picture
        .with_items(tags::SOURCE_IMAGE_SEQUENCE, vec![source.clone()])
        .with_items(tags::REFERENCED_SERIES_SEQUENCE, series)
}

fn with_meta(data_set: DataSet) -> Result<FileDicomObject<InMemDicomObject>, FallbackError> {
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    data_set.with_meta(meta).map_err(|error| FallbackError::FileMeta(Box::new(error)))
}
