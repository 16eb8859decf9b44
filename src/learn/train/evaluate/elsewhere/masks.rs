//! What a mask of emboli says of slices and of the place of the evidence.

use std::path::Path;

use ndarray::Array3;

use crate::engine::analyse::findings::{EvidenceMap, Findings};
use crate::engine::models::manifest::Metric;
use crate::engine::volume::{Geometry, VoxelPoint, components, nifti};
use crate::learn::train::metrics::{Scored, wilson_interval};

/// Evidence so near to an embolus points at it, in millimetres.
const NEAR_MM: f64 = 5.0;
/// Evidence from which an embolus near it counts as found.
const HIGH: f32 = 0.5;

/// What a mask says of one exam.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MaskTruth {
    /// The mask is not empty.
    pub(super) embolism: bool,
    /// Source slices that were analysed: their probability, and whether the mask touches them.
    pub(super) slices: Vec<Scored>,
    pub(super) hits: Hits,
}

/// How often evidence and emboli meet, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Hits {
    /// Exams with emboli and evidence.
    exams: u64,
    /// Of them, those whose greatest evidence lies near an embolus.
    pointed: u64,
    /// Sum over the exams: share of the cells with evidence that lie near an embolus, the rate by chance.
    chance: f64,
    /// Emboli, each a connected piece of a mask.
    clots: u64,
    /// Of them, those with high evidence near.
    found: u64,
}

impl Hits {
    pub(super) fn add(&mut self, other: Self) {
        self.exams += other.exams;
        self.pointed += other.pointed;
        self.chance += other.chance;
        self.clots += other.clots;
        self.found += other.found;
    }

    /// The counts as figures by name; none without emboli.
    pub(super) fn figures(&self) -> Vec<(&'static str, Metric)> {
        let share =
            |hits: u64, all: u64| Metric { value: hits as f64 / all as f64, interval: wilson_interval(hits, all) };
        let plain = |value: f64| Metric { value, interval: None };
        if self.exams == 0 {
            return Vec::new();
        }
        vec![
            ("pointing_rate", share(self.pointed, self.exams)),
            ("pointing_chance", plain(self.chance / self.exams as f64)),
            ("clots", plain(self.clots as f64)),
            ("clots_found", share(self.found, self.clots)),
        ]
    }
}

/// Compares the findings of an exam with its mask, whose grid may be another.
///
/// # Errors
/// The mask cannot be read, in words.
pub(super) fn compare(path: &Path, geometry: &Geometry, findings: &Findings) -> Result<MaskTruth, String> {
    let (values, grid) = nifti::read(path).map_err(|error| error.to_string())?;
    let pieces = components::label(&values.mapv(|value| value > 0.5));
    let mut touched = vec![false; geometry.size[2]];
    for ((slice, row, column), _) in pieces.indexed_iter().filter(|(_, piece)| **piece > 0) {
        let place = geometry.to_voxel(grid.to_patient(voxel(slice, row, column))).slice.round();
        if place >= 0.0
            && let Some(slice) = touched.get_mut(place as usize)
        {
            *slice = true;
        }
    }
    let evidence = findings.evidence.as_ref();
    let scored = evidence
        .into_iter()
        .flat_map(|evidence| &evidence.slices)
        .map(|slice| Scored { score: slice.probability.value(), positive: touched.get(slice.slice) == Some(&true) });
    let embolism = pieces.iter().any(|piece| *piece > 0);
    let hits = evidence.map_or_else(Hits::default, |evidence| hits(&pieces, &grid, &evidence.map));
    Ok(MaskTruth { embolism, slices: scored.collect(), hits })
}

fn voxel(slice: usize, row: usize, column: usize) -> VoxelPoint {
    VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 }
}

/// Where evidence and the pieces of a mask meet.
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
        return Hits { clots: count as u64, ..Hits::default() };
    };
    let (all, hit) = with_evidence().fold((0, 0), |(all, hit), (cell, _)| (all + 1, hit + u64::from(near[cell])));
    Hits {
        exams: 1,
        pointed: u64::from(near[greatest]),
        chance: hit as f64 / f64::from(all),
        clots: count as u64,
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
    use crate::engine::volume::testing;

    /// A grid of cells of 4 mm on slices of 2 mm, and a mask on voxels of 1 mm whose corner lies in the same place.
    fn grids() -> (Geometry, Geometry) {
        let mut cells = testing::geometry([10, 10, 10], [4.0, 4.0, 2.0], testing::SUPINE);
        let mut mask = testing::geometry([40, 40, 20], [1.0, 1.0, 1.0], testing::SUPINE);
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
        assert_eq!((found.exams, found.pointed, found.clots, found.found), (1, 1, 2, 1));
        assert!(found.chance > 0.0 && found.chance < 0.05, "{found:?}");
        evidence.cells[(4, 8, 8)] = 0.95;
        assert_eq!(hits(&pieces, &grid, &evidence).pointed, 0, "the greatest evidence lies elsewhere");
        let none = hits(&Array3::zeros((20, 40, 40)), &grid, &evidence);
        assert_eq!((none, none.figures().len()), (Hits::default(), 0));
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
}
