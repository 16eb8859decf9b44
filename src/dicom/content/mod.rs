//! What an object says, whatever its encoding: the same attributes in another transfer syntax, another character set or
//! with what a router adds are the same content.

mod canonical;
mod difference;
mod digest;
mod pixels;

use std::path::Path;

use super::bounded::{Extent, HeaderFile, Limits, OpenBytes, Part, ReadError, Scanned};
use super::elements::DataSet;
pub use difference::{Difference, Subject, is_of_patient, is_of_study, of_patient};
pub use digest::{Content, ContentDigest, digest_of};
pub use pixels::PixelDigest;

/// Scans a data set as [`bounded::header`](super::bounded::header) does; returns its header and the digest of its pixels.
pub fn read(bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits) -> Result<(DataSet, PixelDigest), ReadError> {
    let scanned = Scanned::new(bytes, transfer_syntax_uid, limits, Extent::Whole)?;
    let pixels = scanned.layout.pixel_data.map(|start| start as u64);
    let pixels = PixelDigest::of(&OpenBytes::Inflated(scanned.bytes()), pixels, scanned.encoding, limits)?;
    Ok((scanned.parse(Part::Header)?, pixels))
}

/// As [`read`], of a DICOM file.
pub fn open(path: &Path, limits: &Limits) -> Result<(DataSet, PixelDigest), ReadError> {
    let file = HeaderFile::open(path, limits)?;
    let pixels = PixelDigest::of(&file.bytes.open()?, file.pixel_data, file.encoding, limits)?;
    Ok((file.object.into_inner(), pixels))
}

#[cfg(test)]
mod tests;
