//! Whether two stored images have the same samples, however each is compressed.

use std::path::Path;

use dicom_pixeldata::PixelDecoder;

use crate::dicom::bounded::{self, Limits};

/// True if both files decode to the same samples. Where one does not decode, nobody can say so: false.
pub(super) fn are_equal(first: &Path, second: &Path, limits: &Limits) -> bool {
    let samples = |path| {
        let object = bounded::open(path, limits).ok()?;
        object.decode_pixel_data().ok().map(dicom_pixeldata::DecodedPixelData::into_data)
    };
    samples(first).is_some_and(|first| samples(second) == Some(first))
}
