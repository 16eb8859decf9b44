//! A file of which no more is read than its header, and parts of what follows on demand.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_object::{FileDicomObject, InMemDicomObject};

use super::super::limits::{Limits, ReadError};
use super::super::prescan::{Encoding, Extent};
use super::file_parts::split;
use super::scanned::{Part, Scanned, check_size};

/// How much of a file is read first; nearly every header is shorter.
const FIRST: u64 = 64 << 10;
/// By how much more is read where the header is longer.
const GROWTH: u64 = 4;

/// The header of a file, and where to find the rest.
#[derive(Debug)]
pub(in crate::dicom) struct HeaderFile {
    /// The data set before Pixel Data.
    pub(in crate::dicom) object: FileDicomObject<InMemDicomObject>,
    pub(in crate::dicom) encoding: Encoding,
    /// Where group 7FE0 begins among the bytes; `None` if there is none.
    pub(in crate::dicom) pixel_data: Option<u64>,
    pub(in crate::dicom) bytes: StoredBytes,
}

impl HeaderFile {
    /// Reads a file until its header is whole. A file beyond the limit is refused.
    pub(in crate::dicom) fn open(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        let file = File::open(path)?;
        check_size(file.metadata()?.len(), limits)?;
        let mut bytes = Vec::new();
        let mut wanted = FIRST;
        loop {
            (&file).take(wanted - bytes.len() as u64).read_to_end(&mut bytes)?;
            check_size(bytes.len() as u64, limits)?;
            let whole = (bytes.len() as u64) < wanted;
            match Self::of(path, &bytes, limits) {
                // What looks like the end may be the end of what was read.
                Err(ReadError::Truncated(_)) | Ok(Self { pixel_data: None, .. }) if !whole => {
                    wanted = wanted.saturating_mul(GROWTH);
                }
                result => return result,
            }
        }
    }

    fn of(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Self, ReadError> {
        let parts = split(bytes)?;
        let scanned = Scanned::new(parts.data_set, &parts.transfer_syntax_uid, limits, Extent::BeforePixelData)?;
        let before = bytes.len() - parts.data_set.len();
        let (start, stored) = match scanned.inflated() {
            Some(inflated) => (0, StoredBytes::Inflated(inflated.into())),
            None => (before, StoredBytes::File(path.to_owned())),
        };
        Ok(Self {
            encoding: scanned.encoding,
            pixel_data: scanned.layout.pixel_data.map(|offset| (start + offset) as u64),
            object: parts.object(scanned.parse(Part::Whole)?)?,
            bytes: stored,
        })
    }
}

/// Where the bytes of an object lie while parts of it are read. Files are not kept open: a series may have thousands.
#[derive(Debug, Clone)]
pub(in crate::dicom) enum StoredBytes {
    File(PathBuf),
    /// A deflated data set (PS3.5 A.5) cannot be read from its middle.
    Inflated(Arc<[u8]>),
}

impl StoredBytes {
    pub(in crate::dicom) fn open(&self) -> Result<OpenBytes<'_>, ReadError> {
        Ok(match self {
            Self::File(path) => OpenBytes::File(File::open(path)?),
            Self::Inflated(bytes) => OpenBytes::Inflated(bytes),
        })
    }
}

/// Bytes of an object, ready to be read from anywhere.
pub(in crate::dicom) enum OpenBytes<'a> {
    File(File),
    Inflated(&'a [u8]),
}

impl OpenBytes<'_> {
    /// How many there are.
    pub(in crate::dicom) fn len(&self) -> Result<u64, ReadError> {
        Ok(match self {
            Self::File(file) => file.metadata()?.len(),
            Self::Inflated(bytes) => bytes.len() as u64,
        })
    }

    /// Reads bytes from an offset on.
    pub(in crate::dicom) fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), ReadError> {
        let length = bytes.len();
        let ends = || ReadError::Truncated(format!("{length} bytes at offset {offset} go beyond the end"));
        match self {
            Self::File(file) => match file.read_exact_at(bytes, offset) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(ends()),
                result => Ok(result?),
            },
            Self::Inflated(all) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let part = all.get(start..).and_then(|rest| rest.get(..length)).ok_or_else(ends)?;
                bytes.copy_from_slice(part);
                Ok(())
            }
        }
    }
}
