//! Compares the findings of an exam with a mask of emboli: its slices, and the place of the evidence.

use std::path::{Path, PathBuf};

use ndarray::Array3;

use crate::engine::analyse::findings::{Evidence, EvidenceMap, SliceFinding};
use crate::engine::models::manifest::Metric;
use crate::engine::volume::nifti::NiftiError;
use crate::engine::volume::{Geometry, VoxelPoint, components, nifti};
use crate::learn::train::metrics::{Scored, wilson_interval};

/// Evidence at most this far from an embolus points at it, in millimetres.
const NEAR_MM: f64 = 5.0;
/// Evidence from which an embolus near it counts as found.
const HIGH: f32 = 0.5;

/// Why a mask cannot be used for an exam.
#[derive(Debug, thiserror::Error)]
pub(super) enum MaskError {
    #[error(transparent)]
    Nifti(#[from] NiftiError),
    #[error(
        "{path}: no embolus of the mask lies within the images: it is of another series, or its position is wrong",
        path = .0.display()
    )]
    Misplaced(PathBuf),
}

/// The ground truth of one exam, from its mask.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MaskTruth {
    /// The mask is not empty.
    pub(super) embolism: bool,
    /// Source slices that were analysed: their probability, and whether the mask touches them.
    pub(super) slices: Vec<Scored>,
    pub(super) hits: Hits,
}

/// How often evidence and emboli coincide, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Hits {
    /// Exams with emboli and evidence.
    exams: u64,
    /// Of them, those whose greatest evidence lies near an embolus.
    pointed: u64,
    /// Sum over the exams: share of the cells with evidence that lie near an embolus, the rate by chance.
    chance: f64,
    /// Emboli, each a connected piece of a mask.
    emboli: u64,
    /// Of them, those with high evidence near.
    found: u64,
}

impl Hits {
    pub(super) fn add(&mut self, other: Self) {
        self.exams += other.exams;
        self.pointed += other.pointed;
        self.chance += other.chance;
        self.emboli += other.emboli;
        self.found += other.found;
    }

    /// The counts as metrics by name; none without emboli.
    pub(super) fn metrics(&self) -> Vec<(&'static str, Metric)> {
        let share = |hits: u64, all: u64| {
            let value = hits as f64 / all as f64;
            Metric { value, interval: wilson_interval(value, all as usize) }
        };
        let plain = |value: f64| Metric { value, interval: None };
        if self.exams == 0 {
            return Vec::new();
        }
        vec![
            ("pointing_rate", share(self.pointed, self.exams)),
            ("pointing_chance", plain(self.chance / self.exams as f64)),
            ("emboli", plain(self.emboli as f64)),
            ("emboli_found", share(self.found, self.emboli)),
        ]
    }
}

/// Compares the findings of an exam with its mask, whose grid may be another.
///
/// # Errors
/// The mask cannot be read, or lies outside the images.
pub(super) fn compare(path: &Path, images: &Geometry, evidence: Option<&Evidence>) -> Result<MaskTruth, MaskError> {
    let (values, grid) = nifti::read(path)?;
    let pieces = components::label(&values.mapv(|value| value > 0.5));
    let embolism = pieces.iter().any(|piece| *piece > 0);
    let touched = touched(&pieces, &grid, images);
    if embolism && !touched.contains(&true) {
        return Err(MaskError::Misplaced(path.to_owned()));
    }
    let scored = |slice: &SliceFinding| Scored {
        score: slice.probability.value(),
        positive: touched.get(slice.slice) == Some(&true),
    };
    let slices = evidence.into_iter().flat_map(|evidence| &evidence.slices).map(scored).collect();
    let hits = evidence.map_or_else(Hits::default, |evidence| hits(&pieces, &grid, &evidence.map));
    Ok(MaskTruth { embolism, slices, hits })
}

/// Which slices of the images the voxels of a mask touch: all whose middle lies within the height of a voxel, since
/// slices of a mask may be thicker than those of the images, and the nearest one, since they may be thinner.
fn touched(pieces: &Array3<u32>, mask: &Geometry, images: &Geometry) -> Vec<bool> {
    let [columns, rows, slices] = images.size;
    let within = |index: f64, size: usize| (-0.5..size as f64 - 0.5).contains(&index);
    let half = half_height(mask, images);
    let mut touched = vec![false; slices];
    for ((slice, row, column), _) in pieces.indexed_iter().filter(|(_, piece)| **piece > 0) {
        let place = images.to_voxel(mask.to_patient(voxel(slice, row, column)));
        if !(within(place.column, columns) && within(place.row, rows)) {
            continue;
        }
        let nearest = place.slice.round();
        let first = (place.slice - half).ceil().min(nearest).max(0.0) as usize;
        let end = ((place.slice + half).floor().max(nearest) + 1.0).max(0.0) as usize;
        if let Some(of_voxel) = touched.get_mut(first..end.min(slices)) {
            of_voxel.fill(true);
        }
    }
    touched
}

/// Half the height of a mask's voxel across the slices of the images, counted in these, whichever way its axes run.
fn half_height(mask: &Geometry, images: &Geometry) -> f64 {
    let across = images.directions[2];
    let height = |axis: usize| {
        let along: f64 = mask.directions[axis].iter().zip(across).map(|(one, other)| one * other).sum();
        mask.spacing[axis] * along.abs()
    };
    // The last term compensates for the single precision of a file's affine.
    (0..3).map(height).sum::<f64>() / 2.0 / images.spacing[2] + 1e-3
}

fn voxel(slice: usize, row: usize, column: usize) -> VoxelPoint {
    VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 }
}

/// Counts where evidence and the pieces of a mask coincide.
fn hits(pieces: &Array3<u32>, grid: &Geometry, evidence: &EvidenceMap) -> Hits {
    let count = pieces.iter().copied().max().unwrap_or(0) as usize;
    if count == 0 {
        return Hits::default();
    }
    let mut near = Array3::from_elem(evidence.cells.dim(), false);
    let mut found = vec![false; count + 1];
    for ((slice, row, column), piece) in pieces.indexed_iter().filter(|(_, piece)| **piece > 0) {
        for cell in cells_near(grid, &evidence.geometry, voxel(slice, row, column)) {
            near[cell] = true;
            found[*piece as usize] |= evidence.cells[cell] >= HIGH;
        }
    }
    let with_evidence = || evidence.cells.indexed_iter().filter(|(_, value)| **value > 0.0);
    let Some((greatest, _)) = with_evidence().max_by(|a, b| a.1.total_cmp(b.1)) else {
        return Hits { emboli: count as u64, ..Hits::default() };
    };
    let (all, hit) = with_evidence().fold((0, 0), |(all, hit), (cell, _)| (all + 1, hit + u64::from(near[cell])));
    Hits {
        exams: 1,
        pointed: u64::from(near[greatest]),
        chance: hit as f64 / f64::from(all),
        emboli: count as u64,
        found: found.iter().filter(|found| **found).count() as u64,
    }
}

/// Cells of the evidence whose centres lie near a voxel of the mask.
fn cells_near(mask: &Geometry, cells: &Geometry, voxel: VoxelPoint) -> impl Iterator<Item = (usize, usize, usize)> {
    let place = mask.to_patient(voxel);
    let middle = cells.to_voxel(place);
    let [columns, rows, slices] = cells.size;
    let around = |middle: f64, axis: usize, size: usize| {
        let reach = NEAR_MM / cells.spacing[axis];
        let first = (middle - reach).ceil().max(0.0) as usize;
        let end = ((middle + reach).floor() + 1.0).max(0.0) as usize;
        first..end.min(size)
    };
    let spacing = cells.spacing;
    let (columns, rows) = (around(middle.column, 0, columns), around(middle.row, 1, rows));
    around(middle.slice, 2, slices)
        .flat_map(move |slice| rows.clone().map(move |row| (slice, row)))
        .flat_map(move |(slice, row)| columns.clone().map(move |column| (slice, row, column)))
        .filter(move |(slice, row, column)| {
            let across = (*column as f64 - middle.column) * spacing[0];
            let along = (*row as f64 - middle.row) * spacing[1];
            let up = (*slice as f64 - middle.slice) * spacing[2];
            across * across + along * along + up * up <= NEAR_MM * NEAR_MM
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::analyse::findings::Probability;
    use crate::engine::volume::PatientPoint;
    use crate::engine::volume::testing::{self, SUPINE};

    /// A grid of cells of 4 mm on slices of 2 mm, and a mask on voxels of 1 mm whose corner lies in the same place.
    fn grids() -> (Geometry, Geometry) {
        let mut cells = testing::geometry([10, 10, 10], [4.0, 4.0, 2.0], SUPINE);
        let mut mask = testing::geometry([40, 40, 20], [1.0, 1.0, 1.0], SUPINE);
        cells.origin.0 = [0.0; 3];
        mask.origin.0 = [0.0; 3];
        (cells, mask)
    }

    #[test]
    fn evidence_near_an_embolus_points_at_it_and_chance_is_the_share_of_such_cells() {
        let (cells, grid) = grids();
        let mut mask = Array3::from_elem((20, 40, 40), false);
        mask[(8, 12, 12)] = true;
        mask[(8, 12, 13)] = true;
        mask[(0, 39, 39)] = true;
        let pieces = components::label(&mask);
        let mut evidence = EvidenceMap { cells: Array3::from_elem((10, 10, 10), 0.1), geometry: cells };
        // 12 mm lies in cell 3, slice 8 mm in cell slice 4.
        evidence.cells[(4, 3, 3)] = 0.9;
        let found = hits(&pieces, &grid, &evidence);
        assert_eq!((found.exams, found.pointed, found.emboli, found.found), (1, 1, 2, 1));
        assert!(found.chance > 0.0 && found.chance < 0.05, "{found:?}");
        evidence.cells[(4, 8, 8)] = 0.95;
        assert_eq!(hits(&pieces, &grid, &evidence).pointed, 0, "the greatest evidence lies in another place");
        let none = hits(&Array3::zeros((20, 40, 40)), &grid, &evidence);
        assert_eq!((none, none.metrics().len()), (Hits::default(), 0));
    }

    #[test]
    fn cells_near_a_voxel_lie_within_five_millimetres() {
        let (cells, grid) = grids();
        let near: Vec<_> = cells_near(&grid, &cells, voxel(8, 12, 12)).collect();
        assert!(near.contains(&(4, 3, 3)) && near.contains(&(4, 3, 4)) && near.contains(&(6, 3, 3)));
        assert!(!near.contains(&(4, 4, 4)), "the diagonal is 5.7 mm away");
        assert!(!near.contains(&(7, 3, 3)), "three slices are 6 mm away");
        assert!(
            cells_near(&grid, &cells, voxel(0, 0, 0)).all(|(slice, row, column)| slice < 3 && row < 2 && column < 2)
        );
    }

    /// Images of 10 by 10 pixels of 4 mm, on a number of slices at a distance in millimetres.
    fn images(slices: usize, distance: f64) -> Geometry {
        Geometry { origin: PatientPoint([0.0; 3]), ..testing::geometry([10, 10, slices], [4.0, 4.0, distance], SUPINE) }
    }

    /// Slices of images that are touched by the voxels in the middle of some slices of a mask that begins at a height.
    fn touched_by(mask: &Geometry, height: f64, marked: &[usize], images: &Geometry) -> Vec<usize> {
        let [columns, rows, slices] = mask.size;
        let mut pieces = Array3::zeros((slices, rows, columns));
        for slice in marked {
            pieces[(*slice, rows / 2, columns / 2)] = 1;
        }
        let mask = Geometry { origin: PatientPoint([0.0, 0.0, height]), ..mask.clone() };
        let touched = touched(&pieces, &mask, images);
        (0..touched.len()).filter(|slice| touched[*slice]).collect()
    }

    #[test]
    fn a_mask_touches_every_slice_within_the_height_of_its_voxels() {
        let thin = images(20, 1.0);
        assert_eq!(touched_by(&images(4, 5.0), 2.0, &[1], &thin), [5, 6, 7, 8, 9], "thicker than the images");
        assert_eq!(touched_by(&images(4, 5.0), 2.0, &[1, 2], &thin), (5..15).collect::<Vec<_>>(), "without a gap");
        assert_eq!(touched_by(&images(4, 5.0), -2.0, &[0], &thin), [0], "its middle lies below the images");
        assert_eq!(touched_by(&thin, 0.0, &[3, 4], &thin), [3, 4], "on the grid of the images");
        let thick = images(4, 5.0);
        assert_eq!(touched_by(&thin, 0.0, &[2, 7], &thick), [0, 1], "thinner than the images: the nearest one");
        assert_eq!(touched_by(&thin, 40.0, &[3], &thick), [0; 0], "above the images");
        // Columns of this mask run along the body: it is their width that counts.
        let upright = Geometry { directions: [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], ..images(10, 1.0) };
        assert_eq!(touched_by(&upright, -10.0, &[5], &thin), [8, 9, 10, 11, 12]);
    }

    /// Compares a mask with one voxel to images whose slices all have the same probability.
    fn compared(marked: Option<(usize, usize, usize)>, images: &Geometry) -> Result<MaskTruth, MaskError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("mask.nii.gz");
        let (_, grid) = grids();
        let mut mask = Array3::<u8>::zeros((20, 40, 40));
        if let Some(place) = marked {
            mask[place] = 1;
        }
        nifti::write(&path, &mask, &grid).expect("written");
        let probability = Probability::new(0.75).expect("a probability");
        let of_slice = |slice| SliceFinding { slice, probability, attention: 0.0 };
        let cells = Array3::from_elem((images.size[2], 10, 10), 0.1);
        let map = EvidenceMap { cells, geometry: images.clone() };
        let slices = (0..images.size[2]).map(of_slice).collect();
        compare(&path, images, Some(&Evidence { slices, key_slices: Vec::new(), map }))
    }

    #[test]
    fn a_mask_outside_the_images_is_an_error_and_an_empty_one_is_not() {
        let (here, _) = grids();
        let truth = compared(Some((8, 12, 12)), &here).expect("within the images");
        let positive: Vec<bool> = truth.slices.iter().map(|slice| slice.positive).collect();
        assert!(truth.embolism && positive[4] && positive.iter().filter(|positive| **positive).count() == 1);
        for (axis, away) in [(0, 60.0), (1, -60.0), (2, 60.0)] {
            let mut moved = here.clone();
            moved.origin.0[axis] = away;
            let error = compared(Some((8, 12, 12)), &moved).expect_err("another place").to_string();
            assert!(error.contains("mask.nii.gz: no embolus of the mask lies within the images"), "{error}");
            assert!(compared(None, &moved).is_ok_and(|truth| !truth.embolism));
        }
    }
}
