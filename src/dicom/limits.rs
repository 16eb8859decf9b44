//! What a received object may claim, and why it is refused.

use serde::{Deserialize, Serialize};

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

impl Limits {
    /// The largest object in bytes.
    pub fn object_bytes(&self) -> u64 {
        self.object_mib.saturating_mul(1 << 20)
    }
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
