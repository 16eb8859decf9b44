//! Closed outlines of what is above a level on a grid (marching squares, Lorensen and Cline 1987 in two dimensions).

use ndarray::ArrayView2;
use std::collections::HashMap;

/// An edge of the grid between two neighbouring samples: the first one's row and column, and whether it runs down.
type Edge = (usize, usize, bool);

/// Closed polygons of (column, row) around the samples `[row, column]` at or above `level`, between samples by linear
/// interpolation, first point not repeated. Beyond the grid everything lies below the level, half a cell away, so that
/// every polygon closes. `level` must be positive.
pub(super) fn outlines(values: &ArrayView2<'_, f32>, level: f32) -> Vec<Vec<[f64; 2]>> {
    let (rows, columns) = values.dim();
    // A frame of samples below the level, in coordinates that start one earlier.
    let at = |row: usize, column: usize| {
        let inside = (1..=rows).contains(&row) && (1..=columns).contains(&column);
        if inside { values[(row - 1, column - 1)] } else { 0.0 }
    };
    let mut next: HashMap<Edge, Edge> = HashMap::new();
    for row in 0..=rows {
        for column in 0..=columns {
            let corners = [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
            for (from, to) in segments(corners, level) {
                next.insert(edge(row, column, from), edge(row, column, to));
            }
        }
    }
    let point = |(row, column, down): Edge| {
        let (first, second) = (at(row, column), if down { at(row + 1, column) } else { at(row, column + 1) });
        let share = f64::from((level - first) / (second - first));
        // In a frame cell the level is crossed within half a cell of the outermost sample.
        let (row, column) = (row as f64 - 1.0, column as f64 - 1.0);
        let (x, y) = if down { (column, row + share) } else { (column + share, row) };
        [x.clamp(-0.5, columns as f64 - 0.5), y.clamp(-0.5, rows as f64 - 0.5)]
    };
    let mut starts: Vec<Edge> = next.keys().copied().collect();
    starts.sort_unstable();
    let mut polygons = Vec::new();
    for start in starts {
        let mut polygon = Vec::new();
        let mut current = start;
        while let Some(following) = next.remove(&current) {
            polygon.push(point(current));
            current = following;
        }
        if polygon.len() >= 3 {
            polygons.push(polygon);
        }
    }
    polygons
}

/// The sides of a square that its outline enters and leaves by, with what is above the level on its left. Sides are
/// top, right, bottom, left; corners are top left, top right, bottom right, bottom left.
fn segments(corners: [f32; 4], level: f32) -> impl Iterator<Item = (usize, usize)> {
    let above = corners.map(|corner| corner >= level);
    let crossed: Vec<usize> = (0..4).filter(|side| above[*side] != above[(side + 1) % 4]).collect();
    // Walking round the square, a side that goes from above to below is where the outline enters.
    let entering: Vec<usize> = crossed.iter().copied().filter(|side| above[*side]).collect();
    let joined = corners.iter().sum::<f32>() / 4.0 >= level;
    entering.into_iter().map(move |enter| {
        // At a saddle the mean of the corners decides by which of the two sides the outline leaves.
        let ahead = |step: usize| (enter + step) % 4;
        let order: [usize; 3] = if joined { [ahead(1), ahead(2), ahead(3)] } else { [ahead(3), ahead(2), ahead(1)] };
        let leave = order.into_iter().find(|side| !above[*side] && above[(side + 1) % 4]);
        (enter, leave.unwrap_or(enter))
    })
}

fn edge(row: usize, column: usize, side: usize) -> Edge {
    match side {
        0 => (row, column, false),
        1 => (row, column + 1, true),
        2 => (row + 1, column, false),
        _ => (row, column, true),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    fn area(polygon: &[[f64; 2]]) -> f64 {
        let turns = (0..polygon.len()).map(|index| {
            let (a, b) = (polygon[index], polygon[(index + 1) % polygon.len()]);
            a[0] * b[1] - a[1] * b[0]
        });
        turns.sum::<f64>().abs() / 2.0
    }

    #[test]
    fn one_sample_is_a_diamond_around_it() {
        let values = arr2(&[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]);
        let found = outlines(&values.view(), 0.5);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 4);
        assert!((area(&found[0]) - 0.5).abs() < 1e-9);
        for point in &found[0] {
            assert!(((point[0] - 1.0).abs() + (point[1] - 1.0).abs() - 0.5).abs() < 1e-9, "{point:?}");
        }
    }

    #[test]
    fn a_region_at_the_edge_closes_there() {
        let values = arr2(&[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]);
        let found = outlines(&values.view(), 0.5);
        assert_eq!(found.len(), 1);
        assert!(found[0].iter().all(|point| (-0.5..=1.5).contains(&point[0]) && (-0.5..=1.5).contains(&point[1])));
        assert!((area(&found[0]) - 4.0).abs() < 0.6, "{}", area(&found[0]));
    }

    #[test]
    fn a_ring_has_two_outlines_and_nothing_has_none() {
        let ring = arr2(&[[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]);
        assert_eq!(outlines(&ring.view(), 0.5).len(), 2);
        assert!(outlines(&arr2(&[[0.1, 0.2], [0.3, 0.1]]).view(), 0.5).is_empty());
    }

    #[test]
    fn samples_that_touch_at_a_corner_are_parted_or_joined_by_their_mean() {
        let parted = arr2(&[[1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(outlines(&parted.view(), 0.6).len(), 2);
        assert_eq!(outlines(&parted.view(), 0.4).len(), 1);
    }
}
