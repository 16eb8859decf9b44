//! The headers of a series, image by image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_dictionary_std::tags;
use dicom_object::FileDicomObject;
use ndarray::parallel::prelude::*;

use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements::{DataSet, integer, uid};
use crate::dicom::multi_frame::MultiFrame;
use crate::dicom::{EnhancedCt, FrameNumber, Uid};
use crate::engine::volume::slice_header::{Excluded, Frame, ImageNumber, SliceHeader, examine, sop_class_of};
use crate::engine::volume::stored_image::StoredImage;

/// The headers of a series.
pub(super) struct Headers {
    pub(super) study_instance_uid: Option<Uid>,
    pub(super) series_instance_uid: Option<Uid>,
    /// Images with a place in the patient.
    pub(super) images: Vec<SliceHeader>,
    pub(super) excluded: Vec<Excluded>,
}

/// What a file holds: one image, or those of all frames.
struct Examined {
    study_instance_uid: Option<Uid>,
    series_instance_uid: Option<Uid>,
    images: Vec<Result<SliceHeader, Excluded>>,
}

impl Headers {
    pub(super) fn read(files: &[PathBuf], limits: &Limits) -> Self {
        let examined: Vec<Examined> = files.par_iter().map(|path| Examined::read(path, limits)).collect();
        let mut headers = Self {
            study_instance_uid: examined.iter().find_map(|file| file.study_instance_uid.clone()),
            series_instance_uid: examined.iter().find_map(|file| file.series_instance_uid.clone()),
            images: Vec::with_capacity(files.len()),
            excluded: Vec::new(),
        };
        for image in examined.into_iter().flat_map(|file| file.images) {
            match image {
                Ok(header) => headers.images.push(header),
                Err(excluded) => headers.excluded.push(excluded),
            }
        }
        // What is found must not depend on the names of files.
        headers.images.sort_by(|a, b| a.image.cmp(&b.image).then_with(|| a.stored.cmp(&b.stored)));
        headers
    }
}

impl Examined {
    fn read(path: &Path, limits: &Limits) -> Self {
        let examined = match enhanced_class(path, limits) {
            Some(class) => MultiFrame::open(path, limits).map(|object| Self::frames(path, class, &Arc::new(object))),
            None => bounded::open(path, limits).map(|object| Self::image(path, &object)),
        };
        examined.unwrap_or_else(|error| Self::unreadable(path, error, limits))
    }

    fn image(path: &Path, object: &FileDicomObject<DataSet>) -> Self {
        Self::of(object, vec![examine(StoredImage::file(path), None, object)])
    }

    fn frames(path: &Path, class: EnhancedCt, object: &Arc<MultiFrame>) -> Self {
        let number = |index| Some((index, FrameNumber::of_index(index)?));
        let examine = |(index, number)| {
            let stored = StoredImage::frame(path, object, index);
            examine(stored, Some(Frame { class, number }), &object.header(index))
        };
        Self::of(&object.header(0), (0..object.frames()).filter_map(number).map(examine).collect())
    }

    fn unreadable(path: &Path, error: ReadError, limits: &Limits) -> Self {
        // Whoever looks for the image knows it by its number.
        let header = bounded::open_header(path, limits).ok();
        let instance = header.and_then(|header| integer(&header, tags::INSTANCE_NUMBER));
        let excluded = Excluded::unreadable(error.into(), ImageNumber { instance, frame: None });
        Self { study_instance_uid: None, series_instance_uid: None, images: vec![Err(excluded)] }
    }

    fn of(header: &DataSet, images: Vec<Result<SliceHeader, Excluded>>) -> Self {
        Self {
            study_instance_uid: uid(header, tags::STUDY_INSTANCE_UID),
            series_instance_uid: uid(header, tags::SERIES_INSTANCE_UID),
            images,
        }
    }
}

/// The class of an enhanced CT, which is read frame by frame; `None` for anything else. Most files name their class
/// where they begin.
fn enhanced_class(path: &Path, limits: &Limits) -> Option<EnhancedCt> {
    let named = bounded::sop_class_uid(path).or_else(|| sop_class_of(&bounded::open_header(path, limits).ok()?));
    EnhancedCt::of(&named?)
}
