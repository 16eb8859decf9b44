//! The structured report: Comprehensive 3D SR with an Imaging Measurement Report (TID 1500).
//!
//! Every measurement group carries coordinates, since viewers are known to show nothing of a report in which one
//! group has none.

mod algorithm;
mod content;
mod image_library;
mod measurement_group;
mod measurement_report;
mod observation_context;

use dicom_dictionary_std::{tags, uids};

use super::Context;
use super::element::Compose;
use super::header::{Document, Header, ObjectIdentity};
use crate::dicom::elements::{self, DataSet};
use crate::engine::report::ResultKind;

/// The report; it names the segmentation where there is one.
pub(super) fn build(context: &Context, header: &Header, segmentation: Option<&ObjectIdentity>) -> Document {
    let identity = header.identity(ResultKind::Sr, uids::COMPREHENSIVE3_DSR_STORAGE);
    let root = measurement_report::content(context, header, segmentation);
    let data_set = document(context, header, &identity, "PE analysis")
        .with_items(
            tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE,
            vec![header.evidence(&header.sources(), segmentation)],
        )
        .with_root(root);
    let data_set = match context.predecessor {
        Some(report) => data_set.with_items(tags::PREDECESSOR_DOCUMENTS_SEQUENCE, vec![header.predecessor(report)]),
        None => data_set,
    };
    Document { identity, data_set }
}

/// SR document series and SR document general modules
/// ([PS3.3 C.17](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.17.html)).
fn document(context: &Context, header: &Header, identity: &ObjectIdentity, description: &str) -> DataSet {
    let procedure = elements::items(&context.volume.header, tags::PROCEDURE_CODE_SEQUENCE);
    header
        .compose(identity, "SR", description)
        .with_items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new())
        .with_items(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, procedure.to_vec())
        .with_requests(header)
        .with(tags::COMPLETION_FLAG, "COMPLETE")
        .with(tags::VERIFICATION_FLAG, "UNVERIFIED")
}

/// What SR documents and key object selections put into their data sets.
pub(super) trait SrDocument {
    /// Names the requests that the study fulfils, if the source does.
    fn with_requests(self, header: &Header) -> Self;

    /// The root content item's attributes become attributes of the data set.
    fn with_root(self, root: content::ContentItem) -> Self;
}

impl SrDocument for DataSet {
    fn with_requests(self, header: &Header) -> Self {
        let requests = header.requests();
        if requests.is_empty() { self } else { self.with_items(tags::REFERENCED_REQUEST_SEQUENCE, requests) }
    }

    fn with_root(mut self, root: content::ContentItem) -> Self {
        for element in root.into_data_set() {
            self.put(element);
        }
        self
    }
}

pub(super) use content::{ContentItem, Relationship};
pub(super) use measurement_group::on_image;
pub(super) use observation_context::{device_items, device_observer, language};
