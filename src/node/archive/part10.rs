//! File meta information for received data sets
//! ([PS3.10 7.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part10/chapter_7.html)).

use dicom_object::FileMetaTableBuilder;

use super::error::ArchiveError;
use crate::dicom::implementation;

/// Preamble, prefix and file meta information; the data set's bytes follow as they were received.
pub(super) fn preamble_and_meta(
    sop_class_uid: &str,
    sop_instance_uid: &str,
    transfer_syntax_uid: &str,
) -> Result<Vec<u8>, ArchiveError> {
    let unfit =
        |error: &dyn std::error::Error| ArchiveError::Unfit(format!("writing its file meta information: {error}"));
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(sop_class_uid)
        .media_storage_sop_instance_uid(sop_instance_uid)
        .transfer_syntax(transfer_syntax_uid)
        .implementation_class_uid(implementation::CLASS_UID)
        .implementation_version_name(implementation::VERSION_NAME)
        .build()
        .map_err(|error| unfit(&error))?;
    let mut bytes = vec![0; 128];
    bytes.extend_from_slice(b"DICM");
    meta.write(&mut bytes).map_err(|error| unfit(&error))?;
    Ok(bytes)
}
