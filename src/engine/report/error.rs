//! Why no report can be made.

use dicom_object::{Tag, WithMetaError};

use super::kind::ResultKind;

/// Why no report can be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The source lacks an attribute that every result needs.
    #[error("reporting on a series: its images have no usable {name} {tag}; such a series cannot be reported on")]
    Missing {
        /// The attribute.
        tag: Tag,
        /// Its name.
        name: &'static str,
    },
    /// Volume, mask and findings do not belong together.
    #[error("reporting on a series: {0}; volume, lungs and findings must come from one analysis")]
    Inconsistent(String),
    /// The document could not be compressed.
    #[error("writing the summary as PDF: {0}")]
    Pdf(std::io::Error),
    /// File meta information could not be made.
    #[error("writing the file meta information of a {kind}: {source}", kind = kind.name())]
    FileMeta {
        /// Which object.
        kind: ResultKind,
        /// What dicom-object said.
        source: Box<WithMetaError>,
    },
}
