//! The convex hull of the lungs on a slice: lungs, and between them mediastinum and hila.

/// The corners of the convex hull of points (column, row), counter-clockwise by the monotone chain (Andrew 1979);
/// fewer than three corners if all points lie on a line.
pub(super) fn convex_hull(points: &[[i64; 2]]) -> Vec<[i64; 2]> {
    let mut sorted = points.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() < 3 {
        return sorted;
    }
    let mut hull = chain(sorted.iter());
    let upper = chain(sorted.iter().rev());
    hull.pop();
    hull.extend(&upper[..upper.len() - 1]);
    hull
}

fn chain<'a>(points: impl Iterator<Item = &'a [i64; 2]>) -> Vec<[i64; 2]> {
    let mut chain: Vec<[i64; 2]> = Vec::new();
    for point in points {
        while chain.len() >= 2 && turn(chain[chain.len() - 2], chain[chain.len() - 1], *point) <= 0 {
            chain.pop();
        }
        chain.push(*point);
    }
    chain
}

/// True if the point lies inside the hull or on its edge.
pub(super) fn contains(hull: &[[i64; 2]], point: [i64; 2]) -> bool {
    match hull {
        [] => false,
        [only] => *only == point,
        [a, b] => turn(*a, *b, point) == 0 && (0..2).all(|i| (a[i].min(b[i])..=a[i].max(b[i])).contains(&point[i])),
        _ => (0..hull.len()).all(|index| turn(hull[index], hull[(index + 1) % hull.len()], point) >= 0),
    }
}

/// Positive if the path a, b, c turns counter-clockwise.
fn turn(a: [i64; 2], b: [i64; 2], c: [i64; 2]) -> i64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hull_of_two_lungs_holds_what_lies_between_them() {
        let lungs: Vec<[i64; 2]> =
            (0..10).flat_map(|row| [[0, row], [1, row], [8, row], [9, row]]).chain([[4, 4]]).collect();
        let hull = convex_hull(&lungs);
        assert_eq!(hull, vec![[0, 0], [9, 0], [9, 9], [0, 9]]);
        assert!(contains(&hull, [5, 5]) && contains(&hull, [0, 0]) && contains(&hull, [5, 0]));
        assert!(!contains(&hull, [10, 5]) && !contains(&hull, [5, -1]));
    }

    #[test]
    fn points_on_a_line_and_no_points_have_a_hull_too() {
        assert!(!contains(&convex_hull(&[]), [0, 0]));
        assert!(contains(&convex_hull(&[[2, 2]]), [2, 2]));
        let line = convex_hull(&[[0, 0], [4, 4], [2, 2]]);
        assert!(contains(&line, [3, 3]) && !contains(&line, [3, 2]) && !contains(&line, [5, 5]));
    }
}
