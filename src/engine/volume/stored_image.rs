//! Where an image is stored.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_object::FileDicomObject;

use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements::DataSet;
use crate::dicom::multi_frame::MultiFrame;

/// A file, or a frame of one.
#[derive(Debug, Clone)]
pub(super) struct StoredImage {
    path: PathBuf,
    /// The object of which it is a frame, and which frame, counted from 0.
    frame: Option<(usize, Arc<MultiFrame>)>,
}

impl StoredImage {
    pub(super) fn file(path: &Path) -> Self {
        Self { path: path.to_owned(), frame: None }
    }

    pub(super) fn frame(path: &Path, object: &Arc<MultiFrame>, frame: usize) -> Self {
        Self { path: path.to_owned(), frame: Some((frame, Arc::clone(object))) }
    }

    /// Reads it, as an object of one image.
    pub(super) fn read(&self, limits: &Limits) -> Result<FileDicomObject<DataSet>, ReadError> {
        match &self.frame {
            None => bounded::open(&self.path, limits),
            Some((frame, object)) => object.image(*frame),
        }
    }

    /// What distinguishes it from all others.
    fn key(&self) -> (&Path, Option<usize>) {
        (&self.path, self.frame.as_ref().map(|(frame, _)| *frame))
    }
}

impl PartialEq for StoredImage {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for StoredImage {}

impl PartialOrd for StoredImage {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StoredImage {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for StoredImage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
