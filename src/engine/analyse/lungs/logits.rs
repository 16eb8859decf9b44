//! What a network says of its cells, as labels of the voxels of the source.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, Array4, ArrayView1, ArrayViewMut2, Axis, Zip};

use super::morphology::part;
use super::refinement::SURE;
use crate::engine::models::networks::LungClasses;
use crate::engine::volume::BACKGROUND;
use crate::engine::volume::part::Part;
use crate::engine::volume::preparation::Upsampler;

/// How far the logit of a lung must lie above that of the likeliest class that is no lung for the network to be sure:
/// odds of nine to one.
const SURE_MARGIN: f32 = 2.2;

/// Class logits of a network, and where its cells lie.
pub(super) struct Logits<'a> {
    /// `[slice, class, row, column]`.
    values: Array4<f32>,
    classes: &'a LungClasses,
    upsampler: Upsampler,
    /// The label that voxels between such cells have for certain, `[slice, row, column]`.
    certain: Array3<Option<u8>>,
}

impl<'a> Logits<'a> {
    /// Logits `[slice, class, row, column]` of cells that `upsampler` maps to the source.
    pub(super) fn new(values: Array4<f32>, classes: &'a LungClasses, upsampler: Upsampler) -> Self {
        let certain = Zip::from(values.lanes(Axis(1))).par_map_collect(|cell| certain(cell, classes));
        Self { values, classes, upsampler, certain }
    }

    /// The labels of a volume of slices, rows and columns: logits are interpolated, then compared. A voxel is marked with
    /// [`SURE`] where the network is sure of a lung. Background is where no lung is likelier than every other class, and
    /// everything outside the cells.
    pub(super) fn labels(&self, size: (usize, usize, usize)) -> Array3<u8> {
        let mut labels = Array3::from_elem(size, BACKGROUND);
        let slices = labels.axis_iter_mut(Axis(0)).into_par_iter().enumerate();
        slices.for_each(|(slice, labels)| self.label(slice, labels));
        labels
    }

    /// Most voxels lie between cells that say the same for certain. Only between others are logits interpolated.
    fn label(&self, slice: usize, mut labels: ArrayViewMut2<'_, u8>) {
        for (within, label) in self.upsampler.uniform_parts(&self.certain.view(), slice) {
            let [rows, columns] = within.clone();
            let mut labels = labels.slice_each_axis_mut(part(rows, columns));
            match label {
                Some(label) => labels.fill(label),
                None => labels.assign(&self.interpolated(slice, &within)),
            }
        }
    }

    fn interpolated(&self, slice: usize, within: &Part) -> Array2<u8> {
        let of_class = |class: usize| self.upsampler.part(&self.values.view(), class, slice, within, 0.0);
        let on_source: Vec<Array2<f32>> = (0..self.values.len_of(Axis(1))).map(of_class).collect();
        Array2::from_shape_fn(on_source[self.classes.left].dim(), |place| {
            match self.classes.likelier_lung(|class| on_source[class][place]) {
                (side, margin) if margin >= SURE_MARGIN => side | SURE,
                (side, margin) if margin > 0.0 => side,
                _ => BACKGROUND,
            }
        })
    }
}

/// What the logits of a cell, one a class, say for certain. Where a class lies above another one by some margin in all
/// cells around a voxel, it does so in what is interpolated between them.
fn certain(logits: ArrayView1<'_, f32>, classes: &LungClasses) -> Option<u8> {
    let (side, margin) = classes.likelier_lung(|class| logits[class]);
    let lung = logits[classes.left].max(logits[classes.right]);
    match classes.other.first() {
        _ if margin >= SURE_MARGIN => Some(side | SURE),
        Some(background) if logits[*background] >= lung => Some(BACKGROUND),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::volume::testing::{MIRRORED, SUPINE, TURNED, geometry};
    use crate::engine::volume::{LEFT_LUNG, RIGHT_LUNG};

    /// Background, left, right, airway.
    fn classes() -> LungClasses {
        LungClasses { left: 1, right: 2, other: vec![0, 3] }
    }

    #[test]
    fn a_voxel_is_lung_where_a_lung_is_likelier_than_each_other_class() {
        // Background, left, right, airway; a column each.
        let columns = [
            ([0.0, 5.0, 4.9, 0.0], LEFT_LUNG | SURE),
            ([0.0, 1.0, 5.0, 4.0], RIGHT_LUNG),
            ([0.0, 5.0, 1.0, 6.0], BACKGROUND),
            ([4.0, 5.0, 1.0, 0.0], LEFT_LUNG),
            ([0.0, 0.0, 0.0, 0.0], BACKGROUND),
        ];
        let logits = Array4::from_shape_fn((2, 4, 3, columns.len()), |(_, class, _, column)| columns[column].0[class]);
        let grid = geometry([columns.len(), 3, 2], [1.0, 1.0, 2.0], SUPINE);
        let classes = classes();
        let labels = Logits::new(logits, &classes, Upsampler::new(&grid, &grid)).labels((2, 3, columns.len()));
        assert_eq!(labels.index_axis(Axis(0), 1).row(1).to_vec(), columns.map(|(_, label)| label));
    }

    #[test]
    fn what_is_certain_is_what_would_be_interpolated() {
        let cells = geometry([12, 10, 6], [7.0, 7.0, 5.0], SUPINE);
        // Waves of each class that cross each other often, and reach far enough above each other to be certain.
        let value = |(slice, class, row, column): (usize, usize, usize, usize)| {
            6.0 * (0.9 * column as f32 + 0.5 * row as f32 + 0.4 * slice as f32 + 1.7 * class as f32).sin()
        };
        let values = Array4::from_shape_fn((6, 4, 10, 12), value);
        let classes = classes();
        let mut found = [0; 2];
        for (spacing, orientation) in
            [([1.5, 1.5, 2.0], SUPINE), ([1.1, 1.1, 5.0], TURNED), ([2.5, 2.5, 1.0], MIRRORED)]
        {
            let source = geometry([60, 52, 14], spacing, orientation);
            let logits = Logits::new(values.clone(), &classes, Upsampler::new(&cells, &source));
            let labels = logits.labels((14, 52, 60));
            for (slice, labels) in labels.outer_iter().enumerate() {
                assert_eq!(labels, logits.interpolated(slice, &[0..52, 0..60]), "slice {slice} of {spacing:?}");
                let parts = logits.upsampler.uniform_parts(&logits.certain.view(), slice);
                for (_, label) in parts {
                    found[usize::from(label.is_some_and(|label| label != BACKGROUND))] += 1;
                }
            }
        }
        assert!(found.iter().all(|count| *count > 100), "lung for certain and not: {found:?}");
    }
}
