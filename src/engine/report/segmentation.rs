//! The lung mask as a Segmentation object: binary, one segment per lung, on the grid of the source ([PS3.3
//! A.51](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.51.html)).

use dicom_core::PrimitiveValue;
use dicom_dictionary_std::{tags, uids};
use ndarray::parallel::prelude::*;
use ndarray::{ArrayView2, Axis};

use super::Context;
use super::element::{Compose, PRODUCT, ascii, coded, decimals, empty, longs};
use super::header::{Document, Header};
use crate::dicom::Concept;
use crate::dicom::concept::{dcm, sct};
use crate::dicom::elements::{self, DataSet};
use crate::engine::report::ResultKind;
use crate::engine::volume::part::count;
use crate::engine::volume::{LEFT_LUNG, RIGHT_LUNG};

/// One lung as a segment.
struct Segment {
    /// Segment Number, from 1 without gaps.
    number: u16,
    /// Its label in the mask.
    label: u8,
    /// Its name.
    name: &'static str,
    /// Its side.
    side: Concept,
    /// Recommended display colour, scaled CIELab
    /// ([PS3.3 C.10.7.1.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.10.7.html)).
    colour: [u16; 3],
    /// Slices that show it.
    slices: Vec<usize>,
}

/// The segmentation, or `None` when the mask is empty: an object without frames is not allowed.
pub(super) fn build(context: &Context, header: &Header) -> Option<Document> {
    let segments = segments(context);
    if segments.is_empty() {
        return None;
    }
    let identity = header.identity(ResultKind::Seg, uids::SEGMENTATION_STORAGE);
    let dimension_organization = header.derived_uid(ResultKind::Seg, "dimension organization");
    let frames = segments.iter().map(|segment| segment.slices.len()).sum::<usize>();
    let data_set = header
        .compose(&identity, "SEG", "Lungs")
        .with(tags::IMAGE_TYPE, "DERIVED\\PRIMARY")
        .with(tags::CONTENT_LABEL, "LUNGS")
        .with(tags::CONTENT_DESCRIPTION, "Left and right lung")
        .with(tags::CONTENT_CREATOR_NAME, "pe-node^automatic")
        .with(tags::SEGMENTATION_TYPE, "BINARY")
        .with_items(tags::SEGMENT_SEQUENCE, segments.iter().map(|segment| describe(context, header, segment)).collect())
        .with(tags::FRAME_OF_REFERENCE_UID, frame_of_reference(context, header))
        .with(tags::POSITION_REFERENCE_INDICATOR, position_reference(context))
        .with_items(
            tags::DIMENSION_ORGANIZATION_SEQUENCE,
            vec![empty().with(tags::DIMENSION_ORGANIZATION_UID, dimension_organization.as_str())],
        )
        .with_items(tags::DIMENSION_INDEX_SEQUENCE, dimensions(dimension_organization.as_str()))
        .with_items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared_functional_groups(context)])
        .with_items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, per_frame_functional_groups(context, header, &segments))
        .with_items(tags::REFERENCED_SERIES_SEQUENCE, vec![header.referenced_series(&header.sources())])
        .with(tags::NUMBER_OF_FRAMES, frames.to_string());
    let data_set = with_pixels(header.with_lossy_compression(data_set), context, &segments);
    Some(Document { identity, data_set })
}

/// The lungs that the mask holds, left first.
fn segments(context: &Context) -> Vec<Segment> {
    let known = [
        (LEFT_LUNG, "Left lung", sct::LEFT, [43_803, 26_565, 37_722]),
        (RIGHT_LUNG, "Right lung", sct::RIGHT, [44_423, 35_010, 46_350]),
    ];
    let present = known.into_iter().filter_map(|(label, name, side, colour)| {
        let slices = context.lungs.0.axis_iter(Axis(0)).into_par_iter().enumerate();
        let slices = slices.filter(|(_, mask)| count(*mask, |voxel| *voxel == label) > 0);
        let slices: Vec<usize> = slices.map(|(slice, _)| slice).collect();
        (!slices.is_empty()).then_some((label, name, side, colour, slices))
    });
    (1..)
        .zip(present)
        .map(|(number, (label, name, side, colour, slices))| Segment { number, label, name, side, colour, slices })
        .collect()
}

/// One item of the Segment Sequence (C.8.20.4).
fn describe(context: &Context, header: &Header, segment: &Segment) -> DataSet {
    let model = &context.findings.models.lungs;
    let algorithm = empty()
        .with_concept(tags::ALGORITHM_FAMILY_CODE_SEQUENCE, &dcm::ARTIFICIAL_INTELLIGENCE)
        .with(tags::ALGORITHM_NAME, ascii(model.package.name.as_str(), 64))
        .with(tags::ALGORITHM_VERSION, ascii(&model.package.version.to_string(), 64))
        .with(tags::ALGORITHM_PARAMETERS, ascii(&format!("sha256={}", model.sha256), 1024))
        .with(tags::ALGORITHM_SOURCE, PRODUCT);
    let property = coded(&sct::LUNG).with_concept(tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE, &segment.side);
    let tracking = header.derived_uid(ResultKind::Seg, &format!("tracking {}", segment.name));
    empty()
        .with(tags::SEGMENT_NUMBER, segment.number)
        .with(tags::SEGMENT_LABEL, segment.name)
        .with(tags::SEGMENT_ALGORITHM_TYPE, "AUTOMATIC")
        .with(tags::SEGMENT_ALGORITHM_NAME, ascii(model.package.name.as_str(), 64))
        .with_concept(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, &sct::ANATOMICAL_STRUCTURE)
        .with_items(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![property])
        .with(tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE, segment.colour)
        .with(tags::TRACKING_ID, segment.name)
        .with(tags::TRACKING_UID, tracking.as_str())
        .with_items(tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE, vec![algorithm])
}

/// The frame of reference of the source; where it names none, one of its own that claims nothing about other series.
pub(super) fn frame_of_reference(context: &Context, header: &Header) -> String {
    elements::uid(&context.volume.header, tags::FRAME_OF_REFERENCE_UID)
        .unwrap_or_else(|| header.derived_uid(ResultKind::Seg, "frame of reference"))
        .to_string()
}

pub(super) fn position_reference(context: &Context) -> String {
    elements::text(&context.volume.header, tags::POSITION_REFERENCE_INDICATOR).unwrap_or_default()
}

/// Frames are indexed by segment, then by position.
fn dimensions(organization: &str) -> Vec<DataSet> {
    let dimension = |pointer, group, label: &str| {
        empty()
            .with(tags::DIMENSION_ORGANIZATION_UID, organization)
            .with(tags::DIMENSION_INDEX_POINTER, pointer)
            .with(tags::FUNCTIONAL_GROUP_POINTER, group)
            .with(tags::DIMENSION_DESCRIPTION_LABEL, label)
    };
    vec![
        dimension(tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE, "Segment"),
        dimension(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE, "Position"),
    ]
}

/// Spacing and orientation, the same for all frames. They are copied from the source where it gives them, so that no
/// viewer sees a difference in the last digit.
fn shared_functional_groups(context: &Context) -> DataSet {
    let geometry = &context.volume.geometry;
    let [row_direction, column_direction, _] = geometry.directions;
    let orientation = row_direction.into_iter().chain(column_direction);
    let between = geometry.spacing[2];
    let thickness = elements::number(&context.volume.header, tags::SLICE_THICKNESS).unwrap_or(between);
    let measures = empty()
        .with(tags::SLICE_THICKNESS, decimals([thickness]))
        .with(tags::SPACING_BETWEEN_SLICES, decimals([between]))
        .with(
            tags::PIXEL_SPACING,
            as_in_source(context, tags::PIXEL_SPACING, &[geometry.spacing[1], geometry.spacing[0]]),
        );
    let orientation: Vec<f64> = orientation.collect();
    empty().with_items(tags::PIXEL_MEASURES_SEQUENCE, vec![measures]).with_items(
        tags::PLANE_ORIENTATION_SEQUENCE,
        vec![empty().with(
            tags::IMAGE_ORIENTATION_PATIENT,
            as_in_source(context, tags::IMAGE_ORIENTATION_PATIENT, &orientation),
        )],
    )
}

/// The numbers as the source's header has them if they agree with `values`, else `values`.
fn as_in_source(context: &Context, tag: dicom_object::Tag, values: &[f64]) -> PrimitiveValue {
    let source = elements::numbers(&context.volume.header, tag).filter(|numbers| {
        numbers.len() == values.len() && numbers.iter().zip(values).all(|(a, b)| (a - b).abs() < 1e-4)
    });
    decimals(source.unwrap_or_else(|| values.to_vec()))
}

fn per_frame_functional_groups(context: &Context, header: &Header, segments: &[Segment]) -> Vec<DataSet> {
    let positions = distinct_positions(segments);
    let frames = segments.iter().flat_map(|segment| segment.slices.iter().map(move |slice| (segment, *slice)));
    frames
        .map(|(segment, slice)| {
            let index = positions.binary_search(&slice).unwrap_or_default() as u32 + 1;
            frame(context, header, segment, slice, index)
        })
        .collect()
}

/// Slices of any segment, lowest first.
fn distinct_positions(segments: &[Segment]) -> Vec<usize> {
    let mut slices: Vec<usize> = segments.iter().flat_map(|segment| segment.slices.iter().copied()).collect();
    slices.sort_unstable();
    slices.dedup();
    slices
}

fn frame(context: &Context, header: &Header, segment: &Segment, slice: usize, position_index: u32) -> DataSet {
    // The source's own, not the grid's: viewers find the slice of a frame by equal positions.
    let position = context.volume.slices[slice].position;
    let source = header
        .source(slice)
        .item()
        .with_concept(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, &dcm::SOURCE_IMAGE)
        .with(tags::SPATIAL_LOCATIONS_PRESERVED, "YES");
    let derivation = empty()
        .with_items(tags::SOURCE_IMAGE_SEQUENCE, vec![source])
        .with_concept(tags::DERIVATION_CODE_SEQUENCE, &dcm::SEGMENTATION);
    empty()
        .with_items(tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation])
        .with_items(
            tags::FRAME_CONTENT_SEQUENCE,
            vec![empty().with(tags::DIMENSION_INDEX_VALUES, longs([u32::from(segment.number), position_index]))],
        )
        .with_items(
            tags::PLANE_POSITION_SEQUENCE,
            vec![empty().with(tags::IMAGE_POSITION_PATIENT, decimals(position.0))],
        )
        .with_items(
            tags::SEGMENT_IDENTIFICATION_SEQUENCE,
            vec![empty().with(tags::REFERENCED_SEGMENT_NUMBER, segment.number)],
        )
}

/// Image pixel module: one bit per pixel.
fn with_pixels(data_set: DataSet, context: &Context, segments: &[Segment]) -> DataSet {
    let (_, rows, columns) = context.lungs.0.dim();
    let frames: usize = segments.iter().map(|segment| segment.slices.len()).sum();
    let mut bits = BitPacker::with_capacity(frames * rows * columns);
    for segment in segments {
        for slice in &segment.slices {
            bits.push(&context.lungs.0.index_axis(Axis(0), *slice), segment.label);
        }
    }
    data_set
        .with(tags::SAMPLES_PER_PIXEL, 1_u16)
        .with(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2")
        .with(tags::ROWS, rows as u16)
        .with(tags::COLUMNS, columns as u16)
        .with(tags::BITS_ALLOCATED, 1_u16)
        .with(tags::BITS_STORED, 1_u16)
        .with(tags::HIGH_BIT, 0_u16)
        .with(tags::PIXEL_REPRESENTATION, 0_u16)
        .with(tags::PIXEL_DATA, bits.finish())
}

/// Bits as in PS3.5 8.1.1: the first pixel is the lowest bit of the first byte, and frames follow each other without a
/// gap, also inside a byte.
struct BitPacker {
    bytes: Vec<u8>,
    pending: u8,
    filled: u32,
}

impl BitPacker {
    fn with_capacity(bits: usize) -> Self {
        Self { bytes: Vec::with_capacity(bits.div_ceil(16) * 2), pending: 0, filled: 0 }
    }

    /// Appends one frame: a bit is set where the mask has the label.
    fn push(&mut self, mask: &ArrayView2<u8>, label: u8) {
        let Some(voxels) = mask.to_slice().filter(|_| self.filled == 0) else {
            return self.push_each(mask.iter(), label);
        };
        let (octets, rest) = voxels.as_chunks::<8>();
        let packed =
            |octet: &[u8; 8]| (0..).zip(octet).fold(0_u8, |bits, (bit, voxel)| bits | u8::from(*voxel == label) << bit);
        self.bytes.extend(octets.iter().map(packed));
        self.push_each(rest.iter(), label);
    }

    fn push_each<'a>(&mut self, voxels: impl Iterator<Item = &'a u8>, label: u8) {
        for voxel in voxels {
            self.pending |= u8::from(*voxel == label) << self.filled;
            self.filled += 1;
            if self.filled == 8 {
                self.bytes.push(self.pending);
                (self.pending, self.filled) = (0, 0);
            }
        }
    }

    /// The bytes, an even number of them.
    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.bytes.push(self.pending);
        }
        if self.bytes.len() % 2 == 1 {
            self.bytes.push(0);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn bits_of_the_second_frame_follow_the_first_inside_a_byte() {
        let mut bits = BitPacker::with_capacity(18);
        bits.push(&array![[1, 0, 2], [1, 1, 0], [0, 0, 1]].view(), 1);
        bits.push(&array![[2, 2, 0], [0, 0, 0], [0, 0, 2]].view(), 2);
        assert_eq!(bits.finish(), [0b0001_1001, 0b0000_0111, 0b0000_0010, 0]);
    }
}
