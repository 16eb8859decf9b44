//! Which images were analysed:
//! [TID 1600](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_1600.html) with the descriptors
//! of TID 1602 and TID 1604 that all slices share.

use dicom_dictionary_std::tags;

use super::super::Context;
use super::super::header::{Header, ObjectIdentity};
use super::content::{ContentItem, Relationship};
use crate::dicom::concept::{dcm, sct, ucum};
use crate::dicom::{Concept, dates, elements};

/// One group for the source slices, one for the segmentation.
pub(super) fn content(context: &Context, header: &Header, segmentation: Option<&ObjectIdentity>) -> ContentItem {
    let sources = header.sources();
    let images = sources.iter().map(|source| ContentItem::image(None, source));
    let source = ContentItem::container(&dcm::IMAGE_LIBRARY_GROUP, None)
        .children(Relationship::HasAcquisitionContext, descriptors(context))
        .children(Relationship::Contains, images);
    let derived = segmentation.map(|identity| {
        ContentItem::container(&dcm::IMAGE_LIBRARY_GROUP, None)
            .child(Relationship::HasAcquisitionContext, ContentItem::code(&dcm::MODALITY, &dcm::SEGMENTATION_MODALITY))
            .child(Relationship::Contains, ContentItem::image(None, &identity.reference))
    });
    ContentItem::container(&dcm::IMAGE_LIBRARY, Some("1600"))
        .child(Relationship::Contains, source)
        .children(Relationship::Contains, derived)
}

fn descriptors(context: &Context) -> Vec<ContentItem> {
    let header = &context.volume.header;
    let geometry = &context.volume.geometry;
    let [row_direction, column_direction, _] = geometry.directions;
    let cosines = row_direction.into_iter().chain(column_direction);
    let millimetres = |name: Concept, value| ContentItem::number(&name, value, &ucum::MILLIMETRE);
    let dated = [
        elements::text(header, tags::STUDY_DATE)
            .and_then(|text| dates::date(&text))
            .map(|date| ContentItem::date(&dcm::STUDY_DATE, &date)),
        elements::text(header, tags::STUDY_TIME)
            .and_then(|text| dates::time(&text))
            .map(|time| ContentItem::time(&dcm::STUDY_TIME, &time)),
        elements::uid(header, tags::FRAME_OF_REFERENCE_UID)
            .map(|uid| ContentItem::uid(&dcm::FRAME_OF_REFERENCE_UID, &uid)),
    ];
    // A descriptor of the group holds for all its images.
    let slices = &context.volume.slices;
    let thickness =
        slices[0].thickness_mm.filter(|_| slices.windows(2).all(|pair| pair[0].thickness_mm == pair[1].thickness_mm));
    let coded = [
        ContentItem::code(&dcm::MODALITY, &dcm::COMPUTED_TOMOGRAPHY),
        ContentItem::code(&dcm::TARGET_REGION, &sct::CHEST),
    ];
    let numbers = [
        ContentItem::number(&dcm::PIXEL_DATA_ROWS, geometry.size[1] as f64, &ucum::PIXELS),
        ContentItem::number(&dcm::PIXEL_DATA_COLUMNS, geometry.size[0] as f64, &ucum::PIXELS),
        millimetres(dcm::HORIZONTAL_PIXEL_SPACING, geometry.spacing[0]),
        millimetres(dcm::VERTICAL_PIXEL_SPACING, geometry.spacing[1]),
        millimetres(dcm::SPACING_BETWEEN_SLICES, geometry.spacing[2]),
    ];
    let orientation = dcm::IMAGE_ORIENTATION
        .into_iter()
        .zip(cosines)
        .map(|(name, cosine)| ContentItem::number(&name, cosine, &ucum::COSINE));
    coded
        .into_iter()
        .chain(dated.into_iter().flatten())
        .chain(numbers)
        .chain(thickness.map(|value| millimetres(dcm::SLICE_THICKNESS, value)))
        .chain(orientation)
        .collect()
}
