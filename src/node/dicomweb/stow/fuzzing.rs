//! Hostile bytes as metadata of an upload.

use bytes::Bytes;

use super::composition::Composition;
use crate::node::dicomweb::multipart::PartHeaders;
use crate::node::memory::Lease;

/// DICOM JSON, composed to data sets with bulk data of a few bytes.
pub(crate) fn metadata(bytes: &[u8]) {
    let mut composition = Composition::default();
    composition.add(PartHeaders::default(), Ok((Bytes::copy_from_slice(bytes), Lease::default())));
    let bulk_data = PartHeaders { location: Some("bulk".to_owned()), media_type: None };
    composition.add(bulk_data, Ok((Bytes::from_static(&[1, 2, 3]), Lease::default())));
    for data_set in composition.data_sets().into_iter().flatten() {
        let _ = composition.compose(&data_set);
    }
}
