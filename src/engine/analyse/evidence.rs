//! Evidence cell by cell, the slices to show and the outlines on them.

mod hull;
mod outline;

use ndarray::{Array2, ArrayView2, Axis};

use super::embolism::SliceClassification;
use super::findings::{EvidenceMap, KeySlice, SliceFinding};
use crate::engine::volume::{BACKGROUND, Geometry, LungMask, Volume, VoxelPoint};

/// Smallest distance between key slices in millimetres, so that they show different places.
const APART_MM: f64 = 10.0;
/// A key slice after the first has at least this share of the first one's evidence.
const SHARE_OF_GREATEST: f32 = 0.5;
/// A key slice after the first has at least this evidence, as a probability.
const LEAST: f32 = 0.1;
/// An outline runs where evidence has fallen to this share of the slice's peak.
const OUTLINE_SHARE: f32 = 0.5;

/// The evidence of a classification inside lungs and hilar region, and one to `count` slices to show, greatest evidence
/// first.
pub fn explain(
    classification: &SliceClassification,
    volume: &Volume,
    lungs: &LungMask,
    count: usize,
) -> (EvidenceMap, Vec<KeySlice>) {
    let geometry = &classification.geometry;
    let mut cells = classification.evidence.clone();
    let mut peaks = Vec::with_capacity(cells.len_of(Axis(0)));
    for (slice, mut values) in cells.outer_iter_mut().enumerate() {
        let region = region(slice, geometry, volume, lungs);
        let unmasked = classification.evidence.index_axis(Axis(0), slice);
        values.zip_mut_with(&region, |value, inside| *value *= f32::from(u8::from(*inside)));
        peaks.push(peak(&values.view()).or_else(|| peak(&unmasked).map(|peak| Peak { value: 0.0, ..peak })));
    }
    let map = EvidenceMap { cells, geometry: geometry.clone() };
    let keys = chosen(classification, &peaks, volume.geometry.spacing[2], count.max(1))
        .into_iter()
        .map(|index| {
            let peak = peaks[classification.prepared_slices[index]].unwrap_or_default();
            key_slice(&map, &classification.slices[index], (classification.prepared_slices[index], peak), volume)
        })
        .collect();
    (map, keys)
}

/// The cell of greatest evidence on a slice.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Peak {
    value: f32,
    row: usize,
    column: usize,
}

/// `None` where everything is zero.
fn peak(values: &ArrayView2<'_, f32>) -> Option<Peak> {
    let cells = values.indexed_iter().map(|((row, column), value)| Peak { value: *value, row, column });
    cells.filter(|peak| peak.value > 0.0).reduce(|best, next| if next.value > best.value { next } else { best })
}

/// Cells of a slice that lie in the convex hull of both lungs: lungs, hila and the vessels of the mediastinum between
/// them.
fn region(slice: usize, geometry: &Geometry, volume: &Volume, lungs: &LungMask) -> Array2<bool> {
    let [columns, rows, _] = geometry.size;
    let is_lung = |row: usize, column: usize| {
        let cell = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        let place = volume.geometry.to_voxel(geometry.to_patient(cell));
        let index = [place.slice, place.row, place.column].map(f64::round);
        index.iter().all(|index| *index >= 0.0)
            && lungs.0.get(index.map(|index| index as usize)).is_some_and(|label| *label != BACKGROUND)
    };
    let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let points: Vec<[i64; 2]> =
        cells.filter(|(row, column)| is_lung(*row, *column)).map(|(row, column)| [column as i64, row as i64]).collect();
    let hull = hull::convex_hull(&points);
    Array2::from_shape_fn((rows, columns), |(row, column)| hull::contains(&hull, [column as i64, row as i64]))
}

/// Indices into `classification.slices`: greatest evidence first, then greatest probability, [`APART_MM`] apart.
fn chosen(classification: &SliceClassification, peaks: &[Option<Peak>], slice_mm: f64, count: usize) -> Vec<usize> {
    let evidence = |index: usize| peaks[classification.prepared_slices[index]].map_or(0.0, |peak| peak.value);
    let slices = &classification.slices;
    let mut order: Vec<usize> = (0..slices.len()).collect();
    let by_rank = |a: &usize, b: &usize| {
        let probability = |index: usize| slices[index].probability.value();
        let middle = |index: usize| distance_to_middle(&classification.prepared_slices, index);
        (evidence(*b).total_cmp(&evidence(*a)))
            .then(probability(*b).total_cmp(&probability(*a)))
            .then(middle(*a).total_cmp(&middle(*b)))
    };
    order.sort_by(by_rank);
    let mut chosen: Vec<usize> = Vec::new();
    for index in order {
        let apart = |other: &usize| {
            let slices = slices[index].slice.abs_diff(slices[*other].slice);
            slices > 1 && slices as f64 * slice_mm >= APART_MM
        };
        let least = chosen.first().map_or(0.0, |first| (evidence(*first) * SHARE_OF_GREATEST).max(LEAST));
        if chosen.len() < count && evidence(index) >= least && chosen.iter().all(apart) {
            chosen.push(index);
        }
    }
    chosen
}

/// How far an entry is from the middle of the entries that take the same prepared slice.
fn distance_to_middle(prepared_slices: &[usize], index: usize) -> f64 {
    let same = |other: &usize| prepared_slices[*other] == prepared_slices[index];
    let first = (0..=index).rev().take_while(same).last().unwrap_or(index);
    let last = (index..prepared_slices.len()).take_while(same).last().unwrap_or(index);
    (index as f64 - (first + last) as f64 / 2.0).abs()
}

fn key_slice(
    map: &EvidenceMap,
    finding: &SliceFinding,
    (cell_slice, peak): (usize, Peak),
    volume: &Volume,
) -> KeySlice {
    let [columns, rows, _] = volume.geometry.size;
    let on_source = |row: f64, column: f64| {
        let cell = VoxelPoint { column, row, slice: cell_slice as f64 };
        volume.geometry.to_voxel(map.geometry.to_patient(cell))
    };
    let within = |value: f64, size: usize| value.round().clamp(0.0, size as f64 - 1.0);
    let place = on_source(peak.row as f64, peak.column as f64);
    let values = map.cells.index_axis(Axis(0), cell_slice);
    let level = OUTLINE_SHARE * peak.value;
    let outlines = if level > 0.0 { outline::outlines(&values, level) } else { Vec::new() };
    let to_pixels = |[column, row]: [f64; 2]| {
        let place = on_source(row, column);
        [place.column.clamp(0.0, columns as f64 - 1.0), place.row.clamp(0.0, rows as f64 - 1.0)]
    };
    KeySlice {
        slice: finding.slice,
        probability: finding.probability,
        peak: VoxelPoint {
            column: within(place.column, columns),
            row: within(place.row, rows),
            slice: finding.slice as f64,
        },
        outlines: outlines.into_iter().map(|outline| outline.into_iter().map(to_pixels).collect()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::dicom::{SourceImage, Uid};
    use crate::engine::analyse::findings::Probability;
    use crate::engine::volume::{LEFT_LUNG, PatientPoint, RIGHT_LUNG, SourceSlice};

    /// 30 slices of 40 x 60 voxels of 1 mm, feet first and face down: columns run to the right, rows to the front.
    fn volume() -> Volume {
        let geometry = Geometry {
            size: [60, 40, 30],
            spacing: [1.0, 1.0, 2.0],
            directions: [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]],
            origin: PatientPoint([100.0, 50.0, 0.0]),
        };
        let slice = |index: usize| SourceSlice {
            image: SourceImage::object(Uid::derived(["instance", index.to_string().as_str()])),
            instance_number: None,
            thickness_mm: None,
            converted_from: None,
            position: geometry.to_patient(VoxelPoint { column: 0.0, row: 0.0, slice: index as f64 }),
        };
        let slices = (0..30).map(slice).collect();
        Volume::new(geometry, Array3::zeros((30, 40, 60)), slices, dicom_object::InMemDicomObject::new_empty())
    }

    /// Two lungs with a mediastinum between them.
    fn lungs() -> LungMask {
        LungMask(Array3::from_shape_fn((30, 40, 60), |(_, row, column)| match (row, column) {
            (8..32, 8..24) => LEFT_LUNG,
            (8..32, 36..52) => RIGHT_LUNG,
            _ => BACKGROUND,
        }))
    }

    /// Evidence on a grid of 4 mm cells and 4 mm steps that is aligned to the patient.
    fn classification(evidence: Array3<f32>) -> SliceClassification {
        let slices = (0..30).map(|slice| SliceFinding {
            slice,
            probability: Probability::new(0.5 + 0.01 * slice as f64).expect("probability"),
            attention: 1.0 / 30.0,
        });
        SliceClassification {
            slices: slices.collect(),
            prepared_slices: (0..30).map(|slice| slice / 2).collect(),
            evidence,
            geometry: Geometry {
                size: [15, 10, 15],
                spacing: [4.0, 4.0, 4.0],
                directions: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
                origin: PatientPoint([42.5, 12.5, 1.0]),
            },
        }
    }

    #[test]
    fn evidence_outside_the_lungs_and_the_mediastinum_is_zero() {
        let (map, _) = explain(&classification(Array3::from_elem((15, 10, 15), 0.5)), &volume(), &lungs(), 5);
        // Cell (row 5, column 7) lies in the mediastinum, the corner outside the body.
        assert!((map.cells[(3, 5, 7)] - 0.5).abs() < 1e-6);
        assert!(map.cells[(3, 0, 0)] <= 0.0);
        assert!(map.cells[(3, 9, 14)] <= 0.0);
    }

    #[test]
    fn the_peak_is_placed_on_the_source_image_whatever_its_orientation() {
        let mut evidence = Array3::from_elem((15, 10, 15), 0.01);
        evidence[(6, 4, 9)] = 0.9;
        let (_, keys) = explain(&classification(evidence), &volume(), &lungs(), 5);
        // Patient x = 42.5 + 9 x 4 = 78.5, so column 21.5; y = 12.5 + 16 = 28.5, so row 21.5; slices 12 and 13.
        let peak = keys[0].peak;
        assert!((peak.column - 21.5).abs() <= 0.5 && (peak.row - 21.5).abs() <= 0.5, "{peak:?}");
        assert!(keys[0].slice == 12 || keys[0].slice == 13);
        assert!((peak.slice - keys[0].slice as f64).abs() < 1e-9);
        let outline = &keys[0].outlines[0];
        let mean = |axis: usize| outline.iter().map(|point| point[axis]).sum::<f64>() / outline.len() as f64;
        assert!((mean(0) - 21.5).abs() < 0.1 && (mean(1) - 21.5).abs() < 0.1);
        assert_eq!(keys.len(), 1, "everything else has too little evidence");
    }

    #[test]
    fn key_slices_are_apart_and_begin_with_the_greatest_evidence() {
        let mut evidence = Array3::from_elem((15, 10, 15), 0.01);
        for (slice, value) in [(2, 0.6), (3, 0.95), (4, 0.9), (9, 0.7), (13, 0.3)] {
            evidence[(slice, 5, 5)] = value;
        }
        let (_, keys) = explain(&classification(evidence.clone()), &volume(), &lungs(), 5);
        let prepared: Vec<usize> = keys.iter().map(|key| key.slice / 2).collect();
        assert_eq!(prepared, vec![3, 9], "2 and 4 lie beside 3; 13 has less than half the evidence");
        let (_, one) = explain(&classification(evidence), &volume(), &lungs(), 1);
        assert_eq!(one.len(), 1);
    }

    #[test]
    fn there_is_a_key_slice_without_any_evidence_and_without_lungs() {
        let nothing = classification(Array3::zeros((15, 10, 15)));
        let (_, keys) = explain(&nothing, &volume(), &lungs(), 5);
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].slice, 29, "the slice of greatest probability");
        assert!(keys[0].outlines.is_empty());
        let outside = LungMask(Array3::zeros((30, 40, 60)));
        let some = classification(Array3::from_elem((15, 10, 15), 0.4));
        let (map, keys) = explain(&some, &volume(), &outside, 5);
        assert_eq!(keys.len(), 1);
        assert!(map.cells.iter().all(|cell| *cell <= 0.0));
    }
}
