//! The key slices with their outlines as a Grayscale Softcopy Presentation State, for viewers that cannot show a report
//! ([PS3.3 A.33.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.33.html)).

use dicom_dictionary_std::{tags, uids};

use super::Context;
use super::element::{Compose, decimals, empty, floats};
use super::header::{Document, Header, Reference};
use super::sr::on_image;
use crate::dicom::elements::{self, DataSet};
use crate::engine::analyse::findings::KeySlice;
use crate::engine::report::ResultKind;

/// The only layer of graphics.
const LAYER: &str = "KEY SLICES";

/// Outlines, peak and probability on each key slice, if there are any and the settings ask for it.
pub(super) fn build(context: &Context, header: &Header) -> Option<Document> {
    let key_slices = context.key_slices();
    if !context.settings.presentation_state || key_slices.is_empty() {
        return None;
    }
    let images: Vec<Reference> = header.sources_of(key_slices.iter().map(|key| key.slice));
    let identity = header.identity(ResultKind::Pr, uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE);
    let series = empty()
        .with(tags::SERIES_INSTANCE_UID, header.source_series.as_str())
        .with_items(tags::REFERENCED_IMAGE_SEQUENCE, images.iter().map(Reference::item).collect());
    let annotations =
        key_slices.iter().enumerate().map(|(index, key_slice)| annotation(context, header, index + 1, key_slice));
    let layer = empty().with(tags::GRAPHIC_LAYER, LAYER).with(tags::GRAPHIC_LAYER_ORDER, "1");
    let window = empty().with(tags::WINDOW_CENTER, "100").with(tags::WINDOW_WIDTH, "700");
    let data_set = header
        .compose(&identity, "PR", "PE outlines")
        .with(tags::BODY_PART_EXAMINED, "CHEST")
        .with(tags::CONTENT_LABEL, "PE_OUTLINES")
        .with(tags::CONTENT_DESCRIPTION, "Heat map of embolism, outlined on key slices")
        .with(tags::CONTENT_CREATOR_NAME, "pe-node^automatic")
        .with(tags::PRESENTATION_CREATION_DATE, header.date.as_str())
        .with(tags::PRESENTATION_CREATION_TIME, header.time.as_str())
        .with_items(tags::REFERENCED_SERIES_SEQUENCE, vec![series])
        .with_items(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, vec![displayed_area(context)])
        .with_items(tags::GRAPHIC_ANNOTATION_SEQUENCE, annotations.collect())
        .with_items(tags::GRAPHIC_LAYER_SEQUENCE, vec![layer])
        .with_items(tags::SOFTCOPY_VOILUT_SEQUENCE, vec![window])
        .with(tags::PRESENTATION_LUT_SHAPE, "IDENTITY");
    Some(Document { identity, data_set: with_modality_lut(data_set, &context.volume.header) })
}

/// The whole image, as large as the screen allows (C.10.4).
fn displayed_area(context: &Context) -> DataSet {
    let [columns, rows, _] = context.volume.geometry.size;
    let [between_columns, between_rows, _] = context.volume.geometry.spacing;
    empty()
        .with(tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, corner([1, 1]))
        .with(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, corner([columns, rows]))
        .with(tags::PRESENTATION_SIZE_MODE, "SCALE TO FIT")
        .with(tags::PRESENTATION_PIXEL_SPACING, decimals([between_rows, between_columns]))
}

fn corner(place: [usize; 2]) -> dicom_core::PrimitiveValue {
    dicom_core::PrimitiveValue::I32(place.into_iter().map(|value| value as i32).collect())
}

/// Everything on one image (C.10.5).
fn annotation(context: &Context, header: &Header, number: usize, key_slice: &KeySlice) -> DataSet {
    let geometry = &context.volume.geometry;
    let outlines = key_slice.outlines.iter().filter(|outline| outline.len() >= 3);
    let closed = outlines.map(|outline| {
        let vertices = outline.iter().chain(outline.first()).map(|vertex| on_image(geometry, *vertex));
        graphic("POLYLINE", &vertices.collect::<Vec<_>>())
    });
    let peak = on_image(geometry, [key_slice.peak.column, key_slice.peak.row]);
    let text = empty()
        .with(tags::UNFORMATTED_TEXT_VALUE, format!("Key slice {number}: {} %", key_slice.probability.percent()))
        .with(tags::ANCHOR_POINT_ANNOTATION_UNITS, "PIXEL")
        .with(tags::ANCHOR_POINT, floats(peak))
        .with(tags::ANCHOR_POINT_VISIBILITY, "Y");
    empty()
        .with_items(tags::REFERENCED_IMAGE_SEQUENCE, vec![header.source(key_slice.slice).item()])
        .with(tags::GRAPHIC_LAYER, LAYER)
        .with_items(tags::TEXT_OBJECT_SEQUENCE, vec![text])
        .with_items(tags::GRAPHIC_OBJECT_SEQUENCE, closed.chain([graphic("POINT", &[peak])]).collect())
}

fn graphic(form: &str, points: &[[f32; 2]]) -> DataSet {
    empty()
        .with(tags::GRAPHIC_ANNOTATION_UNITS, "PIXEL")
        .with(tags::GRAPHIC_DIMENSIONS, 2_u16)
        .with(tags::NUMBER_OF_GRAPHIC_POINTS, points.len() as u16)
        .with(tags::GRAPHIC_DATA, floats(points.iter().flatten().copied()))
        .with(tags::GRAPHIC_TYPE, form)
        .with(tags::GRAPHIC_FILLED, "N")
}

/// The window is in Hounsfield units, so stored values have to become these first (C.11.1).
fn with_modality_lut(data_set: DataSet, source: &DataSet) -> DataSet {
    let number = |tag, missing| elements::number(source, tag).unwrap_or(missing);
    data_set
        .with(tags::RESCALE_INTERCEPT, decimals([number(tags::RESCALE_INTERCEPT, 0.0)]))
        .with(tags::RESCALE_SLOPE, decimals([number(tags::RESCALE_SLOPE, 1.0)]))
        .with(tags::RESCALE_TYPE, "HU")
}
