//! The heat map as numbers: a Parametric Map on the classifier's own grid ([PS3.3
//! A.75](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.75.html)).

use dicom_dictionary_std::{tags, uids};
use ndarray::Axis;

use super::Context;
use super::element::{Compose, coded, decimals, empty, floats, longs};
use super::header::{Document, Header, Reference};
use super::segmentation::{frame_of_reference, position_reference};
use crate::dicom::concept::{dcm, sct, ucum};
use crate::dicom::elements::DataSet;
use crate::engine::analyse::findings::EvidenceMap;
use crate::engine::report::ResultKind;
use crate::engine::volume::{Geometry, VoxelPoint};

/// Defined terms of Image Type and Frame Type.
const TYPE: &str = "DERIVED\\PRIMARY\\VOLUME\\QUANTITY";

/// The map, if the classifier gives one and the settings ask for it.
pub(super) fn build(context: &Context, header: &Header) -> Option<Document> {
    let evidence = context.findings.evidence.as_ref().filter(|_| context.settings.parametric_map)?;
    let EvidenceMap { cells, geometry } = &evidence.map;
    let identity = header.identity(ResultKind::Pm, uids::PARAMETRIC_MAP_STORAGE);
    let organization = header.derived_uid(ResultKind::Pm, "dimension organization");
    let (frames, rows, columns) = cells.dim();
    let dimension = empty()
        .with(tags::DIMENSION_ORGANIZATION_UID, organization.as_str())
        .with(tags::DIMENSION_INDEX_POINTER, tags::IMAGE_POSITION_PATIENT)
        .with(tags::FUNCTIONAL_GROUP_POINTER, tags::PLANE_POSITION_SEQUENCE)
        .with(tags::DIMENSION_DESCRIPTION_LABEL, "Position");
    let data_set = header
        .compose(&identity, "OT", "PE heat map, numbers")
        .with(tags::IMAGE_TYPE, TYPE)
        .with(tags::BODY_PART_EXAMINED, "CHEST")
        .with(tags::CONTENT_LABEL, "HEAT_MAP")
        .with(tags::CONTENT_DESCRIPTION, "Heat map of embolism")
        .with(tags::CONTENT_CREATOR_NAME, "pe-node^automatic")
        .with(tags::CONTENT_QUALIFICATION, "RESEARCH")
        .with(tags::PIXEL_PRESENTATION, "MONOCHROME")
        .with(tags::BURNED_IN_ANNOTATION, "NO")
        .with(tags::RECOGNIZABLE_VISUAL_FEATURES, "NO")
        .with(tags::PRESENTATION_LUT_SHAPE, "IDENTITY")
        .with_items(tags::ACQUISITION_CONTEXT_SEQUENCE, Vec::new())
        .with(tags::FRAME_OF_REFERENCE_UID, frame_of_reference(context, header))
        .with(tags::POSITION_REFERENCE_INDICATOR, position_reference(context))
        .with_items(
            tags::DIMENSION_ORGANIZATION_SEQUENCE,
            vec![empty().with(tags::DIMENSION_ORGANIZATION_UID, organization.as_str())],
        )
        .with_items(tags::DIMENSION_INDEX_SEQUENCE, vec![dimension])
        .with_items(tags::REFERENCED_SERIES_SEQUENCE, vec![header.referenced_series(&header.sources())])
        .with_items(tags::SOURCE_IMAGE_SEQUENCE, header.sources().iter().map(Reference::item).collect())
        .with_items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared(geometry)])
        .with_items(
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
            (0..frames).map(|slice| frame(geometry, slice)).collect(),
        )
        .with(tags::NUMBER_OF_FRAMES, frames.to_string())
        .with(tags::SAMPLES_PER_PIXEL, 1_u16)
        .with(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2")
        .with(tags::ROWS, rows as u16)
        .with(tags::COLUMNS, columns as u16)
        .with(tags::BITS_ALLOCATED, 32_u16)
        .with(
            tags::FLOAT_PIXEL_DATA,
            floats(cells.axis_iter(Axis(0)).flat_map(|slice| slice.iter().copied().collect::<Vec<_>>())),
        );
    Some(Document { identity, data_set: header.with_lossy_compression(data_set) })
}

/// What is the same for all frames.
fn shared(geometry: &Geometry) -> DataSet {
    let [columns, rows, slices] = geometry.spacing;
    let measures = empty()
        .with(tags::SLICE_THICKNESS, decimals([slices]))
        .with(tags::SPACING_BETWEEN_SLICES, decimals([slices]))
        .with(tags::PIXEL_SPACING, decimals([rows, columns]));
    let orientation = [geometry.directions[0], geometry.directions[1]].concat();
    let window = empty().with(tags::WINDOW_CENTER, "0.5").with(tags::WINDOW_WIDTH, "1");
    let identity =
        empty().with(tags::RESCALE_INTERCEPT, "0").with(tags::RESCALE_SLOPE, "1").with(tags::RESCALE_TYPE, "US");
    empty()
        .with_items(tags::PIXEL_MEASURES_SEQUENCE, vec![measures])
        .with_items(
            tags::PLANE_ORIENTATION_SEQUENCE,
            vec![empty().with(tags::IMAGE_ORIENTATION_PATIENT, decimals(orientation))],
        )
        .with_items(tags::FRAME_VOILUT_SEQUENCE, vec![window])
        .with_items(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, vec![identity])
        .with_items(tags::PARAMETRIC_MAP_FRAME_TYPE_SEQUENCE, vec![empty().with(tags::FRAME_TYPE, TYPE)])
        .with_items(tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE, vec![meaning()])
}

/// What the numbers are: saliency from 0 to 1 (C.7.6.16.2.11).
fn meaning() -> DataSet {
    let quantity = empty()
        .with(tags::VALUE_TYPE, "CODE")
        .with_concept(tags::CONCEPT_NAME_CODE_SEQUENCE, &sct::QUANTITY)
        .with_items(tags::CONCEPT_CODE_SEQUENCE, vec![coded(&dcm::SALIENCY)]);
    empty()
        .with(tags::LUT_LABEL, "SALIENCY")
        .with(tags::LUT_EXPLANATION, "Heat map of embolism")
        .with_concept(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, &ucum::NO_UNITS)
        .with_items(tags::QUANTITY_DEFINITION_SEQUENCE, vec![quantity])
        .with(tags::DOUBLE_FLOAT_REAL_WORLD_VALUE_FIRST_VALUE_MAPPED, 0.0_f64)
        .with(tags::DOUBLE_FLOAT_REAL_WORLD_VALUE_LAST_VALUE_MAPPED, 1.0_f64)
        .with(tags::REAL_WORLD_VALUE_INTERCEPT, 0.0_f64)
        .with(tags::REAL_WORLD_VALUE_SLOPE, 1.0_f64)
}

fn frame(geometry: &Geometry, slice: usize) -> DataSet {
    let corner = geometry.to_patient(VoxelPoint { column: 0.0, row: 0.0, slice: slice as f64 });
    empty()
        .with_items(tags::DERIVATION_IMAGE_SEQUENCE, Vec::new())
        .with_items(
            tags::FRAME_CONTENT_SEQUENCE,
            vec![empty().with(tags::DIMENSION_INDEX_VALUES, longs([slice as u32 + 1]))],
        )
        .with_items(tags::PLANE_POSITION_SEQUENCE, vec![empty().with(tags::IMAGE_POSITION_PATIENT, decimals(corner.0))])
}
