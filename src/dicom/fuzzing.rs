//! Hostile bytes as data sets and files.

use dicom_dictionary_std::uids;

use super::bounded::{self, Limits};
use super::content::{self, Content};
use super::dates;
use super::multi_frame::MultiFrame;
use super::rejection_note::RejectionNote;
use super::stored_frames::StoredImage;

/// Small enough for a fuzzer to reach them.
pub(crate) const LIMITS: Limits = Limits { object_mib: 4, depth: 16, elements: 20_000, pixels: 1 << 20 };

/// One for each way in which data sets are encoded.
const TRANSFER_SYNTAXES: [&str; 5] = [
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.2",
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    uids::JPEG2000_LOSSLESS,
];

/// A data set, its first byte the transfer syntax.
pub(crate) fn data_set(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let transfer_syntax = TRANSFER_SYNTAXES[usize::from(*first) % TRANSFER_SYNTAXES.len()];
    if let Ok(data_set) = bounded::data_set(bytes, transfer_syntax, &LIMITS) {
        data_set.iter().for_each(|element| drop(dates::repaired(element)));
        let _ = RejectionNote::read(&data_set);
    }
    let _ = bounded::leading_header(bytes, transfer_syntax, &LIMITS);
    if let Ok((header, pixels)) = content::read(bytes, transfer_syntax, &LIMITS) {
        let _ = Content { header: &header, pixels }.digest();
    }
}

/// A file, as it is received and as it is read from the archive.
pub(crate) fn file(bytes: &[u8]) {
    let _ = bounded::file(bytes, &LIMITS);
    let file = written(bytes, "dcm");
    if let Ok(Some(image)) = StoredImage::open(file.path(), &LIMITS) {
        for frame in [0, image.frames.count() - 1] {
            let _ = image.object(frame);
        }
    }
    if let Ok(object) = MultiFrame::open(file.path(), &LIMITS) {
        let _ = object.image(0);
    }
    let _ = content::open(file.path(), &LIMITS);
}

/// A file of its own, for what is read from files.
///
/// # Panics
/// There is no place for temporary files.
pub(crate) fn written(bytes: &[u8], ending: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(&format!(".{ending}")).tempfile().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("write a temporary file");
    file
}
