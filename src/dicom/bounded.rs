//! Reading untrusted bytes: a non-recursive pre-scan first, then dicom-object.
//!
//! dicom-object 0.10 recurses into nested sequences and allocates whatever length an element claims, so nothing
//! reaches it that the pre-scan has not passed.

mod file_parts;
mod header_file;
mod mixed_encoding;
mod scanned;

use std::io::Read;
use std::path::Path;

use dicom_object::{FileDicomObject, InMemDicomObject};

use super::elements::DataSet;
pub use super::limits::{Limits, ReadError};
pub(super) use super::prescan::Extent;
pub use file_parts::{FileParts, split};
pub(super) use header_file::{HeaderFile, OpenBytes, StoredBytes};
use scanned::check_size;
pub(super) use scanned::{Part, Scanned};

/// Reads a data set without file meta information, as it comes in a C-STORE.
pub fn data_set(bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits) -> Result<DataSet, ReadError> {
    Scanned::new(bytes, transfer_syntax_uid, limits, Extent::Whole)?.parse(Part::Whole)
}

/// As [`data_set`], but what is returned ends before Pixel Data (7FE0,0010) and its float kinds; the pre-scan still
/// covers all bytes.
pub fn header(bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits) -> Result<DataSet, ReadError> {
    Scanned::new(bytes, transfer_syntax_uid, limits, Extent::Whole)?.parse(Part::Header)
}

/// As [`header`], but the pre-scan ends before Pixel Data as well: what an object says of itself whose pixels are damaged
/// or cut off.
pub fn leading_header(bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits) -> Result<DataSet, ReadError> {
    Scanned::new(bytes, transfer_syntax_uid, limits, Extent::BeforePixelData)?.parse(Part::Header)
}

/// Reads a DICOM file (PS3.10), with or without the preamble. A data set that stands alone is read too, its transfer
/// syntax guessed from the first element.
pub fn file(bytes: &[u8], limits: &Limits) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
    let parts = split(bytes)?;
    let scanned = Scanned::new(parts.data_set, &parts.transfer_syntax_uid, limits, Extent::Whole)?;
    parts.object(scanned.parse(Part::Whole)?)
}

/// As [`file()`], from a path. A file beyond the limit is refused before it is read.
pub fn open(path: &Path, limits: &Limits) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
    file(&read(path, limits)?, limits)
}

/// As [`open`], but what is read, scanned and returned ends before Pixel Data: an image whose pixels are cut off is read
/// too, and of a large object no more than its header.
pub fn open_header(path: &Path, limits: &Limits) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
    Ok(HeaderFile::open(path, limits)?.object)
}

/// The SOP class that a file names in its file meta information; `None` where it names none or is no DICOM file.
pub fn sop_class_uid(path: &Path) -> Option<super::Uid> {
    /// File meta information is shorter, private parts aside.
    const BEGINNING: u64 = 4096;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(BEGINNING).read_to_end(&mut bytes).ok()?;
    split(&bytes).ok()?.sop_class_uid
}

/// A file's bytes, no more than the limit allows.
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, ReadError> {
    let file = std::fs::File::open(path)?;
    let most = limits.object_bytes().saturating_add(1);
    // Pipes and files that grow have no size to ask for, so the reading itself is bounded.
    let mut bytes = Vec::with_capacity(file.metadata()?.len().min(most) as usize + 1);
    file.take(most).read_to_end(&mut bytes)?;
    check_size(bytes.len() as u64, limits)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
