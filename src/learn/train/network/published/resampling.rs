//! Resampling of maps of weights, as it was done where they come from.

/// The places that a new one is made of, with the share of each.
pub(super) type Shares = Vec<(usize, f64)>;

/// A map, row by row, whose rows and columns are made of those of `value` by these shares.
pub(super) fn resampled(value: impl Fn(usize, usize) -> f32, [rows, columns]: &[Vec<Shares>; 2]) -> Vec<f32> {
    let cell = |row: &Shares, column: &Shares| {
        let pairs =
            row.iter().flat_map(|(y, of_row)| column.iter().map(move |(x, of_column)| (*y, *x, of_row * of_column)));
        pairs.map(|(y, x, share)| f64::from(value(y, x)) * share).sum::<f64>() as f32
    };
    rows.iter().flat_map(|row| columns.iter().map(|column| cell(row, column)).collect::<Vec<f32>>()).collect()
}

/// For each of `after` distances, the two of `before` that it is interpolated from, with their shares. The known
/// distances are spread so that steps grow geometrically from the centre to the new border.
pub(super) fn geometric(before: usize, after: usize) -> Vec<Shares> {
    if before == after {
        return (0..after).map(|place| vec![(place, 1.0)]).collect();
    }
    let half = before / 2;
    let reached = |ratio: f64| (1.0 - ratio.powi(half as i32)) / (1.0 - ratio);
    let (mut left, mut right) = (1.01, 1.5);
    let mut ratio = left;
    while right - left > 1e-6 {
        ratio = f64::midpoint(left, right);
        if reached(ratio) > (after / 2) as f64 { right = ratio } else { left = ratio }
    }
    let known = |place: usize| {
        let distance = (1..=place.abs_diff(half)).map(|step| ratio.powi(step as i32 - 1)).sum::<f64>();
        if place < half { -distance } else { distance }
    };
    let known: Vec<f64> = (0..before).map(known).collect();
    let of_place = |place: usize| {
        let at = (place as f64 - (after / 2) as f64).clamp(known[0], known[before - 1]);
        let upper = known.partition_point(|known| *known < at).clamp(1, before - 1);
        let share = (at - known[upper - 1]) / (known[upper] - known[upper - 1]);
        vec![(upper - 1, 1.0 - share), (upper, share)]
    };
    (0..after).map(of_place).collect()
}

/// For each of `after` places, those of `before` that cubic convolution makes it of (Keys 1981, doi
/// 10.1109/TASSP.1981.1163711, a = -0.5). Where there are fewer places than before, each is made of as many more: PyTorch's
/// `interpolate` with `mode="bicubic"` and `antialias=True`.
pub(super) fn cubic(before: usize, after: usize) -> Vec<Shares> {
    let scale = before as f64 / after as f64;
    let weight = |distance: f64| match distance.abs() {
        near if near < 1.0 => (1.5 * near - 2.5) * near * near + 1.0,
        far if far < 2.0 => ((-0.5 * far + 2.5) * far - 4.0) * far + 2.0,
        _ => 0.0,
    };
    let of_place = |place: usize| {
        let centre = (place as f64 + 0.5) * scale;
        let weights = (0..before).map(|known| weight((known as f64 + 0.5 - centre) / scale.max(1.0)));
        let weights: Shares = weights.enumerate().filter(|(_, weight)| *weight != 0.0).collect();
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        weights.into_iter().map(|(known, weight)| (known, weight / total)).collect()
    };
    (0..after).map(of_place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of PyTorch: `torch.nn.functional.interpolate(torch.tensor([[[[1., 4., 9., 16., 25., 36.]]]]), size=(1, N),
    /// mode="bicubic", antialias=True)`.
    #[test]
    fn cubic_convolution_is_that_of_pytorch() {
        let of_columns = |after| {
            let shares = [cubic(1, 1), cubic(6, after)];
            resampled(|_, column| ((column + 1) * (column + 1)) as f32, &shares)
        };
        for expected in [
            &[1.734_625, 7.395_099, 18.468_607, 32.702_27][..],
            &[1.0, 4.0, 9.0, 16.0, 25.0, 36.0],
            &[0.802_632, 2.117_647, 4.694_444, 8.027_779, 12.25, 17.361_113, 23.361_113, 31.352_943, 36.723_686],
        ] {
            let found = of_columns(expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
        }
    }
}
