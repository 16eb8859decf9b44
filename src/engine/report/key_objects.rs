//! The key slices as a Key Object Selection:
//! [TID 2010](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_2010.html).

use dicom_dictionary_std::{tags, uids};

use super::Context;
use super::element::Compose;
use super::header::{Document, Header, Reference};
use super::sr::{ContentItem, Relationship, SrDocument, device_observer, language};
use crate::dicom::concept::dcm;
use crate::engine::report::ResultKind;

/// The selection of the key source slices, greatest evidence first, if there are any.
pub(super) fn build(context: &Context, header: &Header) -> Option<Document> {
    let images: Vec<Reference> = context.key_slices().iter().map(|key| header.source(key.slice)).collect();
    if images.is_empty() {
        return None;
    }
    let identity = header.identity(ResultKind::Kos, uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE);
    let description =
        "Slices with the highest values of the heat map for pulmonary embolism, highest first. Automatic selection.";
    let root = ContentItem::container(&dcm::OF_INTEREST, Some("2010"))
        .child(Relationship::HasConceptModifier, language())
        .children(Relationship::HasObservationContext, device_observer(header))
        .child(Relationship::Contains, ContentItem::text(&dcm::KEY_OBJECT_DESCRIPTION, description))
        .children(Relationship::Contains, images.iter().map(|image| ContentItem::image(None, image)));
    let data_set = header
        .compose(&identity, "KO", "PE key slices")
        .with_items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new())
        .with_items(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![header.evidence(&images, None)])
        .with_requests(header)
        .with_root(root);
    Some(Document { identity, data_set })
}
