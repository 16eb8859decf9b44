//! Reading untrusted bytes: a non-recursive pre-scan first, then dicom-object.
//!
//! dicom-object 0.10 recurses into nested sequences and allocates whatever length an element claims, so nothing
//! reaches it that the pre-scan has not passed.

use std::path::Path;

use dicom_object::{FileDicomObject, InMemDicomObject};
use serde::{Deserialize, Serialize};

use super::elements::DataSet;

/// What a received object may claim before it is refused as hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Size of the whole object in MiB, also after inflating a deflated data set.
    pub object_mib: u64,
    /// Nesting of sequences.
    pub depth: usize,
    /// Number of elements, items and delimiters.
    pub elements: usize,
    /// Rows x Columns x Frames.
    pub pixels: u64,
}

/// Why bytes are not taken for a DICOM object.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes end before a declared length.
    #[error("the object ends early: {0}")]
    Truncated(String),
    /// The bytes claim more than the limits allow.
    #[error("the object exceeds a limit: {0}")]
    Hostile(String),
    /// The bytes are not DICOM, or break its rules.
    #[error("the object cannot be read: {0}")]
    Unreadable(String),
    /// The system could not read the file.
    #[error("reading the object: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads a data set without file meta information, as it comes in a C-STORE.
pub fn data_set(bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits) -> Result<DataSet, ReadError> {
    let _ = (bytes, transfer_syntax_uid, limits);
    todo!()
}

/// As [`data_set`], but what is returned ends before Pixel Data (7FE0,0010); the pre-scan still covers all bytes.
pub fn header(bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits) -> Result<DataSet, ReadError> {
    let _ = (bytes, transfer_syntax_uid, limits);
    todo!()
}

/// Reads a DICOM file (PS3.10), with or without the preamble.
pub fn file(bytes: &[u8], limits: &Limits) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
    let _ = (bytes, limits);
    todo!()
}

/// As [`file`], from a path.
pub fn open(path: &Path, limits: &Limits) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
    file(&std::fs::read(path)?, limits)
}
