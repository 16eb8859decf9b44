//! Frames of archived objects: decoded, or as they are stored.

use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, InMemDicomObject};
use dicom_pixeldata::PixelDecoder;

use crate::dicom::bounded::Limits;
use crate::dicom::multi_frame::MultiFrame;
use crate::dicom::stored_frames::StoredImage;
use crate::dicom::transfer_syntax::EXPLICIT_VR_BIG_ENDIAN;
use crate::node::archive::StoredInstance;
use crate::node::http::Problem;

/// An archived object in memory.
pub(super) type Object = FileDicomObject<InMemDicomObject>;

/// The image in an archived object; an error for one without images.
pub(super) fn open(instance: &StoredInstance, limits: &Limits) -> Result<StoredImage, Problem> {
    let image = StoredImage::open(&instance.path, limits)?;
    image.ok_or_else(|| Problem::NotFound("there are no images in this object".to_owned()))
}

/// A frame (counted from 0) as plain samples, little endian, one-bit samples packed from the lowest bit of a byte.
pub(super) fn samples(image: &StoredImage, frame: usize) -> Result<Vec<u8>, Problem> {
    if !image.frames.is_encapsulated() {
        return Ok(image.frames.bytes(frame)?);
    }
    let object = image.object(frame)?;
    object.decode_pixel_data_frame(0).map(dicom_pixeldata::DecodedPixelData::into_data).map_err(|error| {
        tracing::warn!(%error, "a frame cannot be decoded");
        undecodable(object.meta().transfer_syntax())
    })
}

/// A frame (counted from 0) as an object of its own, with the values of its functional groups where there are such.
pub(super) fn object(
    instance: &StoredInstance,
    image: &StoredImage,
    frame: usize,
    limits: &Limits,
) -> Result<Object, Problem> {
    if image.header.get(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).is_some() {
        return Ok(MultiFrame::open(&instance.path, limits)?.image(frame)?);
    }
    Ok(image.object(frame)?)
}

/// Why samples cannot be had.
pub(super) fn undecodable(transfer_syntax_uid: &str) -> Problem {
    Problem::NotAcceptable(format!(
        "pixels in transfer syntax {transfer_syntax_uid} cannot be decoded here; ask for transfer-syntax=*"
    ))
}

/// True if pixel data in this transfer syntax is encapsulated.
pub(super) fn is_encapsulated(transfer_syntax_uid: &str) -> bool {
    !matches!(
        transfer_syntax_uid,
        uids::IMPLICIT_VR_LITTLE_ENDIAN
            | uids::EXPLICIT_VR_LITTLE_ENDIAN
            | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
            | EXPLICIT_VR_BIG_ENDIAN
    )
}
