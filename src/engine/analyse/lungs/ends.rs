//! How much lung lies below and above the stack.

use crate::engine::volume::part::count;
use crate::engine::volume::{Geometry, LEFT_LUNG, LungMask, RIGHT_LUNG};

/// Height over which it is measured how a lung tapers towards an end of the stack, in millimetres.
const TAPER_MM: f64 = 10.0;
/// A lung ends at most so far beyond the stack, in millimetres: less than half of its height, because it widens to the
/// diaphragm before it ends.
const FARTHEST_MM: f64 = 100.0;

/// Millilitres of the left and of the right lung beyond both ends of the stack: an estimate.
pub(super) fn beyond_stack(mask: &LungMask, geometry: &Geometry) -> [f64; 2] {
    [LEFT_LUNG, RIGHT_LUNG].map(|side| {
        let [column, row, step] = geometry.spacing;
        let area = |slice: usize| {
            let labels = mask.0.index_axis(ndarray::Axis(0), slice);
            count(labels, |label| *label == side) as f64 * column * row
        };
        let last = mask.0.dim().0.saturating_sub(1);
        let inside = ((TAPER_MM / step).round().max(1.0) as usize).min(last);
        if inside == 0 {
            return 0.0;
        }
        let height = inside as f64 * step;
        [(0, inside), (last, last - inside)].map(|(end, inner)| beyond_end(area(end), area(inner), height)).iter().sum()
    })
}

/// Millilitres beyond an end with an area in square millimetres, where the lung has another one so many millimetres
/// within. Apex and recess are round: their area shrinks evenly to nothing, or faster, which makes this rather too much.
fn beyond_end(end: f64, inner: f64, height: f64) -> f64 {
    if end <= 0.0 {
        return 0.0;
    }
    let taper = (inner - end) / height;
    let beyond = if taper > 0.0 { (end / taper).min(FARTHEST_MM) } else { FARTHEST_MM };
    end * beyond / 2.0 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::volume::testing::{SUPINE, geometry, volume};

    /// Millilitres seen of two round lungs of 60 mm radius and 180 mm height in a stack from a height on, and what is
    /// estimated beyond it.
    fn seen_and_beyond(lowest: f64) -> (f64, f64) {
        let mut grid = geometry([80, 40, 100], [4.0, 4.0, 2.0], SUPINE);
        grid.origin.0[2] = lowest;
        let source = volume(grid, |[x, y, z]| {
            let inside = |centre: f64| ((x - centre) / 60.0).powi(2) + (y / 60.0).powi(2) + (z / 90.0).powi(2) < 1.0;
            if inside(75.0) {
                f64::from(LEFT_LUNG)
            } else if inside(-75.0) {
                f64::from(RIGHT_LUNG)
            } else {
                0.0
            }
        });
        let mask = LungMask(source.hounsfield.mapv(|label| label as u8));
        let voxels = mask.0.iter().filter(|label| **label > 0).count();
        (voxels as f64 * source.geometry.voxel_millilitres(), beyond_stack(&mask, &source.geometry).iter().sum())
    }

    #[test]
    fn lung_beyond_the_stack_is_estimated_by_how_the_end_tapers() {
        let (whole, none) = seen_and_beyond(-100.0);
        assert!(none <= 0.0, "{none}");
        for lowest in [-80.0, -60.0, -45.0, 0.0] {
            let (seen, beyond) = seen_and_beyond(lowest);
            let lost = whole - seen;
            assert!((0.8..1.65).contains(&(beyond / lost)), "{beyond} of {lost} ml below {lowest}");
        }
    }
}
