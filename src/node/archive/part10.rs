//! File meta information for received data sets
//! ([PS3.10 7.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part10/chapter_7.html)).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use dicom_object::FileMetaTableBuilder;
use sha2::{Digest, Sha256};

use super::error::ArchiveError;
use crate::dicom::bounded::{self, FileParts};
use crate::dicom::{Uid, hexadecimal, implementation};

/// More than the file meta information that this program writes.
const META_BYTES: u64 = 4096;
/// Bytes read at once.
const PIECE_BYTES: usize = 256 << 10;

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

/// What a file of the archive holds.
pub(super) struct Stored {
    /// SHA-256 of its data set, lower-case hexadecimal.
    pub(super) sha256: String,
    /// The transfer syntax that it names.
    pub(super) transfer_syntax_uid: String,
    /// The object that it names, if it names one.
    pub(super) sop_instance_uid: Option<Uid>,
}

/// Reads a file of the archive, a piece at a time.
pub(super) fn stored(path: &Path) -> Result<Stored, bounded::ReadError> {
    let mut file = File::open(path)?;
    let mut beginning = Vec::new();
    file.by_ref().take(META_BYTES).read_to_end(&mut beginning)?;
    let parts = bounded::split(&beginning)?;
    let data_set = beginning.len() - parts.data_set.len();
    file.seek(SeekFrom::Start(data_set as u64))?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => {
                let sha256 = hexadecimal(&hasher.finalize());
                let FileParts { transfer_syntax_uid, sop_instance_uid, .. } = parts;
                return Ok(Stored { sha256, transfer_syntax_uid, sop_instance_uid });
            }
            read => hasher.update(&piece[..read]),
        }
    }
}
