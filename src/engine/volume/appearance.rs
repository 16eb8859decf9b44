//! What a stack shows, from a few of its slices: cheap, and enough to choose between stacks.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2};

use super::image_grid::ImageGrid;
use super::percentile::brightest_tenth;
use super::pixels::{self, Tables};
use super::stack::Stack;
use crate::dicom::bounded::Limits;

/// Slices that are looked at, evenly spaced.
const SAMPLES: usize = 16;
/// Width of the cells that pixels are averaged over, in millimetres: noise goes, vessels stay.
const CELL: f64 = 4.0;
/// Hounsfield units of aerated lung in such a cell; outside air lies below.
const LUNG: std::ops::RangeInclusive<f64> = -950.0..=-500.0;
/// Hounsfield units of soft tissue and of blood with contrast agent; cortical bone and metal lie above.
pub(super) const SOFT_TISSUE: std::ops::RangeInclusive<f64> = -30.0..=600.0;
/// Least lung of a slice of the chest in square centimetres. The edge of a body without lungs, partly air, has about 20.
const LUNG_AREA: f64 = 40.0;
/// Fewest cells of soft tissue that tell of contrast agent.
const FEWEST_CELLS: usize = 50;

/// What a stack shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Appearance {
    /// Height over which slices show lung, in millimetres.
    pub(super) lung_height: f64,
    /// The 90th percentile of soft tissue in the middle third of the lungs' box, in Hounsfield units: heart and great
    /// vessels. `None` where too little of it is seen.
    pub(super) enhancement: Option<f64>,
    /// Standard deviation within cells of soft tissue, in Hounsfield units.
    pub(super) noise: f64,
}

/// A part of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) mean: f64,
    /// Standard deviation of its pixels.
    pub(super) deviation: f64,
}

impl Appearance {
    /// Looks at a stack. Slices that cannot be decoded are passed over: whoever reads the volume reports them.
    pub(super) fn of(stack: &Stack, limits: &Limits) -> Self {
        let grid = &stack.slices[0].grid;
        let size = cell_size(grid);
        let count = SAMPLES.min(stack.slices.len());
        let slices: Vec<Array2<Cell>> = (0..count)
            .into_par_iter()
            .map_init(Tables::default, |tables, sample| {
                let slice = &stack.slices[(2 * sample + 1) * stack.slices.len() / (2 * count)];
                let mut image = Array2::<i16>::zeros((grid.rows, grid.columns));
                let pixels = image.as_slice_mut().expect("a new array is contiguous");
                pixels::load(&slice.stored, tables, limits, pixels).ok()?;
                Some(cells(&image.view(), size))
            })
            .flatten()
            .collect();
        let cell_area = grid.spacing[0] * size[0] as f64 * grid.spacing[1] * size[1] as f64 / 100.0;
        let shows_lung = |cells: &&Array2<Cell>| {
            cells.iter().filter(|cell| LUNG.contains(&cell.mean)).count() as f64 * cell_area >= LUNG_AREA
        };
        let chest: Vec<&Array2<Cell>> = slices.iter().filter(shows_lung).collect();
        let [lowest, highest] = stack.ends();
        let lung_height = (highest - lowest) * chest.len() as f64 / slices.len().max(1) as f64;
        let seen = if chest.is_empty() { slices.iter().collect() } else { chest };
        let (enhancement, noise) = soft_tissue(seen.iter().flat_map(|cells| middle(cells)));
        Self { lung_height, enhancement, noise }
    }
}

/// Columns and rows of a cell.
pub(super) fn cell_size(grid: &ImageGrid) -> [usize; 2] {
    grid.spacing.map(|spacing| (CELL / spacing).round().max(1.0) as usize)
}

/// Averages an image over cells of so many columns and rows.
pub(super) fn cells(image: &ArrayView2<i16>, [columns, rows]: [usize; 2]) -> Array2<Cell> {
    let (height, width) = image.dim();
    let (rows, columns) = (rows.min(height), columns.min(width));
    let count = (rows * columns) as f64;
    Array2::from_shape_fn((height / rows, width / columns), |(row, column)| {
        let (mut sum, mut squares) = (0.0, 0.0);
        for y in row * rows..(row + 1) * rows {
            for x in column * columns..(column + 1) * columns {
                let value = f64::from(image[(y, x)]);
                sum += value;
                squares += value * value;
            }
        }
        let mean = sum / count;
        Cell { mean, deviation: (squares / count - mean * mean).max(0.0).sqrt() }
    })
}

/// The cells of soft tissue in the middle third of the box around the lungs; of the image where there are none.
fn middle(cells: &Array2<Cell>) -> Vec<Cell> {
    let (rows, columns) = cells.dim();
    let lung = || cells.indexed_iter().filter(|(_, cell)| LUNG.contains(&cell.mean)).map(|(place, _)| place);
    let third = |indices: &mut dyn Iterator<Item = usize>, whole: usize| {
        let (first, last) = indices.fold((usize::MAX, 0), |(low, high), index| (low.min(index), high.max(index)));
        let (first, last) = if first > last { (0, whole.saturating_sub(1)) } else { (first, last) };
        let length = last - first + 1;
        first + length / 3..(first + length - length / 3).min(whole)
    };
    let (high, wide) =
        (third(&mut lung().map(|(row, _)| row), rows), third(&mut lung().map(|(_, column)| column), columns));
    let inside = |(row, column): (usize, usize)| high.contains(&row) && wide.contains(&column);
    let seen = cells.indexed_iter().filter(|(place, cell)| inside(*place) && SOFT_TISSUE.contains(&cell.mean));
    seen.map(|(_, cell)| *cell).collect()
}

/// Enhancement and noise of cells of soft tissue.
fn soft_tissue(cells: impl Iterator<Item = Cell>) -> (Option<f64>, f64) {
    let cells: Vec<Cell> = cells.collect();
    // Without cells it is not known: the worst.
    let noise = match cells.len() {
        0 => f64::INFINITY,
        count => cells.iter().map(|cell| cell.deviation).sum::<f64>() / count as f64,
    };
    (brightest_tenth(cells.iter().map(|cell| cell.mean), FEWEST_CELLS), noise)
}
