//! Why a phantom could not be written.

use std::path::{Path, PathBuf};

use crate::cohort::TableError;

/// Why a phantom could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PhantomError {
    /// The system refused to make a folder.
    #[error("creating {path}: {source}", path = path.display())]
    Folder {
        /// What was to be made.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A DICOM object could not be encoded or written.
    #[error("writing the image {path}: {source}", path = path.display())]
    Image {
        /// What was written.
        path: PathBuf,
        /// The encoder's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A mask could not be written.
    #[error("writing the mask {path}: {source}", path = path.display())]
    Mask {
        /// What was written.
        path: PathBuf,
        /// The encoder's reason.
        source: nifti::NiftiError,
    },
    /// A table could not be written.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Makes a folder and those above it.
pub(super) fn create_folder(path: &Path) -> Result<(), PhantomError> {
    std::fs::create_dir_all(path).map_err(|source| PhantomError::Folder { path: path.to_owned(), source })
}
