//! How much of a lung lies beyond the edge of the field of view, on one slice.
//!
//! A chest is round. Where the outline of a lung runs along the edge from one place to another, the lung goes on in an arc
//! between these places. What the edge itself encloses with their chord is seen: nothing where it is straight, the more
//! the rounder it is. This holds for borders of images, circles of reconstruction and padding of any other form.

/// Radius of the side of the lungs, seen from above, in millimetres: how far lung reaches beyond an edge that cuts it.
const SIDE_RADIUS_MM: f64 = 85.0;
/// What runs along the edge with less between it than this, in millimetres, is one stretch: vessels and fissures part it.
const GAP_MM: f64 = 25.0;

/// A place on the slice, in millimetres.
pub(super) type Point = [f64; 2];

/// Area of a lung, in square millimetres, beyond the places where it lies at the edge. `middle` is a place within the field
/// of view, from which all of its edge is seen.
pub(super) fn beyond_mm2(mut at_edge: Vec<Point>, middle: Point) -> f64 {
    let angle = |[x, y]: &Point| (y - middle[1]).atan2(x - middle[0]);
    at_edge.sort_by(|one, other| angle(one).total_cmp(&angle(other)));
    stretches(at_edge).iter().map(|stretch| beyond_stretch(stretch)).sum()
}

/// Places in the order of the edge, a stretch without gaps each.
fn stretches(mut edge: Vec<Point>) -> Vec<Vec<Point>> {
    let follows = |one: &Point, other: &Point| distance(*one, *other) <= GAP_MM;
    let gap = (1..edge.len()).find(|index| !follows(&edge[index - 1], &edge[*index]));
    // The edge is closed, so that a stretch may run on from the last place to the first one.
    edge.rotate_left(gap.unwrap_or(0));
    edge.chunk_by(follows).map(<[Point]>::to_vec).collect()
}

/// Area beyond a stretch: of the ways to take it as one arc or as several, that which gives most. Each straight part of an
/// edge with corners cuts off an arc of its own.
fn beyond_stretch(stretch: &[Point]) -> f64 {
    let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { return 0.0 };
    let whole = segment_mm2(distance(*first, *last)) - polygon_mm2(stretch);
    let height = |point: &Point| cross(*first, *last, *point).abs();
    let corner =
        (1..stretch.len().saturating_sub(1)).max_by(|a, b| height(&stretch[*a]).total_cmp(&height(&stretch[*b])));
    let parts = corner.map_or(0.0, |corner| beyond_stretch(&stretch[..=corner]) + beyond_stretch(&stretch[corner..]));
    whole.max(parts).max(0.0)
}

/// Area that a chord cuts off the side of the lungs; half a circle for longer ones.
fn segment_mm2(chord: f64) -> f64 {
    let angle = 2.0 * (chord / (2.0 * SIDE_RADIUS_MM)).min(1.0).asin();
    SIDE_RADIUS_MM * SIDE_RADIUS_MM / 2.0 * (angle - angle.sin())
}

/// Area between a stretch and its chord.
fn polygon_mm2(stretch: &[Point]) -> f64 {
    let [first, ..] = stretch else { return 0.0 };
    stretch.windows(2).map(|pair| cross(*first, pair[0], pair[1])).sum::<f64>().abs() / 2.0
}

/// Twice the signed area of a triangle.
fn cross([x, y]: Point, one: Point, other: Point) -> f64 {
    (one[0] - x) * (other[1] - y) - (other[0] - x) * (one[1] - y)
}

fn distance(one: Point, other: Point) -> f64 {
    (one[0] - other[0]).hypot(one[1] - other[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places every 3 mm along lines between corners.
    fn along(corners: &[Point]) -> Vec<Point> {
        let between = |pair: &[Point]| {
            let ([from, to], steps) = ([pair[0], pair[1]], (distance(pair[0], pair[1]) / 3.0) as usize);
            let at = move |step: usize| {
                let share = step as f64 / steps as f64;
                [from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]
            };
            (0..steps).map(at).collect::<Vec<_>>()
        };
        corners.windows(2).flat_map(between).chain(corners.last().copied()).collect()
    }

    fn arc(radius: f64, degrees: f64) -> Vec<Point> {
        let at = |degree: f64| [radius * degree.to_radians().cos(), radius * degree.to_radians().sin()];
        (0..=degrees as usize).map(|degree| at(degree as f64 + 150.0)).collect()
    }

    #[test]
    fn a_straight_edge_cuts_off_a_segment_whatever_runs_beside_it() {
        let edge = along(&[[-100.0, -40.0], [-100.0, 40.0]]);
        let whole = beyond_mm2(edge.clone(), [0.0; 2]);
        assert!((whole / segment_mm2(80.0) - 1.0).abs() < 1e-9, "{whole}");
        // A vessel parts it.
        let parted = edge.into_iter().filter(|[_, y]| y.abs() > 6.0).collect();
        assert!((beyond_mm2(parted, [0.0; 2]) / whole - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_rounder_an_edge_is_the_less_it_cuts_off_and_the_way_round_does_not_matter() {
        let beyond = |radius: f64| beyond_mm2(arc(radius, 60.0 * 110.0 / radius), [0.0; 2]);
        let straight = segment_mm2(60.0 * 110.0_f64.to_radians());
        assert!(beyond(80.0) < 100.0, "rounder than a chest: {}", beyond(80.0));
        assert!(0.0 < beyond(110.0) && beyond(110.0) < beyond(200.0) && beyond(200.0) < straight);
        // The arc runs across the angle where the order of places begins.
        let turned = arc(110.0, 60.0).into_iter().map(|[x, y]| [-x, y]).collect();
        assert!((beyond_mm2(turned, [0.0; 2]) / beyond(110.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn edges_that_meet_in_a_corner_cut_off_a_segment_each() {
        let edge = along(&[[-100.0, 20.0], [-100.0, 80.0], [-30.0, 80.0]]);
        let expected = segment_mm2(60.0) + segment_mm2(70.0);
        assert!((beyond_mm2(edge, [0.0; 2]) / expected - 1.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_lies_beyond_where_no_lung_is_at_the_edge() {
        assert_eq!((beyond_mm2(Vec::new(), [0.0; 2]), beyond_mm2(vec![[9.0, 1.0]], [0.0; 2])), (0.0, 0.0));
    }
}
