//! Multi-frame objects with functional groups, read frame by frame: memory holds the header of the object and the
//! frames that are asked for, whatever the size of the file.

mod functional_groups;

use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, FileMetaTable};

use self::functional_groups::FunctionalGroups;
use super::bounded::{HeaderFile, Limits, ReadError};
use super::elements::{DataSet, integer};
use super::stored_frames::StoredFrames;

/// A multi-frame object, each frame of which can be had as an object of one image.
#[derive(Debug)]
pub struct MultiFrame {
    meta: FileMetaTable,
    groups: FunctionalGroups,
    pixels: StoredFrames,
}

impl MultiFrame {
    /// Reads the header of a file (PS3.10) and looks where its frames lie.
    ///
    /// # Errors
    /// The file cannot be read, or its numbers of frames, of groups and of pixels do not fit each other.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        let file = HeaderFile::open(path, limits)?;
        let claimed = integer(&file.object, tags::NUMBER_OF_FRAMES);
        let groups = FunctionalGroups::of(DataSet::clone(&file.object));
        let frames = groups.frames();
        if frames == 0 || claimed.is_some_and(|claimed| usize::try_from(claimed) != Ok(frames)) {
            let claimed = claimed.map_or_else(|| "missing".to_owned(), |claimed| claimed.to_string());
            return Err(ReadError::Unreadable(format!(
                "Number of Frames (0028,0008) is {claimed}, and Per-frame Functional Groups Sequence (5200,9230) has {frames} items"
            )));
        }
        let pixels = StoredFrames::locate(&file, frames, limits)?;
        Ok(Self { groups, pixels, meta: file.object.meta().clone() })
    }

    /// How many frames it has; at least one.
    pub fn frames(&self) -> usize {
        self.groups.frames()
    }

    /// The header of a frame (counted from 0) as that of an object of one image, with the values of its functional
    /// groups. Identifiers, patient and instance number are those of the object.
    pub fn header(&self, frame: usize) -> FileDicomObject<DataSet> {
        self.groups.header(frame).with_exact_meta(self.meta.clone())
    }

    /// A frame (counted from 0) as an object of one image.
    ///
    /// # Errors
    /// The file changed since it was opened, or the system cannot read it.
    pub fn image(&self, frame: usize) -> Result<FileDicomObject<DataSet>, ReadError> {
        let mut image = self.header(frame);
        image.put(self.pixels.element(frame)?);
        Ok(image)
    }
}

#[cfg(test)]
mod tests;
