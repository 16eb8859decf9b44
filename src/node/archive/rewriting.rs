//! Writing a stored object again with other attributes of patient and study: for the objects of a corrected study that
//! did not come again.

use std::collections::BTreeSet;
use std::path::Path;

use dicom_object::Tag;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::error::ArchiveError;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::content::{self, Content, Difference};
use crate::dicom::elements::DataSet;
use crate::node::store::{Origin, ReceivedInstance};

/// The object of a file with those attributes of `corrected` that `tags` names, in its own transfer syntax and character
/// set. What was written is read again: nothing else may have changed.
///
/// # Errors
/// [`ArchiveError::Unfit`]: the object cannot be written so. It has to be sent again.
pub(super) fn with_attributes(
    path: &Path,
    corrected: &DataSet,
    tags: &BTreeSet<Tag>,
    origin: Origin,
    limits: &Limits,
) -> Result<ReceivedInstance, ArchiveError> {
    let unfit = |why: &str| ArchiveError::Unfit(format!("{why}; have the study sent again"));
    let unreadable = |error: bounded::ReadError| unfit(&error.to_string());
    let (stored, stored_pixels) = content::open(path, limits).map_err(unreadable)?;
    let mut object = bounded::open(path, limits).map_err(unreadable)?;
    let syntax_uid = object.meta().transfer_syntax().to_owned();
    let syntax = TransferSyntaxRegistry.get(&syntax_uid).ok_or_else(|| unfit("its transfer syntax is not known"))?;
    for tag in tags {
        match corrected.get(*tag) {
            Some(element) => drop(object.put(element.clone())),
            None => drop(object.remove_element(*tag)),
        }
    }
    let mut bytes = Vec::new();
    object.write_dataset_with_ts(&mut bytes, syntax).map_err(|error| unfit(&error.to_string()))?;
    let instance = ReceivedInstance::read(&syntax_uid, bytes.into(), origin, limits).map_err(unreadable)?;
    let written = Content { header: &instance.header, pixels: instance.pixels };
    let changed = Difference::between(Content { header: &stored, pixels: stored_pixels }, written).tags();
    let as_meant = Difference::between(Content { header: corrected, pixels: instance.pixels }, written).tags();
    if !changed.is_subset(tags) || !as_meant.is_disjoint(tags) {
        return Err(unfit("its text cannot hold the corrected values"));
    }
    Ok(instance)
}
