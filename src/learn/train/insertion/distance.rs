//! Euclidean distances on a grid with different spacings (Felzenszwalb and Huttenlocher, Theory of Computing 8 (2012),
//! doi 10.4086/toc.2012.v008a019).

use ndarray::{Array3, ArrayViewMut1, Axis};

/// Far beyond any distance within a patient, squared.
const FAR: f64 = 1e12;

/// Distance in millimetres of each marked voxel from the nearest one that is not; 0 for those. `spacing_mm` is that of
/// slices, rows, columns.
pub(super) fn inside(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> Array3<f32> {
    let mut squared = mask.mapv(|marked| if marked { FAR } else { 0.0 });
    for (axis, spacing) in spacing_mm.into_iter().enumerate() {
        squared.lanes_mut(Axis(axis)).into_iter().for_each(|line| transform(line, spacing));
    }
    squared.mapv(|squared| squared.sqrt() as f32)
}

/// The lower envelope of parabolas over the places of a line.
fn transform(mut line: ArrayViewMut1<'_, f64>, spacing: f64) {
    let values = line.to_vec();
    if values.iter().all(|value| *value == 0.0) {
        return;
    }
    let at = |place: usize| place as f64 * spacing;
    // Where the parabolas of two places meet.
    let meeting = |one: usize, other: usize| {
        let height = |place: usize| values[place] + at(place) * at(place);
        (height(one) - height(other)) / (2.0 * (at(one) - at(other)))
    };
    let mut lowest: Vec<(usize, f64)> = vec![(0, f64::NEG_INFINITY)];
    for place in 1..values.len() {
        while let Some((last, begins)) = lowest.last().copied() {
            let from = meeting(place, last);
            if from > begins {
                lowest.push((place, from));
                break;
            }
            lowest.pop();
        }
        if lowest.is_empty() {
            lowest.push((place, f64::NEG_INFINITY));
        }
    }
    let mut parabola = 0;
    for (place, value) in line.iter_mut().enumerate() {
        while lowest.get(parabola + 1).is_some_and(|(_, begins)| *begins < at(place)) {
            parabola += 1;
        }
        let (vertex, _) = lowest[parabola];
        *value = (at(place) - at(vertex)).powi(2) + values[vertex];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_a_search_through_all_voxels() {
        let size = (5, 9, 7);
        let mask = Array3::from_shape_fn(size, |(slice, row, column)| (slice * 31 + row * 17 + column * 7) % 11 != 0);
        let spacing = [2.5, 0.7, 1.1];
        let found = inside(&mask, spacing);
        for (place, _) in mask.indexed_iter() {
            let distance = |(other, marked): (_, &bool)| {
                let (a, b): ((usize, usize, usize), (usize, usize, usize)) = (place, other);
                let steps = [a.0.abs_diff(b.0), a.1.abs_diff(b.1), a.2.abs_diff(b.2)];
                let squares = steps.iter().zip(spacing).map(|(steps, spacing)| (*steps as f64 * spacing).powi(2));
                (!marked).then(|| squares.sum::<f64>().sqrt())
            };
            let nearest = mask.indexed_iter().filter_map(distance).fold(f64::INFINITY, f64::min);
            assert!((f64::from(found[place]) - nearest).abs() < 1e-4, "{place:?}: {} {nearest}", found[place]);
        }
    }
}
