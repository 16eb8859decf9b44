//! Where the body and the lungs lie in a volume, coarsely: for centring crops.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, Axis};

use super::coarse::CoarseGrid;
use super::components::{filled, label, largest};
use super::geometry::{Geometry, VoxelPoint};
use super::part::{Part, bounds, hull};
use super::{BACKGROUND, LungMask, Volume};

/// Tissue from fat upwards, without lungs; foam of a table lies far below.
const TISSUE: i16 = -300;
/// Cells of the coarse grid (millimetres): half the thickness of a table top.
const CELL: f64 = 6.0;
/// Share of the body at each side that the extent leaves out: arms, tubes, remains of the table.
const TAIL: f64 = 0.01;

/// A box in the patient, in millimetres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    pub(super) low: [f64; 3],
    pub(super) high: [f64; 3],
}

/// The box of both lungs; `None` if the mask is empty.
pub(super) fn lung_extent(mask: &LungMask, geometry: &Geometry) -> Option<Extent> {
    let is_lung = |label: &u8| *label != BACKGROUND;
    let parts: Vec<Option<Part>> =
        mask.0.axis_iter(Axis(0)).into_par_iter().map(|labels| bounds(&labels, is_lung)).collect();
    let slices = parts.iter().position(Option::is_some)?..parts.iter().rposition(Option::is_some)? + 1;
    let [rows, columns] = parts.into_iter().flatten().reduce(|one, other| hull(&one, &other))?;
    let ranges = [slices, rows, columns];
    let mut extent = Extent { low: [f64::INFINITY; 3], high: [f64::NEG_INFINITY; 3] };
    for corner in 0..8 {
        let at = |axis: usize| {
            let Range { start, end } = ranges[axis];
            (if corner >> axis & 1 == 0 { start } else { end - 1 }) as f64
        };
        let place = geometry.to_patient(VoxelPoint { slice: at(0), row: at(1), column: at(2) });
        for axis in 0..3 {
            extent.low[axis] = extent.low[axis].min(place.0[axis]);
            extent.high[axis] = extent.high[axis].max(place.0[axis]);
        }
    }
    Some(extent)
}

/// The middle of the body in plane (x, y in the patient); `None` if there is no body.
///
/// On a coarse grid, each slice's tissue is filled, so that lungs become body, and thinned by one cell. This removes
/// sheets and separates the table from the back that lies on it. The largest piece is the body.
pub(super) fn body_centre(volume: &Volume) -> Option<[f64; 2]> {
    let coarse = CoarseGrid::of(&volume.geometry, CELL);
    let mut tissue = coarse.of_voxels(&volume.hounsfield).mapv(|hounsfield| hounsfield > TISSUE);
    for mut slice in tissue.outer_iter_mut() {
        let thinned = thinned(&filled(slice.view()));
        slice.assign(&thinned);
    }
    let body = largest(&label(&tissue))?;
    let [low_column, high_column] = bulk(&body, 2)?;
    let [low_row, high_row] = bulk(&body, 1)?;
    let middle = VoxelPoint {
        column: f64::midpoint(low_column, high_column),
        row: f64::midpoint(low_row, high_row),
        slice: (coarse.geometry.size[2] as f64 - 1.0) / 2.0,
    };
    let place = coarse.geometry.to_patient(middle).0;
    Some([place[0], place[1]])
}

/// A picture without the cells that have background among their four neighbours.
fn thinned(picture: &Array2<bool>) -> Array2<bool> {
    Array2::from_shape_fn(picture.dim(), |(row, column)| {
        let set = |row: usize, column: usize| picture.get((row, column)).copied().unwrap_or(true);
        set(row, column)
            && set(row.wrapping_sub(1), column)
            && set(row + 1, column)
            && set(row, column.wrapping_sub(1))
            && set(row, column + 1)
    })
}

/// First and last index along `axis` of what is left when [`TAIL`] of the cells is taken off each end.
fn bulk(body: &Array3<bool>, axis: usize) -> Option<[f64; 2]> {
    let counts: Vec<usize> =
        body.axis_iter(Axis(axis)).map(|layer| layer.iter().filter(|cell| **cell).count()).collect();
    let tail = TAIL * counts.iter().sum::<usize>() as f64;
    let beyond = |mut indices: Box<dyn Iterator<Item = usize>>| {
        let mut passed = 0;
        indices.find(|index| {
            passed += counts[*index];
            passed as f64 > tail
        })
    };
    Some([beyond(Box::new(0..counts.len()))? as f64, beyond(Box::new((0..counts.len()).rev()))? as f64])
}
